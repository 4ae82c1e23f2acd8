use std::collections::HashSet;

use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::forgetting::delete_events;
use crate::sqlite::read::moment;
use crate::sqlite::readers::Unread;
use crate::sqlite::write::{execute, key_of};
use crate::{Event, EventKind, LastOpen, Parties, RecipientFacts};

const DAY_MILLIS: i64 = 86_400_000;
/// How the copy that all share is written.
const SHARED: i64 = -1;

/// Is nothing to be recorded of this? Of a shared copy: as soon as one of those who share it must be left alone.
pub(crate) fn is_quiet(db: &Connection, message: i64, event: &Event) -> rusqlite::Result<bool> {
    // What is said of an open says that there was one.
    let tells =
        event.kind.hit().is_some() || matches!(event.kind, EventKind::Verdict | EventKind::Correction);
    Ok(tells && quiet(db, message, event.recipient)?)
}

fn quiet(db: &Connection, message: i64, recipient: Option<u16>) -> rusqlite::Result<bool> {
    let find = "SELECT EXISTS (SELECT 1 FROM quiet WHERE message = ?1 AND (?2 IS NULL OR number = ?2))";
    db.prepare_cached(find)?.query_row(params![message, recipient], |row| row.get(0))
}

pub(crate) fn parties(db: &Connection, message: RelayId) -> Result<Option<Parties>, Unread> {
    let find = "SELECT m.key, m.sender FROM tally t JOIN message m ON m.key = t.key WHERE t.message = ?1";
    let found: Option<(i64, String)> = db
        .prepare_cached(find)?
        .query_row([message.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((key, sender)) = found else { return Ok(None) };
    let find = "SELECT number, address FROM recipient WHERE message = ?1 ORDER BY position";
    let mut statement = db.prepare_cached(find)?;
    let recipients = statement.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Some(Parties { sender, recipients: recipients.collect::<rusqlite::Result<_>>()? }))
}

pub(crate) fn refused(db: &Connection, addresses: &[String]) -> Result<Vec<bool>, Unread> {
    let find = "SELECT EXISTS (SELECT 1 FROM refusal WHERE address = ?1)";
    let mut statement = db.prepare_cached(find)?;
    let salt = salt(db)?;
    let refused =
        addresses.iter().map(|address| statement.query_row([hash(&salt, address)], |row| row.get(0)));
    Ok(refused.collect::<rusqlite::Result<_>>()?)
}

/// Those who refused, to be known again in memory.
pub(crate) struct Refusals {
    salt: Vec<u8>,
    hashes: HashSet<[u8; 32]>,
}

/// Some 400 KB.
const MOST_IN_MEMORY: i64 = 10_000;

/// All of them; `None` if there are too many for that.
pub(crate) fn refusals(db: &Connection) -> Result<Option<Refusals>, Unread> {
    let count = "SELECT count(*) FROM (SELECT 1 FROM refusal LIMIT ?1 + 1)";
    let count: i64 = db.prepare_cached(count)?.query_row([MOST_IN_MEMORY], |row| row.get(0))?;
    if count > MOST_IN_MEMORY {
        return Ok(None);
    }
    let mut all = db.prepare_cached("SELECT address FROM refusal")?;
    let hashes = all.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(Refusals { salt: salt(db)?, hashes }))
}

impl Refusals {
    /// Did this address refuse?
    pub(crate) fn contain(&self, address: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&hash(&self.salt, address))
    }
}

