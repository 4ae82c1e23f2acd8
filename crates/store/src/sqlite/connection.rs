use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{Migrations, SchemaVersion};

use crate::StoreError;

/// The tables of one of our databases, and the steps that make them.
pub(crate) struct Schema {
    /// Which program's file this is, and which of its files (SQLite's `application_id`); the first step sets it.
    pub application_id: i64,
    pub migrations: Migrations<'static>,
    /// Whether the file can shrink again: it may hold much for a while.
    pub gives_room_back: bool,
}

/// The one connection that writes; makes the tables if need be.
pub(crate) fn open_writer(path: &Path, busy: Duration, schema: &Schema) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|e| StoreError::sqlite("opening", e))?;
    set_up(&mut connection, path, busy, schema)?;
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

fn set_up(
    connection: &mut Connection,
    path: &Path,
    busy: Duration,
    schema: &Schema,
) -> Result<(), StoreError> {
    let failed = |e| StoreError::sqlite("being opened", e);
    connection.busy_timeout(busy).map_err(failed)?;
    refuse_others(connection, path, schema)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let pages: i64 = connection.query_row("PRAGMA page_count", (), |row| row.get(0)).map_err(failed)?;
    // Possible only before the first page is written; later it would only write.
    if schema.gives_room_back && pages == 0 {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
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
    migrate(connection, schema)
}

/// Before anything is written: a file of another program, or of a version after this one, stays as it is.
fn refuse_others(connection: &Connection, path: &Path, schema: &Schema) -> Result<(), StoreError> {
    let failed = |e| StoreError::sqlite("being opened", e);
    // All of one moment: another process may be making the tables just now.
    let moment = connection.unchecked_transaction().map_err(failed)?;
    let number = |sql: &str| moment.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    if application != schema.application_id && (application != 0 || tables != 0) {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    match schema.migrations.current_version(&moment) {
        Ok(SchemaVersion::Outside(_)) => Err(StoreError::Newer { path: path.to_owned() }),
        _ => moment.finish().map_err(failed),
    }
}

fn migrate(connection: &mut Connection, schema: &Schema) -> Result<(), StoreError> {
    let Err(error) = schema.migrations.to_latest(connection) else { return Ok(()) };
    // Two processes may begin at once; the second finds its work done.
    if schema.migrations.pending_migrations(connection).is_ok_and(|pending| pending == 0) {
        return Ok(());
    }
    Err(match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::sqlite("making its tables", err),
        other => StoreError::Unreadable { what: "schema", value: other.to_string() },
    })
}
