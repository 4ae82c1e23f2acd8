use envelope::RelayId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::{Map, Value};

use super::forgetting::{Key, Scrub, scrubbed};
use super::refusing;
use crate::sqlite::event_log;
use crate::sqlite::read::{id, moment};
use crate::sqlite::readers::Unread;
use crate::{LastOpen, Named, TracedMessage, Traces};

/// Of one table no more rows are looked at that name an address.
const MOST_ROWS: usize = 100_000;
/// What is needed although it names somebody: a sender's own account and mail, and who wants no mail.
const STAYS: &[(&str, &[&str])] = &[
    ("sender_address", &["address"]),
    ("saved_choice", &["sender"]),
    ("app_password", &["sender", "label"]),
    ("message", &["sender", "reverse_path", "from_field"]),
    ("suppression", &["address", "sender"]),
];

/// Everything that is stored about an address.
pub(crate) fn traces(db: &Connection, address: &str) -> Result<Traces, Unread> {
    let messages = messages(db, address)?;
    let mut last_opens = vec![];
    for message in &messages {
        let own = |open: &LastOpen| open.recipient == Some(message.recipient);
        last_opens.extend(refusing::last_opens(db, message.id)?.into_iter().filter(own));
    }
    Ok(Traces {
        refused: refusing::refused(db, &[address.to_owned()])?.contains(&true),
        messages,
        events: event_log::events_of_address(db, address)?,
        last_opens,
        named: mentions(db, address)?.into_iter().map(|mention| mention.named).collect(),
    })
}

fn messages(db: &Connection, address: &str) -> Result<Vec<TracedMessage>, Unread> {
    let find = "SELECT t.message AS id, m.accepted_at, m.sender, m.subject, m.pixel, m.links_tracked, r.number,
                    r.address, r.code, r.reply
                FROM recipient r CROSS JOIN tally t ON t.key = r.message CROSS JOIN message m ON m.key = r.message
                WHERE r.address = ?1 ORDER BY t.message";
    let mut statement = db.prepare_cached(find)?;
    let messages = statement.query_map([address], |row| {
        Ok(TracedMessage {
            id: id(row, "id")?,
            sent_at: moment(row, "accepted_at")?,
            sender: row.get("sender")?,
            subject: row.get("subject")?,
            recipient: row.get("number")?,
            address: row.get("address")?,
            code: row.get("code")?,
            reply: row.get("reply")?,
            pixel: row.get("pixel")?,
            links_tracked: row.get("links_tracked")?,
        })
    })?;
    Ok(messages.collect::<rusqlite::Result<_>>()?)
}

/// A text of the database that names an address.
pub(super) struct Mention {
    pub(super) named: Named,
    pub(super) scrub: Scrub,
}

/// Every text in which the address stands, but for the recipients' own rows. Tables are found, not listed: one that
/// is added later must not be forgotten here.
pub(super) fn mentions(db: &Connection, address: &str) -> Result<Vec<Mention>, Unread> {
    let mut mentions = vec![];
    let find = "SELECT t.name, c.name, (SELECT group_concat(k.name) FROM pragma_table_info(t.name) k WHERE k.pk > 0)
                FROM sqlite_schema t CROSS JOIN pragma_table_info(t.name) c
                WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND c.type IN ('TEXT', 'ANY')
                ORDER BY t.name, c.cid";
    let columns: Vec<(String, String, Option<String>)> = db
        .prepare(find)?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (table, column, key) in columns {
        if (table.as_str(), column.as_str()) == ("recipient", "address") {
            continue;
        }
        let key: Vec<String> = match key {
            Some(names) => names.split(',').map(str::to_owned).collect(),
            None => vec!["rowid".to_owned()],
        };
        mentions.extend(mentions_in(db, &table, &column, &key, address)?);
    }
    Ok(mentions)
}

fn mentions_in(
    db: &Connection,
    table: &str,
    column: &str,
    key: &[String],
    address: &str,
) -> Result<Vec<Mention>, Unread> {
    let keys: Vec<String> = key.iter().map(|name| format!("\"{name}\" AS \"key {name}\"")).collect();
    // In a link's query the @ is mostly encoded.
    let find = format!(
        "SELECT {}, * FROM \"{table}\" WHERE typeof(\"{column}\") = 'text'
             AND (instr(lower(\"{column}\"), ?1) OR instr(lower(\"{column}\"), ?2)) LIMIT {MOST_ROWS}",
        keys.join(", ")
    );
    let address = address.to_ascii_lowercase();
    let stays = STAYS.iter().any(|(kept, columns)| *kept == table && columns.contains(&column));
    let mut statement = db.prepare(&find)?;
    let names: Vec<String> = statement.column_names().iter().map(|name| (*name).to_owned()).collect();
    let mut rows = statement.query([&address, &address.replace('@', "%40")])?;
    let mut mentions = vec![];
    while let Some(row) = rows.next()? {
        let before: String = row.get(column)?;
        // Within a longer address it is somebody else's.
        let Some(after) = scrubbed(&before, &address) else { continue };
        let key: Vec<(String, Key)> = key
            .iter()
            .enumerate()
            .map(|(at, name)| Ok((name.clone(), row.get(at)?)))
            .collect::<rusqlite::Result<_>>()?;
        mentions.push(Mention {
            named: Named {
                table: table.to_owned(),
                column: column.to_owned(),
                stays,
                row: as_json(row, &names[key.len()..], key.len())?,
            },
            scrub: Scrub { table: table.to_owned(), column: column.to_owned(), key, before, after },
        });
    }
    Ok(mentions)
}

fn as_json(row: &Row, names: &[String], first: usize) -> rusqlite::Result<Map<String, Value>> {
    let mut object = Map::new();
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(first + at)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
            ValueRef::Blob(octets) => match <[u8; 16]>::try_from(octets) {
                Ok(id) => RelayId::from_bytes(id).to_string().into(),
                Err(_) => format!("{} octets", octets.len()).into(),
            },
        };
        object.insert(name.clone(), value);
    }
    Ok(object)
}
