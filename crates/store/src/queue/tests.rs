use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::samples::{id, moment, outcome, queued};

const ANA: &str = "ana@example.com";

/// What somebody does to the files in the folder, or to the one file.
type Harm<'a> = &'a dyn Fn(&Path);

fn scratch() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    (folder, spool)
}

fn open(spool: &Path) -> SqliteQueue {
    SqliteQueue::open(spool, 0).unwrap()
}

/// The `n`th message, with `octets` of its own.
fn filled(n: u32, octets: usize) -> NewMessage {
    let mut new = queued(n, ANA, moment(n));
    new.content = Arc::new(n.to_be_bytes().into_iter().cycle().take(octets).collect());
    new.message.octets = octets as u64;
    new
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn sql(spool: &Path, sql: &str) {
    Connection::open(spool.join("queue.db")).unwrap().execute_batch(sql).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_every_queue_must() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::holds(async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let queue = SqliteQueue::open(&folder.path().join(number.to_string()), 0).unwrap();
        Arc::new(queue) as Arc<dyn Queue>
    })
    .await;
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    for (n, octets) in [(1, 100), (2, 2_000_000), (3, 100)] {
        queue.put(filled(n, octets)).await.unwrap();
    }
    queue.hold(id(2)).await.unwrap();
    queue.set_aside(id(3), "why").await.unwrap();
    let before = queue.messages(None, 9).await.unwrap();
    queue.close().await;
    assert_eq!(
        names(&spool),
        ["bodies", "damaged", "queue.db", "queue.lock", "queue.reserve"],
        "a closed queue is one file"
    );

    let queue = open(&spool);
    assert_eq!(queue.messages(None, 9).await.unwrap(), before);
    for (n, octets) in [(1, 100), (2, 2_000_000), (3, 100)] {
        assert!(queue.content(id(n)).await.unwrap() == *filled(n, octets).content);
    }
    drop(queue);
    assert_eq!(names(&spool), ["bodies", "damaged", "queue.db", "queue.lock", "queue.reserve"]);
}

