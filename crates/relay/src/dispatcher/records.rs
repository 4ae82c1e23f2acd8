use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::{RelayId, Timestamp};
use store::{MessageOutcome, RecipientAnswer, Store, StoreError};
use tokio::time::timeout;

use crate::event;
use crate::notification::Answer;

/// Writes into the store what became of queued messages; keeps it for later while the store does not answer, so
/// that no handoff waits for it.
pub(super) struct Records(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    waiting: Mutex<HashMap<RelayId, Update>>,
    retrying: AtomicBool,
}

/// What became of a message since its record was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Update {
    /// By the number of the recipient.
    pub(super) recipients: HashMap<u16, Answer>,
    /// The last word on all of it, and when it was said.
    pub(super) outcome: Option<(Answer, Timestamp)>,
}

const PATIENCE: Duration = Duration::from_secs(1);
/// Some 2 MB. The queue itself is not touched by what is lost here: only what a sender sees of it.
const MOST_WAITING: usize = 10_000;

impl Records {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Inner { store, waiting: Mutex::default(), retrying: AtomicBool::new(false) }))
    }

    /// Never waits for long, and never fails.
    pub(super) async fn update(&self, id: RelayId, update: Update) {
        // Behind those that wait: an older update must not come after a newer one.
        if self.are_waiting() || self.0.write(id, &update).await.is_err() {
            self.0.keep(id, update);
        }
    }

    pub(super) fn are_waiting(&self) -> bool {
        !self.0.waiting().is_empty()
    }

    /// Tries those that wait again, until the store fails.
    pub(super) async fn retry(&self) {
        self.0.retry().await;
    }

    /// The same in the background, one at a time.
    pub(super) fn retry_in_turn(&self) {
        let inner = self.0.clone();
        if !inner.retrying.swap(true, Ordering::SeqCst) {
            tokio::spawn(async move {
                inner.retry().await;
                inner.retrying.store(false, Ordering::SeqCst);
            });
        }
    }
}

impl Inner {
    async fn retry(&self) {
        loop {
            let Some((id, update)) = self.waiting().iter().next().map(|(id, update)| (*id, update.clone()))
            else {
                return;
            };
            if self.write(id, &update).await.is_err() {
                return;
            }
            // What came in meanwhile is written once more, with the rest.
            let mut waiting = self.waiting();
            if waiting.get(&id) == Some(&update) {
                waiting.remove(&id);
            }
        }
    }

    /// A message that the store does not know, a notification for one, is not written: there is nothing to see of it.
    async fn write(&self, id: RelayId, update: &Update) -> Result<(), StoreError> {
        let answer = |(index, answer): (&u16, &Answer)| RecipientAnswer {
            index: *index,
            code: answer.code,
            reply: answer.text.clone(),
        };
        let outcome = MessageOutcome {
            id,
            recipients: update.recipients.iter().map(answer).collect(),
            reply: update.outcome.as_ref().map(|(answer, at)| (answer.code, answer.text.clone(), *at)),
        };
        timeout(PATIENCE, self.store.record_outcome(outcome)).await.unwrap_or(Err(StoreError::TimedOut))
    }

    fn keep(&self, id: RelayId, update: Update) {
        let mut waiting = self.waiting();
        if waiting.len() >= MOST_WAITING && !waiting.contains_key(&id) {
            event::not_recorded(id, &"the store has not answered for too long");
            return;
        }
        let kept = waiting.entry(id).or_default();
        kept.recipients.extend(update.recipients);
        kept.outcome = update.outcome.or(kept.outcome.take());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<RelayId, Update>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
