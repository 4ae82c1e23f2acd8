use std::net::IpAddr;

use envelope::{Choice, RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use crate::sqlite::event_log::{drop_evidence, settle, write_event};
use crate::sqlite::feedback::write_feedback;
use crate::sqlite::known_keys::KnownKeys;
use crate::sqlite::{api_token, privacy, revocation, submissions, suppression};
use crate::{
    AppPassword, Event, Feedback, LastOpen, MessageOutcome, MessageRecord, SenderRecord, Settlement,
    StoreError,
};

/// One thing to remember. Doing it again changes nothing.
#[derive(Debug)]
pub(crate) enum Write {
    Message(Box<MessageRecord>),
    Outcome(Box<MessageOutcome>),
    Event(Box<Event>),
    Feedback(Box<Feedback>),
    Settle(Box<Settlement>),
    NoOldSubmissions {
        now: Timestamp,
    },
    Submission {
        sender: String,
        address: IpAddr,
        at: Timestamp,
    },
    DropEvidence {
        now: Timestamp,
        limit: u32,
    },
    Refuse {
        address: String,
        at: Timestamp,
    },
    Allow {
        address: String,
    },
    LastOpen(LastOpen),
    Purge(privacy::Batch),
    Forget(privacy::Forget),
    Choice {
        sender: String,
        choice: Choice,
        by: Option<RelayId>,
        at: Timestamp,
    },
    Sender(SenderRecord),
    AppPassword(AppPassword),
    NoAppPassword {
        sender: String,
        label: String,
    },
    ApiToken(api_token::Change),
    Revocation(revocation::Change),
    Suppression(suppression::Change),
    #[cfg(test)]
    Panic,
}

impl Write {
    /// Within a transaction. Returns the number of an event that was not there before.
    pub(crate) fn apply(&self, db: &Connection, known: &mut KnownKeys) -> Result<Option<i64>, StoreError> {
        if self.may_delete() {
            known.forget();
        }
        match self {
            Self::Message(record) => {
                write_message(db, record).map_err(|e| StoreError::sqlite("recording a message", e))?;
                Ok(None)
            }
            Self::Outcome(outcome) => {
                write_outcome(db, outcome)
                    .map_err(|e| StoreError::sqlite("recording what came of a message", e))?;
                Ok(None)
            }
            Self::Event(event) => {
                write_event(db, event, known).map_err(|e| StoreError::sqlite("recording an event", e))
            }
            Self::Feedback(feedback) => {
                write_feedback(db, feedback).map_err(|e| StoreError::sqlite("recording what came back", e))
            }
            Self::Settle(settlement) => {
                settle(db, settlement, known).map_err(|e| StoreError::sqlite("settling events", e))
            }
            Self::NoOldSubmissions { now } => {
                submissions::forget(db, *now)
                    .map_err(|e| StoreError::sqlite("forgetting where senders submitted from", e))?;
                Ok(None)
            }
            Self::Submission { sender, address, at } => {
                submissions::record(db, sender, *address, *at)
                    .map_err(|e| StoreError::sqlite("recording where a sender submits from", e))?;
                Ok(None)
            }
            Self::DropEvidence { now, limit } => {
                drop_evidence(db, *now, *limit).map_err(|e| StoreError::sqlite("deleting evidence", e))?;
                Ok(None)
            }
            Self::Refuse { address, at } => {
                privacy::refuse(db, address, *at)
                    .map_err(|e| StoreError::sqlite("recording a refusal", e))?;
                Ok(None)
            }
            Self::Allow { address } => {
                privacy::allow(db, address).map_err(|e| StoreError::sqlite("taking a refusal back", e))?;
                Ok(None)
            }
            Self::LastOpen(open) => {
                privacy::record_last_open(db, *open)
                    .map_err(|e| StoreError::sqlite("recording the day of an open", e))?;
                Ok(None)
            }
            Self::Purge(batch) => {
                privacy::delete(db, batch)
                    .map_err(|e| StoreError::sqlite("deleting what is over its time", e))?;
                Ok(None)
            }
            Self::Forget(forget) => {
                forget.apply(db).map_err(|e| StoreError::sqlite("forgetting an address", e))?;
                Ok(None)
            }
            Self::Choice { sender, choice, by, at } => {
                write_choice(db, sender, *choice, *by, *at)
                    .map_err(|e| StoreError::sqlite("saving a choice", e))?;
                Ok(None)
            }
            Self::Sender(sender) => {
                refuse_taken(db, sender)?;
                write_sender(db, sender).map_err(|e| StoreError::sqlite("saving a sender", e))?;
                Ok(None)
            }
            Self::AppPassword(password) => {
                write_app_password(db, password)
                    .map_err(|e| StoreError::sqlite("saving an app password", e))?;
                Ok(None)
            }
            Self::NoAppPassword { sender, label } => {
                let remove = "DELETE FROM app_password WHERE sender = ?1 AND label = ?2";
                execute(db, remove, &[sender, label])
                    .map_err(|e| StoreError::sqlite("removing an app password", e))?;
                Ok(None)
            }
            Self::ApiToken(change) => change.apply(db).map(|()| None),
            Self::Revocation(change) => change.apply(db).map(|()| None),
            Self::Suppression(change) => change.apply(db),
            #[cfg(test)]
            Self::Panic => panic!("as a test asked"),
        }
    }

    /// Rows that events refer to: all but those that surely do not.
    fn may_delete(&self) -> bool {
        !matches!(
            self,
            Self::Message(_)
                | Self::Outcome(_)
                | Self::Event(_)
                | Self::Settle(_)
                | Self::Feedback(_)
                | Self::Submission { .. }
                | Self::DropEvidence { .. }
        )
    }
}

pub(crate) fn execute(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(values)
}

/// The short key of a message, known or not.
pub(crate) fn key_of(db: &Connection, message: RelayId) -> rusqlite::Result<i64> {
    let find = "SELECT key FROM tally WHERE message = ?1";
    let known = db.prepare_cached(find)?.query_row([message.as_bytes()], |row| row.get(0)).optional()?;
    if let Some(key) = known {
        return Ok(key);
    }
    execute(db, "INSERT INTO tally (message) VALUES (?1)", &[message.as_bytes()])?;
    Ok(db.last_insert_rowid())
}

fn write_message(db: &Connection, record: &MessageRecord) -> rusqlite::Result<()> {
    let key = key_of(db, record.id)?;
    let reasons: Vec<&str> = record.reasons.iter().map(|reason| reason.code()).collect();
    execute(
        db,
        "INSERT INTO message (key, id, accepted_at, sender, reverse_path, from_field, subject, message_id,
             opens, links, choice_origin, pixel, links_tracked, reasons, parts, upstream, code, reply,
             octets_in, octets_out, took_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
         ON CONFLICT (key) DO UPDATE SET accepted_at = excluded.accepted_at, sender = excluded.sender,
             reverse_path = excluded.reverse_path, from_field = excluded.from_field,
             subject = excluded.subject, message_id = excluded.message_id, opens = excluded.opens,
             links = excluded.links, choice_origin = excluded.choice_origin, pixel = excluded.pixel,
             links_tracked = excluded.links_tracked, reasons = excluded.reasons, parts = excluded.parts,
             upstream = excluded.upstream, code = excluded.code, reply = excluded.reply,
             octets_in = excluded.octets_in, octets_out = excluded.octets_out, took_ms = excluded.took_ms",
        params![
            key,
            record.id.as_bytes(),
            record.accepted_at.unix_millis(),
            record.sender,
            record.reverse_path,
            record.from,
            record.subject,
            record.message_id,
            record.choice.opens,
            record.choice.links,
            record.choice_origin.code(),
            record.pixel,
            record.links_tracked,
            reasons.join(","),
            serde_json::to_string(&record.parts).unwrap_or_else(|_| "[]".to_owned()),
            record.upstream,
            record.code,
            record.reply,
            signed(record.octets_in),
            signed(record.octets_out),
            signed(record.took_ms),
        ],
    )?;
    write_recipients(db, key, record)?;
    write_links(db, key, record)
}

fn write_outcome(db: &Connection, outcome: &MessageOutcome) -> rusqlite::Result<()> {
    let id = outcome.id.as_bytes();
    for answer in &outcome.recipients {
        execute(
            db,
            "UPDATE recipient SET code = ?3, reply = ?4
             WHERE message = (SELECT key FROM tally WHERE message = ?1) AND number = ?2",
            params![id, answer.index, answer.code, answer.reply],
        )?;
    }
    if let Some((code, reply, at)) = &outcome.reply {
        execute(
            db,
            "UPDATE message SET code = ?2, reply = ?3, took_ms = max(0, ?4 - accepted_at)
             WHERE key = (SELECT key FROM tally WHERE message = ?1)",
            params![id, code, reply, at.unix_millis()],
        )?;
    }
    Ok(())
}

/// SQLite's integers have a sign.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

// A message is written before the handoff and again after it, mostly with the same recipients and links:
// rows that would not change are not written.

fn write_recipients(db: &Connection, key: i64, record: &MessageRecord) -> rusqlite::Result<()> {
    let mut write = db.prepare_cached(
        "INSERT INTO recipient (message, position, number, address, code, reply)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (message, position) DO UPDATE SET number = excluded.number,
                 address = excluded.address, code = excluded.code, reply = excluded.reply
             WHERE (number, address COLLATE BINARY, code, reply)
                 IS NOT (excluded.number, excluded.address, excluded.code, excluded.reply)",
    )?;
    for (position, recipient) in record.recipients.iter().enumerate() {
        write.execute(params![
            key,
            place(position),
            recipient.index,
            recipient.address,
            recipient.code,
            recipient.reply
        ])?;
    }
    let beyond = "DELETE FROM recipient WHERE message = ?1 AND position >= ?2";
    execute(db, beyond, params![key, place(record.recipients.len())])?;
    Ok(())
}

fn write_links(db: &Connection, key: i64, record: &MessageRecord) -> rusqlite::Result<()> {
    let mut write = db.prepare_cached(
        "INSERT INTO link (message, position, number, href, target, kept)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (message, position) DO UPDATE SET number = excluded.number, href = excluded.href,
                 target = excluded.target, kept = excluded.kept
             WHERE (number, href, target, kept)
                 IS NOT (excluded.number, excluded.href, excluded.target, excluded.kept)",
    )?;
    for (position, link) in record.links.iter().enumerate() {
        let kept = link.kept.map(envelope::Reason::code);
        write.execute(params![key, place(position), link.index, link.href, link.target, kept])?;
    }
    let beyond = "DELETE FROM link WHERE message = ?1 AND position >= ?2";
    execute(db, beyond, params![key, place(record.links.len())])?;
    Ok(())
}

fn place(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn write_choice(
    db: &Connection,
    sender: &str,
    choice: Choice,
    by: Option<RelayId>,
    at: Timestamp,
) -> rusqlite::Result<()> {
    // The last call wins, not the latest clock: a clock that was set back must not make a person's "none"
    // be forgotten.
    execute(
        db,
        "INSERT INTO saved_choice (sender, opens, links, by, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (sender) DO UPDATE SET opens = excluded.opens, links = excluded.links,
             by = excluded.by, at = excluded.at",
        params![sender, choice.opens, choice.links, by.as_ref().map(RelayId::as_bytes), at.unix_millis()],
    )?;
    Ok(())
}

fn write_app_password(db: &Connection, password: &AppPassword) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO app_password (sender, label, key, hash, made_at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (sender, label) DO UPDATE SET label = excluded.label, key = excluded.key,
             hash = excluded.hash, made_at = excluded.made_at",
        params![password.sender, password.label, password.key, password.hash, password.made_at.unix_millis()],
    )?;
    Ok(())
}

/// The sender whose login this is, if it is one.
fn key_of_sender(db: &Connection, address: &str) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT sender FROM sender_address WHERE address = ?1 AND position = 0";
    db.prepare_cached(find)?.query_row([address], |row| row.get(0)).optional()
}

