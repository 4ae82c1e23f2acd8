use async_trait::async_trait;
use envelope::{Choice, RelayId, Timestamp};
use tokio::sync::watch;

use crate::{
    ApiTokens, AppPassword, Event, FeedbackLog, MessageFilter, MessageOutcome, MessageRecord, MessageSummary,
    Privacy, Revocations, SavedChoice, SenderRecord, Settling, StoreError, StoredEvent, Submissions,
    Suppressions,
};

/// As many app passwords of one login are looked at: each costs a wrong guess some microseconds.
pub const MOST_APP_PASSWORDS: u32 = 100;

/// What a backend must do. One conformance suite holds all of them to it.
///
/// `Ok` from a write means committed to disk. A caller that stops waiting has not taken its write back: it
/// may still be committed later.
#[async_trait]
pub trait Store:
    Settling + FeedbackLog + Submissions + Revocations + Suppressions + Privacy + ApiTokens + Send + Sync
{
    /// Writes a message, its recipients and its links over whatever was known under the same id.
    async fn record_message(&self, record: MessageRecord) -> Result<(), StoreError>;

    /// Writes what came of a message that was recorded before. Of one that was not, nothing is written.
    async fn record_outcome(&self, outcome: MessageOutcome) -> Result<(), StoreError>;

    /// One message with what came of it.
    async fn message(&self, id: RelayId) -> Result<Option<MessageSummary>, StoreError>;

    /// Messages with what came of them, newest first.
    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageSummary>, StoreError>;

    /// Appends an event. One whose id is already there changes nothing. The message need not be known.
    async fn record_event(&self, event: Event) -> Result<(), StoreError>;

    /// The newest `limit` events, oldest first.
    async fn recent_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The first `limit` events whose number is greater than `seq`, oldest first.
    async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The events of one message, oldest first; the newest of them if there are very many.
    async fn events_of(&self, message: RelayId) -> Result<Vec<StoredEvent>, StoreError>;

    /// What this sender's messages are to have tracked unless they say otherwise. ASCII case does not count.
    async fn saved_choice(&self, sender: &str) -> Result<Option<SavedChoice>, StoreError>;

    /// Saves it; `by` is the message that said so.
    async fn save_choice(
        &self,
        sender: &str,
        choice: Choice,
        by: Option<RelayId>,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The sender who owns this address or alias. ASCII case does not count.
    async fn sender(&self, login: &str) -> Result<Option<SenderRecord>, StoreError>;

    /// Every sender, by address.
    async fn senders(&self) -> Result<Vec<SenderRecord>, StoreError>;

    /// Writes a sender over whatever was known under the same address.
    ///
    /// # Errors
    /// [`StoreError::AddressTaken`] when another sender owns the address or an alias.
    async fn save_sender(&self, sender: SenderRecord) -> Result<(), StoreError>;

    /// The app passwords of this login, oldest first; at most [`MOST_APP_PASSWORDS`]. ASCII case does not count.
    async fn app_passwords(&self, sender: &str) -> Result<Vec<AppPassword>, StoreError>;

    /// Writes an app password over the one that had the same sender and label.
    async fn save_app_password(&self, password: AppPassword) -> Result<(), StoreError>;

    /// It is right no longer. One that is not there changes nothing.
    async fn remove_app_password(&self, sender: &str, label: &str) -> Result<(), StoreError>;

    /// The number of the newest event that this process committed, or found when it began.
    ///
    /// Closed when the store is. Another process's events do not show here: poll `events_after` for those.
    fn committed(&self) -> watch::Receiver<i64>;
}