#[cfg(unix)]
#[tokio::test]
async fn is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    queue.put(filled(1, 2_000_000)).await.unwrap();
    let body = format!("bodies/{}", id(1));
    for (name, expected) in [
        ("", 0o700),
        ("bodies", 0o700),
        ("damaged", 0o700),
        ("queue.db", 0o600),
        ("queue.db-wal", 0o600),
        ("queue.lock", 0o600),
        ("queue.reserve", 0o600),
        (&body, 0o600),
    ] {
        let mode = std::fs::metadata(spool.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}

#[tokio::test]
async fn one_works_it_and_others_may_change_it() {
    let (_folder, spool) = scratch();
    assert!(!SqliteQueue::is_in(&spool));
    assert!(matches!(SqliteQueue::open_beside(&spool), Err(StoreError::File { .. })));
    assert!(!spool.exists(), "looking makes nothing");

    let queue = open(&spool);
    let second = SqliteQueue::open(&spool, 0);
    assert!(matches!(second, Err(StoreError::QueueInUse { .. })));
    queue.put(filled(1, 100)).await.unwrap();
    queue.put(filled(2, 2_000_000)).await.unwrap();

    let beside = SqliteQueue::open_beside(&spool).unwrap();
    assert_eq!(beside.messages(None, 9).await.unwrap().len(), 2);
    assert!(beside.content(id(2)).await.unwrap() == *filled(2, 2_000_000).content);
    let mut changed = queue.changed();
    changed.mark_unchanged();
    assert!(beside.hold(id(1)).await.unwrap());
    assert!(beside.delete(id(2)).await.unwrap());
    // Its own thread looks once a second.
    tokio::time::timeout(Duration::from_secs(20), changed.changed()).await.unwrap().unwrap();
    assert_eq!(queue.message(id(1)).await.unwrap().unwrap().state, QueueState::Held);
    assert!(matches!(queue.content(id(2)).await, Err(StoreError::NotQueued { .. })));
    assert_eq!(names(&spool.join("bodies")), [""; 0]);
    beside.close().await;
    queue.put(filled(3, 100)).await.unwrap();
    queue.close().await;
    open(&spool).close().await;
}

#[tokio::test]
async fn what_is_not_what_was_put_is_damaged_and_holds_up_nothing_else() {
    let body = |spool: &Path| spool.join("bodies").join(id(1).to_string());
    let shorten = |spool: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(body(spool)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    };
    let change = |spool: &Path| {
        let mut octets = std::fs::read(body(spool)).unwrap();
        octets[1_234_567] ^= 1;
        std::fs::write(body(spool), octets).unwrap();
    };
    let cases: [(&str, usize, Harm, &str); 7] = [
        ("a shortened file", 2_000_000, &shorten, "has 1999999 octets, of 2000000"),
        ("a changed file", 2_000_000, &change, "was changed"),
        ("a missing file", 2_000_000, &|spool| std::fs::remove_file(body(spool)).unwrap(), "is missing"),
        (
            "a changed row",
            100,
            &|spool| sql(spool, "UPDATE content SET octets = zeroblob(100)"),
            "was changed",
        ),
        (
            "a shortened row",
            100,
            &|spool| sql(spool, "UPDATE content SET octets = x'00'"),
            "has 1 octets, of 100",
        ),
        ("a missing row", 100, &|spool| sql(spool, "DELETE FROM content"), "is missing"),
        (
            "another checksum",
            100,
            &|spool| sql(spool, "UPDATE message SET checksum = zeroblob(32)"),
            "was changed",
        ),
    ];
    for (case, octets, harm, sentence) in cases {
        let (_folder, spool) = scratch();
        let queue = open(&spool);
        queue.put(filled(1, octets)).await.unwrap();
        harm(&spool);
        queue.put(filled(2, 100)).await.unwrap();
        let error = queue.content(id(1)).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{case}: {error:?}");
        assert!(error.to_string().contains(sentence), "{case}: {error}");
        let as_it_is = queue.octets_as_they_are(id(1)).await.unwrap();
        assert_eq!(as_it_is.is_none(), case.contains("missing"), "{case}");
        queue.set_aside(id(1), &error.to_string()).await.unwrap();
        assert_eq!(queue.octets_as_they_are(id(1)).await.unwrap(), as_it_is, "{case}");
        let there = octets > 100 && !case.contains("missing");
        let kept = if there { vec![format!("{}.eml", id(1))] } else { vec![] };
        assert_eq!(names(&spool.join("damaged")), kept, "{case}");
        let due = queue.due(moment(9), 9, &[]).await.unwrap();
        assert_eq!(due.iter().map(|message| message.id).collect::<Vec<_>>(), [id(2)], "{case}");
        assert!(queue.content(id(2)).await.unwrap() == *filled(2, 100).content, "{case}");
        assert!(queue.delete(id(1)).await.unwrap(), "{case}");
        assert_eq!(names(&spool.join("damaged")), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_set_aside_when_its_time_comes() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    for n in 1..=4 {
        queue.put(filled(n, 100)).await.unwrap();
    }
    sql(&spool, "UPDATE message SET reverse_path = 'no address' WHERE key = 1");
    sql(&spool, "UPDATE recipient SET state = 'later' WHERE message = 2");
    sql(&spool, "UPDATE recipient SET code = 70000 WHERE message = 4");
    for _ in 0..2 {
        let due = queue.due(moment(9), 9, &[]).await.unwrap();
        assert_eq!(due.iter().map(|message| message.id).collect::<Vec<_>>(), [id(3)]);
    }
    assert_eq!(queue.counts().await.unwrap().set_aside, 3);
    assert_eq!(queue.messages(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn below_the_mark_nothing_is_taken_in_and_what_is_there_goes_on() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    queue.put(filled(1, 100)).await.unwrap();
    queue.close().await;
    let queue = SqliteQueue::open(&spool, u64::MAX).unwrap();
    for octets in [0, 100, 2_000_000] {
        let low = queue.put(filled(2, octets)).await.unwrap_err();
        assert!(matches!(low, StoreError::DiskLow), "{low:?}");
        assert!(low.no_room() && low.store_is_away());
    }
    assert_eq!(names(&spool.join("bodies")), [""; 0]);
    // A notification must not be lost for it.
    let failed = vec![outcome(0, RecipientState::Failed, moment(1))];
    queue.settle(id(1), failed, vec![filled(3, 2_000_000)]).await.unwrap();
    assert_eq!(queue.messages(None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_senders_ten_thousand_do_not_stand_before_anothers_one() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    let putting: Vec<_> = (0..10_000)
        .map(|n| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.put(queued(n, "many@example.com", moment(n))).await })
        })
        .collect();
    for put in putting {
        put.await.unwrap().unwrap();
    }
    queue.put(queued(20_000, "one@example.com", moment(20_000))).await.unwrap();
    let now = moment(30_000);
    for limit in [2, 50, 10_000] {
        let due = queue.due(now, limit, &[]).await.unwrap();
        assert_eq!(due.len(), limit as usize);
        let place = due.iter().position(|message| message.sender == "one@example.com");
        assert!(place.is_some_and(|place| place < 2), "{limit}: {place:?}");
    }
    let at_work: Vec<_> = (0..50).map(id).collect();
    assert_eq!(queue.due(now, 1, &at_work).await.unwrap()[0].id, id(20_000));
    // One place at a time, and each one served leaves: then the next of the many.
    queue.delete(id(20_000)).await.unwrap();
    assert_eq!(queue.due(now, 1, &at_work).await.unwrap()[0].id, id(50));
}

#[test]
fn every_question_that_is_asked_often_has_an_index() {
    let (_folder, spool) = scratch();
    drop(open(&spool));
    let db = Connection::open(spool.join("queue.db")).unwrap();
    let message = format!("{} WHERE", read::MESSAGE);
    for sql in [
        turns::SENDERS_IN_LINE,
        turns::NEXT_IN_LINE,
        read::NEXT_DUE,
        read::COUNTS,
        &format!("{message} id = ?1"),
        &format!("{message} id > ?1 ORDER BY id LIMIT ?2"),
        &format!("{message} key = ?1"),
        "SELECT min(due_at) FROM recipient WHERE message = ?1 AND state = 'waiting'",
        "SELECT key FROM message WHERE state = ?1",
    ] {
        let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let values: Vec<Option<i64>> = vec![Some(1); plan.parameter_count()];
        let steps: Vec<String> = plan
            .query_map(rusqlite::params_from_iter(values), |row| row.get("detail"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for step in &steps {
            let scans = step.starts_with("SCAN message") && !step.contains("USING");
            assert!(!scans && !step.contains("TEMP B-TREE"), "{sql}:\n{steps:#?}");
        }
    }
}

#[tokio::test]
async fn files_that_nobody_was_told_of_go_at_the_start() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    queue.put(filled(1, 2_000_000)).await.unwrap();
    queue.close().await;
    for name in [id(2).to_string(), format!("{}.7.part", id(3))] {
        std::fs::write(spool.join("bodies").join(name), "left by a crash").unwrap();
    }
    let queue = open(&spool);
    assert_eq!(names(&spool.join("bodies")), [id(1).to_string()]);
    assert!(queue.content(id(1)).await.unwrap() == *filled(1, 2_000_000).content);
}

#[tokio::test]
async fn a_put_that_is_refused_leaves_no_file() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    sql(
        &spool,
        "CREATE TRIGGER odd BEFORE INSERT ON recipient WHEN NEW.number = 13
         BEGIN SELECT RAISE(ABORT, 'odd'); END",
    );
    let mut refused = filled(1, 2_000_000);
    refused.message.recipients[0].index = 13;
    let mut putting = tokio::task::JoinSet::new();
    for n in 2..20 {
        let queue = queue.clone();
        putting.spawn(async move { queue.put(filled(n, 1_100_000)).await });
    }
    assert!(queue.put(refused.clone()).await.is_err());
    for put in putting.join_all().await {
        put.unwrap();
    }
    assert_eq!(names(&spool.join("bodies")).len(), 18);
    for n in 2..20 {
        assert!(queue.content(id(n)).await.unwrap() == *filled(n, 1_100_000).content);
    }
    sql(&spool, "DROP TRIGGER odd");
    queue.put(refused.clone()).await.unwrap();
    assert!(queue.content(id(1)).await.unwrap() == *refused.content);
}

#[tokio::test]
async fn the_room_of_a_backlog_is_given_back() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    for n in 0..150 {
        queue.put(filled(n, 900_000)).await.unwrap();
    }
    for n in 0..150 {
        queue.delete(id(n)).await.unwrap();
    }
    for n in 0..400 {
        queue.hold(id(n)).await.unwrap();
    }
    queue.close().await;
    let length = std::fs::metadata(spool.join("queue.db")).unwrap().len();
    assert!(length < 100_000_000, "{length}");
}

#[tokio::test]
async fn a_full_disk_takes_outcomes_and_no_mail_until_there_is_room() {
    let (_folder, spool) = scratch();
    let queue = open(&spool);
    assert_eq!(queue.prove_writable().await.unwrap(), Footing::Firm);
    queue.put(filled(1, 100)).await.unwrap();
    // As if an outcome had found no room.
    assert!(SqliteQueue::give_reserve(&spool) && !SqliteQueue::give_reserve(&spool));
    queue.close().await;

    let low = u64::MAX >> 1;
    let queue = SqliteQueue::open(&spool, low).unwrap();
    assert!(matches!(queue.put(filled(2, 100)).await, Err(StoreError::DiskLow)));
    assert_eq!(queue.prove_writable().await.unwrap(), Footing::Narrow);
    queue.settle(id(1), vec![outcome(0, RecipientState::HandedOn, moment(1))], vec![]).await.unwrap();
    queue.close().await;

    let queue = open(&spool);
    queue.put(filled(2, 100)).await.unwrap();
    assert_eq!(queue.prove_writable().await.unwrap(), Footing::Firm);
    // Every proof is on the same pages.
    let length = || std::fs::metadata(spool.join("queue.db")).unwrap().len();
    for _ in 0..20 {
        queue.prove_writable().await.unwrap();
    }
    queue.close().await;
    assert!(length() < 1_500_000, "{}", length());
}

// ── damaged databases

const MANY: u32 = 60;
const LARGE: [u32; 2] = [100, 101];

/// A closed queue of sixty messages of 20 KB and two large ones.
async fn full_queue(spool: &Path) {
    let queue = open(spool);
    for n in 0..MANY {
        queue.put(filled(n, 20_000)).await.unwrap();
    }
    for n in LARGE {
        queue.put(filled(n, 1_500_000)).await.unwrap();
    }
    queue.close().await;
}

/// What is whole in it; everything that reads must be what was put.
async fn whole_in(queue: &SqliteQueue) -> usize {
    let mut whole = 0;
    for message in queue.messages(None, 999).await.unwrap() {
        let n = u32::from_be_bytes(message.id.as_bytes()[12..].try_into().unwrap());
        let octets = usize::try_from(message.octets).unwrap();
        if message.state == QueueState::Waiting {
            assert!(queue.content(message.id).await.unwrap() == *filled(n, octets).content);
            assert_eq!(message.recipients, filled(n, octets).message.recipients);
            whole += 1;
        }
    }
    whole
}

/// Octets of files in the folder.
fn octets_in(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_and_the_rest_goes_on() {
    let overwrite = |spool: &Path, pages: &dyn Fn(usize) -> bool, with: u8| {
        let path = spool.join("queue.db");
        let mut octets = std::fs::read(&path).unwrap();
        for (number, page) in octets.chunks_mut(4_096).enumerate() {
            if pages(number) {
                page.fill(with);
            }
        }
        std::fs::write(path, octets).unwrap();
    };
    let truncate = |spool: &Path, parts: u64| {
        let file = std::fs::OpenOptions::new().write(true).open(spool.join("queue.db")).unwrap();
        file.set_len(file.metadata().unwrap().len() * parts / 10 + 100).unwrap();
    };
    let cases: [(&str, Harm, std::ops::RangeInclusive<usize>); 8] = [
        ("cut to nine tenths", &|spool| truncate(spool, 9), 40..=61),
        ("cut to a half", &|spool| truncate(spool, 5), 20..=40),
        ("its first page lost", &|spool| overwrite(spool, &|page| page == 0, 0), 62..=62),
        ("its first page garbage", &|spool| overwrite(spool, &|page| page == 0, 0x5a), 62..=62),
        ("a page in the middle", &|spool| overwrite(spool, &|page| page == 150, 0xff), 50..=61),
        ("every fortieth page", &|spool| overwrite(spool, &|page| page % 40 == 39, 0), 30..=61),
        ("all of it", &|spool| overwrite(spool, &|_| true, 0xaa), 0..=0),
        ("another file", &|spool| std::fs::write(spool.join("queue.db"), "x".repeat(9_999)).unwrap(), 0..=0),
    ];
    for (case, harm, whole) in cases {
        let (_folder, spool) = scratch();
        full_queue(&spool).await;
        harm(&spool);
        let harmed = std::fs::read(spool.join("queue.db")).unwrap();
        let queue = open(&spool);
        let found = whole_in(&queue).await;
        println!("{case}: {found} whole, {:?}", queue.counts().await.unwrap());
        assert!(whole.contains(&found), "{case}: {found}");
        // The damaged file is there as it was.
        let aside: Vec<_> =
            names(&spool).into_iter().filter(|name| name.starts_with("queue.db.damaged-")).collect();
        assert_eq!(aside.len(), 1, "{case}: {aside:?}");
        assert!(std::fs::read(spool.join(&aside[0])).unwrap() == harmed, "{case}: it was written to");
        // No large content is gone.
        let kept = octets_in(&spool.join("bodies")) + octets_in(&spool.join("damaged"));
        assert!(kept >= 3_000_000, "{case}: {kept}");
        queue.put(filled(500, 100)).await.unwrap();
        queue.close().await;
        let again = open(&spool);
        assert_eq!(whole_in(&again).await, found + 1, "{case}");
        assert_eq!(names(&spool).iter().filter(|name| name.contains("damaged-")).count(), 1, "{case}");
        for leftover in ["queue.db.salvaged", "queue.db.patched"] {
            assert!(names(&spool).iter().all(|name| !name.starts_with(leftover)), "{case}: {leftover}");
        }
    }
}

#[tokio::test]
async fn whatever_octets_are_changed_the_queue_opens_and_tells_no_lie() {
    let (_folder, first) = scratch();
    full_queue(&first).await;
    let sound = std::fs::read(first.join("queue.db")).unwrap();
    for seed in 0_u64..24 {
        let (_folder, spool) = scratch();
        std::fs::create_dir(&spool).unwrap();
        let path = spool.join("queue.db");
        let mut octets = sound.clone();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..=random(4) {
            let (at, length) = (random(octets.len()), random(3_000) + 1);
            let end = (at + length).min(octets.len());
            let with = u8::try_from(random(256)).unwrap();
            octets[at..end].fill(with);
        }
        std::fs::write(&path, octets).unwrap();
        let queue = open(&spool);
        for message in queue.messages(None, 999).await.unwrap() {
            let n = u32::from_be_bytes(message.id.as_bytes()[12..].try_into().unwrap());
            if let Ok(content) = queue.content(message.id).await {
                assert!(content == *filled(n, content.len()).content, "{seed}");
            }
        }
        queue.put(filled(500, 100)).await.unwrap();
        assert!(queue.content(id(500)).await.unwrap() == *filled(500, 100).content);
    }
}

#[tokio::test]
async fn contents_outlive_a_database_that_is_gone() {
    let cases: [(&str, Harm); 2] = [
        ("deleted", &|database| std::fs::remove_file(database).unwrap()),
        ("emptied", &|database| std::fs::write(database, "").unwrap()),
    ];
    for (case, harm) in cases {
        let (_folder, spool) = scratch();
        full_queue(&spool).await;
        harm(&spool.join("queue.db"));
        let queue = open(&spool);
        // The two large ones are files, and those say whose they are.
        let named = queue.messages(None, 9).await.unwrap();
        assert_eq!(named.iter().map(|message| message.id).collect::<Vec<_>>(), LARGE.map(id), "{case}");
        for n in LARGE {
            put_back_whole(&queue, n, 1_500_000).await;
        }
        assert_eq!(queue.strays().await.unwrap(), [] as [PathBuf; 0], "{case}");
        queue.put(filled(1, 100)).await.unwrap();
    }
}

/// One that was set aside is put back, and is then as it was put.
async fn put_back_whole(queue: &SqliteQueue, n: u32, octets: usize) {
    let was = filled(n, octets).message;
    let aside = queue.message(id(n)).await.unwrap().unwrap();
    assert!(matches!(aside.state, QueueState::SetAside(_)), "{n}: {:?}", aside.state);
    assert!(!queue.due(moment(9_999), 999, &[]).await.unwrap().iter().any(|due| due.id == id(n)));
    assert!(queue.restore(id(n), moment(5)).await.unwrap());
    assert!(!queue.restore(id(n), moment(5)).await.unwrap(), "it is there");
    let back = queue.message(id(n)).await.unwrap().unwrap();
    let due = |message: QueuedMessage| {
        let recipients = message.recipients.into_iter();
        let recipients = recipients.map(|one| QueuedRecipient { due_at: moment(5), ..one }).collect();
        QueuedMessage { recipients, ..message }
    };
    assert_eq!(back, due(was));
    assert!(queue.content(id(n)).await.unwrap() == *filled(n, octets).content);
    assert!(queue.due(moment(9_999), 999, &[]).await.unwrap().iter().any(|due| due.id == id(n)));
}

/// The pages of a table or index, as numbers of pages in the file.
fn pages_of(spool: &Path, name: &str) -> Vec<usize> {
    let db = Connection::open(spool.join("queue.db")).unwrap();
    let mut pages = db.prepare("SELECT pageno FROM dbstat WHERE name = ?1").unwrap();
    let pages = pages.query_map([name], |row| row.get::<_, u32>(0)).unwrap();
    pages.map(|page| page.unwrap() as usize - 1).collect()
}

#[tokio::test]
async fn a_content_without_its_row_says_whose_it_is_and_is_put_back() {
    for (lost, with) in [("message", 0), ("message", 0xff), ("recipient", 0), ("recipient", 0x5a)] {
        let (_folder, spool) = scratch();
        full_queue(&spool).await;
        let pages = pages_of(&spool, lost);
        assert!(!pages.is_empty());
        let mut octets = std::fs::read(spool.join("queue.db")).unwrap();
        for page in pages {
            octets[page * 4_096..(page + 1) * 4_096].fill(with);
        }
        std::fs::write(spool.join("queue.db"), octets).unwrap();

        let queue = open(&spool);
        let named = queue.messages(None, 999).await.unwrap();
        assert_eq!(named.len(), 62, "{lost}: {:?}", queue.counts().await.unwrap());
        assert_eq!(queue.strays().await.unwrap(), [] as [PathBuf; 0], "{lost}");
        for n in (0..MANY).chain(LARGE) {
            let octets = if n < MANY { 20_000 } else { 1_500_000 };
            // The rows of messages may have survived their recipients, but nobody is tried unasked.
            put_back_whole(&queue, n, octets).await;
        }
        queue.close().await;
        assert_eq!(open(&spool).counts().await.unwrap().waiting, 62, "{lost}");
    }
}

#[tokio::test]
async fn wherever_it_is_cut_and_whatever_page_is_lost_what_can_be_read_has_a_name() {
    let (_folder, first) = scratch();
    full_queue(&first).await;
    let sound = std::fs::read(first.join("queue.db")).unwrap();
    let pages = sound.len() / 4_096;
    let contents = pages_of(&first, "content");
    let step = pages / 23;
    let harms = (1..23).flat_map(|n| [(n * step, true), (n * step, false)]);
    let (mut whole, mut named, mut strays) = (0, 0, 0);
    for (page, cut) in harms {
        let (_folder, spool) = scratch();
        std::fs::create_dir_all(spool.join("bodies")).unwrap();
        for n in LARGE {
            let name = format!("bodies/{}", id(n));
            std::fs::copy(first.join(&name), spool.join(&name)).unwrap();
        }
        let mut octets = sound.clone();
        if cut {
            octets.truncate(page * 4_096 + 77);
        } else {
            octets[page * 4_096..(page + 1) * 4_096].fill(0xee);
        }
        std::fs::write(spool.join("queue.db"), octets).unwrap();
        let queue = open(&spool);
        let messages = queue.messages(None, 999).await.unwrap();
        for message in &messages {
            let n = u32::from_be_bytes(message.id.as_bytes()[12..].try_into().unwrap());
            let octets = if n < MANY { 20_000 } else { 1_500_000 };
            let was = filled(n, octets).message;
            assert_eq!((&message.sender, message.recipients.len()), (&was.sender, 1), "{page} {cut}");
            assert_eq!(message.recipients[0].forward_path, was.recipients[0].forward_path, "{page} {cut}");
            match &message.state {
                QueueState::SetAside(_) => named += 1,
                _ => whole += 1,
            }
            if let Ok(content) = queue.content(message.id).await {
                assert!(content == *filled(n, octets).content, "{page} {cut}");
            }
        }
        let lost_with_octets = if cut {
            contents.iter().filter(|content| **content >= page).count()
        } else {
            usize::from(contents.contains(&page))
        };
        // A message is gone only where no octet of its content is left, six pages each; one lost page of the
        // tree itself may hide what is below it.
        if cut {
            assert!(messages.len() + lost_with_octets >= 60, "{page}: {} {lost_with_octets}", messages.len());
        } else {
            assert!(messages.len() >= 40, "{page}: {}", messages.len());
        }
        strays += queue.strays().await.unwrap().len();
    }
    println!("{whole} whole, {named} named, {strays} without a name");
    assert!(whole > 1_000 && named > 50, "{whole} {named}");
    assert_eq!(strays, 0);
}

#[tokio::test]
async fn a_start_that_ended_while_it_salvaged_is_ended_by_the_next() {
    let (_folder, spool) = scratch();
    full_queue(&spool).await;
    let (database, salvaged) = (spool.join("queue.db"), spool.join("queue.db.salvaged"));
    // Before the last step: the old one is out of the way.
    std::fs::rename(&database, &salvaged).unwrap();
    let queue = open(&spool);
    assert_eq!(whole_in(&queue).await, 62);
    queue.close().await;
    // In the middle: the new one is not all of it.
    std::fs::write(&salvaged, "half of it").unwrap();
    let mut octets = std::fs::read(&database).unwrap();
    octets[..4_096].fill(0);
    std::fs::write(&database, octets).unwrap();
    let queue = open(&spool);
    assert_eq!(whole_in(&queue).await, 62);
}

#[tokio::test]
async fn files_that_are_not_ours_stay_as_they_are() {
    let newer = |path: &Path| {
        Connection::open(path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    };
    let foreign = |path: &Path| {
        std::fs::remove_file(path).unwrap();
        Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    };
    let cases: [(Harm, &str); 2] =
        [(&newer, "was written by a newer Waxseal"), (&foreign, "is not a database of Waxseal")];
    for (make, sentence) in cases {
        let (_folder, spool) = scratch();
        drop(open(&spool));
        make(&spool.join("queue.db"));
        let before = std::fs::read(spool.join("queue.db")).unwrap();
        let Err(error) = SqliteQueue::open(&spool, 0) else { panic!("was opened") };
        assert!(error.to_string().ends_with(sentence), "{error}");
        assert_eq!(std::fs::read(spool.join("queue.db")).unwrap(), before);
    }
}
