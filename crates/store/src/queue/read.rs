use envelope::{Choice, MailParameters, RcptParameters, RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::queue::copy::{self, Copy};
use crate::queue::words::{
    EACH, HELD, SET_ASIDE, SHARED, WAITING, body_of, forward_path_of, notify_of, ret_of, reverse_path_of,
};
use crate::sqlite::readers::Unread;
use crate::{Copies, QueueCounts, QueueState, QueuedMessage, QueuedRecipient, RecipientState};

/// No answer is longer, whatever was asked for: it is held in memory.
pub(crate) const MOST: u32 = 10_000;

/// What could be read, and the ids of what could not, with the reason.
#[derive(Default)]
pub(crate) struct Found {
    pub messages: Vec<QueuedMessage>,
    pub unreadable: Vec<(RelayId, String)>,
}

pub(crate) const MESSAGE: &str =
    "SELECT key, id, queued_at, sender, upstream, reverse_path, size, body, smtputf8, ret, envid,
    require_tls, copies, opens, links, octets, checksum, file, state, why, delay_told FROM message";

pub(crate) fn message(db: &Connection, id: RelayId) -> Result<Option<QueuedMessage>, Unread> {
    let mut statement = db.prepare_cached(&format!("{MESSAGE} WHERE id = ?1"))?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(queued(row, recipients(db, row.get("key")?)?)?))
}

