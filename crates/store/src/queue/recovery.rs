use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use envelope::{Clock, SystemClock};
use rusqlite::{Connection, TransactionBehavior};

use crate::queue::bodies::Bodies;
use crate::queue::change::{Row, insert, key_of};
use crate::queue::salvage::{self, Salvaged};
use crate::queue::schema::SCHEMA;
use crate::queue::sqlite_queue::is_corrupt;
use crate::sqlite::connection::{open_reader, open_writer};
use crate::sqlite::held_file::HeldFile;
use crate::{StoreError, log};

/// What a start found where the queue's database should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nothing, or an empty file.
    Absent,
    Sound,
    /// Its remains are in a new one.
    Damaged,
}

/// Looks the database through before it is used. A damaged one is set aside, and what can be read of it is there
/// in a new one: the program starts all the same. Only for whoever holds the queue's lock.
pub(crate) fn recover(database: &Path, bodies: &Bodies, busy: Duration) -> Result<Health, StoreError> {
    let fresh = with(database, ".salvaged");
    let length = std::fs::metadata(database).map_or(0, |metadata| metadata.len());
    if length == 0 {
        // A start that salvaged was ended between its last two steps.
        if fresh.exists() && !database.exists() {
            rename(&fresh, database)?;
            return Ok(Health::Damaged);
        }
        return Ok(Health::Absent);
    }
    let Some(damage) = damage(database, busy)? else { return Ok(Health::Sound) };
    let moment = SystemClock.now().to_string().replace(':', "-");
    let aside = with(database, &format!(".damaged-{moment}"));
    log::queue_damaged(&aside, &damage);

    remove(&fresh)?;
    let salvaged = salvage_into(&fresh, database, bodies, &moment, busy)?;
    rename(database, &aside)?;
    // What it was not yet told of its last commits.
    let log_file = with(database, "-wal");
    if std::fs::metadata(&log_file).is_ok_and(|metadata| metadata.len() > 0) {
        rename(&log_file, &with(&aside, "-wal"))?;
    }
    let _ = std::fs::remove_file(&log_file);
    let _ = std::fs::remove_file(with(database, "-shm"));
    rename(&fresh, database)?;
    log::queue_salvaged(&aside, &salvaged);
    Ok(Health::Damaged)
}

/// Removes the files that no row names. If the rows were lost with the database, they are kept instead.
pub(crate) fn tidy(db: &mut Connection, bodies: &Bodies, health: Health) -> Result<(), StoreError> {
    let failed = |e| StoreError::sqlite("looking for files without a message", e);
    // Nobody else is between placing a file and committing its row: that happens under this lock too.
    let moment = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let (placed, staged) = bodies.names()?;
    for name in staged {
        bodies.remove_orphan(&name);
    }
    let (mut kept, mut back) = (vec![], 0);
    {
        let mut known = moment.prepare("SELECT 1 FROM message WHERE file = ?1").map_err(failed)?;
        for name in placed {
            if known.exists([&name]).map_err(failed)? {
                continue;
            }
            match health {
                Health::Sound => bodies.remove_orphan(&name),
                Health::Absent | Health::Damaged if put_back(&moment, bodies, &name).map_err(failed)? => {
                    back += 1;
                }
                Health::Absent | Health::Damaged => kept.push(bodies.keep_orphan(&name)?),
            }
        }
    }
    if back > 0 {
        log::queue_contents_set_aside(back);
    }
    if let Some(first) = kept.first() {
        log::queue_contents_without_message(kept.len(), first.parent().unwrap_or(first));
    }
    moment.commit().map_err(failed)
}

/// A file that says whose it is becomes a message again, set aside. False: it does not say.
fn put_back(db: &Connection, bodies: &Bodies, name: &str) -> rusqlite::Result<bool> {
    let Some(copy) = bodies.copy(name) else { return Ok(false) };
    let (message, kept) = salvage::from_copy(&copy);
    if key_of(db, message.id)?.is_some() {
        return Ok(false);
    }
    insert(db, &Row { message: &message, octets: kept.octets, checksum: kept.checksum, file: Some(name) })?;
    Ok(true)
}

