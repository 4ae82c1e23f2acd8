//! The real binary is killed under load, again and again: every open that was answered is in the store in the
//! end, and none is there twice. (Killing a process tells nothing of the disk's own promises; the syncs are for
//! those.)
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{Relay, eventually, open_listener, plain_upstream};
use store::{EventKind, SqliteStore, Store};

/// Each asks for the pixel of a mail of its own, so that events can be told apart.
const READERS: usize = 8;
/// An answer that took as long may have left before its event was on disk (decision 0004).
const PROMISED_WITHIN: Duration = Duration::from_millis(290);

/// What one reader asked for, and what was answered in time.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    asked: usize,
    answered: usize,
}

/// 24 kills; 200 with `WAXSEAL_LONG=1`.
#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_loses_no_event_that_was_answered() {
    let kills = if std::env::var_os("WAXSEAL_LONG").is_some() { 200 } else { 24 };
    let provider = Provider::start(Script::default()).await;
    let mut relay = Relay::start_with(|smtp| {
        let limits = "[limits]\ntracking_per_ip = { requests = 1000000, per = \"1d\" }\n\
                      tracking_per_url = { requests = 1000000, per = \"1d\" }\n";
        open_listener(smtp) + &plain_upstream(provider.address) + limits
    });
    let pixels: Vec<String> = (0..READERS).map(|number| pixel_of_a_mail(&relay, &provider, number)).collect();
    let mut tallies = [Tally::default(); READERS];
    let mut random = Random::seeded();
    for round in 0..kills {
        // In two rounds of three somebody holds the database, so that the journal takes over; in one of these it
        // comes back before the end, so that the kill may hit a replay.
        let lock = (round % 3 != 0).then(|| {
            let other = rusqlite::Connection::open(relay.path("waxseal.db")).unwrap();
            other.busy_timeout(Duration::from_secs(5)).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            other
        });
        let address = relay.tracking;
        let readers: Vec<_> = pixels
            .iter()
            .map(|pixel| {
                let pixel = pixel.clone();
                std::thread::spawn(move || read_until_it_ends(address, &pixel))
            })
            .collect();
        std::thread::sleep(random.up_to(if lock.is_some() { 500 } else { 250 }));
        if round % 3 == 2 {
            drop(lock);
            std::thread::sleep(random.up_to(200));
        }
        let (folder, smtp, tracking) = relay.kill();
        for (tally, reader) in tallies.iter_mut().zip(readers) {
            let more = reader.join().unwrap();
            tally.asked += more.asked;
            tally.answered += more.answered;
        }
        relay = Relay::start_in(folder, smtp, tracking);
    }
    let spool = relay.path("spool");
    eventually("the journal is replayed", || journals(&spool).is_empty().then_some(()));
    let database = relay.path("waxseal.db");
    let folder = {
        relay.signal("TERM");
        let (status, folder) = relay.ended_in();
        assert_eq!(status, 0);
        folder
    };
    let stored = opens(&database).await;
    drop(folder);

    let answered: usize = tallies.iter().map(|tally| tally.answered).sum();
    // A busy machine answers few: as long as each round had some, the kills came under load.
    assert!(answered > kills * 2, "only {answered} answered; seed {}", random.seed);
    // In the order in which the mails were sent, as ids are.
    let mut by_message: Vec<_> = stored.into_iter().collect();
    by_message.sort();
    assert_eq!(by_message.len(), READERS);
    for (tally, (message, stored)) in tallies.iter().zip(&by_message) {
        let said = format!("{message}: {tally:?}, {stored} stored; seed {}", random.seed);
        assert!(*stored >= tally.answered, "lost: {said}");
        assert!(*stored <= tally.asked, "doubled: {said}");
        assert!(tally.asked - tally.answered <= kills * 4, "the bounds say nothing: {said}");
    }
    println!("{answered} answered in {kills} rounds, none lost, none doubled");
}

fn pixel_of_a_mail(relay: &Relay, provider: &Provider, number: usize) -> String {
    let mail =
        format!("From: a@b.example\r\nSubject: {number}\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n");
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], mail.as_bytes()).starts_with("250"));
    let text = String::from_utf8(provider.received().last().unwrap().content.clone()).unwrap();
    let start = text.find("/o/").unwrap();
    text[start..].split('"').next().unwrap().to_owned()
}

/// One request after the other on one connection, until the other end is gone.
fn read_until_it_ends(address: SocketAddr, pixel: &str) -> Tally {
    let mut tally = Tally::default();
    let request =
        format!("GET {pixel} HTTP/1.1\r\nHost: t\r\nUser-Agent: {}\r\n\r\n", harness::http::FIREFOX);
    'connections: while let Ok(mut stream) = TcpStream::connect(address) {
        stream.set_read_timeout(Some(harness::PATIENCE)).unwrap();
        let mut answer = [0; 4_096];
        loop {
            let began = Instant::now();
            tally.asked += 1;
            if stream.write_all(request.as_bytes()).is_err() {
                break 'connections;
            }
            let mut length = 0;
            // The GIF ends in the one semicolon that stands behind the head.
            while length == 0 || answer[length - 1] != b';' {
                match stream.read(&mut answer[length..]) {
                    Ok(0) | Err(_) => break 'connections,
                    Ok(more) => length += more,
                }
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            if began.elapsed() < PROMISED_WITHIN {
                tally.answered += 1;
            }
            // A connection has its last request.
            if answer[..length].windows(19).any(|octets| octets == b"\r\nConnection: close") {
                continue 'connections;
            }
        }
    }
    tally
}

fn journals(spool: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(spool).unwrap().filter_map(Result::ok);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".journal")).collect()
}

/// How many opens of each message are stored.
async fn opens(database: &Path) -> HashMap<envelope::RelayId, usize> {
    let store = SqliteStore::open(database).unwrap();
    let (mut opens, mut last) = (HashMap::new(), 0);
    loop {
        let page = store.events_after(last, 10_000).await.unwrap();
        let Some(newest) = page.last() else { return opens };
        last = newest.seq;
        for stored in page.iter().filter(|stored| stored.event.kind == EventKind::Open) {
            *opens.entry(stored.event.message).or_insert(0) += 1;
        }
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
