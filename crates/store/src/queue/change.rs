use std::sync::Arc;

use envelope::{Notify, RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::queue::bodies::Staged;
use crate::queue::keeping::Keeping;
use crate::queue::words::{self, EACH, HELD, SET_ASIDE, SHARED, WAITING};
use crate::{
    Copies, QueueState, QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientState, StoreError,
};

/// One change of the queue. Doing it again changes nothing more.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Box<Put>),
    Settle { id: RelayId, outcomes: Vec<RecipientOutcome>, notifications: Vec<Put> },
    SetAside { id: RelayId, why: String },
    DelayTold { id: RelayId, notifications: Vec<Put> },
    Retry { id: RelayId, now: Timestamp },
    Hold(RelayId),
    Release(RelayId),
    Restore { id: RelayId, now: Timestamp },
    Delete(RelayId),
    Flush(Timestamp),
    Prove,
}

/// A message whose content is ready to be committed with it.
#[derive(Debug)]
pub(crate) struct Put {
    pub message: QueuedMessage,
    pub octets: u64,
    pub checksum: [u8; 32],
    pub content: Content,
    /// See [`super::copy`].
    pub envelope: String,
}

#[derive(Debug)]
pub(crate) enum Content {
    Here(Arc<Vec<u8>>),
    File(Staged),
}

impl Change {
    /// Within a transaction. How many messages it found.
    pub(crate) fn apply(&self, keeping: &mut Keeping, db: &Connection) -> Result<u64, StoreError> {
        let failed = |doing| move |e| StoreError::sqlite(doing, e);
        match self {
            Self::Put(put) => keeping.put(db, put),
            Self::Settle { id, outcomes, notifications } => {
                let Some(key) = key_of(db, *id).map_err(failed("looking for a message"))? else {
                    return Ok(0);
                };
                settle(keeping, db, key, outcomes).map_err(failed("settling a message"))?;
                put_all(keeping, db, notifications)
            }
            Self::DelayTold { id, notifications } => {
                let told = execute(db, "UPDATE message SET delay_told = 1 WHERE id = ?1", &[id.as_bytes()]);
                if told.map_err(failed("noting a delay"))? == 0 {
                    return Ok(0);
                }
                put_all(keeping, db, notifications)
            }
            Self::SetAside { id, why } => {
                set_aside(keeping, db, *id, why).map_err(failed("setting a message aside"))
            }
            Self::Retry { id, now } => retry(db, *id, *now).map_err(failed("making a message due")),
            Self::Hold(id) => hold(db, *id).map_err(failed("holding a message")),
            Self::Release(id) => release(db, *id).map_err(failed("releasing a message")),
            Self::Restore { id, now } => {
                restore(db, *id, *now).map_err(failed("putting a message back into the queue"))
            }
            Self::Delete(id) => {
                let key = key_of(db, *id).map_err(failed("looking for a message"))?;
                let Some(key) = key else { return Ok(0) };
                remove(keeping, db, key).map_err(failed("deleting a message"))?;
                Ok(1)
            }
            Self::Prove => prove(db).map_err(failed("proving that it can write")),
            Self::Flush(now) => flush(db, *now).map_err(failed("making all messages due")),
        }
    }
}

impl Put {
    pub(crate) fn row<'a>(&'a self, file: Option<&'a str>) -> Row<'a> {
        Row { message: &self.message, octets: self.octets, checksum: self.checksum, file }
    }
}

fn put_all(keeping: &mut Keeping, db: &Connection, notifications: &[Put]) -> Result<u64, StoreError> {
    for notification in notifications {
        keeping.put(db, notification)?;
    }
    Ok(1)
}

fn execute(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(values)
}

pub(crate) fn key_of(db: &Connection, id: RelayId) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT key FROM message WHERE id = ?1";
    db.prepare_cached(sql)?.query_row([id.as_bytes()], |row| row.get(0)).optional()
}

/// A message, and where its content is.
pub(crate) struct Row<'a> {
    pub message: &'a QueuedMessage,
    pub octets: u64,
    pub checksum: [u8; 32],
    /// `None`: in the table of contents.
    pub file: Option<&'a str>,
}

