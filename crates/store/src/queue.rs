mod bodies;
mod change;
mod copy;
mod json;
mod keeping;
mod read;
mod recovery;
mod reserve;
mod room;
mod salvage;
mod schema;
mod sqlite_queue;
mod turns;
mod watcher;
mod words;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use envelope::{Choice, ForwardPath, MailParameters, RcptParameters, RelayId, ReversePath, Timestamp};
use serde::Serialize;
use tokio::sync::watch;

use crate::{StoreError, text};
pub(crate) use salvage::Salvaged;
pub use sqlite_queue::SqliteQueue;

/// Mail that was taken over and waits for its provider.
///
/// `Ok` from a write means synced to disk. One process works the queue; others may look, hold, release, retry
/// and delete meanwhile.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes a message in: envelope and content are on disk, both or neither. Putting an id that is there
    /// already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::DiskLow`] before anything is written; the client is to hear 452.
    async fn put(&self, message: NewMessage) -> Result<(), StoreError>;

    /// Messages that are not held and have a recipient who is due at `now`: of each sender the longest due
    /// first, the senders in turn, so that nobody's thousand mails stand before another's one. At most `limit`.
    /// `passing_over` are at work already; `closed` are upstreams that take nothing now, whose thousands of
    /// messages must not stand before those of another.
    async fn due_but_for(
        &self,
        closed: &[String],
        now: Timestamp,
        limit: u32,
        passing_over: &[RelayId],
    ) -> Result<Vec<QueuedMessage>, StoreError>;

    /// The same with no upstream closed.
    async fn due(
        &self,
        now: Timestamp,
        limit: u32,
        passing_over: &[RelayId],
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        self.due_but_for(&[], now, limit, passing_over).await
    }

    /// When the next recipient is due, of those not held; `None`: nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The octets to hand on, as they were put.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they are not what was put: see [`Queue::set_aside`].
    async fn content(&self, id: RelayId) -> Result<Vec<u8>, StoreError>;

    /// Writes down what came of an attempt, and takes the notifications that follow in, all or nothing.
    /// A message without waiting recipients leaves the queue with its content. Of an id that is not
    /// there any more only the notifications are refused: somebody deleted it.
    async fn settle(
        &self,
        id: RelayId,
        outcomes: Vec<RecipientOutcome>,
        notifications: Vec<NewMessage>,
    ) -> Result<(), StoreError>;

    /// A damaged message goes out of the way, is kept for a person to look at, and does not hold up the rest.
    async fn set_aside(&self, id: RelayId, why: &str) -> Result<(), StoreError>;

    /// The sender was told that it takes long.
    async fn delay_told(&self, id: RelayId, notifications: Vec<NewMessage>) -> Result<(), StoreError>;

    /// One message.
    async fn message(&self, id: RelayId) -> Result<Option<QueuedMessage>, StoreError>;

    /// The oldest `limit` messages after `after`, oldest first; also those held and set aside.
    async fn messages(&self, after: Option<RelayId>, limit: u32) -> Result<Vec<QueuedMessage>, StoreError>;

    /// How many messages wait, are held and set aside, and what they take on disk.
    async fn counts(&self) -> Result<QueueCounts, StoreError>;

    /// Its waiting recipients are due at `now`. False: it is not there.
    async fn retry(&self, id: RelayId, now: Timestamp) -> Result<bool, StoreError>;

    /// Nothing is tried until it is released. False: it is not there.
    async fn hold(&self, id: RelayId) -> Result<bool, StoreError>;

    /// Takes a hold away. False: it is not there.
    async fn release(&self, id: RelayId) -> Result<bool, StoreError>;

    /// Gone for good, without a notification. False: it is not there.
    async fn delete(&self, id: RelayId) -> Result<bool, StoreError>;

    /// Everything that waits and is not held is due at `now`; how many messages.
    async fn flush(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// How often it was flushed: somebody wants everything tried at once, also what waits for a provider that is away.
    async fn flushes(&self) -> Result<u64, StoreError>;

    /// Writes something and syncs it, more than an outcome takes: what comes of a handoff can be written down then.
    async fn prove_writable(&self) -> Result<Footing, StoreError>;

    /// Changes with every write of this process, and soon after those of others.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// How surely what comes of handoffs can be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Footing {
    /// There is room kept for it, if the disk should be full.
    Firm,
    /// That room is used up: as much as was just proved, and no more. One handoff at a time.
    Narrow,
}

