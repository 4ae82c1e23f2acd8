//! How fast events are recorded, and how large they are on disk.
//!
//! `cargo run --release -p waxseal-store --example measure [FOLDER]`: the folder says which disk.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use envelope::{RelayId, Timestamp};
use tokio::task::JoinSet;
use verdict::{Confidence, Judgement, Trust, Verdict};
use waxseal_store::{Event, EventKind, Journal, Recorded, Recorder, SqliteStore, Store};

const EVENTS: u32 = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args_os().nth(1).unwrap_or_else(|| std::env::temp_dir().into_os_string());
    println!("this disk: one 4 KB append with its sync takes {:?} (p50)", sync(Path::new(&parent))?);
    for (producers, events) in [(1, 10_000), (16, EVENTS), (64, EVENTS), (256, EVENTS)] {
        let folder = tempfile::tempdir_in(&parent)?;
        let store = Arc::new(SqliteStore::open(&folder.path().join("waxseal.db"))?);
        let journal = Journal::open(&folder.path().join("journal"))?;
        let recorder = Arc::new(Recorder::new(store.clone(), journal));
        let (took, mut latencies) = produce(&recorder, producers, events).await;
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
        println!(
            "{producers:>3} producers: {:>7.0} events/s, p50 {:?}, p99 {:?}",
            f64::from(events) / took.as_secs_f64(),
            at(50),
            at(99),
        );
        drop(recorder);
        let Ok(store) = Arc::try_unwrap(store) else { continue };
        read(&store).await?;
        store.close().await;
        size(&folder.path().join("waxseal.db"), events)?;
    }
    Ok(())
}

/// What everything below stands on, and what other load on the machine makes of it.
fn sync(folder: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut took = vec![];
    for _ in 0..500 {
        let started = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        took.push(started.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

async fn produce(recorder: &Arc<Recorder>, producers: u32, events: u32) -> (Duration, Vec<Duration>) {
    let next = Arc::new(AtomicU32::new(0));
    let started = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..producers {
        let (recorder, next) = (recorder.clone(), next.clone());
        running.spawn(async move {
            let mut latencies = vec![];
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= events {
                    return latencies;
                }
                let asked = Instant::now();
                if recorder.record(event(n)).await != Recorded::Committed {
                    println!("    event {n} did not reach the store in time");
                }
                latencies.push(asked.elapsed());
            }
        });
    }
    let latencies = running.join_all().await.concat();
    (started.elapsed(), latencies)
}

async fn read(store: &SqliteStore) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    store.recent_events(50).await?;
    println!("    newest 50 events in {:?}", started.elapsed());
    Ok(())
}

fn size(database: &Path, events: u32) -> Result<(), Box<dyn std::error::Error>> {
    let octets = std::fs::metadata(database)?.len();
    let octets = f64::from(u32::try_from(octets)?);
    println!("    {:.1} octets an event", octets / f64::from(events));
    let db = rusqlite::Connection::open(database)?;
    let mut tables =
        db.prepare("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6")?;
    let mut rows = tables.query(())?;
    while let Some(row) = rows.next()? {
        println!("      {:>7.1} {}", row.get::<_, f64>(1)? / f64::from(events), row.get::<_, String>(0)?);
    }
    Ok(())
}

/// As they come: two opens or clicks in ten are a machine's; some twenty events for each message, spread over
/// time; a few hundred agents.
fn event(n: u32) -> Event {
    let hash = n.wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(2_246_822_519);
    let mut random = [0; 10];
    random[..4].copy_from_slice(&hash.to_be_bytes());
    random[6..].copy_from_slice(&n.to_be_bytes());
    let at = Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n) / 8);
    let mut message = [0; 16];
    message[..4].copy_from_slice(&(hash % (EVENTS / 20)).to_be_bytes());
    let [a, b, c, _] = hash.to_be_bytes();
    let machine = n.is_multiple_of(5);
    Event {
        id: RelayId::new(at, random),
        at,
        kind: if n.is_multiple_of(3) { EventKind::Click } else { EventKind::Open },
        message: RelayId::from_bytes(message),
        recipient: Some(0),
        link: n.is_multiple_of(3).then_some(u16::from(a % 20)),
        about: None,
        judgement: Some(Judgement {
            verdict: if machine { Verdict::Scanner } else { Verdict::Human },
            confidence: Confidence::Probable,
            reasons: vec!["ua_browser".to_owned(), format!("reason_{}", c % 10)],
            trust: Trust { time: !machine, place: !machine, device: !machine },
            rules: "2026-11-24".to_owned(),
        }),
        device: Some(format!("Client {} on System {}", a % 20, b % 5)),
        place: None,
        address: Some(format!("{a}.{b}.{c}.0/24")),
        user_agent: Some(format!(
            "Mozilla/5.0 (X11; Linux x86_64; rv:{}.0) Gecko/20100101 Firefox/{}.0",
            a % 40,
            b % 8
        )),
        evidence: "{}".to_owned(),
    }
}
