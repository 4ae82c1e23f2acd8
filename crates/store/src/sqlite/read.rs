use envelope::{Choice, Reason, RelayId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Deserialize;

use crate::sqlite::feedback::feedback_of;
use crate::sqlite::readers::Unread;
use crate::{
    AppPassword, ChoiceOrigin, LinkRecord, MOST_APP_PASSWORDS, MessageFilter, MessageRecord, MessageSummary,
    PartNote, RecipientRecord, SavedChoice, SenderRecord,
};

/// No answer is longer, whatever was asked for: it is held in memory.
pub(crate) const MOST: u32 = 10_000;

const MESSAGE: &str = "SELECT m.key, m.id, m.accepted_at, m.sender, m.reverse_path, m.from_field, m.subject,
    m.message_id, m.opens, m.links, m.choice_origin, m.pixel, m.links_tracked, m.reasons, m.parts, m.upstream,
    m.code, m.reply, m.octets_in, m.octets_out, m.took_ms, t.opens_by_people, t.opens_by_machines,
    t.clicks_by_people, t.clicks_by_machines";

pub(crate) fn message(db: &Connection, id: RelayId) -> Result<Option<MessageSummary>, Unread> {
    let sql = format!("{MESSAGE} FROM tally t JOIN message m ON m.key = t.key WHERE t.message = ?1");
    Ok(summaries(db, &sql, &[&id.as_bytes()])?.pop())
}

pub(crate) fn messages(db: &Connection, filter: &MessageFilter) -> Result<Vec<MessageSummary>, Unread> {
    let limit = filter.limit.min(MOST);
    // Greater than every id that is made: they are of version 7.
    let before = filter.before.unwrap_or(RelayId::from_bytes([0xff; 16]));
    match &filter.sender {
        None => {
            let sql = format!(
                "{MESSAGE} FROM tally t CROSS JOIN message m ON m.key = t.key WHERE t.message < ?1
                 ORDER BY t.message DESC LIMIT ?2"
            );
            summaries(db, &sql, &[before.as_bytes(), &limit])
        }
        Some(sender) => {
            let sql = format!(
                "{MESSAGE} FROM message m CROSS JOIN tally t ON t.key = m.key WHERE m.sender = ?3 AND m.id < ?1
                 ORDER BY m.id DESC LIMIT ?2"
            );
            summaries(db, &sql, &[before.as_bytes(), &limit, sender])
        }
    }
}

fn summaries(
    db: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<MessageSummary>, Unread> {
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    let mut summaries = vec![];
    while let Some(row) = rows.next()? {
        summaries.push(summary(db, row)?);
    }
    Ok(summaries)
}

fn summary(db: &Connection, row: &Row) -> Result<MessageSummary, Unread> {
    let key: i64 = row.get("key")?;
    Ok(MessageSummary {
        record: MessageRecord {
            id: id(row, "id")?,
            accepted_at: moment(row, "accepted_at")?,
            sender: row.get("sender")?,
            reverse_path: row.get("reverse_path")?,
            from: row.get("from_field")?,
            subject: row.get("subject")?,
            message_id: row.get("message_id")?,
            choice: Choice { opens: row.get("opens")?, links: row.get("links")? },
            choice_origin: word(row, "choice_origin", "choice_origin", ChoiceOrigin::from_code)?,
            pixel: row.get("pixel")?,
            links_tracked: row.get("links_tracked")?,
            reasons: reasons(&row.get::<_, String>("reasons")?),
            parts: parts(row.get("parts")?)?,
            recipients: recipients(db, key)?,
            links: links(db, key)?,
            upstream: row.get("upstream")?,
            code: row.get("code")?,
            reply: row.get("reply")?,
            octets_in: count(row, "octets_in")?,
            octets_out: count(row, "octets_out")?,
            took_ms: count(row, "took_ms")?,
        },
        opens_by_people: count(row, "opens_by_people")?,
        opens_by_machines: count(row, "opens_by_machines")?,
        clicks_by_people: count(row, "clicks_by_people")?,
        clicks_by_machines: count(row, "clicks_by_machines")?,
        feedback: feedback_of(db, id(row, "id")?)?,
    })
}

// Reasons come and go more often than tables change. One that a later version wrote is left out rather than
// every message hidden because of it.

fn reasons(codes: &str) -> Vec<Reason> {
    codes.split(',').filter_map(Reason::from_code).collect()
}

fn parts(json: String) -> Result<Vec<PartNote>, Unread> {
    #[derive(Deserialize)]
    struct Note {
        path: String,
        reason: String,
    }
    let Ok(notes) = serde_json::from_str::<Vec<Note>>(&json) else {
        return Err(Unread::Form { what: "list of parts", value: json });
    };
    let known = |note: Note| Some(PartNote { reason: Reason::from_code(&note.reason)?, path: note.path });
    Ok(notes.into_iter().filter_map(known).collect())
}

fn recipients(db: &Connection, key: i64) -> rusqlite::Result<Vec<RecipientRecord>> {
    let sql = "SELECT number, address, code, reply FROM recipient WHERE message = ?1 ORDER BY position";
    db.prepare_cached(sql)?
        .query_map([key], |row| {
            Ok(RecipientRecord {
                index: row.get("number")?,
                address: row.get("address")?,
                code: row.get("code")?,
                reply: row.get("reply")?,
            })
        })?
        .collect()
}

fn links(db: &Connection, key: i64) -> rusqlite::Result<Vec<LinkRecord>> {
    let sql = "SELECT number, href, target, kept FROM link WHERE message = ?1 ORDER BY position";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([key])?;
    let mut links = vec![];
    while let Some(row) = rows.next()? {
        let code: Option<String> = row.get("kept")?;
        let kept = code.as_deref().and_then(Reason::from_code);
        if code.is_some() && kept.is_none() {
            continue;
        }
        let (href, target) = (row.get("href")?, row.get("target")?);
        links.push(LinkRecord { index: row.get("number")?, href, target, kept });
    }
    Ok(links)
}

pub(crate) fn saved_choice(db: &Connection, sender: &str) -> Result<Option<SavedChoice>, Unread> {
    let sql = "SELECT opens, links, by, at FROM saved_choice WHERE sender = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([sender])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(SavedChoice {
        choice: Choice { opens: row.get("opens")?, links: row.get("links")? },
        by: row.get::<_, Option<[u8; 16]>>("by")?.map(RelayId::from_bytes),
        at: moment(row, "at")?,
    }))
}

