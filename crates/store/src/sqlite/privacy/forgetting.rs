use rusqlite::types::Value;
use rusqlite::{Connection, ToSql, params, params_from_iter};

use super::tracing::mentions;
use crate::sqlite::readers::Unread;
use crate::sqlite::write::execute;

/// What stands in an address's place.
pub(crate) const FORGOTTEN: &str = "(forgotten)";
/// Rows changed in one transaction: a few milliseconds.
const TOGETHER: usize = 200;

/// The value of a column of a key.
pub(crate) type Key = Value;

/// A part of forgetting somebody. Doing it again changes nothing.
#[derive(Debug)]
pub(crate) enum Forget {
    /// Copies that he got: key of the message, number of the recipient.
    Copies(Vec<(i64, i64)>),
    /// Texts that name him.
    Scrubs(Vec<Scrub>),
}

/// A text, and what is to stand there instead.
#[derive(Clone, Debug)]
pub(crate) struct Scrub {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) key: Vec<(String, Key)>,
    pub(crate) before: String,
    pub(crate) after: String,
}

impl Forget {
    /// Everything that has to be done for an address, in the order in which it has to be.
    pub(crate) fn all_of(db: &Connection, address: &str) -> Result<Vec<Self>, Unread> {
        let find = "SELECT message, number FROM recipient WHERE address = ?1";
        let copies: Vec<(i64, i64)> = db
            .prepare_cached(find)?
            .query_map([address], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let scrubs: Vec<Scrub> = mentions(db, address)?
            .into_iter()
            .filter(|mention| !mention.named.stays)
            .map(|mention| mention.scrub)
            .collect();
        let copies = copies.chunks(TOGETHER).map(|some| Self::Copies(some.to_vec()));
        Ok(copies.chain(scrubs.chunks(TOGETHER).map(|some| Self::Scrubs(some.to_vec()))).collect())
    }

    /// Within a transaction.
    pub(crate) fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        match self {
            Self::Copies(copies) => copies.iter().try_for_each(|copy| forget_copy(db, *copy)),
            Self::Scrubs(scrubs) => scrubs.iter().try_for_each(|scrub| scrub.apply(db)),
        }
    }
}

fn forget_copy(db: &Connection, (message, number): (i64, i64)) -> rusqlite::Result<()> {
    let values = params![message, number];
    execute(db, "INSERT INTO quiet (message, number) VALUES (?1, ?2) ON CONFLICT DO NOTHING", values)?;
    delete_events(db, message, number, "true")?;
    execute(db, "DELETE FROM last_open WHERE message = ?1 AND number = ?2", values)?;
    execute(db, "DELETE FROM recipient_feedback WHERE message = ?1 AND recipient = ?2", values)?;
    // Its answer names him more often than not.
    let nobody = "UPDATE recipient SET address = ?3, reply = '' WHERE message = ?1 AND number = ?2";
    execute(db, nobody, params![message, number, FORGOTTEN])?;
    Ok(())
}

/// The events of one recipient that fit, what was said of them, and their evidence.
pub(super) fn delete_events(
    db: &Connection,
    message: i64,
    number: i64,
    fitting: &str,
) -> rusqlite::Result<()> {
    let own = format!("SELECT seq FROM event WHERE message = ?1 AND recipient = ?2 AND {fitting}");
    let values = params![message, number];
    execute(db, &format!("DELETE FROM evidence WHERE seq IN ({own})"), values)?;
    execute(
        db,
        &format!("DELETE FROM event WHERE message = ?1 AND typeof(about) = 'integer' AND about IN ({own})"),
        values,
    )?;
    execute(db, &format!("DELETE FROM event WHERE seq IN ({own})"), values)?;
    Ok(())
}

