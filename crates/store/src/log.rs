//! What the store says in the log: typed functions, so that a log line is an interface.
//!
//! ERROR: the operator must act. WARN: odd, nothing lost. INFO: lifecycle.

use std::path::Path;

use envelope::RelayId;

use crate::StoreError;
use crate::error::chain;

/// The panic's own text is on standard error already.
pub(crate) fn panicked(thread: &str) {
    tracing::error!(thread, "a bug: the thread caught its own panic and goes on");
}

pub(crate) fn store_away(error: &StoreError) {
    tracing::error!(
        error = %chain(error),
        hint = error.hint().unwrap_or_default(),
        "the store does not take events: they go to the journal"
    );
}

pub(crate) fn replayed(events: u64) {
    tracing::info!(events, "the store takes events again: the journal has been replayed");
}

pub(crate) fn journal_failed(error: &StoreError) {
    tracing::error!(
        error = %chain(error),
        hint = error.hint().unwrap_or_default(),
        "the journal does not take events"
    );
}

/// Neither the store nor the journal took it, and it is answered all the same.
pub(crate) fn event_lost(id: RelayId, message: RelayId) {
    tracing::error!(%id, %message, "an event was lost");
}

/// A crash in the middle of an append leaves this; nobody was told that the event was safe.
pub(crate) fn journal_torn(file: &Path, octets: usize) {
    tracing::warn!(
        file = %file.display(),
        octets,
        "the journal ends in the middle of a record, as after a crash: the file is set aside, the rest was replayed"
    );
}

pub(crate) fn journal_damaged(file: &Path, octets: usize) {
    tracing::error!(
        file = %file.display(),
        octets,
        "the journal is damaged: the file is set aside, what could be read was replayed"
    );
}

pub(crate) fn event_refused(id: RelayId, error: &StoreError) {
    tracing::error!(%id, error = %chain(error), "the store refuses an event for itself");
}

pub(crate) fn journal_refused(file: &Path) {
    tracing::error!(
        file = %file.display(),
        "the store refused an event of the journal: the file is set aside, the rest was replayed"
    );
}

pub(crate) fn replay_failed(error: &StoreError) {
    tracing::warn!(error = %chain(error), "the journal could not be replayed yet; trying again");
}

pub(crate) fn queue_disk_low(free: u64, low: u64) {
    tracing::error!(free, low, "the disk of the queue is nearly full: no new mail is taken into it");
}

/// A full disk, and what was kept for this: what came of handoffs goes into its room.
pub(crate) fn reserve_given(file: &Path) {
    tracing::error!(
        file = %file.display(),
        "the disk of the queue is full: its reserve is used now, and no new mail is taken until there is room"
    );
}

pub(crate) fn queue_has_room() {
    tracing::info!("the queue takes mail again");
}

pub(crate) fn queued_set_aside(id: RelayId, why: &str) {
    tracing::error!(%id, why, "a queued message is damaged: it is set aside, for you to look at");
}

pub(crate) fn queued_unreadable(id: RelayId, why: &str) {
    tracing::error!(%id, why, "a queued message cannot be read: it is left out of the list");
}

/// Room is lost, no mail.
pub(crate) fn body_left(file: &Path, error: &std::io::Error) {
    tracing::warn!(file = %file.display(), %error, "a content's file could not be moved or removed");
}

pub(crate) fn queue_damaged(aside: &Path, damage: &str) {
    tracing::error!(
        file = %aside.display(),
        damage,
        "the queue's database is damaged: it is set aside, and what can be read of it goes into a new one"
    );
}

pub(crate) fn queue_unreadable(error: &StoreError) {
    tracing::error!(error = %chain(error), "nothing can be read of the queue's damaged database");
}

pub(crate) fn queue_salvaged(aside: &Path, salvaged: &crate::queue::Salvaged) {
    tracing::error!(
        file = %aside.display(),
        whole = salvaged.whole,
        set_aside = salvaged.set_aside,
        unknown = salvaged.unknown,
        "the queue goes on with what could be read: see `waxseal queue list`, and keep the damaged file"
    );
}

pub(crate) fn queue_gone(database: &Path) {
    tracing::error!(
        file = %database.display(),
        "the queue's database was deleted or emptied, with what waited in it: an empty one takes its place"
    );
}

/// Their rows are lost, and the files say whose they are.
pub(crate) fn queue_contents_set_aside(count: usize) {
    tracing::error!(count, "large messages without a row are set aside: see `waxseal queue list`");
}

pub(crate) fn queue_contents_without_message(count: usize, folder: &Path) {
    tracing::error!(
        count,
        folder = %folder.display(),
        "contents whose messages are not in the queue any more are kept there"
    );
}
