use rusqlite::Connection;
use tokio::sync::watch;

use crate::StoreError;
use crate::sqlite::suppression::SuppressedSenders;
use crate::sqlite::write::Write;
use crate::sqlite::writer::Ledger;

/// The store's writes, and the number of the newest event that is committed.
pub(crate) struct Records {
    newest: Option<i64>,
    committed: watch::Sender<i64>,
    suppressed: SuppressedSenders,
}

impl Records {
    pub(crate) fn open(db: &Connection) -> Result<Self, StoreError> {
        let newest = db
            .query_row("SELECT coalesce(max(seq), 0) FROM event", (), |row| row.get(0))
            .map_err(|e| StoreError::sqlite("being opened", e))?;
        let suppressed = SuppressedSenders::open(db)?;
        Ok(Self { newest: None, committed: watch::Sender::new(newest), suppressed })
    }

    pub(crate) fn committed(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    pub(crate) fn suppressed(&self) -> SuppressedSenders {
        self.suppressed.clone()
    }
}

impl Ledger for Records {
    type Write = Write;
    type Answer = ();
    const THREAD: &'static str = "store-writer";

    fn apply(&mut self, write: &Write, db: &Connection) -> Result<(), StoreError> {
        self.newest = write.apply(db)?.or(self.newest);
        Ok(())
    }

    fn committed(&mut self, _db: &Connection) {
        if let Some(newest) = self.newest.take() {
            self.committed.send_replace(newest);
        }
    }

    fn taken_back(&mut self) {
        self.newest = None;
    }
}
