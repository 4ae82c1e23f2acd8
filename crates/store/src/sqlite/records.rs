use rusqlite::Connection;
use tokio::sync::watch;

use crate::StoreError;
use crate::sqlite::event_log;
use crate::sqlite::known_keys::KnownKeys;
use crate::sqlite::suppression::SuppressedSenders;
use crate::sqlite::write::Write;
use crate::sqlite::writer::Ledger;

/// The store's writes, the number of the newest event that is committed, and that of the newest settled one.
pub(crate) struct Records {
    newest: Option<i64>,
    known: KnownKeys,
    /// A transaction is under way.
    begun: bool,
    committed: watch::Sender<i64>,
    suppressed: SuppressedSenders,
    settling: Option<i64>,
    settled: watch::Sender<i64>,
}

impl Records {
    pub(crate) fn open(db: &Connection) -> Result<Self, StoreError> {
        let newest = db
            .query_row("SELECT coalesce(max(seq), 0) FROM event", (), |row| row.get(0))
            .map_err(|e| StoreError::sqlite("being opened", e))?;
        // What is deleted must not be left to be read in the file.
        db.pragma_update(None, "secure_delete", true).map_err(|e| StoreError::sqlite("being opened", e))?;
        let settled = event_log::settled(db).map_err(|e| StoreError::sqlite("being opened", e))?;
        Ok(Self {
            newest: None,
            known: KnownKeys::default(),
            begun: false,
            committed: watch::Sender::new(newest),
            settling: None,
            settled: watch::Sender::new(settled),
            suppressed: SuppressedSenders::open(db)?,
        })
    }

    pub(crate) fn committed(&self) -> watch::Receiver<i64> {
        self.committed.subscribe()
    }

    pub(crate) fn settled(&self) -> watch::Receiver<i64> {
        self.settled.subscribe()
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
        if !self.begun {
            self.known.begin(db).map_err(|e| StoreError::sqlite("beginning to write", e))?;
            self.begun = true;
        }
        self.newest = write.apply(db, &mut self.known)?.or(self.newest);
        if let Write::Settle(settlement) = write {
            self.settling = self.settling.max(Some(settlement.upto));
        }
        Ok(())
    }

    fn committed(&mut self, _db: &Connection) {
        self.begun = false;
        if let Some(newest) = self.newest.take() {
            self.committed.send_replace(newest);
        }
        if let Some(upto) = self.settling.take() {
            self.settled.send_if_modified(|settled| {
                let further = upto > *settled;
                *settled = upto.max(*settled);
                further
            });
        }
    }

    fn taken_back(&mut self) {
        self.begun = false;
        self.known.forget();
        self.newest = None;
        self.settling = None;
    }
}
