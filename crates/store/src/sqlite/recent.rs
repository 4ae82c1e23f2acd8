use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was read from the database just now. Each message asks for its sender's saved choice and whether a recipient
/// refused: without this it costs two queries on another thread, for what nearly never changes.
///
/// What this process writes counts at once; what another one does, within a second.
pub(crate) struct Recent<V>(Arc<Mutex<Known<V>>>);

struct Known<V> {
    /// By whose it is, in lower case, as the database compares them.
    of: HashMap<String, (Instant, V)>,
    /// How often something of it was written.
    changes: u64,
}

/// How long what was read is taken to be so.
const FRESH: Duration = Duration::from_secs(1);
/// More than send within a second.
const MOST: usize = 1_000;

impl<V: Clone> Recent<V> {
    /// What is known; or else the number to hand to [`Recent::learn`] with what the database says.
    pub(crate) fn of(&self, whose: &str) -> Result<V, u64> {
        let known = self.known();
        match known.of.get(&whose.to_ascii_lowercase()) {
            Some((at, value)) if at.elapsed() < FRESH => Ok(value.clone()),
            _ => Err(known.changes),
        }
    }

    /// What the database said; of no use if something was written since it was asked.
    pub(crate) fn learn(&self, whose: &str, value: V, asked: u64) {
        let mut known = self.known();
        if known.changes != asked {
            return;
        }
        if known.of.len() >= MOST {
            known.of.clear();
        }
        known.of.insert(whose.to_ascii_lowercase(), (Instant::now(), value));
    }

    /// Does `write`, which changes what is known of `whose`.
    pub(crate) async fn changed_by<T>(&self, whose: &str, write: impl Future<Output = T>) -> T {
        // Before, so that nobody learns the old one while it is written, and after, for those who did. Of a write that
        // is given up in between and done all the same the old one is believed for a second.
        self.forget(whose);
        let done = write.await;
        self.forget(whose);
        done
    }

    fn forget(&self, whose: &str) {
        let mut known = self.known();
        known.changes += 1;
        known.of.remove(&whose.to_ascii_lowercase());
    }

    /// A panic elsewhere leaves nothing half-written in it.
    fn known(&self) -> MutexGuard<'_, Known<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Clone for Recent<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Default for Recent<V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Known { of: HashMap::new(), changes: 0 })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_read_before_a_change_is_not_believed_after_it() {
        let recent = Recent::default();
        let asked = recent.of("ana@x.test").unwrap_err();
        recent.learn("Ana@x.test", 7, asked);
        assert_eq!(recent.of("ANA@x.test"), Ok(7));
        let asked_before = recent.of("bo@x.test").unwrap_err();
        recent
            .changed_by("ana@X.test", async {
                assert!(recent.of("ana@x.test").is_err());
                let asked_meanwhile = recent.of("ana@x.test").unwrap_err();
                recent.learn("ana@x.test", 8, asked_meanwhile);
            })
            .await;
        recent.learn("bo@x.test", 9, asked_before);
        assert!(recent.of("ana@x.test").is_err() && recent.of("bo@x.test").is_err());
    }

    #[test]
    fn it_holds_no_more_than_a_thousand() {
        let recent = Recent::default();
        for n in 0..2_500 {
            recent.learn(&format!("{n}@x.test"), n, 0);
        }
        assert!(recent.known().of.len() <= MOST);
    }
}
