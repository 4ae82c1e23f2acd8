use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::StoreError;

/// How long another connection's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const TRIES: u32 = 20;
/// Octets read at once.
const PIECE: usize = 1 << 20;

/// Makes sure that `text` stands nowhere in the database's files any more, whatever the case of its letters: not in
/// the write-ahead log, nor in what is left of rows that were deleted or have moved. Returns whether it does
/// all the same, because a row that is in use holds it.
///
/// Blocks for as long as it takes to read the files once or twice and, if need be, to write them anew.
pub(crate) fn remains(path: &Path, text: &str) -> Result<bool, StoreError> {
    let failed = |e| StoreError::sqlite("being cleaned", e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
    cut_back(&connection).map_err(failed)?;
    if !holds(path, text)? {
        return Ok(false);
    }
    // A page that was filled otherwise may still show what stood in it before.
    connection.execute_batch("VACUUM").map_err(failed)?;
    cut_back(&connection).map_err(failed)?;
    holds(path, text)
}

/// Everything out of the write-ahead log into the database, and the log cut to nothing.
fn cut_back(connection: &Connection) -> rusqlite::Result<()> {
    for _ in 0..TRIES {
        let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
        if !busy {
            break;
        }
        // Somebody reads an earlier state just now.
        std::thread::sleep(PATIENCE / TRIES);
    }
    Ok(())
}

fn holds(path: &Path, text: &str) -> Result<bool, StoreError> {
    let log = {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    for path in [path, &log] {
        match File::open(path) {
            Ok(file) => {
                if contains(file, text.as_bytes()).map_err(|e| StoreError::file("reading", path, e))? {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::file("reading", path, error)),
        }
    }
    Ok(false)
}

fn contains(mut from: impl Read, text: &[u8]) -> std::io::Result<bool> {
    let text = text.to_ascii_lowercase();
    if text.is_empty() {
        return Ok(false);
    }
    let mut octets = vec![0; PIECE + text.len()];
    let mut kept = 0;
    loop {
        let read = from.read(&mut octets[kept..])?;
        if read == 0 {
            return Ok(false);
        }
        octets[kept..kept + read].make_ascii_lowercase();
        let filled = kept + read;
        if octets[..filled].windows(text.len()).any(|window| window == text) {
            return Ok(true);
        }
        // It may begin at the end of this piece.
        kept = filled.min(text.len() - 1);
        octets.copy_within(filled - kept..filled, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_wherever_the_pieces_end() {
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let some = self.1.min(self.0.len()).min(into.len());
                into[..some].copy_from_slice(&self.0[..some]);
                self.0 = &self.0[some..];
                Ok(some)
            }
        }
        for piece in 1..20 {
            assert!(contains(Slow(b"..bo@bo@EXAMPLE.net..", piece), b"Bo@example.net").unwrap(), "{piece}");
            assert!(!contains(Slow(b"..bo@example.nett..", piece), b"bo@example.net.").unwrap(), "{piece}");
        }
    }
}
