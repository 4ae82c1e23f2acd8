mod api_token;
pub(crate) mod connection;
mod event_log;
mod feedback;
pub(crate) mod held_file;
mod known_keys;
mod privacy;
mod read;
pub(crate) mod readers;
mod recent;
mod records;
mod revocation;
mod schema;
mod submissions;
mod suppression;
mod write;
pub(crate) mod writer;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Choice, RelayId, Timestamp};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::worker::Worker;
use crate::{
    AppPassword, Event, Feedback, FeedbackLog, Keep, LastOpen, MessageFilter, MessageOutcome, MessageRecord,
    MessageSummary, Parties, Privacy, Purge, Purged, RecipientFacts, RecipientFeedback, SavedChoice,
    SenderRecord, Settlement, Settling, Store, StoreError, StoredEvent, SubmissionAddress, Submissions,
    Traces,
};
use privacy::Refusals;
use readers::Readers;
use recent::Recent;
use records::Records;
use schema::SCHEMA;
use suppression::SuppressedSenders;
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
    suppressed: SuppressedSenders,
    choices: Recent<Option<SavedChoice>>,
    /// All of them, of nobody in particular; `None`: too many to be held in memory.
    refusals: Recent<Option<Arc<Refusals>>>,
}

/// How long another program's lock is waited for. The relay waits a second for us, and twice that is enough
/// for any honest transaction of others.
const BUSY: Duration = Duration::from_secs(2);
/// Whose the refusals are.
const EVERYBODY: &str = "";

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
        let suppressed = writer.ledger().suppressed();
        let file = writer.file().clone();
        let path = file.path().to_owned();
        let writer =
            Worker::spawn(writer).map_err(|e| StoreError::file("starting a thread for", &path, e))?;
        Ok(Self {
            readers: Readers::new(file, busy),
            writer: Arc::new(writer),
            committed,
            settled,
            suppressed,
            choices: Recent::default(),
            refusals: Recent::default(),
        })
    }

    /// Makes sure that `text` stands nowhere in the files any more, after it was deleted: not in the write-ahead log
    /// and not in what is left of rows. True: it is there all the same, in a row that is in use.
    ///
    /// Reads the whole file, and may write it anew: on a large one this takes a while, and events go to the journal.
    ///
    /// # Errors
    /// When the files cannot be read, or another program holds them for long.
    pub async fn remains(&self, text: &str) -> Result<bool, StoreError> {
        let (path, text) = (self.readers.path().to_owned(), text.to_owned());
        let looking = tokio::task::spawn_blocking(move || privacy::remains(&path, &text));
        looking.await.unwrap_or(Err(StoreError::Panicked { thread: "store-cleaner" }))
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
        self.events_of_before(message, i64::MAX, read::MOST).await
    }

    async fn saved_choice(&self, sender: &str) -> Result<Option<SavedChoice>, StoreError> {
        let asked = match self.choices.of(sender) {
            Ok(choice) => return Ok(choice),
            Err(asked) => asked,
        };
        let whose = sender.to_owned();
        let choice =
            self.readers.read("reading a saved choice", move |db| read::saved_choice(db, &whose)).await?;
        self.choices.learn(sender, choice, asked);
        Ok(choice)
    }

    async fn save_choice(
        &self,
        sender: &str,
        choice: Choice,
        by: Option<RelayId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let write = Write::Choice { sender: sender.to_owned(), choice, by, at };
        self.choices.changed_by(sender, self.writer.commit(write)).await
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

    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        self.writer.commit(Write::Settle(Box::new(settlement))).await
    }

    async fn settled_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading settled events", move |db| event_log::settled_after(db, seq, limit)).await
    }

    async fn hits_with_evidence(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers.read("reading evidence", move |db| event_log::hits_with_evidence(db, seq, limit)).await
    }

    async fn events_of_before(
        &self,
        message: RelayId,
        before: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = move |db: &Connection| event_log::events_of_before(db, message, before, limit);
        self.readers.read("reading a message's events", query).await
    }

    async fn event(&self, id: RelayId) -> Result<Option<StoredEvent>, StoreError> {
        self.readers.read("reading an event", move |db| event_log::event(db, id)).await
    }

    async fn drop_evidence(&self, now: Timestamp, limit: u32) -> Result<(), StoreError> {
        self.writer.commit(Write::DropEvidence { now, limit }).await
    }
}

#[async_trait]
impl FeedbackLog for SqliteStore {
    async fn record_feedback(&self, feedback: Feedback) -> Result<(), StoreError> {
        self.writer.commit(Write::Feedback(Box::new(feedback))).await
    }

    async fn feedback_of(&self, message: RelayId) -> Result<Vec<RecipientFeedback>, StoreError> {
        self.readers.read("reading what came back", move |db| feedback::feedback_of(db, message)).await
    }

