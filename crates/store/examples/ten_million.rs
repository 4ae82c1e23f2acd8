//! How large ten million events are on disk, and how long the console's pages take among them.
//!
//! `cargo run --release -p waxseal-store --example ten_million [EVENTS] [FOLDER]`: takes some minutes and 2 GB.

use std::path::Path;
use std::time::{Duration, Instant};

use envelope::{Choice, RelayId, Timestamp};
use tokio::task::JoinSet;
use verdict::{Confidence, Judgement, Trust, Verdict};
use waxseal_store::{
    ChoiceOrigin, Event, EventKind, LinkRecord, MessageFilter, MessageRecord, RecipientRecord, Settlement,
    Settling, SqliteStore, Store,
};

const EVENTS_A_MESSAGE: u32 = 20;
const TOGETHER: u32 = 5_000;
/// One message in so many has a list's worth of events.
const LOOKS: u32 = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let events: u32 = args.next().map_or(Ok(10_000_000), |events| events.parse())?;
    let folder = tempfile::tempdir_in(args.next().map_or_else(std::env::temp_dir, Into::into))?;
    let path = folder.path().join("waxseal.db");
    let store = SqliteStore::open(&path)?;
    let began = Instant::now();
    for first in (0..events / EVENTS_A_MESSAGE).step_by(TOGETHER as usize) {
        let mut writes = JoinSet::new();
        for n in first..(first + TOGETHER).min(events / EVENTS_A_MESSAGE) {
            let store = store.clone();
            writes.spawn(async move { store.record_message(message(n)).await });
        }
        while let Some(written) = writes.join_next().await {
            written??;
        }
    }
    println!("{} messages in {:?}", events / EVENTS_A_MESSAGE, began.elapsed());
    let began = Instant::now();
    for first in (0..events).step_by(TOGETHER as usize) {
        let mut writes = JoinSet::new();
        for n in first..(first + TOGETHER).min(events) {
            let store = store.clone();
            writes.spawn(async move { store.record_event(event(n, events)).await });
        }
        while let Some(written) = writes.join_next().await {
            written??;
        }
        let newest = *store.committed().borrow();
        store.settle(Settlement { upto: newest, ..Settlement::default() }).await?;
    }
    println!("{events} events in {:?}", began.elapsed());
    store.close().await;
    size(&path, events)?;

    let store = SqliteStore::open(&path)?;
    let (mut list, mut by_sender, mut further, mut page, mut recent) =
        (vec![], vec![], vec![], vec![], vec![]);
    for look in 0..LOOKS {
        let n = scattered(look) % (events / EVENTS_A_MESSAGE);
        let all = MessageFilter::default();
        let sender = MessageFilter { sender: Some(sender(n)), ..all.clone() };
        let before = MessageFilter { before: Some(message_id(n)), ..all.clone() };
        list.push(timed(store.messages(all)).await?);
        by_sender.push(timed(store.messages(sender)).await?);
        further.push(timed(store.messages(before)).await?);
        recent.push(timed(store.recent_events(50)).await?);
        let began = Instant::now();
        store.message(message_id(n)).await?;
        store.events_of_before(message_id(n), i64::MAX, 200).await?;
        page.push(began.elapsed());
    }
    for (what, mut took) in [
        ("messages, the newest 50", list),
        ("messages, one sender's newest 50", by_sender),
        ("messages, 50 from anywhere", further),
        ("one message with its events", page),
        ("the newest 50 events", recent),
    ] {
        took.sort_unstable();
        println!("{what}: p50 {:?}, p99 {:?}, most {:?}", took[100], took[197], took[199]);
    }
    store.close().await;
    Ok(())
}

async fn timed<T, E>(read: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    let began = Instant::now();
    read.await?;
    Ok(began.elapsed())
}

fn size(database: &Path, events: u32) -> Result<(), Box<dyn std::error::Error>> {
    let db = rusqlite::Connection::open(database)?;
    let mut tables = db.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC")?;
    let rows = tables.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, f64>(1)?)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let of_events = ["event", "evidence", "word", "judgement", "settled"];
    let counted = |name: &str| {
        let name = name.trim_start_matches("sqlite_autoindex_");
        of_events.iter().any(|table| name.starts_with(table))
    };
    let octets: f64 = rows.iter().filter(|(name, _)| counted(name)).map(|(_, octets)| octets).sum();
    println!("octets an event: {:.1}", octets / f64::from(events));
    for (name, octets) in rows.iter().take(10) {
        println!("  {:>7.1} {name}", octets / f64::from(events));
    }
    Ok(())
}

