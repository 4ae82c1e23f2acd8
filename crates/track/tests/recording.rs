//! What is recorded, when, and what happens when it cannot be.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::sync::Arc;
use std::time::{Duration, Instant};

use envelope::{Clock, RelayId, Timestamp};
use seal::Recipient;
use serde_json::{Value, json};
use site::{
    ACCEPTED, Client, Does, FIREFOX, Fake, LATER, PATIENCE, Site, TARGET, clock, endpoint, keys, link_token,
    message, pixel_token, recorder,
};
use store::{Event, EventKind, SqliteStore, Store};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::timeout;
use verdict::Verdict;
use waxseal_track::{Deadlines, Endpoint, KeepAddress, KeepAgent, Limits};

/// The answer never waits longer than 300 ms for the store; the rest is this machine being busy.
const AT_MOST: Duration = Duration::from_secs(3);

fn fields() -> Vec<(&'static str, &'static str)> {
    vec![
        ("User-Agent", FIREFOX),
        ("Accept", "text/html"),
        ("X-Forwarded-For", "192.0.2.66, 203.0.113.77"),
        ("Cookie", "secret=1"),
    ]
}

fn behind_a_proxy(store: &Arc<Fake>, folder: &TempDir) -> Endpoint {
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    Endpoint { trusted_proxies, ..endpoint(Some(recorder(store.clone(), folder.path()))) }
}

/// The one event that follows from one request.
async fn recorded(
    endpoint: Endpoint,
    store: &Fake,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Event {
    let site = Site::start(endpoint).await;
    let answer = site.client().await.ask(method, path, fields).await;
    assert!(matches!(answer.status(), 200 | 302));
    let mut events = store.events();
    assert_eq!(events.len(), 1);
    events.remove(0)
}

#[tokio::test]
async fn an_open_and_a_click_are_in_sqlite_when_the_answer_is_there() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
    let recorder = recorder(Arc::new(store.clone()), folder.path());
    // The disk of a busy machine may take longer than anybody waits for a pixel; that is not the question here.
    let deadlines = Deadlines { recording: PATIENCE, ..Deadlines::default() };
    let site = Site::start(Endpoint { deadlines, ..endpoint(Some(recorder.clone())) }).await;
    let mut client = site.client().await;
    let agent = [("User-Agent", FIREFOX)];
    for round in 1..=20 {
        for (path, expected) in
            [(format!("/o/{}", pixel_token()), round * 2 - 1), (format!("/c/{}", link_token()), round * 2)]
        {
            client.ask("GET", &path, &agent).await;
            // Nothing, unless it went by way of the journal.
            recorder.replay().await.unwrap();
            assert_eq!(store.events_of(message()).await.unwrap().len(), expected);
        }
    }
    let events: Vec<Event> =
        store.events_of(message()).await.unwrap().into_iter().map(|event| event.event).collect();
    let (open, click) = (&events[0], &events[1]);
    assert_eq!((open.kind, open.recipient, open.link), (EventKind::Open, Some(1), None));
    assert_eq!((click.kind, click.recipient, click.link), (EventKind::Click, Some(1), Some(2)));
    assert_eq!(open.at, ACCEPTED.plus(LATER));
    assert_ne!(open.id, events[2].id);
    site.stop().await;
}

#[tokio::test]
async fn nothing_is_recorded_that_was_not_signed_or_not_read() {
    let folder = TempDir::new().unwrap();
    let store = Fake::new(Does::Keep);
    let site = Site::start(endpoint(Some(recorder(store.clone(), folder.path())))).await;
    let (pixel, link) = (pixel_token(), link_token());
    for (method, path) in [
        ("GET", "/o/x".to_owned()),
        ("GET", format!("/o/{link}")),
        ("GET", format!("/c/{pixel}")),
        ("GET", format!("/o/{pixel}.gif")),
        ("GET", format!("/c/{}", &link[..link.len() - 1])),
        ("POST", format!("/c/{link}")),
        ("OPTIONS", format!("/o/{pixel}")),
        ("GET", "/".to_owned()),
    ] {
        site.ask(method, &path).await;
        assert_eq!(store.events(), [], "{method} {path}");
    }
    site.ask("GET", &format!("/o/{pixel}")).await;
    assert_eq!(store.events().len(), 1);
}

