use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use rusqlite::ErrorCode;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::files::open_lock;
use crate::queue::bodies::{Bodies, Unfit};
use crate::queue::change::{Change, Content, Put};
use crate::queue::copy;
use crate::queue::keeping::Keeping;
use crate::queue::read::{self, Found, Kept};
use crate::queue::recovery::{self, Health};
use crate::queue::reserve::Reserve;
use crate::queue::room::Room;
use crate::queue::schema::SCHEMA;
use crate::queue::turns::Turns;
use crate::queue::watcher::Watcher;
use crate::sqlite::connection::open_writer;
use crate::sqlite::held_file::HeldFile;
use crate::sqlite::readers::Readers;
use crate::sqlite::writer::Writer;
use crate::worker::Worker;
use crate::{Footing, NewMessage, Queue, QueueCounts, QueuedMessage, RecipientOutcome, StoreError, log};

/// A queue in a SQLite file of its own, so that no long write of the store delays an answer; large contents are
/// files beside it.
///
/// Clones are the same queue. Dropping the last one commits what waits, which may block for as long as a commit
/// takes; [`SqliteQueue::close`] does the same without blocking.
#[derive(Clone)]
pub struct SqliteQueue(Arc<Inner>);

struct Inner {
    // Dropped in this order: only a connection that may write can fold the WAL into the file as it closes.
    watcher: Mutex<Option<Watcher>>,
    readers: Readers,
    writer: Worker<Writer<Keeping>>,
    bodies: Bodies,
    room: Room,
    reserve: Reserve,
    turns: Arc<Mutex<Turns>>,
    changed: watch::Receiver<u64>,
    /// Held for as long as this process works the queue.
    _lock: Option<File>,
}

/// Its name in the spool folder.
const DATABASE: &str = "queue.db";
const LOCK: &str = "queue.lock";

/// How long another process's lock is waited for: `waxseal queue flush` of a long queue takes a while.
const BUSY: Duration = Duration::from_secs(5);
/// How soon the changes of other processes are noticed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A larger content is a file (FIELD.md section 6).
const LARGE: usize = 1_000_000;

impl SqliteQueue {
    /// Opens the queue in the folder `spool` to work it, making what is not there, for its owner only.
    /// `low_disk` octets are to stay free on its disk; 0: it is filled to the last.
    ///
    /// # Errors
    /// [`StoreError::QueueInUse`] when another process works it.
    pub fn open(spool: &Path, low_disk: u64) -> Result<Self, StoreError> {
        let spool = absolute(spool)?;
        match Self::open_once(&spool, low_disk) {
            // A start needs room too: the index of the WAL is made anew.
            Err(error) if error.no_room() && Self::give_reserve(&spool) => Self::open_once(&spool, low_disk),
            opened => opened,
        }
    }

    /// Gives away the room that is kept on the disk of `spool` for when it is full; what else is on that disk may
    /// need some to begin. False: there was none.
    pub fn give_reserve(spool: &Path) -> bool {
        Reserve::in_spool(spool).give()
    }

    fn open_once(spool: &Path, low_disk: u64) -> Result<Self, StoreError> {
        let bodies = Bodies::open(spool)?;
        let lock = lock(spool)?;
        let database = spool.join(DATABASE);
        let health = recovery::recover(&database, &bodies, BUSY)?;
        if health == Health::Absent && lock.had_a_queue {
            log::queue_gone(&database);
        }
        HeldFile::create(&database)?;
        recovery::tidy(&mut open_writer(&database, BUSY, &SCHEMA)?, &bodies, health)?;
        let lock = lock.note_queue()?;
        let queue = Self::start(spool, bodies, low_disk, Some(lock))?;
        // If there is no room for it now, there may be later.
        queue.0.room.has_reserve();
        Ok(queue)
    }

    /// Opens a queue that another process may be working, to look and to change.
    ///
    /// # Errors
    /// [`StoreError::File`] when there is none: it makes none.
    pub fn open_beside(spool: &Path) -> Result<Self, StoreError> {
        let spool = absolute(spool)?;
        let database = spool.join(DATABASE);
        std::fs::metadata(&database).map_err(|e| StoreError::file("opening", &database, e))?;
        let bodies = Bodies::open(&spool)?;
        Self::start(&spool, bodies, 0, None)
    }

