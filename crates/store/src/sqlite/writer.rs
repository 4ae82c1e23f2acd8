use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use crate::StoreError;
use crate::sqlite::held_file::HeldFile;
use crate::sqlite::schema::open_writer;
use crate::sqlite::write::Write;
use crate::worker::Committer;

/// The connection that writes, on its own thread.
pub(crate) struct Writer {
    connection: Connection,
    file: HeldFile,
    committed: watch::Sender<i64>,
}

impl Writer {
    pub(crate) fn open(path: &Path, busy: Duration) -> Result<Self, StoreError> {
        HeldFile::create(path)?;
        let connection = open_writer(path, busy)?;
        let newest = connection
            .query_row("SELECT coalesce(max(seq), 0) FROM event", (), |row| row.get(0))
            .map_err(|e| StoreError::sqlite("being opened", e))?;
        Ok(Self { connection, file: HeldFile::hold(path), committed: watch::Sender::new(newest) })
    }

    pub(crate) fn file(&self) -> &HeldFile {
        &self.file
    }

    pub(crate) fn committed(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn pragma(&self, name: &str) -> String {
        let value =
            self.connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
        match value.unwrap() {
            rusqlite::types::Value::Text(text) => text,
            rusqlite::types::Value::Integer(number) => number.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// One transaction, or nothing of it.
    fn all_or_nothing(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        self.file.check()?;
        let failed = |e| StoreError::sqlite("committing", e);
        // IMMEDIATE: waiting for another program's lock happens here, never in the middle.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut newest = None;
        for write in batch {
            newest = write.apply(&transaction)?.or(newest);
        }
        transaction.commit().map_err(failed)?;
        if let Some(newest) = newest {
            self.committed.send_replace(newest);
        }
        Ok(())
    }
}

impl Committer for Writer {
    type Item = Write;
    type Answer = ();
    const NAME: &'static str = "store-writer";

    fn commit(&mut self, batch: &[Write]) -> Vec<Result<(), StoreError>> {
        match self.all_or_nothing(batch) {
            Ok(()) => batch.iter().map(|_| Ok(())).collect(),
            // One of them is refused: it must not take the others with it. Halving finds it in a few more
            // transactions; a savepoint before each write would cost every write a copy of the pages it
            // touches, a quarter of the writer's time.
            Err(error) if batch.len() > 1 && !error.store_is_away() => {
                let (first, second) = batch.split_at(batch.len() / 2);
                [self.commit(first), self.commit(second)].into_iter().flatten().collect()
            }
            Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn recover(&mut self) {
        // A transaction rolls back when it is dropped; this is for when even that failed.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
