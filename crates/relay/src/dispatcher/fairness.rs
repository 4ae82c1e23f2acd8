use std::collections::HashMap;

use store::QueuedMessage;

/// Which sender had a turn, and when: a sender's thousand mails must not stand before another's one.
#[derive(Debug, Default)]
pub(super) struct Turns {
    number: u64,
    had: HashMap<String, u64>,
}

/// More senders than this, and those before count as having had none: a turn too early, nothing worse.
const MOST_SENDERS: usize = 10_000;

impl Turns {
    /// Where in `found` the message stands whose sender had no turn for longest, of those that `may` go; the first
    /// of that sender's.
    pub(super) fn next(
        &self,
        found: &[QueuedMessage],
        may: impl Fn(&QueuedMessage) -> bool,
    ) -> Option<usize> {
        let candidates = found.iter().enumerate().filter(|(_, message)| may(message));
        candidates.min_by_key(|(_, message)| self.had.get(&message.sender)).map(|(at, _)| at)
    }

    pub(super) fn had(&mut self, sender: &str) {
        if self.had.len() >= MOST_SENDERS {
            self.had.clear();
        }
        self.number += 1;
        self.had.insert(sender.to_owned(), self.number);
    }
}