    /// Is there a queue in this folder?
    pub fn is_in(spool: &Path) -> bool {
        spool.join(DATABASE).exists()
    }

    fn start(spool: &Path, bodies: Bodies, low_disk: u64, lock: Option<File>) -> Result<Self, StoreError> {
        let database = spool.join(DATABASE);
        let (sender, changed) = watch::channel(0);
        let keeping = Keeping::new(bodies.clone(), sender.clone());
        let writer = Writer::open(&database, BUSY, &SCHEMA, |_| Ok(keeping))?;
        let readers = Readers::new(writer.file().clone(), BUSY);
        let watcher = Watcher::start(&database, BUSY, LOOK_EVERY, sender)?;
        let writer =
            Worker::spawn(writer).map_err(|e| StoreError::file("starting a thread for", &database, e))?;
        Ok(Self(Arc::new(Inner {
            watcher: Mutex::new(Some(watcher)),
            readers,
            writer,
            bodies,
            room: Room::on(spool.to_owned(), low_disk).with_reserve(Reserve::in_spool(spool)),
            reserve: Reserve::in_spool(spool),
            turns: Arc::default(),
            changed,
            _lock: lock,
        })))
    }

    /// Waits for the readers, commits what waits and closes the file. Every clone is closed with it.
    pub async fn close(self) {
        self.0.readers.close().await;
        let inner = self.0;
        // Only a panic in it could fail, and it has none.
        let _ = tokio::task::spawn_blocking(move || {
            inner.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
            inner.writer.close();
            inner.writer.wait();
        })
        .await;
    }

    /// The octets of a message as they are, damaged or not; `None`: there are none.
    pub async fn octets_as_they_are(&self, id: RelayId) -> Result<Option<Vec<u8>>, StoreError> {
        let bodies = self.0.bodies.clone();
        let query = move |db: &rusqlite::Connection| {
            Ok(match read::kept(db, id)? {
                None => None,
                Some((key, Kept { file: None, .. })) => read::octets(db, key)?,
                Some((_, Kept { file: Some(name), octets, .. })) => bodies.read_any(&name, id, octets).ok(),
            })
        };
        self.0.readers.read("reading a content", query).await
    }

    /// Puts a message that was set aside back among those that wait; its waiting recipients are due at `now`.
    /// False: it is not there, or not set aside.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not whole.
    pub async fn restore(&self, id: RelayId, now: Timestamp) -> Result<bool, StoreError> {
        self.content(id).await?;
        self.found(|| Change::Restore { id, now }).await
    }

    /// The content in a file of the spool: a copy of the envelope may stand before it, and must never be sent.
    pub fn content_in_file(mut file: Vec<u8>) -> Vec<u8> {
        if let Some((length, _)) = copy::head_of(&file) {
            file.drain(..length);
        }
        file
    }

    /// The files of damaged contents that belong to no message in the queue: nobody knows whose they are.
    pub async fn strays(&self) -> Result<Vec<PathBuf>, StoreError> {
        let bodies = self.0.bodies.clone();
        let mut files = bodies.set_aside_files()?;
        let query = move |db: &rusqlite::Connection| {
            let mut known = vec![];
            for file in &files {
                let id = file.file_stem().and_then(|stem| stem.to_str()?.parse::<RelayId>().ok());
                known.push(match id {
                    Some(id) => read::is_there(db, id)?,
                    None => false,
                });
            }
            let mut known = known.into_iter();
            files.retain(|_| known.next() == Some(false));
            Ok(std::mem::take(&mut files))
        };
        self.0.readers.read("looking for files without a message", query).await
    }

    /// The content's checksum, and a large one as a file, before the writer hears of it.
    async fn prepared(&self, new: NewMessage) -> Result<Put, StoreError> {
        let NewMessage { message, content } = new;
        let octets = content.len() as u64;
        if content.len() <= LARGE {
            let checksum = checksum(&content);
            let envelope = copy::line(&message, octets, &checksum);
            return Ok(Put { message, octets, checksum, content: Content::Here(content), envelope });
        }
        let bodies = self.0.bodies.clone();
        let staging = tokio::task::spawn_blocking(move || {
            let checksum = checksum(&content);
            let envelope = copy::line(&message, octets, &checksum);
            let staged = bodies.stage(message.id, &envelope, &content)?;
            Ok(Put { message, octets, checksum, content: Content::File(staged), envelope })
        });
        staging.await.map_err(|_| StoreError::Panicked { thread: "staging" })?
    }

