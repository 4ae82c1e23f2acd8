//! A process that records is killed at some moment, again and again: whatever it acknowledged is in the store
//! in the end, once. (Killing a process tells nothing of the disk's own promises; the syncs are for those.)

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envelope::{RelayId, Timestamp};
use rusqlite::Connection;
use verdict::{Confidence, Judgement, Trust, Verdict};
use waxseal_store::{Event, EventKind, Journal, Recorded, Recorder, SqliteStore, Store};

const ROUNDS: u32 = 20;
const WRITERS: u32 = 16;
/// Set in the child: where it records, and which round this is.
const FOLDER: &str = "WAXSEAL_KILL_FOLDER";
const ROUND: &str = "WAXSEAL_KILL_ROUND";

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("waxseal.db");
    drop(SqliteStore::open(&database).unwrap());
    let mut random = Random::seeded();
    let mut acknowledged = HashSet::new();
    for round in 0..ROUNDS {
        // In two rounds of three the database is locked, so that the journal takes over; in one of these it
        // comes back, so that the kill may hit a replay.
        let lock = (round % 3 != 0).then(|| {
            let other = Connection::open(&database).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            other
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_child_records_until_it_is_killed", "--nocapture", "--ignored"])
            .env(FOLDER, folder.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let first = first_id(&mut output);
        if round % 3 == 2 {
            std::thread::sleep(random.up_to(100));
            drop(lock);
        }
        std::thread::sleep(random.up_to(150));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        // The kill may cut the last line.
        let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
        acknowledged.insert(first);
        acknowledged.extend(whole.lines().filter_map(|line| line.parse::<RelayId>().ok()));
    }
    assert!(acknowledged.len() > ROUNDS as usize * 20, "only {} in seed {}", acknowledged.len(), random.seed);

    let stored = in_the_end(folder.path());
    let once: HashSet<RelayId> = stored.iter().copied().collect();
    assert_eq!(once.len(), stored.len(), "an event is stored twice; seed {}", random.seed);
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}; seed {}", lost.len(), acknowledged.len(), random.seed);
    println!("{} acknowledged, {} stored", acknowledged.len(), stored.len());
}

/// The harness says a few things of its own before the first id.
fn first_id(output: &mut impl BufRead) -> RelayId {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "the child ended by itself");
        if let Some(id) = line.split_whitespace().find_map(|word| word.parse().ok()) {
            return id;
        }
    }
}

/// Replays what the journal holds, and returns the ids of all that is stored.
#[tokio::main]
async fn in_the_end(folder: &Path) -> Vec<RelayId> {
    let store = Arc::new(SqliteStore::open(&folder.join("waxseal.db")).unwrap());
    let recorder = Recorder::new(store.clone(), Journal::open(&folder.join("journal")).unwrap());
    recorder.replay().await.unwrap();
    let mut ids = vec![];
    let mut last = 0;
    loop {
        let page = store.events_after(last, 10_000).await.unwrap();
        let Some(newest) = page.last() else { break };
        last = newest.seq;
        ids.extend(page.iter().map(|stored| stored.event.id));
    }
    let left: Vec<_> = std::fs::read_dir(folder.join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".journal"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let counted: i64 = Connection::open(folder.join("waxseal.db"))
        .unwrap()
        .query_row("SELECT opens_by_people FROM tally", (), |row| row.get(0))
        .unwrap();
    assert_eq!(usize::try_from(counted).unwrap(), ids.len(), "the counter counts what is there");
    ids
}

#[test]
#[ignore = "the other test runs it, in a process of its own"]
fn the_child_records_until_it_is_killed() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else { return };
    let (folder, round): (&Path, u32) = (folder.as_ref(), round.parse().unwrap());
    record_for_ever(folder, round);
}

#[tokio::main(worker_threads = 2)]
async fn record_for_ever(folder: &Path, round: u32) {
    let store = Arc::new(SqliteStore::open(&folder.join("waxseal.db")).unwrap());
    let recorder = Arc::new(Recorder::new(store, Journal::open(&folder.join("journal")).unwrap()));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let event = event(round, writer, n);
                    let id = event.id;
                    if recorder.record(event).await != Recorded::Lost {
                        println!("{id}");
                    }
                }
            })
        })
        .collect();
    // What the round before left, beside what comes now.
    let _ = recorder.replay().await;
    for writer in writers {
        writer.await.unwrap();
    }
}

fn event(round: u32, writer: u32, n: u32) -> Event {
    let mut random = [0; 10];
    random[1] = u8::try_from(round).unwrap();
    random[3] = u8::try_from(writer).unwrap();
    random[6..].copy_from_slice(&n.to_be_bytes());
    let at = Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(round));
    Event {
        id: RelayId::new(at, random),
        at,
        kind: EventKind::Open,
        message: RelayId::from_bytes([1; 16]),
        recipient: None,
        link: None,
        about: None,
        judgement: Some(Judgement {
            verdict: Verdict::Human,
            confidence: Confidence::Weak,
            reasons: vec![],
            trust: Trust::default(),
            rules: String::new(),
        }),
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: "{}".to_owned(),
    }
}

/// Enough randomness to choose a moment; the seed is printed with a failure.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn seeded() -> Self {
        let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let seed = u64::try_from(seed).unwrap();
        Self { seed, state: seed }
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((self.state >> 33) % millis)
    }
}
