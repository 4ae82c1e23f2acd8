//! A process that takes mail into the queue is killed at some moment, again and again: whatever it acknowledged
//! is there in the end, to the octet. And one whose disk is full acknowledges nothing that it does not have.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envelope::{ForwardPath, MailParameters, Mailbox, RcptParameters, RelayId, ReversePath, Timestamp};
use waxseal_store::{
    Copies, NewMessage, Queue, QueueState, QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientState,
    SqliteQueue, StoreError,
};

/// Set in the child: where its queue is, which round this is, and whether it ends at the first refusal.
const SPOOL: &str = "WAXSEAL_QUEUE_SPOOL";
const ROUND: &str = "WAXSEAL_QUEUE_ROUND";
const UNTIL_FULL: &str = "WAXSEAL_QUEUE_UNTIL_FULL";
const PRODUCERS: u32 = 12;
/// Every so many messages is a large one, and every so many are handed on at once.
const LARGE: u32 = 8;
const HANDED_ON: u32 = 3;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let rounds = std::env::var("WAXSEAL_LONG").map_or(20, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut random = Random::seeded();
    let mut told = Told::default();
    for round in 0..rounds {
        let mut child = child(&spool, round, "exec \"$0\" \"$@\"", false);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        while !first.starts_with("put ") {
            first.clear();
            assert!(output.read_line(&mut first).unwrap() > 0, "the child ended by itself");
        }
        told.hear(&first);
        std::thread::sleep(random.up_to(150));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        // The kill may cut the last line.
        rest.truncate(rest.rfind('\n').map_or(0, |end| end + 1));
        told.hear(&rest);
        // Held against it now and then, so that the queue does not grow for ever.
        if round % 10 == 9 {
            compare(&spool, &mut told, random.seed);
        }
    }
    assert!(told.acknowledged > rounds as usize * 10, "only {} acknowledged", told.acknowledged);
    compare(&spool, &mut told, random.seed);
    println!("{} acknowledged in {rounds} rounds, none lost", told.acknowledged);
}

#[test]
fn a_full_disk_takes_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut told = Told::default();
    // No file longer than so many blocks of 512 octets (of 1,024, where sh is bash): first the WAL meets it, then
    // large contents as well.
    for (round, blocks) in [6_000, 12_000, 1_000].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        // Without the trap the system ends a program that meets the limit.
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut child = child(&spool, round, &limit, true);
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{output}");
        assert!(output.contains("full"), "nothing was refused: {output}");
        told.hear(&output);
        compare_all_but_leave(&spool, &told);
    }
    // With room again it goes on.
    put_one(&spool);
    assert!(told.acknowledged > 20, "only {} acknowledged", told.acknowledged);
    compare(&spool, &mut told, 0);
}

/// What children said.
#[derive(Default)]
struct Told {
    put: HashSet<RelayId>,
    handed_on: HashSet<RelayId>,
    acknowledged: usize,
}

impl Told {
    fn hear(&mut self, output: &str) {
        for line in output.lines() {
            // The harness puts its own words before the first line.
            let words: Vec<&str> = line.split_whitespace().collect();
            let said = |word| {
                let at = words.iter().position(|said| *said == word)?;
                words.get(at + 1)?.parse::<RelayId>().ok()
            };
            if let Some(id) = said("put") {
                self.put.insert(id);
                self.acknowledged += 1;
            }
            if let Some(id) = said("handed_on") {
                self.handed_on.insert(id);
            }
        }
    }
}

fn child(spool: &Path, round: u32, script: &str, until_full: bool) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_child_puts_until_it_is_killed", "--nocapture", "--ignored"])
        .env(SPOOL, spool)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if until_full {
        command.env(UNTIL_FULL, "yes");
    }
    command.spawn().unwrap()
}

/// Opens the queue and holds it against what was said; empties both.
#[tokio::main(flavor = "current_thread")]
async fn compare(spool: &Path, told: &mut Told, seed: u64) {
    let queue = SqliteQueue::open(spool, 0).unwrap();
    let there = all_in(&queue).await;
    hold_against(&there, told, seed);
    for id in there.keys() {
        assert!(queue.delete(*id).await.unwrap());
    }
    queue.close().await;
    let left = std::fs::read_dir(spool.join("bodies")).unwrap().count();
    assert_eq!(left, 0, "a file without a message; seed {seed}");
    told.put.clear();
    told.handed_on.clear();
}

#[tokio::main(flavor = "current_thread")]
async fn compare_all_but_leave(spool: &Path, told: &Told) {
    let queue = SqliteQueue::open(spool, 0).unwrap();
    hold_against(&all_in(&queue).await, told, 0);
    queue.close().await;
}