    async fn all_prepared(&self, new: Vec<NewMessage>) -> Result<Vec<Put>, StoreError> {
        let mut prepared = Vec::with_capacity(new.len());
        for new in new {
            prepared.push(self.prepared(new).await?);
        }
        Ok(prepared)
    }

    async fn found(&self, change: impl Fn() -> Change) -> Result<bool, StoreError> {
        Ok(self.commit(change).await? > 0)
    }

    /// Into the room of the reserve, if there is no other.
    async fn commit(&self, change: impl Fn() -> Change) -> Result<u64, StoreError> {
        match self.0.writer.commit(change()).await {
            Err(error) if error.no_room() && self.0.reserve.give() => self.0.writer.commit(change()).await,
            answer => answer,
        }
    }

    async fn settle_once(
        &self,
        id: RelayId,
        outcomes: Vec<RecipientOutcome>,
        notifications: Vec<NewMessage>,
    ) -> Result<(), StoreError> {
        let notifications = self.all_prepared(notifications).await?;
        self.0.writer.commit(Change::Settle { id, outcomes, notifications }).await?;
        Ok(())
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn put(&self, message: NewMessage) -> Result<(), StoreError> {
        self.0.room.take(message.content.len() as u64)?;
        let put = self.prepared(message).await?;
        self.0.writer.commit(Change::Put(Box::new(put))).await?;
        Ok(())
    }

    async fn due_but_for(
        &self,
        closed: &[String],
        now: Timestamp,
        limit: u32,
        passing_over: &[RelayId],
    ) -> Result<Vec<QueuedMessage>, StoreError> {
        let turns = self.0.turns.clone();
        let passing_over = passing_over.iter().copied().collect();
        let limit = limit.min(read::MOST) as usize;
        let closed = closed.to_vec();
        let query = move |db: &rusqlite::Connection| {
            let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
            let keys = turns.choose(db, now, limit, &passing_over, &closed)?;
            read::by_keys(db, &keys)
        };
        let Found { messages, unreadable } = self.0.readers.read("looking for what is due", query).await?;
        // Nothing can be done with them, and they would be due for ever.
        for (id, why) in unreadable {
            self.set_aside(id, &why).await?;
        }
        Ok(messages)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.0.readers.read("looking for what is due", read::next_due).await
    }

    async fn content(&self, id: RelayId) -> Result<Vec<u8>, StoreError> {
        let bodies = self.0.bodies.clone();
        let query = move |db: &rusqlite::Connection| {
            let Some((key, kept)) = read::kept(db, id)? else { return Ok(Err(StoreError::NotQueued { id })) };
            Ok(whole(db, &bodies, id, key, &kept))
        };
        match self.0.readers.read("reading a content", query).await? {
            // Deleted between the row and the file, it is not damaged but gone.
            Err(StoreError::Damaged { .. })
                if !self.0.readers.read("reading a content", move |db| read::is_there(db, id)).await? =>
            {
                Err(StoreError::NotQueued { id })
            }
            content => content,
        }
    }

    async fn settle(
        &self,
        id: RelayId,
        outcomes: Vec<RecipientOutcome>,
        notifications: Vec<NewMessage>,
    ) -> Result<(), StoreError> {
        match self.settle_once(id, outcomes.clone(), notifications.clone()).await {
            Err(error) if error.no_room() && self.0.reserve.give() => {
                self.settle_once(id, outcomes, notifications).await
            }
            settled => settled,
        }
    }

    async fn set_aside(&self, id: RelayId, why: &str) -> Result<(), StoreError> {
        if self.found(|| Change::SetAside { id, why: why.to_owned() }).await? {
            log::queued_set_aside(id, why);
        }
        Ok(())
    }

    async fn delay_told(&self, id: RelayId, notifications: Vec<NewMessage>) -> Result<(), StoreError> {
        let notifications = self.all_prepared(notifications).await?;
        self.0.writer.commit(Change::DelayTold { id, notifications }).await?;
        Ok(())
    }

    async fn message(&self, id: RelayId) -> Result<Option<QueuedMessage>, StoreError> {
        self.0.readers.read("reading a queued message", move |db| read::message(db, id)).await
    }

    async fn messages(&self, after: Option<RelayId>, limit: u32) -> Result<Vec<QueuedMessage>, StoreError> {
        let query = move |db: &rusqlite::Connection| read::messages(db, after, limit);
        let Found { messages, unreadable } = self.0.readers.read("listing queued messages", query).await?;
        for (id, why) in unreadable {
            log::queued_unreadable(id, &why);
        }
        Ok(messages)
    }

    async fn counts(&self) -> Result<QueueCounts, StoreError> {
        self.0.readers.read("counting queued messages", read::counts).await
    }

    async fn retry(&self, id: RelayId, now: Timestamp) -> Result<bool, StoreError> {
        self.found(|| Change::Retry { id, now }).await
    }

    async fn hold(&self, id: RelayId) -> Result<bool, StoreError> {
        self.found(|| Change::Hold(id)).await
    }

    async fn release(&self, id: RelayId) -> Result<bool, StoreError> {
        self.found(|| Change::Release(id)).await
    }

    async fn delete(&self, id: RelayId) -> Result<bool, StoreError> {
        self.found(|| Change::Delete(id)).await
    }

    async fn flush(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.commit(|| Change::Flush(now)).await
    }

    async fn flushes(&self) -> Result<u64, StoreError> {
        self.0.readers.read("looking whether somebody flushed", read::flushes).await
    }

    async fn prove_writable(&self) -> Result<Footing, StoreError> {
        let inner = self.0.clone();
        let reserve = tokio::task::spawn_blocking(move || inner.room.has_reserve());
        let held = reserve.await.map_err(|_| StoreError::Panicked { thread: "reserving room" })?;
        self.commit(|| Change::Prove).await?;
        // It may have been given for this.
        Ok(if held && self.0.reserve.is_held() { Footing::Firm } else { Footing::Narrow })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.changed.clone()
    }
}

/// The octets, if they are what was put.
pub(crate) fn whole(
    db: &rusqlite::Connection,
    bodies: &Bodies,
    id: RelayId,
    key: i64,
    kept: &Kept,
) -> Result<Vec<u8>, StoreError> {
    let damaged = |what: String| StoreError::Damaged { id, what };
    let short = |length: u64| damaged(format!("its content has {length} octets, of {}", kept.octets));
    let content = match &kept.file {
        Some(name) => bodies.read(name, id, kept.octets).map_err(|unfit| match unfit {
            Unfit::Missing => damaged(format!("its content, the file {name}, is missing")),
            Unfit::Length(length) => short(length),
            Unfit::Io(error) => error,
        })?,
        None => match read::octets(db, key) {
            Ok(Some(content)) => content,
            Ok(None) => return Err(damaged("its content is missing".to_owned())),
            Err(error) if is_corrupt(&error) => {
                return Err(damaged(format!("its content cannot be read: {error}")));
            }
            Err(error) => return Err(StoreError::sqlite("reading a content", error)),
        },
    };
    if content.len() as u64 != kept.octets {
        return Err(short(content.len() as u64));
    }
    if checksum(&content) != kept.checksum {
        return Err(damaged("its content was changed".to_owned()));
    }
    Ok(content)
}

pub(crate) fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
        || matches!(error, rusqlite::Error::InvalidColumnType(..))
}

fn checksum(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

/// SQLite takes a name that begins with "file:" for a URI; an absolute path never does.
fn absolute(spool: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(spool).map_err(|e| StoreError::file("finding the folder", spool, e))
}

/// The lock, which also remembers that there was a queue: an empty file is no new one then.
struct Lock {
    path: PathBuf,
    file: File,
    had_a_queue: bool,
}

fn lock(spool: &Path) -> Result<Lock, StoreError> {
    let path = spool.join(LOCK);
    let file = open_lock(&path).map_err(|e| StoreError::file("opening", &path, e))?;
    match file.try_lock() {
        Ok(()) => {
            let had_a_queue = file.metadata().is_ok_and(|metadata| metadata.len() > 0);
            Ok(Lock { path, file, had_a_queue })
        }
        Err(TryLockError::WouldBlock) => Err(StoreError::QueueInUse { path: spool.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::file("locking", &path, error)),
    }
}

impl Lock {
    fn note_queue(mut self) -> Result<File, StoreError> {
        if !self.had_a_queue {
            let noted = self.file.write_all(b"queue.db\n").and_then(|()| self.file.sync_all());
            noted.map_err(|e| StoreError::file("writing", &self.path, e))?;
        }
        Ok(self.file)
    }
}
