use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use envelope::RelayId;

use crate::files::{create_private, create_private_folder};
use crate::queue::copy::{self, Copy};
use crate::{StoreError, log};

/// Contents that are too large for the database: a file each, in a folder of their own.
///
/// A file is there before its row is committed, and goes only after its row's end is committed. One without a
/// row is of a message that nobody was told we have.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    folder: PathBuf,
    damaged: PathBuf,
}

/// A content that is on disk and has no row yet. Dropped, the file goes.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
}

/// Told apart, also from those of a process that was killed.
const STAGED: &str = "part";

impl Bodies {
    pub(crate) fn open(spool: &Path) -> Result<Self, StoreError> {
        let bodies = Self { folder: spool.join("bodies"), damaged: spool.join("damaged") };
        for folder in [spool, &bodies.folder, &bodies.damaged] {
            create_private_folder(folder).map_err(|e| StoreError::file("making", folder, e))?;
        }
        sync(spool)?;
        Ok(bodies)
    }

    /// Writes and syncs it, with a copy of its envelope before it. Blocks.
    pub(crate) fn stage(&self, id: RelayId, envelope: &str, content: &[u8]) -> Result<Staged, StoreError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (staged, mut file) = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.folder.join(format!("{id}.{number}.{STAGED}"));
            match create_private(&path) {
                Ok(file) => break (Staged { path }, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StoreError::file("making", &path, error)),
            }
        };
        let written = file.write_all(&copy::head(envelope)).and_then(|()| {
            file.write_all(content)?;
            file.sync_data()
        });
        written.map_err(|e| StoreError::file("writing", &staged.path, e))?;
        Ok(staged)
    }

    /// Gives it its name; synced only by [`Bodies::sync`].
    pub(crate) fn place(&self, staged: &Staged, id: RelayId) -> Result<String, StoreError> {
        // The plain name is taken only when a message was deleted whose file is yet to go.
        let free = |name: &String| !self.folder.join(name).exists();
        let name =
            std::iter::once(id.to_string()).chain((1..u32::MAX).map(|n| format!("{id}-{n}"))).find(free);
        let name = name.unwrap_or_else(|| id.to_string());
        std::fs::rename(&staged.path, self.folder.join(&name))
            .map_err(|e| StoreError::file("naming", &staged.path, e))?;
        Ok(name)
    }

    /// Takes [`Bodies::place`] back.
    pub(crate) fn displace(&self, staged: &Path, name: &str) {
        let path = self.folder.join(name);
        if let Err(error) = std::fs::rename(&path, staged) {
            log::body_left(&path, &error);
        }
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        sync(&self.folder)
    }

    /// The content in the file, which is as long as it should be.
    pub(crate) fn read(&self, name: &str, id: RelayId, octets: u64) -> Result<Vec<u8>, Unfit> {
        let read = |path: &Path| -> io::Result<Result<Vec<u8>, Unfit>> {
            let content = content_of(std::fs::read(path)?, octets);
            let length = content.len() as u64;
            Ok(if length == octets { Ok(content) } else { Err(Unfit::Length(length)) })
        };
        let found = match read(&self.folder.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => read(&self.damaged_path(id)),
            found => found,
        };
        match found {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Unfit::Missing),
            Err(error) => Err(Unfit::Io(StoreError::file("reading", &self.folder.join(name), error))),
        }
    }

    /// Whatever the file holds of the content.
    pub(crate) fn read_any(&self, name: &str, id: RelayId, octets: u64) -> io::Result<Vec<u8>> {
        let file = std::fs::read(self.folder.join(name)).or_else(|_| std::fs::read(self.damaged_path(id)));
        Ok(content_of(file?, octets))
    }

    /// What a file says of its message, if it can be read.
    pub(crate) fn copy(&self, name: &str) -> Option<Copy> {
        copy::of_head(&std::fs::read(self.folder.join(name)).ok()?)
    }

    /// The files that were set aside, by name.
    pub(crate) fn set_aside_files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let failed = |e| StoreError::file("reading", &self.damaged, e);
        let entries = std::fs::read_dir(&self.damaged).map_err(failed)?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect::<Result<_, StoreError>>()?;
        files.sort();
        Ok(files)
    }

    /// Out of the way, for a person to look at.
    pub(crate) fn set_aside(&self, name: &str, id: RelayId) {
        let (from, to) = (self.folder.join(name), self.damaged_path(id));
        let moved = std::fs::rename(&from, &to);
        match moved {
            Ok(()) => {
                let _ = sync(&self.damaged).and_then(|()| self.sync());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => log::body_left(&from, &error),
        }
    }

    /// Where a file is that was set aside.
    pub(crate) fn damaged_path(&self, id: RelayId) -> PathBuf {
        self.damaged.join(format!("{id}.eml"))
    }

    /// Keeps octets of which nobody knows whose they are. Returns where.
    pub(crate) fn keep_unknown(&self, name: &str, content: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.damaged.join(name);
        let written = create_private(&path).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
        written.map_err(|e| StoreError::file("writing", &path, e))?;
        Ok(path)
    }

    /// The message is gone.
    pub(crate) fn remove(&self, name: &str, id: RelayId) {
        for path in [self.folder.join(name), self.damaged_path(id)] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => log::body_left(&path, &error),
                // What a crash brings back here is found at the next start.
                _ => {}
            }
        }
    }

    /// The names of all files; those that were only staged apart.
    pub(crate) fn names(&self) -> Result<(Vec<String>, Vec<String>), StoreError> {
        let failed = |e| StoreError::file("reading", &self.folder, e);
        let (mut placed, mut staged) = (vec![], vec![]);
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let Ok(name) = entry.map_err(failed)?.file_name().into_string() else { continue };
            let is_staged = Path::new(&name).extension().is_some_and(|extension| extension == STAGED);
            (if is_staged { &mut staged } else { &mut placed }).push(name);
        }
        Ok((placed, staged))
    }

    /// Removes a file that has no row.
    pub(crate) fn remove_orphan(&self, name: &str) {
        let path = self.folder.join(name);
        if let Err(error) = std::fs::remove_file(&path) {
            log::body_left(&path, &error);
        }
    }

    /// Keeps a file that has no row, when the rows were lost. Returns where.
    pub(crate) fn keep_orphan(&self, name: &str) -> Result<PathBuf, StoreError> {
        let (from, to) = (self.folder.join(name), self.damaged.join(format!("{name}.eml")));
        std::fs::rename(&from, &to).map_err(|e| StoreError::file("setting aside", &from, e))?;
        sync(&self.damaged)?;
        Ok(to)
    }
}

/// Why a file is not the content.
pub(crate) enum Unfit {
    Missing,
    Length(u64),
    Io(StoreError),
}

/// Without the copy of the envelope; a version before this one wrote none.
fn content_of(mut file: Vec<u8>, octets: u64) -> Vec<u8> {
    if file.len() as u64 != octets
        && let Some((length, _)) = copy::head_of(&file)
    {
        file.drain(..length);
    }
    file
}

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Mostly it has its name by now.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|e| StoreError::file("syncing", folder, e))?;
    }
    Ok(())
}