pub(crate) fn sender(db: &Connection, login: &str) -> Result<Option<SenderRecord>, Unread> {
    let sql = "SELECT sender FROM sender_address WHERE address = ?1";
    let key = db.prepare_cached(sql)?.query_row([login], |row| row.get(0)).optional()?;
    Ok(key.map(|key| sender_of(db, key)).transpose()?)
}

pub(crate) fn senders(db: &Connection) -> Result<Vec<SenderRecord>, Unread> {
    let sql = "SELECT sender FROM sender_address WHERE position = 0 ORDER BY address";
    let keys: Vec<i64> =
        db.prepare_cached(sql)?.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(keys.into_iter().map(|key| sender_of(db, key)).collect::<rusqlite::Result<_>>()?)
}

fn sender_of(db: &Connection, key: i64) -> rusqlite::Result<SenderRecord> {
    let sql = "SELECT address FROM sender_address WHERE sender = ?1 ORDER BY position";
    let mut addresses = db
        .prepare_cached(sql)?
        .query_map([key], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?
        .into_iter();
    let sql = "SELECT password_hash, disabled FROM sender WHERE key = ?1";
    db.prepare_cached(sql)?.query_row(params![key], |row| {
        Ok(SenderRecord {
            address: addresses.next().unwrap_or_default(),
            aliases: addresses.collect(),
            password_hash: row.get("password_hash")?,
            disabled: row.get("disabled")?,
        })
    })
}

pub(crate) fn app_passwords(db: &Connection, sender: &str) -> Result<Vec<AppPassword>, Unread> {
    let sql = "SELECT sender, label, key, hash, made_at FROM app_password WHERE sender = ?1
               ORDER BY made_at, label LIMIT ?2";
    let mut statement = db.prepare_cached(sql)?;
    let passwords = statement.query_map(params![sender, MOST_APP_PASSWORDS], |row| {
        Ok(AppPassword {
            sender: row.get("sender")?,
            label: row.get("label")?,
            key: row.get("key")?,
            hash: row.get("hash")?,
            made_at: moment(row, "made_at")?,
        })
    })?;
    Ok(passwords.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn id(row: &Row, column: &str) -> rusqlite::Result<RelayId> {
    Ok(RelayId::from_bytes(row.get(column)?))
}

pub(crate) fn moment(row: &Row, column: &str) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_unix_millis(row.get(column)?))
}

fn count(row: &Row, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

pub(crate) fn word<T>(
    row: &Row,
    column: &str,
    what: &'static str,
    from_code: fn(&str) -> Option<T>,
) -> Result<T, Unread> {
    let code: String = row.get(column)?;
    from_code(&code).ok_or(Unread::Form { what, value: code })
}