async fn all_in(queue: &SqliteQueue) -> BTreeMap<RelayId, QueuedMessage> {
    let mut there = BTreeMap::new();
    loop {
        let after = there.keys().next_back().copied();
        let page = queue.messages(after, 1_000).await.unwrap();
        if page.is_empty() {
            return there;
        }
        for message in page {
            assert_eq!(message.state, QueueState::Waiting);
            assert_eq!(message.recipients.len(), 1);
            let content = queue.content(message.id).await.unwrap();
            assert!(content == content_of(message.id), "{} is another", message.id);
            there.insert(message.id, message);
        }
    }
}

fn hold_against(there: &BTreeMap<RelayId, QueuedMessage>, told: &Told, seed: u64) {
    let lost: Vec<_> =
        told.put.iter().filter(|id| !there.contains_key(id) && !told_gone(told, **id)).collect();
    assert!(lost.is_empty(), "{} of {} lost: {lost:?}; seed {seed}", lost.len(), told.put.len());
    let back: Vec<_> = told.handed_on.iter().filter(|id| there.contains_key(id)).collect();
    assert!(back.is_empty(), "{} would go out twice: {back:?}; seed {seed}", back.len());
}

/// One that was to be handed on may have been when the process died: nobody was told.
fn told_gone(told: &Told, id: RelayId) -> bool {
    told.handed_on.contains(&id) || is_handed_on(number_of(id))
}

fn put_one(spool: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let queue = SqliteQueue::open(spool, 0).unwrap();
        for n in [1, LARGE] {
            queue.put(message(999, 999, n)).await.unwrap();
        }
        queue.close().await;
    });
}

#[test]
#[ignore = "the other tests run it, in a process of its own"]
fn the_child_puts_until_it_is_killed() {
    let (Ok(spool), Ok(round)) = (std::env::var(SPOOL), std::env::var(ROUND)) else { return };
    put_for_ever(spool.as_ref(), round.parse().unwrap());
}

#[tokio::main(worker_threads = 2)]
async fn put_for_ever(spool: &Path, round: u32) {
    let until_full = std::env::var(UNTIL_FULL).is_ok();
    let queue = SqliteQueue::open(spool, 0).unwrap();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for n in 0.. {
                    let new = message(round, producer, n);
                    let id = new.message.id;
                    match queue.put(new).await {
                        Ok(()) => println!("put {id}"),
                        Err(error) => {
                            assert!(until_full, "{error:?}");
                            assert!(error.no_room(), "{error:?}");
                            println!("full");
                            break;
                        }
                    }
                    if is_handed_on(n) {
                        hand_on(&queue, id, until_full).await;
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    queue.close().await;
}

async fn hand_on(queue: &SqliteQueue, id: RelayId, until_full: bool) {
    let outcome = RecipientOutcome {
        index: 0,
        state: RecipientState::HandedOn,
        due_at: Timestamp::from_unix_millis(1),
        code: 250,
        reply: "2.0.0 Taken".to_owned(),
    };
    match queue.settle(id, vec![outcome], vec![]).await {
        Ok(()) => println!("handed_on {id}"),
        Err(error) => assert!(until_full && error.no_room(), "{error:?}"),
    }
}

fn is_handed_on(n: u32) -> bool {
    n % HANDED_ON == 2
}

fn message(round: u32, producer: u32, n: u32) -> NewMessage {
    let mut random = [0; 10];
    random[1] = u8::try_from(round % 256).unwrap();
    random[3] = u8::try_from(producer % 256).unwrap();
    random[4..6].copy_from_slice(&u16::try_from(round).unwrap().to_be_bytes());
    random[6..].copy_from_slice(&n.to_be_bytes());
    let at = Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(round));
    let id = RelayId::new(at, random);
    let content = Arc::new(content_of(id));
    let address = Mailbox::parse("ana@example.com").unwrap();
    let message = QueuedMessage {
        id,
        queued_at: at,
        sender: format!("sender{producer}@example.com"),
        upstream: "main".to_owned(),
        reverse_path: ReversePath::Mailbox(address.clone()),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: content.len() as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: vec![QueuedRecipient {
            index: 0,
            forward_path: ForwardPath::Mailbox(address),
            parameters: RcptParameters::default(),
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: at,
            code: 0,
            reply: String::new(),
        }],
    };
    NewMessage { message, content }
}

fn number_of(id: RelayId) -> u32 {
    u32::from_be_bytes(id.as_bytes()[12..].try_into().unwrap())
}

/// The content that belongs to an id: 20 KB, or a little over 1 MB.
fn content_of(id: RelayId) -> Vec<u8> {
    let octets = if number_of(id).is_multiple_of(LARGE) { 1_050_000 } else { 20_000 };
    id.as_bytes().iter().copied().cycle().take(octets).collect()
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

#[test]
fn no_room_is_told_from_other_troubles() {
    assert!(StoreError::DiskLow.no_room());
    assert!(!StoreError::Closed.no_room());
}