    async fn messages_called(&self, message_id: &str) -> Result<Vec<RelayId>, StoreError> {
        let message_id = message_id.to_owned();
        self.readers
            .read("looking up a Message-ID", move |db| feedback::messages_called(db, &message_id))
            .await
    }
}

#[async_trait]
impl Privacy for SqliteStore {
    async fn parties(&self, message: RelayId) -> Result<Option<Parties>, StoreError> {
        self.readers.read("reading who wrote to whom", move |db| privacy::parties(db, message)).await
    }

    async fn refused(&self, addresses: Vec<String>) -> Result<Vec<bool>, StoreError> {
        let known = match self.refusals.of(EVERYBODY) {
            Ok(known) => known,
            Err(asked) => {
                let read = self.readers.read("reading refusals", privacy::refusals).await?;
                let known = read.map(Arc::new);
                self.refusals.learn(EVERYBODY, known.clone(), asked);
                known
            }
        };
        match known {
            Some(known) => Ok(addresses.iter().map(|address| known.contain(address)).collect()),
            None => self.readers.read("reading refusals", move |db| privacy::refused(db, &addresses)).await,
        }
    }

    async fn refuse(&self, address: &str, at: Timestamp) -> Result<(), StoreError> {
        let write = Write::Refuse { address: address.to_owned(), at };
        self.refusals.changed_by(EVERYBODY, self.writer.commit(write)).await
    }

    async fn allow(&self, address: &str) -> Result<(), StoreError> {
        let write = Write::Allow { address: address.to_owned() };
        self.refusals.changed_by(EVERYBODY, self.writer.commit(write)).await
    }

    async fn recipient_facts(
        &self,
        message: RelayId,
        recipient: Option<u16>,
    ) -> Result<Option<RecipientFacts>, StoreError> {
        let query = move |db: &rusqlite::Connection| privacy::recipient_facts(db, message, recipient);
        self.readers.read("reading what is known of a recipient", query).await
    }

    async fn record_last_open(&self, open: LastOpen) -> Result<(), StoreError> {
        self.writer.commit(Write::LastOpen(open)).await
    }

    async fn last_opens(&self, message: RelayId) -> Result<Vec<LastOpen>, StoreError> {
        self.readers.read("reading the days of last opens", move |db| privacy::last_opens(db, message)).await
    }

    async fn purge(&self, keep: Keep, mut progress: Purge, limit: u32) -> Result<Purge, StoreError> {
        loop {
            let (step, after) = (progress.step, progress.after);
            let find = move |db: &rusqlite::Connection| privacy::batch(db, &keep, step, after, limit);
            let Some(batch) = self.readers.read("looking for what is over its time", find).await? else {
                progress.done = true;
                return Ok(progress);
            };
            if batch.is_empty() {
                (progress.step, progress.after) = (step + 1, 0);
                continue;
            }
            progress.after = batch.last();
            batch.count_in(&mut progress.purged);
            self.writer.commit(Write::Purge(batch)).await?;
            return Ok(progress);
        }
    }

    async fn over_its_time(&self, keep: Keep) -> Result<Purged, StoreError> {
        self.readers.read("counting what is over its time", move |db| privacy::over_its_time(db, &keep)).await
    }

    async fn traces(&self, address: &str) -> Result<Traces, StoreError> {
        let address = address.to_owned();
        self.readers.read("looking for an address", move |db| privacy::traces(db, &address)).await
    }

    async fn forget(&self, address: &str) -> Result<Traces, StoreError> {
        let traces = self.traces(address).await?;
        // A row that names the address twice has a new key after the first time.
        for _ in 0..3 {
            let address = address.to_owned();
            let find = move |db: &rusqlite::Connection| privacy::Forget::all_of(db, &address);
            for part in self.readers.read("looking for an address", find).await? {
                self.writer.commit(Write::Forget(part)).await?;
            }
        }
        Ok(traces)
    }
}

#[async_trait]
impl Submissions for SqliteStore {
    async fn record_submission(
        &self,
        sender: &str,
        address: IpAddr,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer.commit(Write::Submission { sender: sender.to_owned(), address, at }).await
    }

    async fn submissions(&self, sender: &str, now: Timestamp) -> Result<Vec<SubmissionAddress>, StoreError> {
        let sender = sender.to_owned();
        let query = move |db: &Connection| submissions::of(db, &sender, now);
        self.readers.read("looking up where a sender submits from", query).await
    }

    async fn forget_submissions(&self, now: Timestamp) -> Result<(), StoreError> {
        self.writer.commit(Write::NoOldSubmissions { now }).await
    }
}

#[cfg(test)]
mod tests;
