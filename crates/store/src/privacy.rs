#[cfg(test)]
pub(crate) mod conformance;

use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{StoreError, StoredEvent, text};

/// What recipients may ask of us, and what must not be kept for ever.
#[async_trait]
pub trait Privacy: Send + Sync {
    /// Who wrote a message, and to whom.
    async fn parties(&self, message: RelayId) -> Result<Option<Parties>, StoreError>;

    /// Which of these addresses refused, in their order. ASCII case does not count.
    async fn refused(&self, addresses: Vec<String>) -> Result<Vec<bool>, StoreError>;

    /// Nothing is recorded any more of what this address does, with mail of the past and of the future. The opens and
    /// clicks that were recorded of it are deleted; what they were counted as stays, for it says nothing of anybody.
    /// Only a hash of the address is kept for it.
    async fn refuse(&self, address: &str, at: Timestamp) -> Result<(), StoreError>;

    /// Takes a refusal back.
    async fn allow(&self, address: &str) -> Result<(), StoreError>;

    /// What the recipient of a message may know of it; `None`: nothing is known of it, or of him, any more.
    async fn recipient_facts(
        &self,
        message: RelayId,
        recipient: Option<u16>,
    ) -> Result<Option<RecipientFacts>, StoreError>;

    /// Writes the day of a message's last open over the one before, unless that is later, or the recipient refused.
    async fn record_last_open(&self, open: LastOpen) -> Result<(), StoreError>;

    /// The days of a message's last opens, where only they are kept.
    async fn last_opens(&self, message: RelayId) -> Result<Vec<LastOpen>, StoreError>;

    /// Deletes some of what is over its time: at most about `limit` rows, so that nobody waits long for the writer.
    /// To be called with what it returns until that says that it is done.
    async fn purge(&self, keep: Keep, progress: Purge, limit: u32) -> Result<Purge, StoreError>;

    /// What a purge would delete.
    async fn over_its_time(&self, keep: Keep) -> Result<Purged, StoreError>;

    /// Everything that is stored about an address, or that names it.
    async fn traces(&self, address: &str) -> Result<Traces, StoreError>;

    /// Deletes the events of an address, takes it out of everything that names it, and records nothing more of the
    /// mail it got. What is no longer there afterwards is returned.
    async fn forget(&self, address: &str) -> Result<Traces, StoreError>;
}

/// Who wrote a message, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    /// The sender.
    pub sender: String,
    /// Each recipient's number and address.
    pub recipients: Vec<(u16, String)>,
}

/// The day of the last open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastOpen {
    /// The message.
    #[serde(serialize_with = "text::display")]
    pub message: RelayId,
    /// Whose; `None`: of the copy that all share.
    pub recipient: Option<u16>,
    /// The day's beginning (UTC).
    #[serde(serialize_with = "text::display")]
    pub day: Timestamp,
}

/// What a recipient is shown of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientFacts {
    /// Whose message it is.
    pub sender: String,
    /// Its From field.
    pub from: Option<String>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// It left with a pixel.
    pub pixel: bool,
    /// It left with tracked links.
    pub links: bool,
    /// The recipient's address; `None` where several share a copy, so that nobody learns of the others.
    pub address: Option<String>,
    /// Opens that are recorded of it.
    pub opens: u64,
    /// Clicks that are recorded of it.
    pub clicks: u64,
    /// That recipient refused.
    pub refused: bool,
}

/// What may be kept: nothing from before these moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events, and messages with all that is known of them.
    pub events: Timestamp,
    /// Subjects.
    pub subjects: Timestamp,
    /// Evidence, wherever it was left behind.
    pub evidence: Timestamp,
}

/// How far a purge has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// What it deleted so far.
    pub purged: Purged,
    /// There is nothing more to delete.
    pub done: bool,
    pub(crate) step: usize,
    pub(crate) after: i64,
}

/// How much was, or would be, deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Events.
    pub events: u64,
    /// Evidence of events that stay.
    pub evidence: u64,
    /// Messages with recipients and links.
    pub messages: u64,
    /// Subjects of messages that stay.
    pub subjects: u64,
    /// Days of last opens.
    pub last_opens: u64,
    /// Texts that no event refers to any more.
    pub words: u64,
}

/// Everything about an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traces {
    /// It refused to be tracked; of that only a hash is kept.
    pub refused: bool,
    /// The messages it got.
    pub messages: Vec<TracedMessage>,
    /// What it did with them.
    pub events: Vec<StoredEvent>,
    /// The days of last opens, where only they are kept.
    pub last_opens: Vec<LastOpen>,
    /// Where else it is named.
    pub named: Vec<Named>,
}

/// A message as far as it concerns one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TracedMessage {
    /// The message.
    #[serde(serialize_with = "text::display")]
    pub id: RelayId,
    /// When it was sent.
    #[serde(serialize_with = "text::display")]
    pub sent_at: Timestamp,
    /// By whom.
    pub sender: Option<String>,
    /// About what.
    pub subject: Option<String>,
    /// The recipient's number.
    pub recipient: u16,
    /// The recipient's address.
    pub address: String,
    /// What the provider answered.
    pub code: u16,
    /// In its words.
    pub reply: String,
    /// It left with a pixel.
    pub pixel: bool,
    /// How many of its links were tracked.
    pub links_tracked: u16,
}

/// A row that names an address.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// Of which table.
    pub table: String,
    /// In which column.
    pub column: String,
    /// `forget` leaves it, because it is needed: a sender's own account, or a list of those who want no mail.
    pub stays: bool,
    /// The row.
    pub row: Map<String, Value>,
}

impl Purged {
    /// Is it nothing?
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl Traces {
    /// Is nothing known?
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}
