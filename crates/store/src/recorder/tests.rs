use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use async_trait::async_trait;
use envelope::{Choice, RelayId, Timestamp};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::samples::{click, open};
use crate::{Feedback, FeedbackLog, RecipientFeedback};
use crate::{
    MessageFilter, MessageOutcome, MessageRecord, MessageSummary, SavedChoice, SenderRecord, Settlement,
    Settling, SqliteStore, StoredEvent, SubmissionAddress, Submissions,
};

/// A store that does what a test tells it to, with a real one behind it.
struct Scripted {
    store: SqliteStore,
    mood: watch::Sender<Mood>,
    asked: AtomicUsize,
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Answers,
    Hangs,
    Fails,
    /// Refuses clicks for themselves.
    RefusesClicks,
    /// Commits, and says so too late.
    CommitsLate,
}

/// Nobody settles here.
#[async_trait]
impl Settling for Scripted {
    fn settled(&self) -> watch::Receiver<i64> {
        self.store.settled()
    }
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        self.store.settle(settlement).await
    }
    async fn settled_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.settled_after(seq, limit).await
    }
    async fn hits_with_evidence(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.hits_with_evidence(seq, limit).await
    }
    async fn events_of_before(
        &self,
        id: RelayId,
        before: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events_of_before(id, before, limit).await
    }
    async fn event(&self, id: RelayId) -> Result<Option<StoredEvent>, StoreError> {
        self.store.event(id).await
    }
    async fn drop_evidence(&self, now: Timestamp, limit: u32) -> Result<(), StoreError> {
        self.store.drop_evidence(now, limit).await
    }
}

/// Nothing comes back here.
#[async_trait]
impl FeedbackLog for Scripted {
    async fn record_feedback(&self, feedback: Feedback) -> Result<(), StoreError> {
        self.store.record_feedback(feedback).await
    }
    async fn feedback_of(&self, message: RelayId) -> Result<Vec<RecipientFeedback>, StoreError> {
        self.store.feedback_of(message).await
    }
    async fn messages_called(&self, message_id: &str) -> Result<Vec<RelayId>, StoreError> {
        self.store.messages_called(message_id).await
    }
}

#[async_trait]
impl crate::Privacy for Scripted {
    async fn parties(&self, message: RelayId) -> Result<Option<crate::Parties>, StoreError> {
        self.store.parties(message).await
    }
    async fn refused(&self, addresses: Vec<String>) -> Result<Vec<bool>, StoreError> {
        self.store.refused(addresses).await
    }
    async fn refuse(&self, address: &str, at: Timestamp) -> Result<(), StoreError> {
        self.store.refuse(address, at).await
    }
    async fn allow(&self, address: &str) -> Result<(), StoreError> {
        self.store.allow(address).await
    }
    async fn recipient_facts(
        &self,
        message: RelayId,
        recipient: Option<u16>,
    ) -> Result<Option<crate::RecipientFacts>, StoreError> {
        self.store.recipient_facts(message, recipient).await
    }
    async fn record_last_open(&self, open: crate::LastOpen) -> Result<(), StoreError> {
        self.store.record_last_open(open).await
    }
    async fn last_opens(&self, message: RelayId) -> Result<Vec<crate::LastOpen>, StoreError> {
        self.store.last_opens(message).await
    }
    async fn purge(
        &self,
        keep: crate::Keep,
        progress: crate::Purge,
        limit: u32,
    ) -> Result<crate::Purge, StoreError> {
        self.store.purge(keep, progress, limit).await
    }
    async fn over_its_time(&self, keep: crate::Keep) -> Result<crate::Purged, StoreError> {
        self.store.over_its_time(keep).await
    }
    async fn traces(&self, address: &str) -> Result<crate::Traces, StoreError> {
        self.store.traces(address).await
    }
    async fn forget(&self, address: &str) -> Result<crate::Traces, StoreError> {
        self.store.forget(address).await
    }
}

#[async_trait]
impl Submissions for Scripted {
    async fn record_submission(&self, sender: &str, from: IpAddr, at: Timestamp) -> Result<(), StoreError> {
        self.store.record_submission(sender, from, at).await
    }
    async fn submissions(&self, sender: &str, now: Timestamp) -> Result<Vec<SubmissionAddress>, StoreError> {
        self.store.submissions(sender, now).await
    }
    async fn forget_submissions(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.forget_submissions(now).await
    }
}