impl Scrub {
    fn apply(&self, db: &Connection) -> rusqlite::Result<()> {
        let own: Vec<String> = self.key.iter().map(|(name, _)| format!("\"{name}\" IS ?")).collect();
        let sql = format!(
            "UPDATE OR REPLACE \"{}\" SET \"{column}\" = ? WHERE \"{column}\" = ? AND {}",
            self.table,
            own.join(" AND "),
            column = self.column,
        );
        let texts = [&self.after as &dyn ToSql, &self.before];
        let values = texts.into_iter().chain(self.key.iter().map(|(_, value)| value as &dyn ToSql));
        db.prepare(&sql)?.execute(params_from_iter(values))?;
        Ok(())
    }
}

/// The text without the address, however its letters are written and its @ encoded; `None`: it does not name it.
pub(crate) fn scrubbed(text: &str, address: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut found = String::with_capacity(text.len());
    let (mut at, mut copied) = (0, 0);
    let forms = [address.to_ascii_lowercase(), address.to_ascii_lowercase().replace('@', "%40")];
    while let Some((start, length)) = next(&lower, at, &forms) {
        let end = start + length;
        at = end;
        if is_whole(&lower, start, end) {
            found.push_str(&text[copied..start]);
            found.push_str(FORGOTTEN);
            copied = end;
        }
    }
    if copied == 0 {
        return None;
    }
    found.push_str(&text[copied..]);
    Some(found)
}

fn next(text: &str, from: usize, forms: &[String]) -> Option<(usize, usize)> {
    let found = forms.iter().filter_map(|form| Some((from + text[from..].find(form.as_str())?, form.len())));
    found.min()
}

/// Does it begin and end where an address can?
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let (before, behind) = (text[..start].as_bytes(), &text.as_bytes()[end..]);
    // RFC 5322 atext, but for what also stands around an address in texts and links: = / ' & ? and the like.
    let goes_on = |octet: &u8| octet.is_ascii_alphanumeric() || b"._+-~%".contains(octet) || *octet >= 0x80;
    // `%3Dbo%40…`: what is encoded before it ends in two digits.
    let encoded = before.len() >= 3
        && before[before.len() - 3] == b'%'
        && before[before.len() - 2..].iter().all(u8::is_ascii_hexdigit);
    let begins = before.last().is_none_or(|octet| !goes_on(octet)) || encoded;
    let ends = match behind {
        [] => true,
        // The end of a sentence.
        [b'.', rest @ ..] => rest.first().is_none_or(|octet| !octet.is_ascii_alphanumeric()),
        [b'-', rest @ ..] => rest.first().is_none_or(|octet| !octet.is_ascii_alphanumeric()),
        [octet, ..] => !octet.is_ascii_alphanumeric() && *octet < 0x80 && *octet != b'_',
    };
    begins && ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_where_it_is_whole() {
        for (text, expected) in [
            ("bo@example.net", Some("(forgotten)")),
            ("550 5.1.1 <Bo@Example.NET>: no such user", Some("550 5.1.1 <(forgotten)>: no such user")),
            ("Write to bo@example.net.", Some("Write to (forgotten).")),
            ("https://a.example/?m=bo@example.net&x=1", Some("https://a.example/?m=(forgotten)&x=1")),
            (
                "https://a.example/?m=BO%40example.net&n=bo@example.net",
                Some("https://a.example/?m=(forgotten)&n=(forgotten)"),
            ),
            ("u=%3Dbo%40example.net%26", Some("u=%3D(forgotten)%26")),
            ("rfc822;bo@example.net", Some("rfc822;(forgotten)")),
            ("für bo@example.net – ja", Some("für (forgotten) – ja")),
            ("jimbo@example.net", None),
            ("jim.bo@example.net", None),
            ("bo@example.net.example.org", None),
            ("bo@example.network", None),
            ("bo@example.net-work.example", None),
            ("jimbo@example.net, bo@example.net", Some("jimbo@example.net, (forgotten)")),
            ("", None),
        ] {
            assert_eq!(scrubbed(text, "bo@example.net").as_deref(), expected, "{text}");
        }
    }
}