pub(crate) fn refuse(db: &Connection, address: &str, at: Timestamp) -> rusqlite::Result<()> {
    execute(
        db,
        "INSERT INTO refusal (address, at) VALUES (?1, ?2) ON CONFLICT (address) DO NOTHING",
        params![hash(&salt(db)?, address), at.unix_millis()],
    )?;
    let copies = "SELECT message, number FROM recipient WHERE address = ?1";
    execute(
        db,
        &format!("INSERT INTO quiet (message, number) {copies} ON CONFLICT DO NOTHING"),
        &[&address],
    )?;
    let found: Vec<(i64, i64)> = db
        .prepare_cached(copies)?
        .query_map([address], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (message, number) in found {
        // The opens and clicks, and what was said of them; bounces and complaints stay.
        delete_events(db, message, number, "kind IN (1, 2, 3, 8)")?;
    }
    execute(db, &format!("DELETE FROM last_open WHERE (message, number) IN ({copies})"), &[&address])?;
    Ok(())
}

pub(crate) fn allow(db: &Connection, address: &str) -> rusqlite::Result<()> {
    execute(db, "DELETE FROM refusal WHERE address = ?1", &[&hash(&salt(db)?, address)])?;
    let copies = "SELECT message, number FROM recipient WHERE address = ?1";
    execute(db, &format!("DELETE FROM quiet WHERE (message, number) IN ({copies})"), &[&address])?;
    Ok(())
}

pub(crate) fn recipient_facts(
    db: &Connection,
    message: RelayId,
    recipient: Option<u16>,
) -> Result<Option<RecipientFacts>, Unread> {
    let find = "SELECT m.key, m.sender, m.from_field, m.accepted_at, m.pixel, m.links_tracked
                FROM tally t JOIN message m ON m.key = t.key WHERE t.message = ?1";
    let mut statement = db.prepare_cached(find)?;
    let mut rows = statement.query([message.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let key: i64 = row.get("key")?;
    let find = "SELECT address FROM recipient WHERE message = ?1 AND number = ?2";
    let address = match recipient {
        None => None,
        Some(number) => {
            let address: Option<String> =
                db.prepare_cached(find)?.query_row(params![key, number], |row| row.get(0)).optional()?;
            match address.filter(|address| address != super::forgetting::FORGOTTEN) {
                None => return Ok(None),
                address => address,
            }
        }
    };
    let count = |kind: i64| -> rusqlite::Result<u64> {
        let find = "SELECT count(*) FROM event WHERE message = ?1 AND kind = ?2 AND recipient IS ?3";
        let count: i64 =
            db.prepare_cached(find)?.query_row(params![key, kind, recipient], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    };
    Ok(Some(RecipientFacts {
        sender: row.get("sender")?,
        from: row.get("from_field")?,
        sent_at: moment(row, "accepted_at")?,
        pixel: row.get("pixel")?,
        links: row.get::<_, i64>("links_tracked")? > 0,
        opens: count(1)?,
        clicks: count(2)?,
        refused: match &address {
            Some(address) => refused(db, std::slice::from_ref(address))?.contains(&true),
            None => false,
        },
        address,
    }))
}

pub(crate) fn record_last_open(db: &Connection, open: LastOpen) -> rusqlite::Result<()> {
    let message = key_of(db, open.message)?;
    if quiet(db, message, open.recipient)? {
        return Ok(());
    }
    execute(
        db,
        "INSERT INTO last_open (message, number, day) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET day = max(day, excluded.day)",
        params![
            message,
            open.recipient.map_or(SHARED, i64::from),
            open.day.unix_millis().div_euclid(DAY_MILLIS)
        ],
    )?;
    Ok(())
}

pub(crate) fn last_opens(db: &Connection, message: RelayId) -> Result<Vec<LastOpen>, Unread> {
    let find = "SELECT number, day FROM last_open
                WHERE message = (SELECT key FROM tally WHERE message = ?1) ORDER BY number";
    let mut statement = db.prepare_cached(find)?;
    let opens = statement.query_map([message.as_bytes()], |row| {
        Ok(LastOpen {
            message,
            recipient: u16::try_from(row.get::<_, i64>(0)?).ok(),
            day: Timestamp::from_unix_millis(row.get::<_, i64>(1)?.saturating_mul(DAY_MILLIS)),
        })
    })?;
    Ok(opens.collect::<rusqlite::Result<_>>()?)
}

fn salt(db: &Connection) -> rusqlite::Result<Vec<u8>> {
    db.prepare_cached("SELECT salt FROM refusal_salt")?.query_row((), |row| row.get(0))
}

fn hash(salt: &[u8], address: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(address.to_ascii_lowercase());
    hash.finalize().into()
}
