//! Who is believed about where a client is.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use site::{Client, Does, Fake, PATIENCE, Site, endpoint, link_token, pixel_token, recorder};
use store::Event;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use waxseal_track::{Deadlines, Endpoint, KeepAddress, Limits, Quota};

struct Scene {
    _folder: TempDir,
    store: Arc<Fake>,
    site: Site,
}

impl Scene {
    async fn start(trusted: &[&str], proxy_protocol: bool) -> Self {
        let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
        let endpoint = Endpoint {
            trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            proxy_protocol,
            keep_address: KeepAddress::Full,
            deadlines: Deadlines { handshake: Duration::from_millis(200), ..Deadlines::default() },
            ..endpoint(Some(recorder(store.clone(), folder.path())))
        };
        Self { site: Site::start(endpoint).await, _folder: folder, store }
    }

    /// What is heard when `header` goes before a request for the pixel, and whose open is recorded.
    async fn open_behind(&self, header: &[u8], fields: &str) -> (Vec<u8>, Option<Event>) {
        let before = self.store.events().len();
        let request =
            format!("GET /o/{} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{fields}\r\n", pixel_token());
        let heard = self.site.say(&[header, request.as_bytes()].concat()).await;
        (heard, self.store.events().get(before).cloned())
    }
}

const LINE: &[u8] = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n";
const FORGED: &str = "X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.66\r\n\
                      X-Real-IP: 192.0.2.66\r\nTrue-Client-IP: 192.0.2.66\r\nCF-Connecting-IP: 192.0.2.66\r\n";

fn binary() -> Vec<u8> {
    let addresses = [198, 51, 100, 7, 10, 0, 0, 1, 0x12, 0x67, 0x1f, 0x90];
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &addresses].concat()
}

#[tokio::test]
async fn a_trusted_proxy_announces_who_comes() {
    let scene = Scene::start(&["127.0.0.1"], true).await;
    for header in [LINE.to_vec(), binary()] {
        // The client's own header field is a stranger's.
        let (heard, event) = scene.open_behind(&header, FORGED).await;
        assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert_eq!(event.unwrap().address.as_deref(), Some("198.51.100.7"));
    }
    let (_, event) = scene.open_behind(b"PROXY UNKNOWN\r\n", FORGED).await;
    let event = event.unwrap();
    assert_eq!(event.address, None, "nobody the proxy knows, and no field makes somebody of him");
    let evidence: Value = serde_json::from_str(&event.evidence).unwrap();
    assert_eq!(evidence["https"], Value::Null);
}

#[tokio::test]
async fn behind_a_second_trusted_proxy_its_field_says_who_comes() {
    let scene = Scene::start(&["127.0.0.1", "203.0.113.0/24"], true).await;
    let line = b"PROXY TCP4 203.0.113.5 10.0.0.1 4711 443\r\n";
    let (_, event) = scene.open_behind(line, "X-Forwarded-For: 192.0.2.66, 198.51.100.7\r\n").await;
    assert_eq!(event.unwrap().address.as_deref(), Some("198.51.100.7"));
}