#[tokio::test]
async fn head_is_recorded_as_what_it_is() {
    for path in [format!("/o/{}", pixel_token()), format!("/c/{}", link_token())] {
        let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
        let event = recorded(behind_a_proxy(&store, &folder), &store, "HEAD", &path, &fields()).await;
        assert_eq!(event.judgement.unwrap().verdict, Verdict::Scanner, "{path}");
        let evidence: Value = serde_json::from_str(&event.evidence).unwrap();
        assert_eq!(evidence["method"], "HEAD");
    }
}

#[tokio::test]
async fn the_shared_copy_is_nobody_s() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let path = format!("/o/{}", keys().seal_pixel(message(), Recipient::Shared));
    let event = recorded(behind_a_proxy(&store, &folder), &store, "GET", &path, &fields()).await;
    assert_eq!((event.message, event.recipient), (message(), None));
}

#[tokio::test]
async fn evidence_that_waits_for_settling_names_nobody() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let path = format!("/c/{}", link_token());
    let event = recorded(behind_a_proxy(&store, &folder), &store, "GET", &path, &fields()).await;
    let mut evidence: Value = serde_json::from_str(&event.evidence).unwrap();
    let names = evidence["headers"].as_array_mut().unwrap();
    names.sort_by_key(|name| name.as_str().unwrap().to_owned());
    assert_eq!(
        evidence,
        json!({
            "method": "GET",
            "headers": ["accept", "cookie", "user-agent"],
            "values": { "accept": "text/html" },
            "https": null,
            "since_accept_ms": 41_000,
            "agent": FIREFOX,
            "address": "203.0.113.0",
        })
    );
    let all = serde_json::to_string(&event).unwrap();
    for private in ["203.0.113.77", "192.0.2.66", "secret"] {
        assert!(!all.contains(private), "{private} in {all}");
    }
}

#[tokio::test]
async fn as_much_is_kept_as_may_be() {
    let long = "x".repeat(5_000);
    let path = format!("/o/{}", pixel_token());
    for (keep_address, kept) in [
        (KeepAddress::None, None),
        (KeepAddress::Truncated, Some("203.0.113.0/24")),
        (KeepAddress::Full, Some("203.0.113.77")),
    ] {
        let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
        let endpoint = Endpoint { keep_address, ..behind_a_proxy(&store, &folder) };
        let event = recorded(endpoint, &store, "GET", &path, &fields()).await;
        assert_eq!(event.address.as_deref(), kept);
    }
    let family = verdict::device(FIREFOX).map(|device| device.to_string());
    for (keep_agent, agent, kept) in [
        (KeepAgent::None, FIREFOX, None),
        (KeepAgent::Family, FIREFOX, family.as_deref()),
        (KeepAgent::Full, FIREFOX, Some(FIREFOX)),
        (KeepAgent::Full, &long, Some(&long[..1_000])),
    ] {
        let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
        let endpoint = Endpoint { keep_agent, ..behind_a_proxy(&store, &folder) };
        let event = recorded(endpoint, &store, "GET", &path, &[("User-Agent", agent)]).await;
        assert_eq!(event.user_agent.as_deref(), kept, "{keep_agent:?}");
        assert!(keep_agent != KeepAgent::None || event.device.is_none());
    }
}

