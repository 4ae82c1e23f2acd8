use async_trait::async_trait;
use envelope::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::sqlite::readers::Unread;
use crate::sqlite::write::{Write, execute};
use crate::{ApiToken, ApiTokens, SqliteStore, StoreError};

pub(crate) const SCHEMA: &str = "
CREATE TABLE api_token (
    name    TEXT PRIMARY KEY,
    owner   TEXT NOT NULL COLLATE NOCASE,
    label   TEXT NOT NULL,
    scopes  TEXT NOT NULL, -- joined by blanks
    key     BLOB NOT NULL,
    hash    BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    ends_at INTEGER
) STRICT, WITHOUT ROWID;
";

#[async_trait]
impl ApiTokens for SqliteStore {
    async fn save_api_token(&self, token: ApiToken) -> Result<(), StoreError> {
        self.writer.commit(Write::ApiToken(Change::Save(token))).await
    }

    async fn api_token(&self, name: &str) -> Result<Option<ApiToken>, StoreError> {
        let name = name.to_owned();
        let find = move |db: &Connection| Ok(tokens(db, "WHERE name = ?1", &name)?.pop());
        self.readers.read("looking up an API token", find).await
    }

    async fn api_tokens(&self, owner: Option<&str>) -> Result<Vec<ApiToken>, StoreError> {
        let owner = owner.map(str::to_owned);
        let list = move |db: &Connection| match &owner {
            Some(owner) => tokens(db, "WHERE owner = ?1", owner),
            None => tokens(db, "WHERE ?1 = ''", ""),
        };
        self.readers.read("listing API tokens", list).await
    }

    async fn remove_api_token(&self, name: &str) -> Result<(), StoreError> {
        self.writer.commit(Write::ApiToken(Change::Remove(name.to_owned()))).await
    }
}

#[derive(Debug)]
pub(crate) enum Change {
    Save(ApiToken),
    Remove(String),
}

impl Change {
    pub(crate) fn apply(&self, db: &Connection) -> Result<(), StoreError> {
        let changed = match self {
            Self::Save(token) => execute(
                db,
                "INSERT OR REPLACE INTO api_token (name, owner, label, scopes, key, hash, made_at, ends_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    token.name,
                    token.owner,
                    token.label,
                    token.scopes,
                    token.key,
                    token.hash,
                    token.made_at.unix_millis(),
                    token.ends_at.map(Timestamp::unix_millis),
                ],
            ),
            Self::Remove(name) => execute(db, "DELETE FROM api_token WHERE name = ?1", &[name]),
        };
        changed.map(drop).map_err(|e| StoreError::sqlite("changing API tokens", e))
    }
}

fn tokens(db: &Connection, which: &str, value: &str) -> Result<Vec<ApiToken>, Unread> {
    let sql = format!(
        "SELECT name, owner, label, scopes, key, hash, made_at, ends_at FROM api_token {which}
         ORDER BY made_at, name LIMIT 10000"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_map([value], token)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn token(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    Ok(ApiToken {
        name: row.get("name")?,
        owner: row.get("owner")?,
        label: row.get("label")?,
        scopes: row.get("scopes")?,
        key: row.get("key")?,
        hash: row.get("hash")?,
        made_at: Timestamp::from_unix_millis(row.get("made_at")?),
        ends_at: row.get::<_, Option<i64>>("ends_at")?.map(Timestamp::from_unix_millis),
    })
}