#[async_trait]
impl Store for Scripted {
    async fn record_event(&self, event: Event) -> Result<(), StoreError> {
        struct Leaving<'a>(&'a AtomicUsize);
        impl Drop for Leaving<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_waiting.fetch_max(now, Ordering::SeqCst);
        let _leaving = Leaving(&self.waiting);
        let mood = *self.mood.borrow();
        match mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Fails => Err(StoreError::TimedOut),
            Mood::RefusesClicks if event.kind == crate::EventKind::Click => {
                Err(StoreError::Unreadable { what: "click", value: String::new() })
            }
            Mood::Answers | Mood::RefusesClicks => self.store.record_event(event).await,
            Mood::CommitsLate => {
                self.store.record_event(event).await?;
                std::future::pending().await
            }
        }
    }

    async fn record_message(&self, record: MessageRecord) -> Result<(), StoreError> {
        self.store.record_message(record).await
    }
    async fn record_outcome(&self, outcome: MessageOutcome) -> Result<(), StoreError> {
        self.store.record_outcome(outcome).await
    }
    async fn message(&self, id: RelayId) -> Result<Option<MessageSummary>, StoreError> {
        self.store.message(id).await
    }
    async fn messages(&self, filter: MessageFilter) -> Result<Vec<MessageSummary>, StoreError> {
        self.store.messages(filter).await
    }
    async fn recent_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.recent_events(limit).await
    }
    async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events_after(seq, limit).await
    }
    async fn events_of(&self, message: RelayId) -> Result<Vec<StoredEvent>, StoreError> {
        self.store.events_of(message).await
    }
    async fn saved_choice(&self, sender: &str) -> Result<Option<SavedChoice>, StoreError> {
        self.store.saved_choice(sender).await
    }
    async fn save_choice(
        &self,
        sender: &str,
        choice: Choice,
        by: Option<RelayId>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.save_choice(sender, choice, by, at).await
    }
    async fn sender(&self, login: &str) -> Result<Option<SenderRecord>, StoreError> {
        self.store.sender(login).await
    }
    async fn senders(&self) -> Result<Vec<SenderRecord>, StoreError> {
        self.store.senders().await
    }
    async fn app_passwords(&self, sender: &str) -> Result<Vec<crate::AppPassword>, StoreError> {
        self.store.app_passwords(sender).await
    }
    async fn save_app_password(&self, password: crate::AppPassword) -> Result<(), StoreError> {
        self.store.save_app_password(password).await
    }
    async fn remove_app_password(&self, sender: &str, label: &str) -> Result<(), StoreError> {
        self.store.remove_app_password(sender, label).await
    }
    async fn save_sender(&self, sender: SenderRecord) -> Result<(), StoreError> {
        self.store.save_sender(sender).await
    }
    fn committed(&self) -> watch::Receiver<i64> {
        self.store.committed()
    }
}

#[async_trait]
impl crate::Revocations for Scripted {
    async fn revoke(&self, what: crate::Revocation, at: Timestamp) -> Result<(), StoreError> {
        self.store.revoke(what, at).await
    }
    async fn unrevoke(&self, what: crate::Revocation) -> Result<(), StoreError> {
        self.store.unrevoke(what).await
    }
    async fn revocations(&self) -> Result<Vec<crate::StoredRevocation>, StoreError> {
        self.store.revocations().await
    }
    async fn revocations_edition(&self) -> Result<i64, StoreError> {
        self.store.revocations_edition().await
    }
}

#[async_trait]
impl crate::Suppressions for Scripted {
    async fn suppression(&self, sender: &str, to: &str) -> Result<Option<crate::Suppression>, StoreError> {
        self.store.suppression(sender, to).await
    }
    async fn suppress(&self, suppression: crate::Suppression) -> Result<(), StoreError> {
        self.store.suppress(suppression).await
    }
    async fn unsuppress(&self, sender: Option<&str>, address: &str) -> Result<(), StoreError> {
        self.store.unsuppress(sender, address).await
    }
    async fn suppressions(
        &self,
        filter: crate::SuppressionFilter,
    ) -> Result<Vec<crate::Suppression>, StoreError> {
        self.store.suppressions(filter).await
    }
    async fn unsubscribe(&self, unsubscription: crate::Unsubscription) -> Result<(), StoreError> {
        self.store.unsubscribe(unsubscription).await
    }
}

struct Scene {
    folder: TempDir,
    store: Arc<Scripted>,
    recorder: Recorder,
}

