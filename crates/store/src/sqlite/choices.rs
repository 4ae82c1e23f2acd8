use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::SavedChoice;

/// The saved choices that were read or written just now. Each message asks for its sender's, and whoever sends sends
/// several: without this a message costs a query on another thread for what nearly never changes.
///
/// What this process saves counts at once; what another one saves, within a second.
#[derive(Clone, Default)]
pub(crate) struct Choices(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By the sender in lower case. `None`: nothing is saved.
    of: HashMap<String, (Instant, Option<SavedChoice>)>,
    /// How often something was saved.
    changes: u64,
}

/// How long what was read is taken to be so.
const FRESH: Duration = Duration::from_secs(1);
/// More than send within a second.
const MOST: usize = 1_000;

impl Choices {
    /// What is known; or else the number to hand to [`Choices::learn`] with what the store says.
    pub(crate) fn of(&self, sender: &str) -> Result<Option<SavedChoice>, u64> {
        let known = self.known();
        match known.of.get(&folded(sender)) {
            Some((at, choice)) if at.elapsed() < FRESH => Ok(*choice),
            _ => Err(known.changes),
        }
    }

    /// What the store said. Forgotten at once if something was saved since it was asked.
    pub(crate) fn learn(&self, sender: &str, choice: Option<SavedChoice>, asked: u64) {
        let mut known = self.known();
        if known.changes != asked {
            return;
        }
        if known.of.len() >= MOST {
            known.of.clear();
        }
        known.of.insert(folded(sender), (Instant::now(), choice));
    }

    /// This sender's is about to change, or has.
    pub(crate) fn forget(&self, sender: &str) {
        let mut known = self.known();
        known.changes += 1;
        known.of.remove(&folded(sender));
    }

    /// A panic elsewhere leaves nothing half-written in it.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As the database compares senders.
fn folded(sender: &str) -> String {
    sender.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use envelope::{Choice, Timestamp};

    use super::*;

    #[test]
    fn what_was_read_before_a_change_is_not_believed_after_it() {
        let choices = Choices::default();
        let saved = SavedChoice { choice: Choice::BOTH, by: None, at: Timestamp::from_unix_millis(1) };
        let asked = choices.of("ana@x.test").unwrap_err();
        choices.learn("Ana@x.test", Some(saved), asked);
        assert_eq!(choices.of("ANA@x.test"), Ok(Some(saved)));
        let asked_before = choices.of("bo@x.test").unwrap_err();
        choices.forget("ana@X.test");
        choices.learn("bo@x.test", Some(saved), asked_before);
        assert!(choices.of("ana@x.test").is_err() && choices.of("bo@x.test").is_err());
    }

    #[test]
    fn it_holds_no_more_than_a_thousand() {
        let choices = Choices::default();
        for n in 0..2_500 {
            choices.learn(&format!("{n}@x.test"), None, 0);
        }
        assert!(choices.known().of.len() <= MOST);
    }
}
