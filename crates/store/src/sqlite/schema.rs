use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations, SchemaVersion};

use crate::StoreError;

/// Never edit one that was released; add the next. A new word of [`verdict::Verdict`], [`verdict::Kind`] or
/// [`crate::ChoiceOrigin`] needs one too, even an empty one, so that programs that do not know it refuse.
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);
const STEPS: &[M<'static>] = &[M::up(FIRST), M::up(APP_PASSWORDS)];

/// "WXSL": which program's file this is (SQLite's `application_id`).
const APPLICATION_ID: i64 = 0x5758_534c;

const FIRST: &str = "
PRAGMA application_id = 0x5758534c;

-- One row for each message that a write named, known or not: its short key, and what came of it.
CREATE TABLE tally (
    key                INTEGER PRIMARY KEY,
    message            BLOB NOT NULL UNIQUE,
    opens_by_people    INTEGER NOT NULL DEFAULT 0,
    opens_by_machines  INTEGER NOT NULL DEFAULT 0,
    clicks_by_people   INTEGER NOT NULL DEFAULT 0,
    clicks_by_machines INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE message (
    key           INTEGER PRIMARY KEY, -- tally.key
    id            BLOB NOT NULL,
    accepted_at   INTEGER NOT NULL,    -- milliseconds since the epoch, here and everywhere
    sender        TEXT NOT NULL COLLATE NOCASE,
    reverse_path  TEXT NOT NULL,
    from_field    TEXT,
    subject       TEXT,
    message_id    TEXT,
    opens         INTEGER NOT NULL,
    links         INTEGER NOT NULL,
    choice_origin TEXT NOT NULL,
    pixel         INTEGER NOT NULL,
    links_tracked INTEGER NOT NULL,
    reasons       TEXT NOT NULL,       -- codes, joined by commas
    parts         TEXT NOT NULL,       -- JSON
    upstream      TEXT NOT NULL,
    code          INTEGER NOT NULL,
    reply         TEXT NOT NULL,
    octets_in     INTEGER NOT NULL,
    octets_out    INTEGER NOT NULL,
    took_ms       INTEGER NOT NULL
) STRICT;
CREATE INDEX message_by_sender ON message (sender, id);

CREATE TABLE recipient (
    message  INTEGER NOT NULL, -- tally.key
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL, -- what events call it
    address  TEXT NOT NULL COLLATE NOCASE,
    code     INTEGER NOT NULL,
    reply    TEXT NOT NULL,
    PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    message  INTEGER NOT NULL, -- tally.key
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL, -- what events call it, if kept is null
    href     TEXT NOT NULL,
    target   TEXT,
    kept     TEXT,
    PRIMARY KEY (message, position)
) STRICT, WITHOUT ROWID;

-- Texts that many events share. The agent alone is half of an event.
CREATE TABLE word (
    key  INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE judgement (
    key          INTEGER PRIMARY KEY,
    verdict      TEXT NOT NULL,
    confidence   TEXT NOT NULL,
    reasons      TEXT NOT NULL, -- JSON
    trust_time   INTEGER NOT NULL,
    trust_place  INTEGER NOT NULL,
    trust_device INTEGER NOT NULL,
    rules        TEXT NOT NULL,
    UNIQUE (reasons, verdict, confidence, trust_time, trust_place, trust_device, rules)
) STRICT;

-- AUTOINCREMENT: a number is never given twice, even if the newest events are deleted, so that nobody who
-- follows them misses one. No foreign key: an event of an unknown message is kept.
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB NOT NULL UNIQUE,
    message   INTEGER NOT NULL, -- tally.key
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    recipient INTEGER,          -- null: the copy all of them share
    link      INTEGER,
    judgement INTEGER NOT NULL,
    device    INTEGER,          -- word.key
    agent     INTEGER,          -- word.key
    address   TEXT,
    evidence  TEXT              -- JSON; null: {}
) STRICT;
CREATE INDEX event_by_message ON event (message);

CREATE TABLE saved_choice (
    sender TEXT PRIMARY KEY COLLATE NOCASE,
    opens  INTEGER NOT NULL,
    links  INTEGER NOT NULL,
    by     BLOB,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sender (
    key           INTEGER PRIMARY KEY,
    password_hash TEXT,
    disabled      INTEGER NOT NULL
) STRICT;

-- Every address is one sender's; position 0 is the login.
CREATE TABLE sender_address (
    address  TEXT PRIMARY KEY COLLATE NOCASE,
    sender   INTEGER NOT NULL,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sender_address_by_sender ON sender_address (sender, position);
";

/// A sender of the configuration file has no row in `sender`, so the address names him here.
const APP_PASSWORDS: &str = "
CREATE TABLE app_password (
    sender  TEXT NOT NULL COLLATE NOCASE,
    label   TEXT NOT NULL COLLATE NOCASE,
    key     BLOB NOT NULL,
    hash    BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (sender, label)
) STRICT, WITHOUT ROWID;
";

/// The one connection that writes; makes the tables if need be.
pub(crate) fn open_writer(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|e| StoreError::sqlite("opening", e))?;
    set_up(&mut connection, path, busy)?;
    Ok(connection)
}

/// A connection that reads, and never makes the writer wait.
pub(crate) fn open_reader(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    };
    open().map_err(|e| StoreError::sqlite("opening to read", e))
}

/// More than there are different statements.
const STATEMENTS: usize = 64;
/// What the WAL is cut back to after a long reader had made it grow.
const WAL_OCTETS: i64 = 64 << 20;

fn set_up(connection: &mut Connection, path: &Path, busy: Duration) -> Result<(), StoreError> {
    let failed = |e| StoreError::sqlite("being opened", e);
    connection.busy_timeout(busy).map_err(failed)?;
    refuse_others(connection, path)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(StoreError::NoWal { path: path.to_owned() });
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // Where fsync does not reach the platter (macOS) this does; elsewhere it changes nothing.
    connection.pragma_update(None, "fullfsync", true).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_OCTETS).map_err(failed)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    migrate(connection)
}

/// Before anything is written: a file of another program, or of a version after this one, stays as it is.
fn refuse_others(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |e| StoreError::sqlite("being opened", e);
    // All of one moment: another process may be making the tables just now.
    let moment = connection.unchecked_transaction().map_err(failed)?;
    let number = |sql: &str| moment.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application != APPLICATION_ID && (application != 0 || tables != 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    match MIGRATIONS.current_version(&moment) {
        Ok(SchemaVersion::Outside(_)) => Err(StoreError::Newer { path: path.to_owned() }),
        _ => moment.finish().map_err(failed),
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let Err(error) = MIGRATIONS.to_latest(connection) else { return Ok(()) };
    // Two processes may begin at once; the second finds its work done.
    if MIGRATIONS.pending_migrations(connection).is_ok_and(|pending| pending == 0) {
        return Ok(());
    }
    Err(match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::sqlite("making its tables", err),
        other => StoreError::Unreadable { what: "schema", value: other.to_string() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_sound() {
        MIGRATIONS.validate().unwrap();
    }
}