fn scattered(n: u32) -> u32 {
    n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519)
}

fn moment(n: u32) -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n) * 40)
}

fn sender(n: u32) -> String {
    format!("sender{}@example.com", n % 50)
}

fn message_id(n: u32) -> RelayId {
    let mut random = [0; 10];
    random[..4].copy_from_slice(&scattered(n).to_be_bytes());
    random[6..].copy_from_slice(&n.to_be_bytes());
    RelayId::new(moment(n.wrapping_mul(EVENTS_A_MESSAGE)), random)
}

fn message(n: u32) -> MessageRecord {
    let link = |index| LinkRecord {
        index,
        href: format!("https://shop.example/{n}/{index}"),
        target: Some(format!("https://shop.example/{n}/{index}")),
        kept: None,
    };
    MessageRecord {
        id: message_id(n),
        accepted_at: moment(n * EVENTS_A_MESSAGE),
        sender: sender(n),
        reverse_path: sender(n),
        from: Some(sender(n)),
        subject: Some(format!("About number {n}")),
        message_id: Some(format!("<{n}@example.com>")),
        choice: Choice::BOTH,
        choice_origin: ChoiceOrigin::Header,
        pixel: true,
        links_tracked: 3,
        reasons: vec![],
        parts: vec![],
        recipients: vec![RecipientRecord {
            index: 0,
            address: format!("reader{n}@example.net"),
            code: 250,
            reply: "2.1.5 OK".to_owned(),
        }],
        links: (0..3).map(link).collect(),
        upstream: "main".to_owned(),
        code: 250,
        reply: "2.0.0 OK".to_owned(),
        octets_in: 20_000,
        octets_out: 21_000,
        took_ms: 41,
    }
}

/// As they come: opens, clicks, in ten of which one is judged anew; networks all over the world, some hundred
/// agents; some twenty events a message, most of them in the days after it left.
#[allow(clippy::many_single_char_names, reason = "an address has four octets")]
fn event(n: u32, events: u32) -> Event {
    let hash = scattered(n);
    let mut random = [0; 10];
    random[..4].copy_from_slice(&hash.to_be_bytes());
    random[6..].copy_from_slice(&n.to_be_bytes());
    let at = moment(n);
    let [a, b, c, d] = hash.to_be_bytes();
    // Most of what happens is about what was sent lately.
    let newest = n / EVENTS_A_MESSAGE;
    let message = message_id(newest.saturating_sub(hash % 20_000).min(events / EVENTS_A_MESSAGE - 1));
    let machine = d.is_multiple_of(5);
    let anew = n % 10 == 9;
    let click = n.is_multiple_of(3);
    Event {
        id: RelayId::new(at, random),
        at,
        kind: match (anew, click) {
            (true, _) => EventKind::Verdict,
            (false, true) => EventKind::Click,
            (false, false) => EventKind::Open,
        },
        message: if anew { event(n - 1, events).message } else { message },
        recipient: Some(0),
        link: (click && !anew).then_some(u16::from(a % 3)),
        about: anew.then(|| event(n - 1, events).id),
        judgement: Some(Judgement {
            verdict: if machine || anew { Verdict::Scanner } else { Verdict::Human },
            confidence: Confidence::Probable,
            reasons: vec!["browser".to_owned(), format!("reason_{}", c % 30)],
            trust: Trust { time: !machine, place: !machine, device: !machine },
            rules: "2026-11-24".to_owned(),
        }),
        device: (!anew).then(|| format!("Client {} on System {}", a % 20, b % 5)),
        place: (!anew && c % 2 == 0).then(|| format!("City {}, CC", hash % 5_000)),
        address: (!anew).then(|| format!("{a}.{b}.{c}.0/24")),
        user_agent: (!anew).then(|| format!("Client {} on System {}", a % 20, b % 5)),
        evidence: if anew {
            "{}".to_owned()
        } else {
            format!(
                "{{\"kind\":\"open\",\"method\":\"GET\",\"user_agent\":\"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0)\"}}"
            )
        },
    }
}