/// The row and those of its recipients; its short key.
pub(crate) fn insert(db: &Connection, row: &Row) -> rusqlite::Result<i64> {
    let message = row.message;
    let (copies, choice) = match message.copies {
        Copies::Shared => (SHARED, envelope::Choice::NONE),
        Copies::Each { choice } => (EACH, choice),
    };
    let why = match &message.state {
        QueueState::SetAside(why) => Some(why),
        QueueState::Waiting | QueueState::Held => None,
    };
    let waiting = message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
    let due_at = waiting.map(|recipient| recipient.due_at).min();
    let due_at = due_at.filter(|_| message.state == QueueState::Waiting);
    let parameters = &message.parameters;
    execute(
        db,
        "INSERT INTO message (id, queued_at, sender, upstream, reverse_path, size, body, smtputf8, ret, envid,
             require_tls, copies, opens, links, octets, checksum, file, state, why, delay_told, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        params![
            message.id.as_bytes(),
            message.queued_at.unix_millis(),
            message.sender,
            message.upstream,
            message.reverse_path.to_string(),
            parameters.size.map(signed),
            parameters.body.map(words::body),
            parameters.smtputf8,
            parameters.ret.map(words::ret),
            parameters.envid,
            parameters.require_tls,
            copies,
            choice.opens,
            choice.links,
            signed(row.octets),
            row.checksum,
            row.file,
            message.state.code(),
            why,
            message.delay_told,
            due_at.map(Timestamp::unix_millis),
        ],
    )?;
    let key = db.last_insert_rowid();
    for (position, recipient) in message.recipients.iter().enumerate() {
        insert_recipient(db, key, position, recipient)?;
    }
    Ok(key)
}

fn insert_recipient(
    db: &Connection,
    key: i64,
    position: usize,
    recipient: &QueuedRecipient,
) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO recipient (message, position, number, forward_path, notify, orcpt, state, attempts, due_at,
             code, reply)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            key,
            i64::try_from(position).unwrap_or(i64::MAX),
            recipient.index,
            recipient.forward_path.to_string(),
            recipient.parameters.notify.map(|notify: Notify| words::notify(notify)),
            recipient.parameters.orcpt,
            recipient.state.code(),
            recipient.attempts,
            recipient.due_at.unix_millis(),
            recipient.code,
            recipient.reply,
        ],
    )?;
    Ok(())
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn settle(
    keeping: &mut Keeping,
    db: &Connection,
    key: i64,
    outcomes: &[RecipientOutcome],
) -> rusqlite::Result<()> {
    for outcome in outcomes {
        // Only one who waits: told twice of a success, it is still one, and nobody it reached waits again.
        execute(
            db,
            "UPDATE recipient SET state = ?3, due_at = ?4, code = ?5, reply = ?6, attempts = attempts + 1
             WHERE message = ?1 AND number = ?2 AND state = 'waiting'",
            params![
                key,
                outcome.index,
                outcome.state.code(),
                outcome.due_at.unix_millis(),
                outcome.code,
                outcome.reply
            ],
        )?;
    }
    match earliest(db, key)? {
        None => remove(keeping, db, key),
        Some(_) => set_due(db, key),
    }
}

/// When the first of its waiting recipients is due.
fn earliest(db: &Connection, key: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(due_at) FROM recipient WHERE message = ?1 AND state = 'waiting'";
    db.prepare_cached(sql)?.query_row([key], |row| row.get(0))
}

/// The message's own note of what its recipients say.
fn set_due(db: &Connection, key: i64) -> rusqlite::Result<()> {
    let due_at = earliest(db, key)?;
    execute(
        db,
        "UPDATE message SET due_at = CASE state WHEN 'waiting' THEN ?2 END WHERE key = ?1",
        params![key, due_at],
    )?;
    Ok(())
}

