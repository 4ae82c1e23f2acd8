pub(crate) mod connection;
mod event_log;
pub(crate) mod held_file;
mod read;
pub(crate) mod readers;
mod records;
mod schema;
mod write;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Choice, RelayId, Timestamp};
use tokio::sync::watch;

use crate::worker::Worker;
use crate::{
    AppPassword, Event, EvidenceRule, MessageFilter, MessageOutcome, MessageRecord, MessageSummary,
    SavedChoice, SenderRecord, Settling, Store, StoreError, StoredEvent,
};
use readers::Readers;
use records::Records;
use schema::SCHEMA;
use write::Write;
use writer::Writer;

/// A store in one SQLite file: one thread that writes, committing together what waits; a few connections
/// that read and never hold it up.
///
/// Clones are the same store. Dropping the last one commits what waits, which may block for as long as a
/// commit takes; [`SqliteStore::close`] does the same without blocking.
#[derive(Clone)]
pub struct SqliteStore {
    // Dropped in this order: only a connection that may write can fold the WAL into the file as it closes.
    readers: Readers,
    writer: Arc<Worker<Writer<Records>>>,
    committed: watch::Receiver<i64>,
    settled: watch::Receiver<i64>,
}

/// How long another program's lock is waited for. The relay waits a second for us, and twice that is enough
/// for any honest transaction of others.
const BUSY: Duration = Duration::from_secs(2);

impl SqliteStore {
    /// Opens the file, making it (for its owner only) and its tables if need be.
    ///
    /// # Errors
    /// [`StoreError::Newer`] and [`StoreError::Foreign`] before anything in the file is changed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_patient(path, BUSY)
    }

    fn open_patient(path: &Path, busy: Duration) -> Result<Self, StoreError> {
        // SQLite takes a name that begins with "file:" for a URI; an absolute path never does.
        let path =
            std::path::absolute(path).map_err(|e| StoreError::file("finding the database", path, e))?;
        Self::start(Writer::open(&path, busy, &SCHEMA, Records::open)?, busy)
    }

    fn start(writer: Writer<Records>, busy: Duration) -> Result<Self, StoreError> {
        let (committed, settled) = (writer.ledger().committed(), writer.ledger().settled());
        let file = writer.file().clone();
        let path = file.path().to_owned();
        let writer =
            Worker::spawn(writer).map_err(|e| StoreError::file("starting a thread for", &path, e))?;
        Ok(Self { readers: Readers::new(file, busy), writer: Arc::new(writer), committed, settled })
    }

    /// Waits for the readers, commits what waits and closes the file. Every clone is closed with it.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close();
        let writer = self.writer;
        // Only a panic in it could fail, and it has none.
        let _ = tokio::task::spawn_blocking(move || writer.wait()).await;
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn record_message(&self, record: MessageRecord) -> Result<(), StoreError> {
        self.writer.commit(Write::Message(Box::new(record))).await
    }

    async fn record_outcome(&self, outcome: MessageOutcome) -> Result<(), StoreError> {
        self.writer.commit(Write::Outcome(Box::new(outcome))).await
    }

    async fn message(&self, id: RelayId) -> Result<Option<MessageSummary>, StoreError> {
        self.readers.read("reading a message", move |db| read::message(db, id)).await
    }

    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageSummary>, StoreError> {
        self.readers.read("listing messages", move |db| read::messages(db, &filter)).await
    }

    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        self.writer.commit(Write::Event(Box::new(event))).await
    }

    async fn recent_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading events", move |db| event_log::recent_events(db, limit)).await
    }

    async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading events", move |db| event_log::events_after(db, seq, limit)).await
    }

    async fn events_of(&self, message: RelayId) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading a message's events", move |db| event_log::events_of(db, message)).await
    }

    async fn saved_choice(&self, sender: &str) -> Result<Option<SavedChoice>, StoreError> {
        let sender = sender.to_owned();
        self.readers.read("reading a saved choice", move |db| read::saved_choice(db, &sender)).await
    }

    async fn save_choice(
        &self,
        sender: &str,
        choice: Choice,
        by: Option<RelayId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.commit(Write::Choice { sender: sender.to_owned(), choice, by, at }).await
    }

    async fn sender(&self, login: &str) -> Result<Option<SenderRecord>, StoreError> {
        let login = login.to_owned();
        self.readers.read("looking up a sender", move |db| read::sender(db, &login)).await
    }

    async fn senders(&self) -> Result<Vec<SenderRecord>, StoreError> {
        self.readers.read("listing senders", read::senders).await
    }

    async fn save_sender(&self, sender: SenderRecord) -> Result<(), StoreError> {
        self.writer.commit(Write::Sender(sender)).await
    }

    async fn app_passwords(&self, sender: &str) -> Result<Vec<AppPassword>, StoreError> {
        let sender = sender.to_owned();
        self.readers.read("looking up app passwords", move |db| read::app_passwords(db, &sender)).await
    }

    async fn save_app_password(&self, password: AppPassword) -> Result<(), StoreError> {
        self.writer.commit(Write::AppPassword(password)).await
    }

    async fn remove_app_password(&self, sender: &str, label: &str) -> Result<(), StoreError> {
        self.writer.commit(Write::NoAppPassword { sender: sender.to_owned(), label: label.to_owned() }).await
    }

    fn committed(&self) -> watch::Receiver<i64> {
        self.committed.clone()
    }
}

#[async_trait]
impl Settling for SqliteStore {
    fn settled(&self) -> watch::Receiver<i64> {
        self.settled.clone()
    }

    async fn settle(
        &self,
        upto: i64,
        verdicts: Vec<Event>,
        evidence: EvidenceRule,
    ) -> Result<(), StoreError> {
        self.writer.commit(Write::Settle { upto, verdicts, evidence }).await
    }

    async fn settled_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading settled events", move |db| event_log::settled_after(db, seq, limit)).await
    }

    async fn hits_with_evidence(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading evidence", move |db| event_log::hits_with_evidence(db, seq, limit)).await
    }

    async fn event(&self, id: RelayId) -> Result<Option<StoredEvent>, StoreError> {
        self.readers.read("reading an event", move |db| event_log::event(db, id)).await
    }

    async fn drop_evidence(&self, now: Timestamp, limit: u32) -> Result<(), StoreError> {
        self.writer.commit(Write::DropEvidence { now, limit }).await
    }
}

#[cfg(test)]
mod tests;
