use std::collections::HashMap;

use envelope::RelayId;
use rusqlite::Connection;
use verdict::Judgement;

/// Keys of rows that nearly every event needs, so that they need not be looked up for each.
///
/// What is here is in the database, as of the transaction under way: a transaction that is taken back, a write
/// that may delete rows, and a commit of another program each make it forget everything.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys {
    pub(crate) messages: HashMap<RelayId, i64>,
    pub(crate) words: HashMap<String, i64>,
    /// Few enough to be looked through.
    judgements: Vec<(Judgement, i64)>,
    /// SQLite's `data_version`: it changes when another connection commits.
    version: i64,
}

/// Of messages, and of words. An agent is at most 1,000 octets long, so this is at most some megabytes.
const MOST: usize = 4_096;
const MOST_JUDGEMENTS: usize = 32;

impl KnownKeys {
    /// At the beginning of each transaction.
    pub(crate) fn begin(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let version = db.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))?;
        if version != self.version {
            self.forget();
            self.version = version;
        }
        for map_is_full in [self.messages.len() >= MOST, self.words.len() >= MOST] {
            if map_is_full {
                self.forget();
            }
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self) {
        self.messages.clear();
        self.words.clear();
        self.judgements.clear();
    }

    pub(crate) fn judgement(&self, judgement: &Judgement) -> Option<i64> {
        self.judgements.iter().find(|(known, _)| known == judgement).map(|(_, key)| *key)
    }

    pub(crate) fn learn_judgement(&mut self, judgement: &Judgement, key: i64) {
        if self.judgements.len() >= MOST_JUDGEMENTS {
            self.judgements.clear();
        }
        self.judgements.push((judgement.clone(), key));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::samples::open;
    use crate::{SqliteStore, Store};

    /// Another program deletes what we know by its key: nothing may refer to a row that is gone.
    #[tokio::test]
    async fn what_another_program_deleted_is_looked_up_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.db");
        let store = Arc::new(SqliteStore::open(&path).unwrap());
        let event = |n| crate::Event { user_agent: Some("Firefox, Linux".to_owned()), ..open(n, 1) };
        store.record_event(event(1)).await.unwrap();
        store.record_event(event(2)).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        let count = |sql: &str| other.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM tally"), 1);
        other
            .execute_batch(
                "DELETE FROM evidence; DELETE FROM event; DELETE FROM word; DELETE FROM judgement; DELETE FROM tally;
                 INSERT INTO word (key, text) VALUES (1, 'another'); INSERT INTO tally (key, message) VALUES (1, x'00');",
            )
            .unwrap();
        store.record_event(event(3)).await.unwrap();
        let stored = store.recent_events(9).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].event, event(3));
        assert_eq!(count("SELECT opens_by_people FROM tally WHERE key <> 1"), 1);
    }
}
