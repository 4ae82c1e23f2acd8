mod figures;
mod screen;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::journal::Segment;
use crate::{Event, Journal, Store, StoreError, log};
use figures::{Counters, count};

pub use figures::Figures;
pub use screen::Screen;

/// Records events: in the store, or in the journal when the store does not answer.
///
/// Once the store has failed, events go straight to the journal, so that nobody waits and nothing piles up; a
/// task in the background replays the journal as soon as the store answers, and from then on events go to the
/// store again. An event that was in both is in the store once: its id sees to that.
pub struct Recorder(Arc<Shared>);

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the store.
    Committed,
    /// It is in the journal, on disk, and will be in the store.
    Journaled,
    /// It is nowhere for certain; the log says so.
    Lost,
}

struct Shared {
    store: Arc<dyn Store>,
    journal: Journal,
    /// The store failed, and has not answered since.
    away: AtomicBool,
    waiting: Semaphore,
    replaying: Mutex<()>,
    in_background: AtomicBool,
    counters: Counters,
    screen: OnceLock<Arc<dyn Screen>>,
}

/// How long a pixel's answer waits for the store (decision 0004).
const STORE_PATIENCE: Duration = Duration::from_millis(250);
/// Whoever waits for a pixel has long had it by then: a disk that stalls so long may still come back.
const JOURNAL_PATIENCE: Duration = Duration::from_secs(30);
/// Nobody waits for a replay.
const REPLAY_PATIENCE: Duration = Duration::from_secs(10);
/// Writes that wait for the store at once.
const MOST_WAITING: usize = 1_024;
/// Enough to share a commit well (FIELD.md section 6), too few to be in the way of new events.
const TOGETHER: usize = 128;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Recorder {
    /// A recorder for `store`, with `journal` to fall back on. Call [`Recorder::replay`] once at the
    /// beginning, for what an earlier run left in the journal.
    pub fn new(store: Arc<dyn Store>, journal: Journal) -> Self {
        Self(Arc::new(Shared {
            store,
            journal,
            away: AtomicBool::new(false),
            waiting: Semaphore::new(MOST_WAITING),
            replaying: Mutex::default(),
            in_background: AtomicBool::new(false),
            counters: Counters::default(),
            screen: OnceLock::new(),
        }))
    }

    /// Records an event. Returns when it is on disk: within 250 ms from the store, or else in the journal.
    ///
    /// Whoever may be given up half-way, as when a client goes away, calls this in a task of its own: dropped
    /// before it returns, the event may be nowhere.
    pub async fn record(&self, event: Event) -> Recorded {
        let (recorded, counters) = (self.0.record(event).await, &self.0.counters);
        count(match recorded {
            Recorded::Committed => &counters.committed,
            Recorded::Journaled => &counters.journaled,
            Recorded::Lost => &counters.lost,
        });
        recorded
    }

    /// What goes from the journal to the store is looked at by `screen`. To be said once, before the first replay.
    pub fn screen_with(&self, screen: Arc<dyn Screen>) {
        let _ = self.0.screen.set(screen);
    }

    /// Records an event of which it is not known yet how much may be kept: it goes to the journal, and from there,
    /// looked at again, to the store. Returns when it is on disk.
    pub async fn record_later(&self, event: Event) -> Recorded {
        let (shared, counters) = (&self.0, &self.0.counters);
        if shared.append(&event).await.is_ok() {
            shared.replay_in_background();
            count(&counters.journaled);
            return Recorded::Journaled;
        }
        log::event_lost(event.id, event.message);
        count(&counters.lost);
        Recorded::Lost
    }

    /// Whoever called [`Recorder::record`] did not wait for its end.
    pub fn answered_first(&self) {
        count(&self.0.counters.answered_first);
    }

    /// Something happened that is not to be recorded.
    pub fn left_out(&self) {
        count(&self.0.counters.left_out);
    }

    /// What became of events so far.
    pub fn figures(&self) -> Figures {
        self.0.counters.read()
    }

    /// Writes what the journal holds to the store, and returns how many events that were.
    ///
    /// # Errors
    /// When the store or the journal fails. What is left stays in the journal, and is tried again in the
    /// background.
    pub async fn replay(&self) -> Result<u64, StoreError> {
        let replayed = self.0.replay().await;
        if replayed.is_err() {
            self.0.replay_in_background();
        }
        replayed
    }
}

impl Shared {
    async fn record(self: &Arc<Self>, event: Event) -> Recorded {
        let away = self.away.load(Ordering::Relaxed);
        if !away && self.commit(&event).await.is_ok() {
            return Recorded::Committed;
        }
        if self.append(&event).await.is_ok() {
            self.replay_in_background();
            return Recorded::Journaled;
        }
        // The last straw: it may be back by now.
        if away && self.commit(&event).await.is_ok() {
            return Recorded::Committed;
        }
        log::event_lost(event.id, event.message);
        Recorded::Lost
    }

