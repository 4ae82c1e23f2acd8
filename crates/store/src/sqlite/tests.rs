use std::path::PathBuf;
use std::time::Instant;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::*;
use crate::conformance;
use crate::samples::{click, id, message, moment, open};

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.db");
    (folder, path)
}

/// What somebody does to the database's file.
type Happening<'a> = &'a dyn Fn(&Path);

/// Another program's connection that holds the write lock until it is dropped.
fn lock(path: &Path) -> Connection {
    let other = Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// Runs these writes at once in such a way that they are one batch, or two: the first may go alone.
async fn together(store: &SqliteStore, path: &Path, writes: Vec<Write>) -> Vec<Result<(), StoreError>> {
    let held = lock(path);
    let mut running = JoinSet::new();
    for (place, write) in writes.into_iter().enumerate() {
        let worker = store.writer.clone();
        running.spawn(async move { (place, worker.commit(write).await) });
    }
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    drop(held);
    let mut results = running.join_all().await;
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_every_backend_must() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::holds(async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = SqliteStore::open(&folder.path().join(format!("{number}.db"))).unwrap();
        Arc::new(store) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).unwrap();
    store.record_message(message(1)).await.unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    let (summary, events) = (store.message(id(1)).await.unwrap(), store.recent_events(9).await.unwrap());
    store.close().await;
    assert!(!path.with_extension("db-wal").exists(), "a closed store is one file");

    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.message(id(1)).await.unwrap(), summary);
    assert_eq!(store.recent_events(9).await.unwrap(), events);
    assert_eq!(*store.committed().borrow(), events[0].seq);
}