#[tokio::test]
async fn names_of_fields_do_not_fill_the_store() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let name = format!("x-{}", "y".repeat(300));
    let names: Vec<String> = (0..40).map(|number| format!("{name}-{number}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "z")).collect();
    let path = format!("/o/{}", pixel_token());
    let event = recorded(behind_a_proxy(&store, &folder), &store, "GET", &path, &fields).await;
    assert!(event.evidence.len() < 2_000, "{}", event.evidence.len());
}

#[tokio::test]
async fn a_stranger_cannot_say_where_he_is() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let endpoint = Endpoint {
        trusted_proxies: Vec::new(),
        keep_address: KeepAddress::Full,
        ..behind_a_proxy(&store, &folder)
    };
    let path = format!("/o/{}", pixel_token());
    let event = recorded(endpoint, &store, "GET", &path, &fields()).await;
    assert_eq!(event.address.as_deref(), Some("127.0.0.1"));
}

/// Answers pixel and link while `store` does what it does, and how long that took at worst.
async fn still_answers(store: Arc<Fake>, folder: &TempDir) {
    let site = Site::start(endpoint(Some(recorder(store, folder.path())))).await;
    let mut client = site.client().await;
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(client.ask("GET", &format!("/o/{}", pixel_token()), &[]).await.body.len(), 43);
        assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
        let began = Instant::now();
        let answer = client.ask("GET", &format!("/c/{}", link_token()), &[]).await;
        assert_eq!((answer.status(), answer.field("Location")), (302, Some(TARGET)));
        assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn answers_with_a_store_that_fails() {
    still_answers(Fake::new(Does::Fail), &TempDir::new().unwrap()).await;
}

#[tokio::test]
async fn answers_with_a_store_that_does_not_answer() {
    still_answers(Fake::new(Does::Hang), &TempDir::new().unwrap()).await;
}

#[tokio::test]
async fn answers_when_recording_panics() {
    still_answers(Fake::new(Does::Panic), &TempDir::new().unwrap()).await;
}

#[tokio::test]
async fn answers_with_neither_store_nor_journal() {
    let folder = TempDir::new().unwrap();
    let site = Site::start(endpoint(Some(recorder(Fake::new(Does::Fail), folder.path())))).await;
    folder.close().unwrap();
    assert_eq!(site.ask("GET", &format!("/o/{}", pixel_token())).await.status(), 200);
    assert_eq!(site.ask("GET", &format!("/c/{}", link_token())).await.status(), 302);
}

#[tokio::test]
async fn answers_when_too_many_wait_for_the_store() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Wait(Notify::new())));
    let deadlines = Deadlines { recording: Duration::from_millis(20), ..Deadlines::default() };
    let limits = Limits { max_recordings: 1, ..Limits::default() };
    let site = Site::start(Endpoint { deadlines, limits, ..behind_a_proxy(&store, &folder) }).await;
    let mut client = site.client().await;
    for _ in 0..4 {
        assert_eq!(client.ask("GET", &format!("/c/{}", link_token()), &[]).await.status(), 302);
    }
    store.let_go().await;
}

#[tokio::test]
async fn an_event_of_a_client_that_went_away_is_recorded_all_the_same() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Wait(Notify::new())));
    let site = Site::start(endpoint(Some(recorder(store.clone(), folder.path())))).await;
    let Client { mut stream, .. } = site.client().await;
    let request = format!("GET /c/{} HTTP/1.1\r\nHost: t\r\n\r\n", link_token());
    stream.write_all(request.as_bytes()).await.unwrap();
    drop(stream);
    store.was_asked().await;
    store.let_go().await;
}

