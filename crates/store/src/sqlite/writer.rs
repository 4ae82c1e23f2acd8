use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

use crate::StoreError;
use crate::sqlite::connection::{Schema, open_writer};
use crate::sqlite::held_file::HeldFile;
use crate::worker::Committer;

/// The connection that writes, on its own thread.
pub(crate) struct Writer<L> {
    connection: Connection,
    file: HeldFile,
    ledger: L,
}

/// How the writes of one kind of database are done, and what goes with them beside the SQL.
pub(crate) trait Ledger: Send + 'static {
    /// One write. Doing it again changes nothing.
    type Write: Send + 'static;
    /// What its writer is told.
    type Answer: Send + 'static;
    /// The name of the thread.
    const THREAD: &'static str;

    /// Within a transaction, which may be taken back and tried again in parts.
    fn apply(&mut self, write: &Self::Write, db: &Connection) -> Result<Self::Answer, StoreError>;

    /// The last step before the transaction is committed.
    fn before_commit(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What was applied is on disk.
    fn committed(&mut self, db: &Connection);

    /// Nothing of what was applied happened.
    fn taken_back(&mut self);
}

impl<L: Ledger> Writer<L> {
    /// `ledger` is made from what the database holds.
    pub(crate) fn open(
        path: &Path,
        busy: Duration,
        schema: &Schema,
        ledger: impl FnOnce(&Connection) -> Result<L, StoreError>,
    ) -> Result<Self, StoreError> {
        HeldFile::create(path)?;
        let connection = open_writer(path, busy, schema)?;
        let ledger = ledger(&connection)?;
        Ok(Self { connection, file: HeldFile::hold(path), ledger })
    }

    pub(crate) fn file(&self) -> &HeldFile {
        &self.file
    }

    pub(crate) fn ledger(&self) -> &L {
        &self.ledger
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
    fn all_or_nothing(&mut self, batch: &[L::Write]) -> Result<Vec<L::Answer>, StoreError> {
        self.file.check()?;
        let failed = |e| StoreError::sqlite("committing", e);
        // IMMEDIATE: waiting for another program's lock happens here, never in the middle.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let ledger = &mut self.ledger;
        let answers =
            batch.iter().map(|write| ledger.apply(write, &transaction)).collect::<Result<_, _>>()?;
        ledger.before_commit()?;
        transaction.commit().map_err(failed)?;
        Ok(answers)
    }
}

impl<L: Ledger> Committer for Writer<L> {
    type Item = L::Write;
    type Answer = L::Answer;
    const NAME: &'static str = L::THREAD;

    fn commit(&mut self, batch: &[L::Write]) -> Vec<Result<L::Answer, StoreError>> {
        match self.all_or_nothing(batch) {
            Ok(answers) => {
                self.ledger.committed(&self.connection);
                answers.into_iter().map(Ok).collect()
            }
            Err(error) => {
                self.ledger.taken_back();
                // One of them is refused, or the largest finds no room: it must not take the others with it.
                // Halving finds it in a few more transactions; a savepoint before each write would cost every
                // write a copy of the pages it touches, a quarter of the writer's time.
                if batch.len() > 1 && !error.would_hit_all() {
                    let (first, second) = batch.split_at(batch.len() / 2);
                    return [self.commit(first), self.commit(second)].into_iter().flatten().collect();
                }
                batch.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    fn recover(&mut self) {
        // A transaction rolls back when it is dropped; this is for when even that failed.
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.ledger.taken_back();
    }
}