#[tokio::test]
async fn is_for_its_owner_only_and_syncs_every_commit() {
    let (_folder, path) = scratch();
    let writer = Writer::open(&path, BUSY, &SCHEMA, Records::open).unwrap();
    assert_eq!(writer.pragma("journal_mode"), "wal");
    assert_eq!(writer.pragma("synchronous"), "2");
    #[cfg(unix)]
    for name in ["waxseal.db", "waxseal.db-wal"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn one_refused_write_takes_no_other_with_it() {
    // SQLite takes back the statement, or by itself the whole transaction.
    for how in ["ABORT", "ROLLBACK"] {
        let (_folder, path) = scratch();
        let store = SqliteStore::open(&path).unwrap();
        Connection::open(&path)
            .unwrap()
            .execute_batch(&format!(
                "CREATE TRIGGER odd BEFORE INSERT ON event WHEN NEW.link = 13
                 BEGIN SELECT RAISE({how}, 'odd'); END"
            ))
            .unwrap();
        let mut writes: Vec<Write> = (0..30).map(|n| Write::Event(Box::new(open(n, n)))).collect();
        for n in [7, 20] {
            writes[n] = Write::Event(Box::new(click(99, 99, 13)));
        }
        let choice = Write::Choice { sender: "a".to_owned(), choice: Choice::BOTH, by: None, at: moment(1) };
        writes.push(choice);
        let results = together(&store, &path, writes).await;
        let refused: Vec<_> = (0..31).filter(|n| results[*n].is_err()).collect();
        assert_eq!(refused, [7, 20], "{how}");
        assert!(!results[7].clone().unwrap_err().store_is_away(), "it would be refused again");
        assert_eq!(store.recent_events(99).await.unwrap().len(), 28);
        assert!(store.saved_choice("a").await.unwrap().is_some());
        let left: u32 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM tally", (), |row| row.get(0))
            .unwrap();
        assert_eq!(left, 28, "nothing is left of the refused ones");
    }
}

#[tokio::test]
async fn a_panic_ends_neither_the_thread_nor_the_store() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).unwrap();
    let panicked = store.writer.commit(Write::Panic).await;
    assert!(matches!(panicked, Err(StoreError::Panicked { .. })), "{panicked:?}");
    store.record_event(open(1, 1)).await.unwrap();
    let panicked = store.readers.read::<(), _>("a test", |_| panic!("as a test asked")).await;
    assert!(matches!(panicked, Err(StoreError::Panicked { .. })), "{panicked:?}");
    assert_eq!(store.recent_events(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_locked_database_is_an_error_not_a_wait() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open_patient(&path, Duration::from_millis(100)).unwrap();
    let held = lock(&path);
    let started = Instant::now();
    let locked = store.record_event(open(1, 1)).await;
    assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(store.recent_events(9).await.unwrap(), [], "reading goes on");
    drop(held);
    store.record_event(open(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_long_reader_holds_up_no_writer() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open_patient(&path, Duration::from_millis(100)).unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM event").unwrap();
    for n in 2..50 {
        store.record_event(open(n, 1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_takes_nothing_that_was_acknowledged() {
    let (_folder, path) = scratch();
    let writer = Writer::open(&path, BUSY, &SCHEMA, Records::open).unwrap();
    writer.limit_pages(60);
    let store = SqliteStore::start(writer, BUSY).unwrap();
    let evidence = format!("{{\"a\":\"{}\"}}", "x".repeat(2_000));
    let mut acknowledged = 0;
    let full = loop {
        let event = Event { evidence: evidence.clone(), ..open(acknowledged, 1) };
        match store.record_event(event).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    assert!(full.store_is_away());
    assert!(acknowledged > 5);
    assert_eq!(store.recent_events(999).await.unwrap().len(), acknowledged as usize);
}

#[tokio::test]
async fn a_file_that_is_not_the_one_we_opened_is_not_written_to() {
    let replaced_by_its_copy = |path: &Path| {
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).unwrap();
        std::fs::rename(copy, path).unwrap();
    };
    let cases: [(&str, Happening); 3] = [
        ("deleted", &|path| std::fs::remove_file(path).unwrap()),
        ("its wal deleted", &|path| std::fs::remove_file(path.with_extension("db-wal")).unwrap()),
        ("replaced", &replaced_by_its_copy),
    ];
    for (case, happen) in cases {
        let (_folder, path) = scratch();
        let store = SqliteStore::open(&path).unwrap();
        store.record_event(open(1, 1)).await.unwrap();
        happen(&path);
        let gone = store.record_event(open(2, 1)).await;
        assert!(matches!(gone, Err(StoreError::Gone { .. })), "{case}: {gone:?}");
        let gone = store.recent_events(9).await;
        assert!(matches!(gone, Err(StoreError::Gone { .. })), "{case}: {gone:?}");
    }
}

#[tokio::test]
async fn files_that_are_not_ours_stay_as_they_are() {
    let newer = |path: &Path| {
        drop(SqliteStore::open(path).unwrap());
        Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    let foreign = |path: &Path| {
        Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    };
    let cases: [(&str, Happening, &str); 3] = [
        ("newer", &newer, "was written by a newer Waxseal"),
        ("another program's", &foreign, "is not a database of Waxseal"),
        (
            "no database",
            &|path| std::fs::write(path, "x".repeat(5_000)).unwrap(),
            "the database failed being opened",
        ),
    ];
    for (case, make, sentence) in cases {
        let (_folder, path) = scratch();
        make(&path);
        let before = std::fs::read(&path).unwrap();
        let Err(error) = SqliteStore::open(&path) else { panic!("{case}: was opened") };
        assert!(error.to_string().ends_with(sentence), "{case}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{case}");
    }
    let (folder, _) = scratch();
    let Err(error) = SqliteStore::open(&folder.path().join("no").join("folder.db")) else {
        panic!("was opened")
    };
    assert!(matches!(error, StoreError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn two_processes_may_begin_at_once() {
    let (_folder, path) = scratch();
    let begin = || {
        std::thread::spawn({
            let path = path.clone();
            move || SqliteStore::open(&path)
        })
    };
    let stores: Vec<_> = [(); 8].map(|()| begin()).map(|one| one.join().unwrap().unwrap()).into();
    for (n, store) in (0..).zip(&stores) {
        store.record_event(open(n, 1)).await.unwrap();
    }
    assert_eq!(stores[0].recent_events(9).await.unwrap().len(), stores.len());
}

#[tokio::test]
async fn closing_commits_what_waits() {
    for close in [true, false] {
        let (_folder, path) = scratch();
        let store = SqliteStore::open(&path).unwrap();
        let waiting: Vec<_> = (0..100)
            .map(|n| {
                let writer = store.writer.clone();
                Box::pin(async move { writer.commit(Write::Event(Box::new(open(n, 1)))).await })
            })
            .collect();
        // Polled once (tokio lets one task do that some 128 times): each is in the writer's inbox, and nobody waits for the answer.
        for mut one in waiting {
            let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(one.as_mut().poll(cx))).await;
        }
        let clone = store.clone();
        if close {
            store.close().await;
            assert!(matches!(clone.record_event(open(1, 1)).await, Err(StoreError::Closed)));
            assert!(matches!(clone.recent_events(1).await, Err(StoreError::Closed)));
        } else {
            clone.recent_events(1).await.unwrap();
            drop((store, clone));
        }
        assert!(!path.with_extension("db-wal").exists(), "a closed store is one file");
        let stored: u32 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM event", (), |row| row.get(0))
            .unwrap();
        assert_eq!(stored, 100);
    }
}

#[tokio::test]
async fn a_name_that_looks_like_a_uri_is_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:odd?mode=memory");
    let store = SqliteStore::open(&path).unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    store.close().await;
    assert!(path.exists());
}

#[tokio::test]
async fn words_of_a_later_version_hide_nothing_that_can_be_read() {
    let (_folder, path) = scratch();
    let store = SqliteStore::open(&path).unwrap();
    store.record_message(message(1)).await.unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "UPDATE message SET reasons = 'later,' || reasons, parts = replace(parts, 'attachment', 'later');
             UPDATE link SET kept = 'later' WHERE kept = 'scheme'",
        )
        .unwrap();
    let record = store.message(id(1)).await.unwrap().unwrap().record;
    assert_eq!(record.reasons, message(1).reasons);
    assert_eq!(record.parts, []);
    assert_eq!(record.links.len(), 3, "one left alone for a reason unknown to us must not look tracked");

    // A verdict is not to be guessed.
    other.execute_batch("UPDATE judgement SET verdict = 'later'").unwrap();
    let error = store.recent_events(9).await.unwrap_err();
    assert_eq!(error.to_string(), "the database holds a verdict that this version cannot read: later");
}