fn remove(keeping: &mut Keeping, db: &Connection, key: i64) -> rusqlite::Result<()> {
    let file = "SELECT id, file FROM message WHERE key = ?1 AND file IS NOT NULL";
    let file = db.prepare_cached(file)?.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((id, name)) = file {
        keeping.file_goes(RelayId::from_bytes(id), name);
    }
    execute(db, "DELETE FROM content WHERE message = ?1", &[&key])?;
    execute(db, "DELETE FROM recipient WHERE message = ?1", &[&key])?;
    execute(db, "DELETE FROM message WHERE key = ?1", &[&key])?;
    Ok(())
}

fn set_aside(keeping: &mut Keeping, db: &Connection, id: RelayId, why: &str) -> rusqlite::Result<u64> {
    let sql = "UPDATE message SET state = ?2, why = ?3, due_at = NULL WHERE id = ?1 RETURNING file";
    let row: Option<Option<String>> = db
        .prepare_cached(sql)?
        .query_row(params![id.as_bytes(), SET_ASIDE, why], |row| row.get(0))
        .optional()?;
    if let Some(Some(name)) = &row {
        keeping.file_is_damaged(id, name.clone());
    }
    Ok(u64::from(row.is_some()))
}

fn retry(db: &Connection, id: RelayId, now: Timestamp) -> rusqlite::Result<u64> {
    let Some(key) = key_of(db, id)? else { return Ok(0) };
    make_due(db, key, now)?;
    Ok(1)
}

/// Who is due already stays as long due as he was.
fn make_due(db: &Connection, key: i64, now: Timestamp) -> rusqlite::Result<()> {
    execute(
        db,
        "UPDATE recipient SET due_at = ?2 WHERE message = ?1 AND state = 'waiting' AND due_at > ?2",
        params![key, now.unix_millis()],
    )?;
    set_due(db, key)
}

fn hold(db: &Connection, id: RelayId) -> rusqlite::Result<u64> {
    let sql = "UPDATE message SET state = ?2, due_at = NULL WHERE id = ?1 AND state = ?3";
    execute(db, sql, params![id.as_bytes(), HELD, WAITING])?;
    Ok(u64::from(key_of(db, id)?.is_some()))
}

fn release(db: &Connection, id: RelayId) -> rusqlite::Result<u64> {
    let Some(key) = key_of(db, id)? else { return Ok(0) };
    execute(db, "UPDATE message SET state = ?2 WHERE key = ?1 AND state = ?3", params![key, WAITING, HELD])?;
    set_due(db, key)?;
    Ok(1)
}

/// One that was set aside; its recipients are due now.
fn restore(db: &Connection, id: RelayId, now: Timestamp) -> rusqlite::Result<u64> {
    let Some(key) = key_of(db, id)? else { return Ok(0) };
    let sql = "UPDATE message SET state = ?2, why = NULL WHERE key = ?1 AND state = ?3";
    if execute(db, sql, params![key, WAITING, SET_ASIDE])? == 0 {
        return Ok(0);
    }
    let sql = "UPDATE recipient SET due_at = ?2 WHERE message = ?1 AND state = 'waiting'";
    execute(db, sql, params![key, now.unix_millis()])?;
    set_due(db, key)?;
    Ok(1)
}

/// More than an outcome with its notification takes, and always on the same pages.
const PROOF_OCTETS: i64 = 1 << 18;

fn prove(db: &Connection) -> rusqlite::Result<u64> {
    let sql = "REPLACE INTO proof (id, octets) VALUES (1, randomblob(?1))";
    Ok(execute(db, sql, &[&PROOF_OCTETS])? as u64)
}

fn flush(db: &Connection, now: Timestamp) -> rusqlite::Result<u64> {
    let sql = "SELECT key FROM message WHERE state = ?1";
    let keys: Vec<i64> =
        db.prepare_cached(sql)?.query_map([WAITING], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for key in &keys {
        make_due(db, *key, now)?;
    }
    let sql = "INSERT INTO flushes (id, number) VALUES (1, 1) ON CONFLICT DO UPDATE SET number = number + 1";
    execute(db, sql, &[])?;
    Ok(keys.len() as u64)
}