fn refuse_taken(db: &Connection, sender: &SenderRecord) -> Result<(), StoreError> {
    let owner_of = |address: &str, own: Option<i64>| {
        let find = "SELECT login.address FROM sender_address AS asked
                    JOIN sender_address AS login ON login.sender = asked.sender AND login.position = 0
                    WHERE asked.address = ?1 AND asked.sender IS NOT ?2";
        db.prepare_cached(find)?.query_row(params![address, own], |row| row.get(0)).optional()
    };
    let failed = |e| StoreError::sqlite("looking who owns an address", e);
    let own = key_of_sender(db, &sender.address).map_err(failed)?;
    for address in std::iter::once(&sender.address).chain(&sender.aliases) {
        if let Some(owner) = owner_of(address, own).map_err(failed)? {
            return Err(StoreError::AddressTaken { address: address.clone(), owner });
        }
    }
    Ok(())
}

fn write_sender(db: &Connection, sender: &SenderRecord) -> rusqlite::Result<()> {
    let key = if let Some(key) = key_of_sender(db, &sender.address)? {
        let change = "UPDATE sender SET password_hash = ?2, disabled = ?3 WHERE key = ?1";
        execute(db, change, params![key, sender.password_hash, sender.disabled])?;
        execute(db, "DELETE FROM sender_address WHERE sender = ?1", &[&key])?;
        key
    } else {
        let add = "INSERT INTO sender (password_hash, disabled) VALUES (?1, ?2)";
        execute(db, add, params![sender.password_hash, sender.disabled])?;
        db.last_insert_rowid()
    };
    for (position, address) in std::iter::once(&sender.address).chain(&sender.aliases).enumerate() {
        // An alias given twice, or equal to the login, is one.
        let add = "INSERT INTO sender_address (address, sender, position) VALUES (?1, ?2, ?3)
                   ON CONFLICT (address) DO NOTHING";
        execute(db, add, params![address, key, place(position)])?;
    }
    Ok(())
}
