use std::time::Duration;

use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use tokio::sync::watch;

use crate::{Event, StoreError, StoredEvent};

/// Judging again: when all that belongs to a hit has arrived, and when the rules have changed.
///
/// Events settle in the order of their numbers, so that whoever tells people of settled ones needs to remember one
/// number only and misses none. A verdict or a correction moves the counts of its message in the transaction that
/// appends it.
#[async_trait]
pub trait Settling: Send + Sync {
    /// The number up to which all events are settled. Closed when the store is; moved by this process only.
    fn settled(&self) -> watch::Receiver<i64>;

    /// Appends verdicts, and says that everything up to a number is settled. Doing it again changes nothing, and
    /// the number never goes back.
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError>;

    /// The first `limit` settled events whose number is greater than `seq`, oldest first.
    async fn settled_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The first `limit` opens and clicks whose number is greater than `seq` and whose evidence is still there,
    /// oldest first.
    async fn hits_with_evidence(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The newest `limit` events of a message whose number is less than `before`, oldest first.
    async fn events_of_before(
        &self,
        message: RelayId,
        before: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// One event.
    async fn event(&self, id: RelayId) -> Result<Option<StoredEvent>, StoreError>;

    /// Deletes evidence that was to be kept until `now` or less; at most `limit` of it at once.
    async fn drop_evidence(&self, now: Timestamp, limit: u32) -> Result<(), StoreError>;
}

/// Some events are settled: what is written in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The number of the last of them.
    pub upto: i64,
    /// About those that are judged otherwise now.
    pub verdicts: Vec<Event>,
    /// What becomes of their evidence.
    pub evidence: EvidenceRule,
    /// Evidence with what was learnt since, by the event's number. Of no use where it is dropped.
    pub learnt: Vec<(i64, String)>,
}

/// What becomes of the evidence of opens and clicks once they are settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvidenceRule {
    /// It is deleted: only the verdict survives.
    #[default]
    Drop,
    /// It is kept so long after the event, for rules that are written later.
    KeepFor(Duration),
}

#[cfg(test)]
pub(crate) mod conformance;
