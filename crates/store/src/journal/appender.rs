use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek as _, SeekFrom, Write as _};
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
    /// How long it is; 0 until something is in it.
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
        let goes_on = self.active.as_ref().is_some_and(|active| active.octets > 0);
        match self.append_once(records) {
            // What is wrong with that file need not be wrong with the next one.
            Err(error) if goes_on && self.active.is_none() => self.append_once(records).map_err(|_| error),
            appended => appended,
        }
    }

    /// Either all of it is on disk, or none of it is in a file that will be written to again.
    fn append_once(&mut self, records: &[u8]) -> Result<(), StoreError> {
        let active = match &mut self.active {
            Some(active) => active,
            None => self.active.insert(Active::begin(&self.folder, &mut self.last_number)?),
        };
        if let Err(error) = active.append(records) {
            let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
            let error = StoreError::file("appending to", &active.path, error);
            // A full disk leaves the file as it was, and there is no use in another.
            if !full || active.cut_back().is_err() {
                self.abandon();
            }
            return Err(error);
        }
        if active.octets >= SEGMENT_OCTETS {
            self.active = None;
        }
        Ok(())
    }

    /// After a failed write or sync nobody knows what the file holds: its end is cut off if that can be, and
    /// the next event begins a new one. One that held nothing is not left to lie there.
    fn abandon(&mut self) {
        let Some(mut active) = self.active.take() else { return };
        let _ = active.cut_back();
        if active.octets == 0 {
            let _ = fs::remove_file(&active.path);
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

impl Active {
    fn begin(folder: &Path, last_number: &mut u64) -> Result<Self, StoreError> {
        *last_number += 1;
        let path = folder.join(format!("{last_number:010}.{SUFFIX}"));
        let failed = |e| StoreError::file("making", &path, e);
        create_private_folder(folder).map_err(failed)?;
        let file = create_private(&path).map_err(failed)?;
        let inode = inode(&path);
        Ok(Self { file, path, inode, octets: 0 })
    }

    /// Appends records, and the header before the first of them.
    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.octets > 0 {
            self.file.write_all(records)?;
            self.file.sync_data()?;
            self.octets += records.len();
            return Ok(());
        }
        let octets = [header(), records].concat();
        self.file.write_all(&octets)?;
        self.file.sync_data()?;
        // Its name is on disk too, from here on.
        sync_folder_of(&self.path)?;
        self.octets = octets.len();
        Ok(())
    }

    /// Takes off what a failed append left.
    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.octets as u64)?;
        self.file.seek(SeekFrom::Start(self.octets as u64)).map(drop)
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