#[tokio::test]
async fn the_answer_does_not_wait_longer_than_it_may() {
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Wait(Notify::new())));
        let deadlines = Deadlines { recording: Duration::from_millis(1), ..Deadlines::default() };
        let site = Site::start(Endpoint { deadlines, ..behind_a_proxy(&store, &folder) }).await;
        let mut client = site.client().await;
        let began = Instant::now();
        assert_eq!(client.ask("GET", &format!("/c/{}", link_token()), &[]).await.status(), 302);
        fastest = fastest.min(began.elapsed());
        store.was_asked().await;
        store.let_go().await;
    }
    // The recorder's own patience is 250 ms.
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[tokio::test]
async fn a_client_that_only_stopped_talking_has_its_answer() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Wait(Notify::new())));
    let site = Site::start(behind_a_proxy(&store, &folder)).await;
    let Client { mut stream, .. } = site.client().await;
    let request = format!("GET /c/{} HTTP/1.1\r\nHost: t\r\n\r\n", link_token());
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    store.was_asked().await;
    store.let_go().await;
    assert_eq!(Client::new(stream).hear("GET").await.unwrap().status(), 302);
}

#[tokio::test]
async fn shutdown_lets_answers_and_recordings_finish() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Wait(Notify::new())));
    // So long that neither of them is what ends a connection here.
    let deadlines = Deadlines { request: PATIENCE * 10, grace: PATIENCE * 10, ..Deadlines::default() };
    let site = Site::start(Endpoint { deadlines, ..behind_a_proxy(&store, &folder) }).await;
    let mut idle = site.client().await;
    idle.ask("GET", "/", &[]).await;
    let fresh = site.client().await;
    let mut busy = site.client().await;
    let request = format!("GET /o/{} HTTP/1.1\r\nHost: t\r\n\r\n", pixel_token());
    busy.stream.write_all(request.as_bytes()).await.unwrap();
    store.was_asked().await;
    let addr = site.addr;
    site.shutdown.send(true).unwrap();
    assert_eq!(idle.hear("GET").await, None, "an idle connection ends at once");
    assert_eq!({ fresh }.hear("GET").await, None, "one that said nothing too");
    store.let_go().await;
    assert_eq!(busy.hear("GET").await.unwrap().body.len(), 43);
    timeout(PATIENCE, site.serving).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn shutdown_waits_for_what_was_answered_first() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Hang));
    let deadlines =
        Deadlines { recording: Duration::from_millis(1), grace: PATIENCE, ..Deadlines::default() };
    let site = Site::start(Endpoint { deadlines, ..behind_a_proxy(&store, &folder) }).await;
    let octets_kept = || -> u64 {
        let files = std::fs::read_dir(folder.path().join("journal")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let before = octets_kept();
    assert_eq!(site.ask("GET", &format!("/c/{}", link_token())).await.status(), 302);
    store.was_asked().await;
    site.stop().await;
    assert!(octets_kept() > before, "it is in the journal, for the store does not answer");
}

/// Panics when asked for the first time.
struct BrokenOnce(std::sync::atomic::AtomicBool);

impl Clock for BrokenOnce {
    fn now(&self) -> Timestamp {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::SeqCst), "as told");
        clock().now()
    }
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let broken = Arc::new(BrokenOnce(false.into()));
    let site = Site::start(Endpoint { clock: broken, ..behind_a_proxy(&store, &folder) }).await;
    let mut other = site.client().await;
    assert_eq!(other.ask("GET", "/", &[]).await.status(), 200);
    let request = format!("GET /o/{} HTTP/1.1\r\nHost: t\r\n\r\n", pixel_token());
    assert_eq!(site.say(request.as_bytes()).await, b"");
    assert_eq!(other.ask("GET", &format!("/o/{}", pixel_token()), &[]).await.status(), 200);
    assert_eq!(store.events().len(), 1);
}

#[tokio::test]
async fn a_hit_before_its_message_is_so_recorded() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let tomorrow = RelayId::new(ACCEPTED.plus(LATER + Duration::from_millis(1_500)), [0xff; 10]);
    let path = format!("/o/{}", keys().seal_pixel(tomorrow, Recipient::Index(0)));
    let event = recorded(behind_a_proxy(&store, &folder), &store, "GET", &path, &fields()).await;
    let evidence: Value = serde_json::from_str(&event.evidence).unwrap();
    assert_eq!(evidence["since_accept_ms"], -1_500);
}
