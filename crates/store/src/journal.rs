mod appender;
mod segment;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use envelope::RelayId;

use crate::files::{create_private_folder, open_lock, sync_folder_of};
use crate::worker::Worker;
use crate::{Event, StoreError, log};
use appender::{Appender, Request};
use segment::{Damage, MAX_PAYLOAD, parse};

/// Events on disk that wait for the store: numbered files in a folder of their own.
///
/// Appending answers after the sync. A file is replayed as a whole and removed when the store has all of it;
/// one that holds anything else is renamed, never removed.
pub struct Journal {
    folder: PathBuf,
    appender: Worker<Appender>,
    appended: AtomicU64,
}

/// One file that is complete, and what could be read of it.
pub(crate) struct Segment {
    path: PathBuf,
    /// Its events, oldest first.
    pub events: Vec<Event>,
    damage: Option<Damage>,
    refused: bool,
}

const LOCK: &str = "lock";

impl Journal {
    /// Opens the folder, making it (for its owner only) if need be. What an earlier run left there is
    /// written to the store by [`crate::Recorder::replay`].
    ///
    /// # Errors
    /// [`StoreError::JournalInUse`] when another process has it.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        create_private_folder(folder).map_err(|e| StoreError::file("making", folder, e))?;
        let lock = lock(folder)?;
        let appender = Worker::spawn(Appender::new(folder, lock)?)
            .map_err(|e| StoreError::file("starting a thread for", folder, e))?;
        Ok(Self { folder: folder.to_owned(), appender, appended: AtomicU64::new(0) })
    }

    /// Appends an event; `Ok` means that it is synced to disk.
    pub(crate) async fn append(&self, event: &Event) -> Result<(), StoreError> {
        let payload = payload_of(event)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(StoreError::TooLong { octets: payload.len() });
        }
        self.appender.commit(Request::Append(payload)).await?;
        self.appended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// How many were appended since it was opened.
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst)
    }

    /// The files that will not be written to any more, oldest first.
    pub(crate) async fn seal(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.appender.commit(Request::Seal).await
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Segment {
    /// Reads a sealed file: some megabytes, on a thread that may block.
    pub(crate) fn read(path: PathBuf) -> Result<Self, StoreError> {
        let octets = std::fs::read(&path).map_err(|e| StoreError::file("reading", &path, e))?;
        let contents = parse(&octets);
        let mut damage = contents.damage;
        let mut events = Vec::with_capacity(contents.payloads.len());
        for range in contents.payloads {
            let payload = &octets[range];
            if let Some(event) = event_of(payload) {
                events.push(event);
            } else {
                let before = damage.map_or(0, |damage| damage.octets);
                damage = Some(Damage { octets: before + payload.len(), torn: false });
            }
        }
        Ok(Self { path, events, damage, refused: false })
    }

    /// The store refuses one of its events for itself, and always will.
    pub(crate) fn refuse(&mut self, id: RelayId, error: &StoreError) {
        log::event_refused(id, error);
        self.refused = true;
    }

    /// The store has its events: the file goes, or is set aside if that is not all it holds.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let suffix = match self.damage {
            Some(_) => "damaged",
            None if self.refused => "refused",
            None => {
                let removed = std::fs::remove_file(&self.path).and_then(|()| sync_folder_of(&self.path));
                return removed.map_err(|e| StoreError::file("removing", &self.path, e));
            }
        };
        let aside = self.path.with_extension(suffix);
        std::fs::rename(&self.path, &aside)
            .and_then(|()| sync_folder_of(&aside))
            .map_err(|e| StoreError::file("setting aside", &self.path, e))?;
        match self.damage {
            Some(Damage { octets, torn: true }) => log::journal_torn(&aside, octets),
            Some(Damage { octets, torn: false }) => log::journal_damaged(&aside, octets),
            None => log::journal_refused(&aside),
        }
        Ok(())
    }
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = open_lock(&path).map_err(|e| StoreError::file("opening", &path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::JournalInUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::file("locking", &path, error)),
    }
}

/// The event as `--json` shows it, and its evidence to the octet, which that does not keep.
fn payload_of(event: &Event) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&(event, &event.evidence))
        .map_err(|e| StoreError::Unreadable { what: "event", value: e.to_string() })
}

