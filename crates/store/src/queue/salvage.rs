use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use crate::queue::bodies::Bodies;
use crate::queue::change::{Row, insert, key_of};
use crate::queue::copy::{self, Copy};
use crate::queue::read::{self, Kept};
use crate::queue::sqlite_queue::whole;
use crate::{QueueState, QueuedMessage, StoreError, log};

/// What came out of a damaged database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Messages that are whole.
    pub whole: u64,
    /// Messages that are not, and are set aside in the new database.
    pub set_aside: u64,
    /// Contents of which nobody knows whose they are, kept as files.
    pub unknown: u64,
}

/// Copies what can be read, row by row, skipping what cannot.
pub(crate) fn salvage(
    from: &Connection,
    to: &mut Connection,
    bodies: &Bodies,
    moment: &str,
) -> Result<Salvaged, StoreError> {
    let failed = |e| StoreError::sqlite("writing what was salvaged", e);
    let mut salvaged = Salvaged::default();
    let transaction = to.transaction().map_err(failed)?;
    for key in keys(from) {
        let copy = read::copy(from, key);
        let Some((message, kept)) = read::with_key(from, key).or_else(|| copy.as_ref().map(from_copy)) else {
            if let Ok(Some(content)) = read::octets(from, key) {
                bodies.keep_unknown(&format!("{moment}-{key}.eml"), &content)?;
                salvaged.unknown += 1;
            }
            continue;
        };
        // That of a large content is in its file.
        let copy = copy.or_else(|| bodies.copy(kept.file.as_deref()?));
        let message = with_recipients(message, copy);
        // A page from before may turn up a second time.
        if key_of(&transaction, message.id).map_err(failed)?.is_some() {
            continue;
        }
        let is_whole = write(from, &transaction, bodies, key, message, &kept).map_err(failed)?;
        *(if is_whole { &mut salvaged.whole } else { &mut salvaged.set_aside }) += 1;
    }
    transaction.commit().map_err(failed)?;
    Ok(salvaged)
}

/// What a content says of a message without a row. Not known is what has become of it since: it may have been held,
/// and some of its recipients may have it.
pub(crate) fn from_copy(copy: &Copy) -> (QueuedMessage, Kept) {
    let why = "its row was lost: some of its recipients may have it already";
    let message = QueuedMessage { state: QueueState::SetAside(why.to_owned()), ..copy.message.clone() };
    (message, Kept { octets: copy.message.octets, checksum: copy.checksum, file: None })
}

/// Recipients whose rows were lost, as they were at first.
fn with_recipients(mut message: QueuedMessage, copy: Option<Copy>) -> QueuedMessage {
    let Some(copy) = copy.filter(|copy| copy.message.id == message.id) else { return message };
    let at_first = copy.message.recipients;
    if message.recipients.len() < at_first.len() {
        for recipient in at_first {
            if message.recipients.iter().all(|known| known.index != recipient.index) {
                message.recipients.push(recipient);
            }
        }
        let why = "what has become of its recipients was lost: some may have it already";
        message.state = QueueState::SetAside(why.to_owned());
    }
    message
}

/// Is it whole?
fn write(
    from: &Connection,
    to: &Connection,
    bodies: &Bodies,
    key: i64,
    mut message: QueuedMessage,
    kept: &Kept,
) -> rusqlite::Result<bool> {
    let content = whole(from, bodies, message.id, key, kept);
    let why = match &content {
        Err(StoreError::Damaged { what, .. }) => Some(what.clone()),
        Err(error) => Some(error.to_string()),
        Ok(_) if message.recipients.is_empty() => Some("its recipients cannot be read".to_owned()),
        Ok(_) => match &message.state {
            QueueState::SetAside(why) => Some(why.clone()),
            QueueState::Waiting | QueueState::Held => None,
        },
    };
    let is_whole = why.is_none();
    if let Some(why) = why {
        log::queued_set_aside(message.id, &why);
        message.state = QueueState::SetAside(why);
    }
    let row =
        Row { message: &message, octets: kept.octets, checksum: kept.checksum, file: kept.file.as_deref() };
    let new_key = insert(to, &row)?;
    let octets = match (&kept.file, content) {
        (Some(_), _) => None,
        (None, Ok(content)) => Some(content),
        (None, Err(_)) => read::octets(from, key).ok().flatten(),
    };
    if let Some(octets) = octets {
        let envelope = copy::line(&message, kept.octets, &kept.checksum);
        to.prepare_cached("INSERT INTO content (message, envelope, octets) VALUES (?1, ?2, ?3)")?
            .execute(params![new_key, envelope, octets])?;
    }
    Ok(is_whole)
}

/// Ways through the tables, each of which may end at a page that cannot be read.
const WAYS: &[&str] = &[
    "SELECT key FROM message NOT INDEXED ORDER BY key",
    "SELECT key FROM message NOT INDEXED ORDER BY key DESC",
    "SELECT key FROM message INDEXED BY message_by_state ORDER BY state, octets",
    "SELECT key FROM message INDEXED BY message_by_state ORDER BY state DESC, octets DESC",
    "SELECT key FROM message ORDER BY id",
    "SELECT key FROM message ORDER BY id DESC",
    "SELECT message FROM recipient ORDER BY message",
    "SELECT message FROM recipient ORDER BY message DESC",
    "SELECT message FROM content ORDER BY message",
    "SELECT message FROM content ORDER BY message DESC",
];

/// Between the first and the last that were found every number is tried, if there are not more than this.
const MOST_TRIED: i64 = 1_000_000;
/// What a damaged file might make up.
const MOST_FOUND: usize = 10_000_000;

fn keys(db: &Connection) -> BTreeSet<i64> {
    let mut keys = BTreeSet::new();
    for way in WAYS {
        // However far it gets.
        let _ = go(db, way, &mut keys);
    }
    if let (Some(first), Some(last)) = (keys.first().copied(), keys.last().copied())
        && last.saturating_sub(first) <= MOST_TRIED
    {
        keys.extend(first..=last);
    }
    keys
}

fn go(db: &Connection, way: &str, keys: &mut BTreeSet<i64>) -> rusqlite::Result<()> {
    let mut statement = db.prepare(way)?;
    let mut rows = statement.query(())?;
    while keys.len() < MOST_FOUND
        && let Some(row) = rows.next()?
    {
        keys.insert(row.get(0)?);
    }
    Ok(())
}