pub(crate) fn messages(db: &Connection, after: Option<RelayId>, limit: u32) -> Result<Found, Unread> {
    // Smaller than every id that is made: they are of version 7.
    let after = after.unwrap_or(RelayId::from_bytes([0; 16]));
    let mut statement = db.prepare_cached(&format!("{MESSAGE} WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
    let mut rows = statement.query(params![after.as_bytes(), limit.min(MOST)])?;
    let mut found = Found::default();
    while let Some(row) = rows.next()? {
        found.add(db, row)?;
    }
    Ok(found)
}

pub(crate) fn by_keys(db: &Connection, keys: &[i64]) -> Result<Found, Unread> {
    let mut statement = db.prepare_cached(&format!("{MESSAGE} WHERE key = ?1"))?;
    let mut found = Found::default();
    for key in keys {
        let mut rows = statement.query([key])?;
        if let Some(row) = rows.next()? {
            found.add(db, row)?;
        }
    }
    Ok(found)
}

/// For what can be read of a damaged database. Without its recipients, if only those are lost.
pub(crate) fn with_key(db: &Connection, key: i64) -> Option<(QueuedMessage, Kept)> {
    let read = || -> Result<_, Unread> {
        let mut statement = db.prepare_cached(&format!("{MESSAGE} WHERE key = ?1"))?;
        let mut rows = statement.query([key])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let recipients = recipients(db, key).unwrap_or_default();
        let message = queued(row, recipients)?;
        // Not by its id: the index may be what is damaged.
        Ok(Some((message, kept_in(row)?)))
    };
    read().ok().flatten()
}

impl Found {
    fn add(&mut self, db: &Connection, row: &Row) -> Result<(), Unread> {
        match recipients(db, row.get("key")?).and_then(|recipients| queued(row, recipients)) {
            Ok(message) => self.messages.push(message),
            // One message that makes no sense must not hide the others.
            Err(Unread::Form { what, value }) => {
                self.unreadable.push((id(row)?, format!("its {what} cannot be read: {value}")));
            }
            // Nor one whose values are out of all bounds, of which SQLite itself does not complain.
            Err(Unread::Sqlite(error)) if error.sqlite_error_code().is_none() => {
                self.unreadable.push((id(row)?, error.to_string()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

fn queued(row: &Row, recipients: Vec<QueuedRecipient>) -> Result<QueuedMessage, Unread> {
    let choice = Choice { opens: row.get("opens")?, links: row.get("links")? };
    let size: Option<i64> = row.get("size")?;
    Ok(QueuedMessage {
        id: id(row)?,
        queued_at: moment(row, "queued_at")?,
        sender: row.get("sender")?,
        upstream: row.get("upstream")?,
        reverse_path: word(row, "reverse_path", reverse_path_of)?,
        parameters: MailParameters {
            size: size.map(unsigned),
            body: maybe(row, "body", body_of)?,
            smtputf8: row.get("smtputf8")?,
            ret: maybe(row, "ret", ret_of)?,
            envid: row.get("envid")?,
            require_tls: row.get("require_tls")?,
        },
        copies: word(row, "copies", |code| match code {
            SHARED => Some(Copies::Shared),
            EACH => Some(Copies::Each { choice }),
            _ => None,
        })?,
        octets: unsigned(row.get("octets")?),
        state: state(row)?,
        delay_told: row.get("delay_told")?,
        recipients,
    })
}

fn state(row: &Row) -> Result<QueueState, Unread> {
    let why: Option<String> = row.get("why")?;
    word(row, "state", |code| match code {
        WAITING => Some(QueueState::Waiting),
        HELD => Some(QueueState::Held),
        SET_ASIDE => Some(QueueState::SetAside(why.unwrap_or_default())),
        _ => None,
    })
}

fn recipients(db: &Connection, key: i64) -> Result<Vec<QueuedRecipient>, Unread> {
    let sql =
        "SELECT number, forward_path, notify, orcpt, state, attempts, due_at, code, reply FROM recipient
        WHERE message = ?1 ORDER BY position";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let mut recipients = vec![];
    while let Some(row) = rows.next()? {
        recipients.push(QueuedRecipient {
            index: row.get("number")?,
            forward_path: word(row, "forward_path", forward_path_of)?,
            parameters: RcptParameters { notify: maybe(row, "notify", notify_of)?, orcpt: row.get("orcpt")? },
            state: word(row, "state", RecipientState::from_code)?,
            attempts: row.get("attempts")?,
            due_at: moment(row, "due_at")?,
            code: row.get("code")?,
            reply: row.get("reply")?,
        });
    }
    Ok(recipients)
}

pub(crate) const NEXT_DUE: &str =
    "SELECT due_at FROM message WHERE due_at IS NOT NULL ORDER BY due_at LIMIT 1";

pub(crate) fn next_due(db: &Connection) -> Result<Option<Timestamp>, Unread> {
    let due_at = db.prepare_cached(NEXT_DUE)?.query_row((), |row| row.get(0)).optional()?;
    Ok(due_at.map(Timestamp::from_unix_millis))
}

pub(crate) const COUNTS: &str = "SELECT state, count(*), sum(octets) FROM message GROUP BY state";

pub(crate) fn counts(db: &Connection) -> Result<QueueCounts, Unread> {
    let mut statement = db.prepare_cached(COUNTS)?;
    let mut rows = statement.query(())?;
    let mut counts = QueueCounts::default();
    while let Some(row) = rows.next()? {
        let state: String = row.get(0)?;
        let count = unsigned(row.get(1)?);
        match state.as_str() {
            HELD => counts.held = count,
            SET_ASIDE => counts.set_aside = count,
            _ => counts.waiting += count,
        }
        counts.octets += unsigned(row.get(2)?);
    }
    Ok(counts)
}

/// Where the content is, and what it must be.
pub(crate) struct Kept {
    pub octets: u64,
    pub checksum: [u8; 32],
    pub file: Option<String>,
}

pub(crate) fn kept(db: &Connection, id: RelayId) -> Result<Option<(i64, Kept)>, Unread> {
    let sql = "SELECT key, octets, checksum, file FROM message WHERE id = ?1";
    let found =
        db.prepare_cached(sql)?.query_row([id.as_bytes()], |row| Ok((row.get("key")?, kept_in(row)?)));
    Ok(found.optional()?)
}

fn kept_in(row: &Row) -> rusqlite::Result<Kept> {
    Ok(Kept { octets: unsigned(row.get("octets")?), checksum: row.get("checksum")?, file: row.get("file")? })
}

pub(crate) fn octets(db: &Connection, key: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT octets FROM content WHERE message = ?1";
    db.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
}

pub(crate) fn flushes(db: &Connection) -> Result<u64, Unread> {
    let sql = "SELECT number FROM flushes";
    let number: Option<i64> = db.prepare_cached(sql)?.query_row((), |row| row.get(0)).optional()?;
    Ok(number.map_or(0, unsigned))
}

/// What a content says of its message; `None`: nothing that can be read.
pub(crate) fn copy(db: &Connection, key: i64) -> Option<Copy> {
    let sql = "SELECT envelope FROM content WHERE message = ?1";
    let line: String = db.prepare_cached(sql).ok()?.query_row([key], |row| row.get(0)).ok()?;
    copy::of_line(&line)
}

pub(crate) fn is_there(db: &Connection, id: RelayId) -> Result<bool, Unread> {
    Ok(crate::queue::change::key_of(db, id)?.is_some())
}

fn id(row: &Row) -> rusqlite::Result<RelayId> {
    Ok(RelayId::from_bytes(row.get("id")?))
}

fn moment(row: &Row, column: &str) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_unix_millis(row.get(column)?))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn word<T>(row: &Row, column: &'static str, from_code: impl FnOnce(&str) -> Option<T>) -> Result<T, Unread> {
    let code: String = row.get(column)?;
    from_code(&code).ok_or(Unread::Form { what: column, value: code })
}

fn maybe<T>(
    row: &Row,
    column: &'static str,
    from_code: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Unread> {
    let Some(code) = row.get::<_, Option<String>>(column)? else { return Ok(None) };
    from_code(&code).map(Some).ok_or(Unread::Form { what: column, value: code })
}
