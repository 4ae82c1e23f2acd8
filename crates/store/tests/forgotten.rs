//! After `forget`, nobody finds the address in the database's files: looked for as anybody would, in the octets.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

use std::path::Path;

use envelope::{Choice, RelayId, Timestamp};
use verdict::{Confidence, Judgement, Trust, Verdict};
use waxseal_store::{
    ChoiceOrigin, Event, EventKind, LinkRecord, MessageOutcome, MessageRecord, Privacy, RecipientAnswer,
    RecipientRecord, SqliteStore, Store,
};

const ADDRESS: &str = "bo.forgotten@example.net";

fn id(n: u32) -> RelayId {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&n.to_be_bytes());
    RelayId::new(moment(n), random)
}

fn moment(n: u32) -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n))
}

/// Every second mail is to the one who will be forgotten.
fn message(n: u32) -> MessageRecord {
    let address = if n.is_multiple_of(2) { "Bo.Forgotten@example.net" } else { "kim@example.net" };
    MessageRecord {
        id: id(n),
        accepted_at: moment(n),
        sender: "ana@example.com".to_owned(),
        reverse_path: "<ana@example.com>".to_owned(),
        from: None,
        subject: Some(format!(
            "{n}: for {address}, with a text that makes the row move {}",
            "x".repeat(n as usize % 200)
        )),
        message_id: Some(format!("<{n}@example.com>")),
        choice: Choice::BOTH,
        choice_origin: ChoiceOrigin::Header,
        pixel: true,
        links_tracked: 1,
        reasons: vec![],
        parts: vec![],
        recipients: vec![RecipientRecord {
            index: 0,
            address: address.to_owned(),
            code: 0,
            reply: String::new(),
        }],
        links: vec![LinkRecord {
            index: 0,
            href: format!("https://a.example/{n}?m={}", address.replace('@', "%40")),
            target: Some(format!("https://a.example/{n}?m={address}")),
            kept: None,
        }],
        upstream: "main".to_owned(),
        code: 0,
        reply: String::new(),
        octets_in: 1_000,
        octets_out: 1_400,
        took_ms: 0,
    }
}

fn open(n: u32) -> Event {
    Event {
        id: id(1_000_000 + n),
        at: moment(n),
        kind: EventKind::Open,
        message: id(n),
        recipient: Some(0),
        link: None,
        about: None,
        judgement: Some(Judgement {
            verdict: Verdict::Human,
            confidence: Confidence::Probable,
            reasons: vec![],
            trust: Trust { time: true, place: false, device: true },
            rules: "2026-11".to_owned(),
        }),
        device: None,
        place: None,
        address: Some("203.0.113.0/24".to_owned()),
        user_agent: None,
        evidence: "{}".to_owned(),
    }
}

/// In which of the files it stands.
fn found(folder: &Path) -> Vec<String> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let octets = std::fs::read(&path).unwrap().to_ascii_lowercase();
        for form in [ADDRESS.to_owned(), ADDRESS.replace('@', "%40")] {
            if octets.windows(form.len()).any(|window| window == form.as_bytes()) {
                found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_files_do_not_hold_the_address_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.db");
    // The relay, which goes on while `waxseal forget` runs beside it.
    let relay = SqliteStore::open(&path).unwrap();
    for n in 0..200 {
        relay.record_message(message(n)).await.unwrap();
        relay.record_event(open(n)).await.unwrap();
        let reply = format!("2.1.5 <{ADDRESS}> ok, {}", "y".repeat(n as usize % 300));
        let answer = RecipientAnswer { index: 0, code: 250, reply };
        let outcome = MessageOutcome {
            id: id(n),
            recipients: vec![answer],
            reply: Some((250, format!("for {ADDRESS}"), moment(n))),
        };
        relay.record_outcome(outcome).await.unwrap();
    }
    assert!(!found(folder.path()).is_empty(), "else this looks for the wrong thing");

    let command = SqliteStore::open(&path).unwrap();
    let traces = command.forget(ADDRESS).await.unwrap();
    assert_eq!((traces.messages.len(), traces.events.len()), (100, 100));
    assert!(!command.remains(ADDRESS).await.unwrap());
    assert_eq!(found(folder.path()), [] as [String; 0]);
    relay.record_event(open(201)).await.unwrap();
    assert_eq!(relay.events_after(0, 1_000).await.unwrap().len(), 101);
    command.close().await;
    relay.close().await;
    assert_eq!(found(folder.path()), [] as [String; 0]);
}

/// What is deleted is gone from the file without any cleaning, but for the write-ahead log.
#[tokio::test]
async fn a_row_in_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
    let sender = MessageRecord { sender: ADDRESS.to_owned(), ..message(1) };
    store.record_message(sender).await.unwrap();
    let traces = store.forget(ADDRESS).await.unwrap();
    assert!(traces.named.iter().all(|named| named.stays), "{traces:?}");
    assert!(store.remains(ADDRESS).await.unwrap());
}