/// A message to be queued, with its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Everything but the octets. `state` is [`QueueState::Waiting`]; recipients are all waiting.
    pub message: QueuedMessage,
    /// What is handed on, our Received field included; for a fan-out what each copy is made from.
    pub content: std::sync::Arc<Vec<u8>>,
}

/// A message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueuedMessage {
    /// The message's id, as in [`crate::MessageRecord`]; a notification has one of its own.
    #[serde(serialize_with = "text::display")]
    pub id: RelayId,
    /// When it was taken over.
    #[serde(serialize_with = "text::display")]
    pub queued_at: Timestamp,
    /// Whose message it is; turns are taken by this.
    pub sender: String,
    /// The provider's name in the configuration.
    pub upstream: String,
    /// Who hears of failures.
    #[serde(serialize_with = "json::reverse_path")]
    pub reverse_path: ReversePath,
    /// What MAIL said besides.
    #[serde(serialize_with = "json::mail_parameters")]
    pub parameters: MailParameters,
    /// How the copies are made.
    #[serde(serialize_with = "json::copies")]
    pub copies: Copies,
    /// Octets of the content.
    pub octets: u64,
    /// Whether it may be tried.
    #[serde(serialize_with = "json::state")]
    pub state: QueueState,
    /// The sender was told of the delay.
    pub delay_told: bool,
    /// All recipients, also those done with.
    pub recipients: Vec<QueuedRecipient>,
}

/// One copy for all, or one for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// The content goes to all recipients as it is.
    Shared,
    /// Each recipient gets a copy with tokens of his own, made from the content when it is handed on.
    Each {
        /// What is tracked in it.
        choice: Choice,
    },
}

/// Whether a message may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// It is tried when it is due.
    Waiting,
    /// An operator holds it.
    Held,
    /// It is damaged; why.
    SetAside(String),
}

/// One recipient of a message in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueuedRecipient {
    /// Its number in the message, as in [`crate::RecipientRecord`].
    pub index: u16,
    /// Whom it is for.
    #[serde(serialize_with = "json::forward_path")]
    pub forward_path: ForwardPath,
    /// What RCPT said besides.
    #[serde(serialize_with = "json::rcpt_parameters")]
    pub parameters: RcptParameters,
    /// How it stands.
    #[serde(serialize_with = "json::recipient_state")]
    pub state: RecipientState,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is due next; of no meaning unless it waits.
    #[serde(serialize_with = "text::display")]
    pub due_at: Timestamp,
    /// The provider's last reply code; 0: none yet.
    pub code: u16,
    /// The provider's last words, or what kept us from asking for any.
    pub reply: String,
}

/// How a recipient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientState {
    /// To be tried.
    Waiting,
    /// The provider took it.
    HandedOn,
    /// The provider refused it, or it was given up.
    Failed,
}

/// What came of an attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// Its number in the message.
    pub index: u16,
    /// How it stands now.
    pub state: RecipientState,
    /// When to try again, if it waits.
    pub due_at: Timestamp,
    /// The reply code; 0: nobody answered.
    pub code: u16,
    /// The reply's text, or what happened.
    pub reply: String,
}

/// What the queue holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// Messages that wait.
    pub waiting: u64,
    /// Messages an operator holds.
    pub held: u64,
    /// Damaged messages.
    pub set_aside: u64,
    /// Octets of all contents.
    pub octets: u64,
}
