use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use store::{Footing, Queue};
use tokio::time::Instant;

use crate::event;

/// Can what comes of a handoff be written down? While it cannot, nothing is handed on: after a restart it would be
/// handed on again.
///
/// Nobody knows at the start, nor after a write that failed: then the queue has to prove it first.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Handoffs whose outcome is not on disk yet because a write failed.
    unwritten: AtomicUsize,
    doubtful: AtomicBool,
    failing: Mutex<Failing>,
}

#[derive(Debug, Default)]
struct Failing {
    /// When the last proof failed.
    since: Option<Instant>,
    told: bool,
}

/// Counts as long as it lives.
pub(super) struct Unwritten<'a>(&'a Ledger);

/// A full disk is asked this often.
const PROVE_EVERY: Duration = Duration::from_secs(1);

impl Ledger {
    pub(super) fn new() -> Self {
        Self { unwritten: AtomicUsize::new(0), doubtful: AtomicBool::new(true), failing: Mutex::default() }
    }

    /// An outcome could not be written.
    pub(super) fn unwritten(&self) -> Unwritten<'_> {
        self.unwritten.fetch_add(1, Ordering::SeqCst);
        self.doubtful.store(true, Ordering::SeqCst);
        Unwritten(self)
    }

    /// How many handoffs may be at work together, `at_work` of them now and `most` of them anyway.
    pub(super) async fn room(&self, queue: &dyn Queue, at_work: usize, most: usize) -> usize {
        if self.unwritten.load(Ordering::SeqCst) > 0 {
            return 0;
        }
        if !self.doubtful.load(Ordering::SeqCst) {
            return most;
        }
        // A proof is good for one outcome, unless there is room kept for more.
        if at_work > 0 || self.failed_just_now() {
            return 0;
        }
        match queue.prove_writable().await {
            Ok(footing) => {
                if std::mem::take(&mut *self.failing()).told {
                    event::can_write_again();
                }
                if footing == Footing::Narrow {
                    return 1;
                }
                self.doubtful.store(false, Ordering::SeqCst);
                // One that failed meanwhile would have been forgotten; there was none at work.
                most
            }
            Err(error) => {
                let mut failing = self.failing();
                failing.since = Some(Instant::now());
                if !std::mem::replace(&mut failing.told, true) {
                    event::cannot_write(&error);
                }
                0
            }
        }
    }

    fn failed_just_now(&self) -> bool {
        self.failing().since.is_some_and(|at| at.elapsed() < PROVE_EVERY)
    }

    fn failing(&self) -> std::sync::MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.0.unwritten.fetch_sub(1, Ordering::SeqCst);
    }
}