fn event_of(payload: &[u8]) -> Option<Event> {
    let (mut event, evidence): (Event, String) = serde_json::from_slice(payload).ok()?;
    event.evidence = evidence;
    Some(event)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::samples::{click, open};

    async fn read_all(journal: &Journal) -> Vec<Event> {
        let sealed = journal.seal().await.unwrap();
        sealed.into_iter().flat_map(|path| Segment::read(path).unwrap().events).collect()
    }

    fn files(folder: &TempDir) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name != LOCK);
        names.sort();
        names
    }

    #[tokio::test]
    async fn events_read_back_to_the_octet_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let odd = Event {
            evidence: "{\"z\":1, \"a\":\"\\u00fc\",  \"n\":1e3}".to_owned(),
            address: None,
            recipient: None,
            device: Some("\u{fffe}\0\n".to_owned()),
            ..click(2, 1, 3)
        };
        let not_json = Event { evidence: "\"a string\"".to_owned(), ..open(3, 1) };
        let events = [open(1, 1), odd, not_json];
        let journal = Journal::open(folder.path()).unwrap();
        for event in &events {
            journal.append(event).await.unwrap();
        }
        assert_eq!(read_all(&journal).await, events);
        assert_eq!(journal.appended(), 3);
        // What comes after that goes to a file of its own.
        journal.append(&open(4, 1)).await.unwrap();
        assert_eq!(files(&folder), ["0000000001.journal", "0000000002.journal"]);
        drop(journal);

        let journal = Journal::open(folder.path()).unwrap();
        journal.append(&open(5, 1)).await.unwrap();
        assert_eq!(read_all(&journal).await.len(), 5, "what an earlier run left is still there");
        assert_eq!(files(&folder).len(), 3);
    }

    #[tokio::test]
    async fn a_folder_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a").join("b");
        let journal = Journal::open(&below).unwrap();
        assert!(matches!(Journal::open(&below), Err(StoreError::JournalInUse { .. })));
        drop(journal);
        Journal::open(&below).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[tokio::test]
    async fn files_stay_small_enough_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).unwrap();
        let event = |n| Event { evidence: "x".repeat(400_000), ..open(n, 1) };
        for n in 0..30 {
            journal.append(&event(n)).await.unwrap();
        }
        assert!(files(&folder).len() > 1);
        assert_eq!(read_all(&journal).await.len(), 30);
        let too_long = Event { evidence: "x".repeat(MAX_PAYLOAD), ..open(99, 1) };
        assert!(matches!(journal.append(&too_long).await, Err(StoreError::TooLong { .. })));
    }

    #[tokio::test]
    async fn a_deleted_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("journal");
        let journal = Journal::open(&below).unwrap();
        journal.append(&open(1, 1)).await.unwrap();
        std::fs::remove_file(below.join("0000000001.journal")).unwrap();
        journal.append(&open(2, 1)).await.unwrap();
        assert_eq!(read_all(&journal).await, [open(2, 1)]);
        std::fs::remove_dir_all(&below).unwrap();
        journal.append(&open(3, 1)).await.unwrap();
        assert_eq!(read_all(&journal).await, [open(3, 1)]);
    }

    #[tokio::test]
    async fn what_holds_anything_else_is_set_aside() {
        for (case, damage, left) in [("whole", 0, vec![]), ("torn", 9, vec!["0000000001.damaged"])] {
            let folder = tempfile::tempdir().unwrap();
            let journal = Journal::open(folder.path()).unwrap();
            journal.append(&open(1, 1)).await.unwrap();
            journal.append(&open(2, 1)).await.unwrap();
            let path = journal.seal().await.unwrap().remove(0);
            let octets = std::fs::read(&path).unwrap();
            std::fs::write(&path, &octets[..octets.len() - damage]).unwrap();
            let segment = Segment::read(path).unwrap();
            assert_eq!(segment.events.len(), if damage == 0 { 2 } else { 1 }, "{case}");
            segment.finish().unwrap();
            assert_eq!(files(&folder), left, "{case}");
        }
    }

    #[tokio::test]
    async fn a_record_that_is_no_event_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut octets = segment::header().to_vec();
        for payload in [&payload_of(&open(1, 1)).unwrap()[..], b"{\"later\":\"version\"}", b"\xff"] {
            segment::frame(payload, &mut octets);
        }
        let path = folder.path().join("0000000001.journal");
        std::fs::write(&path, octets).unwrap();
        let segment = Segment::read(path).unwrap();
        assert_eq!(segment.events, [open(1, 1)]);
        assert!(segment.damage.is_some_and(|damage| !damage.torn));
    }
}