    async fn commit(&self, event: &Event) -> Result<(), StoreError> {
        let _permit = self.waiting.try_acquire().map_err(|_| StoreError::Crowded)?;
        // Cut off here it may still be committed later, when the journal has it too: once, by its id.
        let committed = timeout(STORE_PATIENCE, self.store.record_event(event.clone())).await;
        let committed = committed.unwrap_or(Err(StoreError::TimedOut));
        match &committed {
            Err(error) if error.store_is_away() => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    log::store_away(error);
                }
            }
            Err(error) => log::event_refused(event.id, error),
            Ok(()) => self.away.store(false, Ordering::Relaxed),
        }
        committed
    }

    async fn append(self: &Arc<Self>, event: &Event) -> Result<(), StoreError> {
        let appended = timeout(JOURNAL_PATIENCE, self.journal.append(event)).await;
        let appended = appended.unwrap_or_else(|_| {
            // It may be written all the same, after this.
            self.replay_in_background();
            Err(StoreError::TimedOut)
        });
        appended.inspect_err(log::journal_failed)
    }

    async fn replay(&self) -> Result<u64, StoreError> {
        let _only_one = self.replaying.lock().await;
        let mut replayed = 0;
        for path in self.journal.seal().await? {
            replayed += self.replay_segment(path).await?;
        }
        Ok(replayed)
    }

    async fn replay_segment(&self, path: PathBuf) -> Result<u64, StoreError> {
        let mut segment = blocking(move || Segment::read(path)).await?;
        let mut events = std::mem::take(&mut segment.events).into_iter();
        let mut replayed = 0;
        // The first goes alone, to see whether anybody answers.
        let mut together = 1;
        loop {
            let some: Vec<Event> = events.by_ref().take(together).collect();
            if some.is_empty() {
                break;
            }
            let these = some.len() as u64;
            self.commit_together(some, &mut segment).await?;
            self.counters.replayed.fetch_add(these, Ordering::Relaxed);
            replayed += these;
            self.away.store(false, Ordering::Relaxed);
            together = TOGETHER;
        }
        blocking(move || segment.finish()).await?;
        Ok(replayed)
    }

    /// # Errors
    /// When the store is away. An event that it refuses is noted and passed over: it must not hold up the rest.
    async fn commit_together(&self, events: Vec<Event>, segment: &mut Segment) -> Result<(), StoreError> {
        let mut writes = JoinSet::new();
        for event in events {
            let (store, screen, id) = (self.store.clone(), self.screen.get().cloned(), event.id);
            let looked_at = async move {
                let event = match screen {
                    Some(screen) => screen.screen(event).await?,
                    None => Some(event),
                };
                match event {
                    Some(event) => store.record_event(event).await,
                    None => Ok(()),
                }
            };
            writes.spawn(async move {
                let committed = timeout(REPLAY_PATIENCE, looked_at).await;
                (id, committed.unwrap_or(Err(StoreError::TimedOut)))
            });
        }
        while let Some(written) = writes.join_next().await {
            match written {
                Ok((_, Ok(()))) => {}
                Ok((id, Err(error))) if !error.store_is_away() => segment.refuse(id, &error),
                Ok((_, Err(error))) => return Err(error),
                Err(_) => return Err(StoreError::Panicked { thread: "journal-replay" }),
            }
        }
        Ok(())
    }

    fn replay_in_background(self: &Arc<Self>) {
        if !self.in_background.swap(true, Ordering::SeqCst) {
            tokio::spawn(keep_replaying(Arc::downgrade(self)));
        }
    }
}

/// Until the journal is empty, or the recorder is gone.
async fn keep_replaying(recorder: Weak<Shared>) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shared) = recorder.upgrade() else { return };
        let seen = shared.journal.appended();
        match shared.replay().await {
            Ok(replayed) => {
                log::replayed(replayed);
                shared.in_background.store(false, Ordering::SeqCst);
                // An event that came in since has found this task still there, and begun none.
                if shared.journal.appended() == seen || shared.in_background.swap(true, Ordering::SeqCst) {
                    return;
                }
                pause = FIRST_PAUSE;
            }
            Err(StoreError::Closed) => {
                shared.in_background.store(false, Ordering::SeqCst);
                return;
            }
            Err(error) => {
                log::replay_failed(&error);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(StoreError::Panicked { thread: "journal-replay" }))
}

#[cfg(test)]
mod tests;