#[tokio::test]
async fn a_stranger_announces_nobody() {
    // Switched on, but the peer is no proxy of ours; and switched off.
    for (trusted, on) in [(&["10.0.0.0/8"][..], true), (&["127.0.0.1"][..], false), (&[][..], false)] {
        let scene = Scene::start(trusted, on).await;
        for header in [LINE.to_vec(), binary()] {
            let (heard, event) = scene.open_behind(&header, "").await;
            assert!(!heard.windows(8).any(|octets| octets == b"Location"));
            assert_eq!(event, None, "{}", heard.escape_ascii());
        }
        let (heard, event) = scene.open_behind(b"", if on { FORGED } else { "" }).await;
        assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert_eq!(event.unwrap().address.as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn a_trusted_proxy_that_announces_nothing_or_nonsense_is_closed() {
    let scene = Scene::start(&["127.0.0.1"], true).await;
    for header in
        [&b""[..], b"PROXY TCP4 nowhere 10.0.0.1 1 2\r\n", b"PROXY TCP9 198.51.100.7 10.0.0.1 1 2\r\n"]
    {
        let (heard, event) = scene.open_behind(header, FORGED).await;
        assert_eq!((&heard[..], event), (&b""[..], None), "{}", header.escape_ascii());
    }
    // Slowly: the deadline ends it.
    let Client { mut stream, .. } = scene.site.client().await;
    stream.write_all(&LINE[..20]).await.unwrap();
    let mut heard = Client::new(stream);
    assert_eq!(heard.hear("GET").await, None);
    let began = std::time::Instant::now();
    let mut silent = scene.site.client().await;
    assert_eq!(silent.hear("GET").await, None);
    assert!(began.elapsed() < PATIENCE / 2);
    assert!(scene.open_behind(LINE, "").await.1.is_some());
}

#[tokio::test]
async fn those_a_proxy_carries_share_the_places_as_if_they_came_themselves() {
    let limits = Limits { max_connections_per_address: 2, ..Limits::default() };
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let site =
        Site::start(Endpoint { trusted_proxies, limits, proxy_protocol: true, ..endpoint(None) }).await;
    let mut clients = Vec::new();
    for address in ["198.51.100.7", "198.51.100.7", "198.51.100.8", "198.51.100.7"] {
        let mut client = site.client().await;
        let line = format!("PROXY TCP4 {address} 10.0.0.1 4711 443\r\n");
        client.stream.write_all(line.as_bytes()).await.unwrap();
        assert_eq!(client.ask("GET", &format!("/c/{}", link_token()), &[]).await.status(), 302);
        clients.push(client);
    }
    assert_eq!(clients[0].hear("GET").await, None, "the third of one address costs it its first");
    for client in &mut clients[1..] {
        assert_eq!(client.ask("GET", "/", &[]).await.status(), 200);
    }
}

fn limited(per_address: Option<u32>, per_url: Option<u32>) -> Limits {
    let quota =
        |requests: Option<u32>| requests.map(|requests| Quota { requests, per: Duration::from_hours(1) });
    Limits { per_address: quota(per_address), per_url: quota(per_url), ..Limits::default() }
}

async fn limited_site(limits: Limits, store: &Arc<Fake>, folder: &TempDir) -> (Site, Arc<store::Recorder>) {
    let recorder = recorder(store.clone(), folder.path());
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let endpoint = Endpoint { trusted_proxies, limits, ..endpoint(Some(recorder.clone())) };
    (Site::start(endpoint).await, recorder)
}

#[tokio::test]
async fn who_asks_too_often_is_answered_and_not_recorded() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let (site, recorder) = limited_site(limited(Some(5), None), &store, &folder).await;
    let mut client = site.client().await;
    let (pixel, link) = (format!("/o/{}", pixel_token()), format!("/c/{}", link_token()));
    // Of one IPv6 customer every address is the same; whom a stranger claims to be changes nothing.
    for number in 0..20 {
        let from = format!("192.0.2.{number}, 2001:db8::{number:x}");
        let fields = [("X-Forwarded-For", from.as_str())];
        assert_eq!(client.ask("GET", &pixel, &fields).await.body.len(), 43);
        assert_eq!(client.ask("GET", &link, &fields).await.status(), 302);
    }
    assert_eq!(store.events().len(), 5);
    assert_eq!(recorder.figures().left_out, 35);
    assert_eq!(recorder.figures().committed, 5);
    // Others are not touched by that.
    client.ask("GET", &pixel, &[("X-Forwarded-For", "2001:db8:0:1::1")]).await;
    assert_eq!(store.events().len(), 6);
}

#[tokio::test]
async fn an_image_proxy_and_a_relay_may_carry_as_many_as_they_like() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let (site, _) = limited_site(limited(Some(2), None), &store, &folder).await;
    let mut client = site.client().await;
    let pixel = format!("/o/{}", pixel_token());
    let mut recorded = 0;
    // Gmail's image proxy and Apple's relay; a rented computer is one.
    for (from, kept) in [("66.249.84.1", 10), ("172.224.226.1", 10), ("35.192.0.1", 2), ("203.0.113.9", 2)] {
        for _ in 0..10 {
            client.ask("GET", &pixel, &[("X-Forwarded-For", from)]).await;
        }
        recorded += kept;
        assert_eq!(store.events().len(), recorded, "{from}");
    }
}

#[tokio::test]
async fn one_url_cannot_fill_the_disk() {
    let (folder, store) = (TempDir::new().unwrap(), Fake::new(Does::Keep));
    let (site, recorder) = limited_site(limited(None, Some(4)), &store, &folder).await;
    let mut client = site.client().await;
    let (pixel, link) = (format!("/o/{}", pixel_token()), format!("/c/{}", link_token()));
    for number in 0..20 {
        let from = format!("198.51.100.{number}");
        for path in [&pixel, &format!("{pixel}?{number}"), &pixel.replace('A', "%41"), &link] {
            let status = client.ask("GET", path, &[("X-Forwarded-For", &from)]).await.status();
            assert_eq!(status, if *path == link { 302 } else { 200 });
        }
    }
    assert_eq!(store.events().len(), 8, "four opens, four clicks");
    assert_eq!(recorder.figures().left_out, 72);
}
