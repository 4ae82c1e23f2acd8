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

#[cfg(test)]
mod tests {
    use envelope::{MailParameters, RelayId, ReversePath, Timestamp};
    use store::{Copies, QueueState};

    use super::*;

    fn of(sender: &str) -> QueuedMessage {
        QueuedMessage {
            id: RelayId::from_bytes([0; 16]),
            queued_at: Timestamp::from_unix_millis(0),
            sender: sender.into(),
            upstream: "own".into(),
            reverse_path: ReversePath::Null,
            parameters: MailParameters::default(),
            copies: Copies::Shared,
            octets: 0,
            state: QueueState::Waiting,
            delay_told: false,
            recipients: vec![],
        }
    }

    #[test]
    fn nobody_goes_twice_while_another_waits() {
        let mut found: Vec<_> = ["many", "many", "many", "one", "held", "two"].map(of).into();
        let mut turns = Turns::default();
        let mut order = vec![];
        while let Some(at) = turns.next(&found, |message| message.sender != "held") {
            let message = found.remove(at);
            turns.had(&message.sender);
            order.push(message.sender);
            if order.len() == 4 {
                // Somebody new does not wait for those who had turns.
                found.push(of("new"));
            }
        }
        assert_eq!(order, ["many", "one", "two", "many", "new", "many"]);
    }
}
