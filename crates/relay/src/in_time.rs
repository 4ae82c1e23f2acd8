use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use envelope::Reason;

use crate::door::Relay;
use crate::event;
use crate::rewriting::{Tracking, rewrite_unless};
use crate::rewritten::Rewritten;

/// Up to this the work is done where it stands: handing it to another thread and back takes longer.
const SMALL_OCTETS: usize = 64 * 1024;

/// A bug of ours; its text is on standard error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bug: it panicked")
    }
}

/// Does `work` on a content of so many octets where neither a panic nor the time it takes does harm to anybody else.
pub(crate) async fn aside<T: Send + 'static>(
    octets: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    if octets <= SMALL_OCTETS {
        // What it works on goes away with it.
        return catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked);
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Panicked)
}

/// Tells a thread that nobody waits for it any more: its time is over, or the connection is gone.
struct GivesUp(Arc<AtomicBool>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Relay {
    /// [`crate::rewrite`], so that neither a panic nor a slow message takes anybody with it: then the message stays
    /// as it came.
    pub(crate) async fn rewrite_in_time(&self, content: &Arc<Vec<u8>>, tracking: Tracking) -> Rewritten {
        let (source, turns, id) = (content.clone(), self.rewriting_turns.clone(), tracking.id);
        let (octets, limit) = (content.len(), self.settings.rewrite_time);
        let (given_up, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let _whenever_we_stop_waiting = GivesUp(given_up.clone());
        let rewriting = async move {
            // Kept by the thread itself: one that is given up still counts until it ends.
            let turn = if octets > SMALL_OCTETS { turns.acquire_owned().await.ok() } else { None };
            aside(octets, move || {
                let give_up = || given_up.load(Ordering::Relaxed) || began.elapsed() > limit;
                let rewritten = rewrite_unless(&source, &tracking, &give_up);
                drop(turn);
                rewritten
            })
            .await
        };
        match tokio::time::timeout(limit, rewriting).await {
            Ok(Ok(rewritten)) => {
                if rewritten.reasons.contains(&Reason::TooSlow) {
                    event::rewriting_too_slow(id, limit);
                }
                rewritten
            }
            Ok(Err(panic)) => {
                event::rewriting_failed(Some(id), &panic);
                Rewritten::untouched(content.clone(), Some(Reason::RewriteFailed))
            }
            Err(_) => {
                event::rewriting_too_slow(id, limit);
                Rewritten::untouched(content.clone(), Some(Reason::TooSlow))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        for octets in [1, SMALL_OCTETS + 1] {
            assert_eq!(aside(octets, || 7).await, Ok(7));
            assert_eq!(aside(octets, || -> i32 { panic!("as the test ordered") }).await, Err(Panicked));
        }
    }
}
