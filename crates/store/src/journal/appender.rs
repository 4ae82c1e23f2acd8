use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::StoreError;
use crate::files::{Inode, create_private, create_private_folder, inode, sync_folder_of};
use crate::journal::segment::{frame, header};
use crate::worker::Committer;

/// The journal's thread: appends to the newest file and syncs it.
pub(crate) struct Appender {
    folder: PathBuf,
    active: Option<Active>,
    last_number: u64,
    /// Held, not used: while it is, no other process takes this folder.
    _lock: File,
}

/// The file that is being written; nobody else reads it until it is sealed.
struct Active {
    file: File,
    path: PathBuf,
    inode: Option<Inode>,
    octets: usize,
}

/// What the thread is asked.
pub(crate) enum Request {
    /// Append these payloads' one record.
    Append(Vec<u8>),
    /// Write to no file any more that is there now, and name them, oldest first.
    Seal,
}

/// A file is read into memory as a whole to be replayed.
const SEGMENT_OCTETS: usize = 8 << 20;
const SUFFIX: &str = "journal";

impl Appender {
    pub(crate) fn new(folder: &Path, lock: File) -> Result<Self, StoreError> {
        let mut appender = Self { folder: folder.to_owned(), active: None, last_number: 0, _lock: lock };
        // Every file that was ever set aside keeps its number too.
        let taken = appender.names().map_err(|e| StoreError::file("reading", folder, e))?;
        appender.last_number = taken.iter().filter_map(|path| number_of(path)).max().unwrap_or(0);
        Ok(appender)
    }

    fn append(&mut self, records: &[u8]) -> Result<(), StoreError> {
        // One that was deleted could be written to, and would be gone with us.
        self.active.take_if(|active| inode(&active.path) != active.inode);
        if self.active.is_none() {
            self.active = Some(self.begin()?);
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        if let Err(error) = active.file.write_all(records).and_then(|()| active.file.sync_data()) {
            let error = StoreError::file("appending to", &active.path, error);
            self.abandon();
            return Err(error);
        }
        active.octets += records.len();
        if active.octets >= SEGMENT_OCTETS {
            self.active = None;
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Active, StoreError> {
        self.last_number += 1;
        let path = self.folder.join(format!("{:010}.{SUFFIX}", self.last_number));
        let begin = || {
            create_private_folder(&self.folder)?;
            let mut file = create_private(&path)?;
            file.write_all(header())?;
            sync_folder_of(&path)?;
            Ok(file)
        };
        match begin() {
            Ok(file) => Ok(Active { file, inode: inode(&path), path, octets: header().len() }),
            Err(error) => Err(StoreError::file("making", &path, error)),
        }
    }

    /// After a failed write or sync nobody knows what the file holds: its end is cut off if that can be, and
    /// the next event begins a new one.
    fn abandon(&mut self) {
        if let Some(active) = self.active.take() {
            let _ = active.file.set_len(active.octets as u64);
        }
    }

    fn seal(&mut self) -> Result<Vec<PathBuf>, StoreError> {
        self.active = None;
        let mut sealed = self.names().map_err(|e| StoreError::file("reading", &self.folder, e))?;
        sealed.retain(|path| path.extension().is_some_and(|suffix| suffix == SUFFIX));
        sealed.sort();
        Ok(sealed)
    }

    fn names(&self) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect()
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

impl Committer for Appender {
    type Item = Request;
    type Answer = Vec<PathBuf>;
    const NAME: &'static str = "journal-writer";

    fn commit(&mut self, batch: &[Request]) -> Vec<Result<Vec<PathBuf>, StoreError>> {
        let mut records = vec![];
        for request in batch {
            if let Request::Append(payload) = request {
                frame(payload, &mut records);
            }
        }
        let appended = if records.is_empty() { Ok(()) } else { self.append(&records) };
        batch
            .iter()
            .map(|request| match request {
                Request::Append(_) => appended.clone().map(|()| vec![]),
                Request::Seal => self.seal(),
            })
            .collect()
    }

    fn recover(&mut self) {
        self.abandon();
    }
}
