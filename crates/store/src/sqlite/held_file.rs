use std::io;
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::files::{Inode, create_private, inode, sync_folder_of};

/// The database's files as they were when we opened them.
///
/// A file that was deleted can be written to for as long as it is open, and what was written is gone when
/// it is closed. SQLite does not notice in WAL mode; an event acknowledged so would be lost.
#[derive(Clone, Debug)]
pub(crate) struct HeldFile {
    path: PathBuf,
    inodes: Vec<(PathBuf, Inode)>,
}

impl HeldFile {
    /// Makes the file if it is not there, for its owner only.
    pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
        match create_private(path) {
            Ok(file) => file.sync_all().and_then(|()| sync_folder_of(path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .map_err(|e| StoreError::file("making the database", path, e))
    }

    /// Remembers which files they are. The database must be open: SQLite then keeps its WAL.
    pub(crate) fn hold(path: &Path) -> Self {
        let wal = {
            let mut name = path.as_os_str().to_owned();
            name.push("-wal");
            PathBuf::from(name)
        };
        let inodes = [path.to_owned(), wal].into_iter().filter_map(|path| {
            let inode = inode(&path)?;
            Some((path, inode))
        });
        Self { path: path.to_owned(), inodes: inodes.collect() }
    }

    /// # Errors
    /// [`StoreError::Gone`] when a file is not there, or is another one.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self.inodes.iter().find(|(path, held)| inode(path) != Some(*held)) {
            Some((path, _)) => Err(StoreError::Gone { path: path.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
