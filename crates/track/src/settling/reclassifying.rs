use std::sync::Arc;

use envelope::{RelayId, Timestamp};
use store::{Store, StoreError, StoredEvent};
use tokio::task::JoinSet;
use verdict::{Judgement, Rules, Verdict};

use super::change::same;
use super::evidence::KeptEvidence;
use super::verdict;

/// Applies the present rules to stored evidence, some events at a time.
pub struct Reclassifier {
    store: Arc<dyn Store>,
    rules: Arc<Rules>,
    since: Option<Timestamp>,
    message: Option<RelayId>,
    after: i64,
}

/// What came of some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reclassified {
    /// How many were judged again.
    pub judged: u64,
    /// Those that are judged otherwise.
    pub changes: Vec<Change>,
}

/// One that is judged otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As it was.
    pub event: StoredEvent,
    /// What the present rules say.
    pub to: Judgement,
}

const TOGETHER: u32 = 500;

impl Reclassifier {
    /// All that have evidence; or only those since a moment, or of one message.
    pub fn new(
        store: Arc<dyn Store>,
        rules: Arc<Rules>,
        since: Option<Timestamp>,
        message: Option<RelayId>,
    ) -> Self {
        Self { store, rules, since, message, after: 0 }
    }

    /// Judges the next some; `None` when there are no more. Changes nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Reclassified>, StoreError> {
        let events = self.store.hits_with_evidence(self.after, TOGETHER).await?;
        let Some(last) = events.last() else { return Ok(None) };
        self.after = last.seq;
        let mut reclassified = Reclassified::default();
        for event in events {
            let Some(to) = self.judge(&event) else { continue };
            reclassified.judged += 1;
            if event.event.judgement.as_ref().is_none_or(|current| !same(current, &to)) {
                reclassified.changes.push(Change { event, to });
            }
        }
        Ok(Some(reclassified))
    }

    /// Appends the changes as verdicts. One that was made meanwhile changes nothing again, and what the sender has
    /// corrected stays.
    ///
    /// # Errors
    /// When the store fails; what was not written is found again.
    pub async fn apply(&self, reclassified: &Reclassified, now: Timestamp) -> Result<(), StoreError> {
        // Together: one commit for many.
        let mut writes = JoinSet::new();
        for change in &reclassified.changes {
            let (store, event) = (self.store.clone(), verdict(&change.event, now, change.to.clone()));
            writes.spawn(async move { store.record_event(event).await });
        }
        while let Some(written) = writes.join_next().await {
            written.map_err(|_| StoreError::Panicked { thread: "reclassifying" })??;
        }
        Ok(())
    }

    /// `None`: it is not to be judged again.
    fn judge(&self, stored: &StoredEvent) -> Option<Judgement> {
        let event = &stored.event;
        let wanted = self.since.is_none_or(|since| event.at >= since)
            && self.message.is_none_or(|message| event.message == message);
        // What is not settled is judged again anyway.
        if !wanted || stored.corrected || !stored.settled {
            return None;
        }
        let kept = KeptEvidence::read(&event.evidence)?;
        let evidence = kept.evidence(event.kind.hit()?);
        if evidence.user_agent.is_none() && kept.had_agent() {
            return None;
        }
        let current = event.judgement.as_ref();
        // Half an address judges otherwise than a whole one did, and that is no news.
        if !kept.has_whole_address() && current.is_some_and(|current| current.rules == self.rules.version()) {
            return current.cloned();
        }
        let judged = self.rules.judge(&evidence);
        // A click told who it was; rules look at one hit only.
        let by_click =
            current.is_some_and(|current| current.reasons.iter().any(|reason| reason == "later_click"));
        if by_click && judged.verdict == Verdict::Unknown {
            return current.cloned();
        }
        Some(judged)
    }
}
