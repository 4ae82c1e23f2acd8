use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use envelope::Reason;

use crate::door::Relay;
use crate::event;
use crate::rewriting::{Tracking, rewrite_unless};
use crate::rewritten::Rewritten;

/// Tells a thread that nobody waits for it any more: its time is over, or the connection is gone.
struct GivesUp(Arc<AtomicBool>);

impl Drop for GivesUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Relay {
    /// [`crate::rewrite`] on another thread, so that neither a panic nor a slow message takes anybody with it: then
    /// the message stays as it came.
    pub(crate) async fn rewrite_in_time(&self, content: &Arc<Vec<u8>>, tracking: Tracking) -> Rewritten {
        let (source, turns, id) = (content.clone(), self.rewriting_turns.clone(), tracking.id);
        let given_up = Arc::new(AtomicBool::new(false));
        let _whenever_we_stop_waiting = GivesUp(given_up.clone());
        let rewriting = async move {
            // Kept by the thread itself: one that is given up still counts until it ends.
            let turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let rewritten = rewrite_unless(&source, &tracking, &|| given_up.load(Ordering::Relaxed));
                drop(turn);
                rewritten
            })
            .await
        };
        match tokio::time::timeout(self.settings.rewrite_time, rewriting).await {
            Ok(Ok(rewritten)) => rewritten,
            Ok(Err(panic)) => {
                event::rewriting_failed(Some(id), &panic);
                Rewritten::untouched(content.clone(), Some(Reason::RewriteFailed))
            }
            Err(_) => {
                event::rewriting_too_slow(id, self.settings.rewrite_time);
                Rewritten::untouched(content.clone(), Some(Reason::TooSlow))
            }
        }
    }
}
