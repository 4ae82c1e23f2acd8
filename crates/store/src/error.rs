use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

/// Why something was not remembered, or not read.
///
/// `Display` is the operator's sentence; the source says what the system said.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another program holds the database.
    #[error("the database is locked by another program")]
    Locked {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// No room.
    #[error("there is no room left for the database")]
    Full {
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The file is not the one that was opened.
    #[error("the database file {} was deleted or replaced while in use", path.display())]
    Gone {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a version that knows more than this one.
    #[error("{} was written by a newer Waxseal", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
    },
    /// A database, but of another program.
    #[error("{} is not a database of Waxseal", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// What readers and writers that do not hold each other up need, and network file systems lack.
    #[error("SQLite cannot keep a write-ahead log beside {}", path.display())]
    NoWal {
        /// Which file.
        path: PathBuf,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A bug of ours; its text is on standard error.
    #[error("a bug in {thread}: this was not done")]
    Panicked {
        /// Where.
        thread: &'static str,
    },
    /// An address can be one sender's only.
    #[error("{address} already belongs to {owner}")]
    AddressTaken {
        /// The address or alias asked for.
        address: String,
        /// Whose it is.
        owner: String,
    },
    /// Something stored is not of a form that we know.
    #[error("the database holds a {what} that this version cannot read: {value}")]
    Unreadable {
        /// What it should have been.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// Anything else the database said.
    #[error("the database failed {doing}")]
    Database {
        /// What was attempted.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// A file or folder could not be used.
    #[error("failed {doing} {}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The journal's folder has a user already.
    #[error("another process uses the journal in {}", path.display())]
    JournalInUse {
        /// The folder.
        path: PathBuf,
    },
    /// The queue has somebody who works it already.
    #[error("another process works the queue in {}", path.display())]
    QueueInUse {
        /// The spool folder.
        path: PathBuf,
    },
    /// It was never in the queue, or has left it.
    #[error("there is no message {id} in the queue")]
    NotQueued {
        /// Which message.
        id: envelope::RelayId,
    },
    /// The journal does not take one record so long.
    #[error("an event of {octets} octets is too long for the journal")]
    TooLong {
        /// How long.
        octets: usize,
    },
    /// No answer in time.
    #[error("the store did not answer in time")]
    TimedOut,
    /// Less room than `store.low_disk`: no new mail is taken into the queue, so that what is there gets out.
    #[error("the disk of the queue is nearly full")]
    DiskLow,
    /// A queued content is not what was put.
    #[error("the queued message {id} is damaged: {what}")]
    Damaged {
        /// Which message.
        id: envelope::RelayId,
        /// What is wrong with it.
        what: String,
    },
    /// All of them are held in memory by whoever redirects.
    #[error("there are {} revocations already, and there cannot be more", crate::MOST_REVOCATIONS)]
    TooManyRevocations,
    /// Too many writes wait for an answer already.
    #[error("too many writes wait for the store")]
    Crowded,
}

impl StoreError {
    /// Is it the store that failed, so that the same write may succeed later? Otherwise it is the write
    /// itself that is refused, and will be again.
    pub fn store_is_away(&self) -> bool {
        match self {
            Self::AddressTaken { .. }
            | Self::TooLong { .. }
            | Self::Unreadable { .. }
            | Self::Damaged { .. }
            | Self::TooManyRevocations
            | Self::NotQueued { .. } => false,
            Self::Database { source, .. } => !matches!(
                source.sqlite_error_code(),
                // Nothing from SQLite itself: the value could not even be handed to it.
                None | Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
            ),
            _ => true,
        }
    }

    /// Would each other write of the same moment fail in the same way?
    pub(crate) fn would_hit_all(&self) -> bool {
        self.store_is_away() && !self.no_room()
    }

    /// Is there no room for it on the disk? A client is to hear 452.
    pub fn no_room(&self) -> bool {
        match self {
            Self::DiskLow | Self::Full { .. } => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            ),
            // What SQLite makes of a quota that is used up, and of no room for the index of its WAL; it keeps what
            // the system said to itself.
            Self::Database { source, .. } => source.sqlite_error().is_some_and(|e| {
                matches!(e.extended_code, ffi::SQLITE_IOERR_WRITE | ffi::SQLITE_IOERR_SHMSIZE)
            }),
            _ => false,
        }
    }

    /// What the operator can do next, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => {
                Some("close the program that holds it: a database browser, a backup, a second copy")
            }
            Self::Full { .. } => Some("make room on its disk"),
            Self::Gone { .. } => Some("put the file back, or start Waxseal again to begin an empty one"),
            Self::Newer { .. } => {
                Some("use the newer Waxseal, or restore the backup made before the upgrade")
            }
            Self::NoWal { .. } => Some("keep the database on a local disk"),
            Self::Foreign { .. } => Some("give Waxseal a file of its own"),
            Self::TooManyRevocations => {
                Some("revoke whole messages rather than links, or take old ones back: waxseal revoke --undo")
            }
            Self::DiskLow => Some("make room on the disk of store.spool, or lower store.low_disk"),
            Self::JournalInUse { .. } | Self::QueueInUse { .. } => {
                Some("give each process a spool folder of its own")
            }
            _ => None,
        }
    }

    pub(crate) fn sqlite(doing: &'static str, source: rusqlite::Error) -> Self {
        let code = source.sqlite_error_code();
        let source = Arc::new(source);
        match code {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { source },
            Some(ErrorCode::DiskFull) => Self::Full { source },
            _ => Self::Database { doing, source },
        }
    }

    pub(crate) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source: Arc::new(source) }
    }
}

/// The sentence with those of its sources: `a: b: c`.
pub(crate) fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
