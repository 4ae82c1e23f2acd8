//! A queue that can be told not to write.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use store::{
    Footing, NewMessage, Queue, QueueCounts, QueuedMessage, RecipientOutcome, SqliteQueue, StoreError,
};
use tokio::sync::watch;

/// What it does with writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Disk {
    #[default]
    Fine,
    /// No outcome is written, and nothing is proved.
    Full,
    /// What is written is written; the room that was kept is used up.
    Narrow,
}

#[derive(Debug, Default)]
pub(in super::super) struct Faults {
    disk: Mutex<Disk>,
    pub(in super::super) proofs: AtomicUsize,
    pub(in super::super) refused: AtomicUsize,
}

impl Faults {
    pub(in super::super) fn set(&self, disk: Disk) {
        *self.disk.lock().unwrap() = disk;
    }

    fn disk(&self) -> Disk {
        *self.disk.lock().unwrap()
    }

    fn write(&self) -> Result<(), StoreError> {
        if self.disk() == Disk::Full {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::DiskLow);
        }
        Ok(())
    }
}

pub(super) struct Faulty {
    pub(super) queue: SqliteQueue,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl Queue for Faulty {
    async fn put(&self, message: NewMessage) -> Result<(), StoreError> {
        self.queue.put(message).await
    }

    async fn due_but_for(
        &self,
        closed: &[String],
        now: Timestamp,
        limit: u32,
        passing_over: &[RelayId],
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        self.queue.due_but_for(closed, now, limit, passing_over).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.queue.next_due().await
    }

    async fn content(&self, id: RelayId) -> Result<Vec<u8>, StoreError> {
        self.queue.content(id).await
    }

    async fn settle(
        &self,
        id: RelayId,
        outcomes: Vec<RecipientOutcome>,
        notifications: Vec<NewMessage>,
    ) -> Result<(), StoreError> {
        self.faults.write()?;
        self.queue.settle(id, outcomes, notifications).await
    }

    async fn set_aside(&self, id: RelayId, why: &str) -> Result<(), StoreError> {
        self.queue.set_aside(id, why).await
    }

    async fn delay_told(&self, id: RelayId, notifications: Vec<NewMessage>) -> Result<(), StoreError> {
        self.queue.delay_told(id, notifications).await
    }

    async fn message(&self, id: RelayId) -> Result<Option<QueuedMessage>, StoreError> {
        self.queue.message(id).await
    }

    async fn messages(&self, after: Option<RelayId>, limit: u32) -> Result<Vec<QueuedMessage>, StoreError> {
        self.queue.messages(after, limit).await
    }

    async fn counts(&self) -> Result<QueueCounts, StoreError> {
        self.queue.counts().await
    }

    async fn retry(&self, id: RelayId, now: Timestamp) -> Result<bool, StoreError> {
        self.queue.retry(id, now).await
    }

    async fn hold(&self, id: RelayId) -> Result<bool, StoreError> {
        self.queue.hold(id).await
    }

    async fn release(&self, id: RelayId) -> Result<bool, StoreError> {
        self.queue.release(id).await
    }

    async fn delete(&self, id: RelayId) -> Result<bool, StoreError> {
        self.queue.delete(id).await
    }

    async fn flush(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.queue.flush(now).await
    }

    async fn flushes(&self) -> Result<u64, StoreError> {
        self.queue.flushes().await
    }

    async fn prove_writable(&self) -> Result<Footing, StoreError> {
        self.faults.proofs.fetch_add(1, Ordering::SeqCst);
        self.faults.write()?;
        let footing = self.queue.prove_writable().await?;
        Ok(if self.faults.disk() == Disk::Narrow { Footing::Narrow } else { footing })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.queue.changed()
    }
}
