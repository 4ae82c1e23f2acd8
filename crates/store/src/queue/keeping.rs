use std::path::PathBuf;

use envelope::RelayId;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use crate::StoreError;
use crate::queue::bodies::Bodies;
use crate::queue::change::{Change, Content, Put, insert, key_of};
use crate::sqlite::writer::Ledger;

/// The queue's changes, with the files that go with them.
pub(crate) struct Keeping {
    bodies: Bodies,
    changed: watch::Sender<u64>,
    commits: u64,
    // Of the transaction that is open:
    placed: Vec<(PathBuf, String)>,
    going: Vec<(RelayId, String)>,
    damaged: Vec<(RelayId, String)>,
}

/// Free pages that stay in the database's file for what comes next: 64 MB.
const FREE_PAGES: u32 = 16_384;
/// How often is looked whether there are more, in commits, and how many of them are given back then.
const LOOK_EVERY: u64 = 64;
const GIVE_BACK: u32 = 2_048;

impl Keeping {
    pub(crate) fn new(bodies: Bodies, changed: watch::Sender<u64>) -> Self {
        Self { bodies, changed, commits: 0, placed: vec![], going: vec![], damaged: vec![] }
    }

    /// One that is there already stays as it is.
    pub(crate) fn put(&mut self, db: &Connection, put: &Put) -> Result<u64, StoreError> {
        let failed = |e| StoreError::sqlite("taking a message into the queue", e);
        let id = put.message.id;
        if key_of(db, id).map_err(failed)?.is_some() {
            return Ok(0);
        }
        match &put.content {
            Content::Here(octets) => {
                let key = insert(db, &put.row(None)).map_err(failed)?;
                let sql = "INSERT INTO content (message, envelope, octets) VALUES (?1, ?2, ?3)";
                db.prepare_cached(sql)
                    .and_then(|mut statement| {
                        statement.execute(params![key, put.envelope, octets.as_slice()])
                    })
                    .map_err(failed)?;
            }
            Content::File(staged) => {
                let name = self.bodies.place(staged, id)?;
                self.placed.push((staged.path().to_owned(), name.clone()));
                insert(db, &put.row(Some(&name))).map_err(failed)?;
            }
        }
        Ok(1)
    }

    pub(crate) fn file_goes(&mut self, id: RelayId, name: String) {
        self.going.push((id, name));
    }

    pub(crate) fn file_is_damaged(&mut self, id: RelayId, name: String) {
        self.damaged.push((id, name));
    }
}

impl Ledger for Keeping {
    type Write = Change;
    type Answer = u64;
    const THREAD: &'static str = "queue-writer";

    fn apply(&mut self, change: &Change, db: &Connection) -> Result<u64, StoreError> {
        change.apply(self, db)
    }

    fn before_commit(&mut self) -> Result<(), StoreError> {
        // A row must never name a file that a crash takes away.
        if self.placed.is_empty() { Ok(()) } else { self.bodies.sync() }
    }

    fn committed(&mut self, db: &Connection) {
        self.placed.clear();
        for (id, name) in self.damaged.drain(..) {
            self.bodies.set_aside(&name, id);
        }
        for (id, name) in self.going.drain(..) {
            self.bodies.remove(&name, id);
        }
        self.changed.send_modify(|number| *number = number.wrapping_add(1));
        self.commits = self.commits.wrapping_add(1);
        if self.commits.is_multiple_of(LOOK_EVERY) {
            // The room of a backlog that is gone must be seen by whoever asks the disk for room. If it fails now
            // it will be tried again.
            let _ = give_back(db);
        }
    }

    fn taken_back(&mut self) {
        for (staged, name) in self.placed.drain(..) {
            self.bodies.displace(&staged, &name);
        }
        self.going.clear();
        self.damaged.clear();
    }
}

fn give_back(db: &Connection) -> rusqlite::Result<()> {
    let free: u32 = db.query_row("PRAGMA freelist_count", (), |row| row.get(0))?;
    if free > FREE_PAGES {
        let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({GIVE_BACK})"))?;
        let mut steps = vacuum.query(())?;
        while steps.next()?.is_some() {}
    }
    Ok(())
}
