//! Everything remembered: one trait, SQLite behind it; the journal for when it is away.
//!
//! A write that was answered `Ok` is on the disk. Every write carries an id made by us and is idempotent, so
//! that doing it again, now or from the journal, changes nothing. SQL stays inside this crate.

mod store;

mod queue;

mod api_token;
mod app_password;
mod choice;
mod event;
mod feedback;
mod message;
mod privacy;
mod revocation;
mod sender;
mod settling;
mod submissions;
mod suppression;
mod text;

mod error;
mod log;

mod sqlite;

mod recorder;

mod journal;

mod files;
mod worker;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod samples;

pub use api_token::{ApiToken, ApiTokens, MOST_API_TOKENS};
pub use app_password::AppPassword;
pub use choice::{ChoiceOrigin, SavedChoice};
pub use error::StoreError;
pub use event::{Event, EventKind, StoredEvent};
pub use feedback::{Feedback, FeedbackKind, FeedbackLog, RecipientFeedback};
pub use journal::Journal;
pub use message::{
    LinkRecord, MessageFilter, MessageOutcome, MessageRecord, MessageSummary, PartNote, RecipientAnswer,
    RecipientRecord,
};
pub use privacy::{
    Keep, LastOpen, Named, Parties, Privacy, Purge, Purged, RecipientFacts, TracedMessage, Traces,
};
pub use queue::{
    Copies, Footing, NewMessage, Queue, QueueCounts, QueueState, QueuedMessage, QueuedRecipient,
    RecipientOutcome, RecipientState, SqliteQueue,
};
pub use recorder::{Figures, Recorded, Recorder, Screen};
pub use revocation::{MOST_REVOCATIONS, Revocation, Revocations, StoredRevocation};
pub use sender::SenderRecord;
pub use settling::{EvidenceRule, Settlement, Settling};
pub use sqlite::SqliteStore;
pub use store::{MOST_APP_PASSWORDS, Store};
pub use submissions::{MOST_SUBMISSION_ADDRESSES, SubmissionAddress, Submissions};
pub use suppression::{
    Suppression, SuppressionFilter, SuppressionReason, Suppressions, Unsubscription, suppression_key,
};