/// What is wrong with it, if anything is.
fn damage(database: &Path, busy: Duration) -> Result<Option<String>, StoreError> {
    match look_through(database, busy) {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(verdict) => Ok(Some(verdict)),
        Err(StoreError::Database { source, .. }) if is_corrupt(&source) => Ok(Some(source.to_string())),
        Err(StoreError::Unreadable { what, value }) => Ok(Some(format!("its {what}: {value}"))),
        Err(error) => Err(error),
    }
}

fn look_through(database: &Path, busy: Duration) -> Result<String, StoreError> {
    let failed = |e| StoreError::sqlite("being looked through", e);
    let db = open_writer(database, busy, &SCHEMA)?;
    let verdict: String = db.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(failed)?;
    if let Some(table) = missing_table(&db).map_err(failed)? {
        return Ok(format!("its table {table} is missing"));
    }
    Ok(verdict)
}

fn missing_table(db: &Connection) -> rusqlite::Result<Option<&'static str>> {
    let mut known = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    for table in ["message", "recipient", "content"] {
        if !known.exists([table])? {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

fn salvage_into(
    fresh: &Path,
    database: &Path,
    bodies: &Bodies,
    moment: &str,
    busy: Duration,
) -> Result<Salvaged, StoreError> {
    HeldFile::create(fresh)?;
    let mut to = open_writer(fresh, busy, &SCHEMA)?;
    let patched = with(database, ".patched");
    let salvaged = match open_damaged(database, &patched, fresh, busy) {
        Ok(from) => salvage::salvage(&from, &mut to, bodies, moment),
        Err(error) => {
            log::queue_unreadable(&error);
            Ok(Salvaged::default())
        }
    };
    remove(&patched)?;
    // Closed, it is one file, and synced.
    to.close().map_err(|(_, e)| StoreError::sqlite("closing the new queue", e))?;
    salvaged
}

/// As it is, or, when its first page is lost, with that of a new one: the tables of all queues begin at the same
/// pages.
fn open_damaged(
    database: &Path,
    patched: &Path,
    fresh: &Path,
    busy: Duration,
) -> Result<Connection, StoreError> {
    let opened = |path: &Path| {
        let db = open_reader(path, busy)?;
        match missing_table(&db).map_err(|e| StoreError::sqlite("opening the damaged queue", e))? {
            None => Ok(db),
            Some(table) => Err(StoreError::Unreadable { what: "table", value: table.to_owned() }),
        }
    };
    opened(database).or_else(|_| {
        patch(database, patched, fresh)
            .map_err(|e| StoreError::file("copying the damaged queue to", patched, e))?;
        opened(patched)
    })
}

/// The page size of every database made by the SQLite that we bring.
const PAGE: usize = 4_096;

fn patch(database: &Path, patched: &Path, fresh: &Path) -> std::io::Result<()> {
    let mut page = [0; PAGE];
    {
        // It is in the WAL of the new one as yet.
        let db = Connection::open(fresh).map_err(std::io::Error::other)?;
        let folded = db.query_row("PRAGMA wal_checkpoint(FULL)", (), |row| row.get::<_, i64>(0));
        folded.map_err(std::io::Error::other)?;
    }
    std::fs::File::open(fresh)?.read_exact(&mut page)?;
    // "Valid for" another change than the last: the number of pages is then the file's (SQLite file format §1.3.8).
    page[92..96].copy_from_slice(&u32::MAX.to_be_bytes());
    std::fs::copy(database, patched)?;
    let log_file = with(database, "-wal");
    if log_file.exists() {
        std::fs::copy(&log_file, with(patched, "-wal"))?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).open(patched)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&page)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// With what SQLite keeps beside it.
fn remove(database: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let path = with(database, suffix);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::file("removing", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to)
        .and_then(|()| crate::files::sync_folder_of(to))
        .map_err(|e| StoreError::file("renaming", from, e))
}
