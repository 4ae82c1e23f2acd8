use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use rusqlite::{Connection, params};

use crate::sqlite::readers::Unread;
use crate::sqlite::write::Write;
use crate::{MOST_REVOCATIONS, Revocation, Revocations, SqliteStore, StoreError, StoredRevocation};

/// Revocations, and a number for each list that others hold in memory. `-1`: all of them.
pub(crate) const SCHEMA: &str = "
CREATE TABLE revocation (
    message   BLOB NOT NULL,
    recipient INTEGER NOT NULL,
    link      INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (message, recipient, link)
) STRICT, WITHOUT ROWID;

CREATE TABLE edition (
    of     TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO edition (of, number) VALUES ('revocation', 0), ('suppression', 0);
";

#[async_trait]
impl Revocations for SqliteStore {
    async fn revoke(&self, what: Revocation, at: Timestamp) -> Result<(), StoreError> {
        self.writer.commit(Write::Revocation(Change::Revoke { what, at })).await
    }

    async fn unrevoke(&self, what: Revocation) -> Result<(), StoreError> {
        self.writer.commit(Write::Revocation(Change::Unrevoke { what })).await
    }

    async fn revocations(&self) -> Result<Vec<StoredRevocation>, StoreError> {
        self.readers.read("reading what is revoked", revocations).await
    }

    async fn revocations_edition(&self) -> Result<i64, StoreError> {
        let read = |db: &Connection| Ok(edition(db, "revocation")?);
        self.readers.read("looking whether something was revoked", read).await
    }
}

#[derive(Debug)]
pub(crate) enum Change {
    Revoke { what: Revocation, at: Timestamp },
    Unrevoke { what: Revocation },
}

impl Change {
    pub(crate) fn apply(&self, db: &Connection) -> Result<(), StoreError> {
        let failed = |e| StoreError::sqlite("changing what is revoked", e);
        let changed = match self {
            Self::Revoke { what, at } => revoke(db, what, *at)?,
            Self::Unrevoke { what } => {
                let sql = "DELETE FROM revocation WHERE message = ?1 AND recipient = ?2 AND link = ?3";
                let mut statement = db.prepare_cached(sql).map_err(failed)?;
                statement
                    .execute(params![what.message.as_bytes(), or_all(what.recipient), or_all(what.link)])
                    .map_err(failed)?
            }
        };
        if changed > 0 { next_edition(db, "revocation").map_err(failed) } else { Ok(()) }
    }
}

fn revoke(db: &Connection, what: &Revocation, at: Timestamp) -> Result<usize, StoreError> {
    let failed = |e| StoreError::sqlite("revoking", e);
    let sql = "INSERT INTO revocation (message, recipient, link, at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (message, recipient, link) DO NOTHING";
    let values =
        params![what.message.as_bytes(), or_all(what.recipient), or_all(what.link), at.unix_millis()];
    let new = db.prepare_cached(sql).and_then(|mut statement| statement.execute(values)).map_err(failed)?;
    let count: i64 = db.query_row("SELECT count(*) FROM revocation", (), |row| row.get(0)).map_err(failed)?;
    // An error takes the transaction back.
    if new > 0 && count > i64::from(MOST_REVOCATIONS) {
        return Err(StoreError::TooManyRevocations);
    }
    Ok(new)
}

/// Whoever holds the list in memory sees that it is another one.
pub(crate) fn next_edition(db: &Connection, of: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE edition SET number = number + 1 WHERE of = ?1")?.execute([of])?;
    Ok(())
}

pub(crate) fn edition(db: &Connection, of: &str) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT number FROM edition WHERE of = ?1")?.query_row([of], |row| row.get(0))
}

fn revocations(db: &Connection) -> Result<Vec<StoredRevocation>, Unread> {
    let sql = "SELECT message, recipient, link, at FROM revocation ORDER BY at DESC, message DESC LIMIT ?1";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map([MOST_REVOCATIONS], |row| {
        // What is no number of ours stands for all.
        let one = |number: i64| u16::try_from(number).ok();
        Ok(StoredRevocation {
            what: Revocation {
                message: RelayId::from_bytes(row.get("message")?),
                recipient: one(row.get("recipient")?),
                link: one(row.get("link")?),
            },
            at: Timestamp::from_unix_millis(row.get("at")?),
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn or_all(number: Option<u16>) -> i64 {
    number.map_or(-1, i64::from)
}
