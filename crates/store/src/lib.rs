//! Everything remembered: one trait, SQLite behind it; the journal for when it is away.
//!
//! A write that was answered `Ok` is on the disk. Every write carries an id made by us and is idempotent, so
//! that doing it again, now or from the journal, changes nothing. SQL stays inside this crate.

mod store;

mod queue;

mod app_password;
mod choice;
mod event;
mod message;
mod sender;
mod settling;
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

pub use app_password::AppPassword;
pub use choice::{ChoiceOrigin, SavedChoice};
pub use error::StoreError;
pub use event::{Event, EventKind, StoredEvent};
pub use journal::Journal;
pub use message::{
    LinkRecord, MessageFilter, MessageOutcome, MessageRecord, MessageSummary, PartNote, RecipientAnswer,
    RecipientRecord,
};
pub use queue::{
    Copies, Footing, NewMessage, Queue, QueueCounts, QueueState, QueuedMessage, QueuedRecipient,
    RecipientOutcome, RecipientState, SqliteQueue,
};
pub use recorder::{Figures, Recorded, Recorder};
pub use sender::SenderRecord;
pub use settling::{EvidenceRule, Settling};
pub use sqlite::SqliteStore;
pub use store::{MOST_APP_PASSWORDS, Store};