impl Scene {
    fn new(mood: Mood) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Scripted {
            store: SqliteStore::open(&folder.path().join("waxseal.db")).unwrap(),
            mood: watch::Sender::new(mood),
            asked: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            most_waiting: AtomicUsize::new(0),
        });
        let journal = Journal::open(&folder.path().join("journal")).unwrap();
        let recorder = Recorder::new(store.clone(), journal);
        Self { folder, store, recorder }
    }

    fn set(&self, mood: Mood) {
        self.store.mood.send_replace(mood);
    }

    fn journal_files(&self) -> Vec<String> {
        files(&self.folder.path().join("journal"))
    }
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names.sort();
    names
}

/// Waits until so many events are in the store, and says how often each of `count` is.
async fn times_stored(store: &dyn Store, count: u32) -> Vec<usize> {
    let mut committed = store.committed();
    loop {
        let stored = store.events_after(0, 10_000).await.unwrap();
        let times = |n| stored.iter().filter(|stored| stored.event.id == open(n, 1).id).count();
        let times: Vec<_> = (0..count).map(times).collect();
        if times.iter().all(|times| *times > 0) {
            return times;
        }
        timeout(Duration::from_secs(20), committed.changed()).await.expect("the replay comes").unwrap();
    }
}

/// Waits for the task in the background to have removed what it replayed.
async fn idle(recorder: &Recorder) {
    while recorder.0.in_background.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_store_that_answers_has_the_event() {
    let scene = Scene::new(Mood::Answers);
    assert_eq!(scene.recorder.record(open(0, 1)).await, Recorded::Committed);
    assert_eq!(times_stored(&*scene.store, 1).await, [1]);
    assert!(scene.journal_files().is_empty());
    assert_eq!(scene.recorder.replay().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_costs_a_quarter_of_a_second_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let journal = Journal::open(&folder.path().join("journal")).unwrap();
    let recorder = Arc::new(Recorder::new(store.clone(), journal));

    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let started = Instant::now();
    let mut writers = JoinSet::new();
    for n in 0..40 {
        let recorder = recorder.clone();
        writers.spawn(async move { recorder.record(open(n, 1)).await });
    }
    assert!(writers.join_all().await.into_iter().all(|recorded| recorded == Recorded::Journaled));
    let first = started.elapsed();
    assert!(first >= STORE_PATIENCE, "{first:?}");
    assert!(first < Duration::from_millis(1_500), "not the two seconds that SQLite waits: {first:?}");

    // Now it is known: nobody waits any more.
    let started = Instant::now();
    for n in 40..60 {
        assert_eq!(recorder.record(open(n, 1)).await, Recorded::Journaled);
    }
    assert!(started.elapsed() < 20 * STORE_PATIENCE / 2, "{:?}", started.elapsed());
    assert!(recorder.replay().await.is_err(), "it is still locked");

    // Those that were cut off may be committed now; the journal has them too.
    drop(other);
    assert_eq!(times_stored(&*store, 60).await, vec![1; 60]);
    idle(&recorder).await;
    assert_eq!(times_stored(&*store, 60).await, vec![1; 60]);
    assert!(files(&folder.path().join("journal")).is_empty());
    assert_eq!(recorder.record(open(60, 1)).await, Recorded::Committed, "and it is trusted again");
}

#[tokio::test]
async fn a_commit_that_comes_too_late_counts_once() {
    let scene = Scene::new(Mood::CommitsLate);
    assert_eq!(scene.recorder.record(open(0, 1)).await, Recorded::Journaled);
    assert_eq!(times_stored(&*scene.store, 1).await, [1]);
    scene.set(Mood::Answers);
    scene.recorder.replay().await.unwrap();
    idle(&scene.recorder).await;
    assert_eq!(times_stored(&*scene.store, 1).await, [1]);
    assert!(scene.journal_files().is_empty());
}

#[tokio::test]
async fn nothing_piles_up_before_a_store_that_hangs() {
    const MANY: u32 = 3_000;
    let scene = Scene::new(Mood::Hangs);
    let recorder = Arc::new(scene.recorder);
    let mut writers = JoinSet::new();
    for n in 0..MANY {
        let recorder = recorder.clone();
        writers.spawn(async move { recorder.record(open(n, 1)).await });
    }
    assert!(writers.join_all().await.into_iter().all(|recorded| recorded == Recorded::Journaled));
    // And one more: the task in the background asks whether the store is back.
    let most_waiting = scene.store.most_waiting.load(Ordering::SeqCst);
    assert!(most_waiting <= MOST_WAITING + 1, "{most_waiting}");
    let asked = scene.store.asked.load(Ordering::SeqCst);
    assert!(asked <= MOST_WAITING + 1, "{asked}");
    // Only that task asks again, with one event at a time.
    for n in MANY..MANY + 50 {
        assert_eq!(recorder.record(open(n, 1)).await, Recorded::Journaled);
    }
    let asked_again = scene.store.asked.load(Ordering::SeqCst) - asked;
    assert!(asked_again <= 2, "{asked_again}");
}

#[tokio::test]
async fn a_store_that_failed_is_tried_again_by_itself() {
    let scene = Scene::new(Mood::Fails);
    for n in 0..300 {
        assert_eq!(scene.recorder.record(open(n, 1)).await, Recorded::Journaled);
    }
    scene.set(Mood::Answers);
    assert_eq!(times_stored(&*scene.store, 300).await, vec![1; 300]);
    idle(&scene.recorder).await;
    assert!(scene.journal_files().is_empty());
    assert_eq!(scene.recorder.record(open(300, 1)).await, Recorded::Committed);
}

#[tokio::test]
async fn what_an_earlier_run_left_is_replayed() {
    let scene = Scene::new(Mood::Fails);
    for n in 0..200 {
        scene.recorder.record(open(n, 1)).await;
    }
    let Scene { folder, store, recorder } = scene;
    drop(recorder);
    store.mood.send_replace(Mood::Answers);
    let journal = loop {
        // The task in the background may hold it for one more attempt.
        match Journal::open(&folder.path().join("journal")) {
            Ok(journal) => break journal,
            Err(StoreError::JournalInUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    let again = Recorder::new(store.clone(), journal);
    again.replay().await.unwrap();
    assert_eq!(times_stored(&*store, 200).await, vec![1; 200]);
    assert_eq!(again.replay().await.unwrap(), 0);
}

#[tokio::test]
async fn a_torn_journal_gives_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    {
        let journal = Journal::open(&journal).unwrap();
        for n in 0..5 {
            journal.append(&open(n, 1)).await.unwrap();
        }
    }
    let file = journal.join("0000000001.journal");
    let octets = std::fs::read(&file).unwrap();
    std::fs::write(&file, &octets[..octets.len() - 40]).unwrap();

    let store = Arc::new(SqliteStore::open(&folder.path().join("waxseal.db")).unwrap());
    let recorder = Recorder::new(store.clone(), Journal::open(&journal).unwrap());
    assert_eq!(recorder.replay().await.unwrap(), 4);
    assert_eq!(times_stored(&*store, 4).await, [1; 4]);
    assert_eq!(files(&journal), ["0000000001.damaged"]);
    assert_eq!(recorder.replay().await.unwrap(), 0, "once is enough");
}

#[tokio::test]
async fn an_event_that_is_refused_holds_up_no_other() {
    let scene = Scene::new(Mood::RefusesClicks);
    assert_eq!(scene.recorder.record(click(7, 1, 0)).await, Recorded::Journaled);
    assert_eq!(scene.recorder.record(open(0, 1)).await, Recorded::Committed, "the store is not away");
    idle(&scene.recorder).await;
    assert_eq!(scene.journal_files(), ["0000000001.refused"]);

    scene.set(Mood::Fails);
    for event in [open(1, 1), click(8, 1, 0), open(2, 1)] {
        assert_eq!(scene.recorder.record(event).await, Recorded::Journaled);
    }
    scene.set(Mood::RefusesClicks);
    assert_eq!(times_stored(&*scene.store, 3).await, [1; 3]);
}

#[tokio::test]
async fn with_neither_store_nor_journal_it_is_lost_and_said() {
    let scene = Scene::new(Mood::Fails);
    let folder = scene.folder.path().join("journal");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let started = Instant::now();
    assert_eq!(scene.recorder.record(open(0, 1)).await, Recorded::Lost);
    assert_eq!(scene.recorder.record(open(1, 1)).await, Recorded::Lost);
    assert!(started.elapsed() < Duration::from_secs(1));
    // Each is tried, so that the store's return ends it.
    scene.set(Mood::Answers);
    assert_eq!(scene.recorder.record(open(2, 1)).await, Recorded::Committed);
    assert!(!scene.recorder.0.away.load(Ordering::Relaxed));
}

/// Nobody asks for tokens here.
#[async_trait]
impl crate::ApiTokens for Scripted {
    async fn save_api_token(&self, _: crate::ApiToken) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
    async fn api_token(&self, _: &str) -> Result<Option<crate::ApiToken>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn api_tokens(&self, _: Option<&str>) -> Result<Vec<crate::ApiToken>, StoreError> {
        Err(StoreError::Closed)
    }
    async fn remove_api_token(&self, _: &str) -> Result<(), StoreError> {
        Err(StoreError::Closed)
    }
}
