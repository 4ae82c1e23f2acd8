use std::sync::atomic::{AtomicU64, Ordering};

/// What became of events since the recorder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// In the store before the answer was due.
    pub committed: u64,
    /// In the journal, synced.
    pub journaled: u64,
    /// From the journal into the store, since.
    pub replayed: u64,
    /// Nowhere for certain: neither the store nor the journal took them.
    pub lost: u64,
    /// Of all these, answered before it was known what would become of them.
    pub answered_first: u64,
    /// Never asked to be recorded: beyond a quota, or too many waited.
    pub left_out: u64,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) committed: AtomicU64,
    pub(crate) journaled: AtomicU64,
    pub(crate) replayed: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) answered_first: AtomicU64,
    pub(crate) left_out: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            committed: read(&self.committed),
            journaled: read(&self.journaled),
            replayed: read(&self.replayed),
            lost: read(&self.lost),
            answered_first: read(&self.answered_first),
            left_out: read(&self.left_out),
        }
    }
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
