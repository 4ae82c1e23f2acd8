//! Clients that mean no good, or do no good.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::time::{Duration, Instant};

use site::{Client, PATIENCE, Site, endpoint, link_token, pixel_token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use waxseal_track::{Deadlines, Endpoint, Limits};

async fn site(deadlines: Deadlines, limits: Limits) -> Site {
    Site::start(Endpoint { deadlines, limits, ..endpoint(None) }).await
}

async fn assert_alive(site: &Site) {
    assert_eq!(site.ask("GET", &format!("/c/{}", link_token())).await.status(), 302);
}

#[tokio::test]
async fn a_slow_request_is_cut_off() {
    let soon = Duration::from_millis(150);
    let site = site(Deadlines { request: soon, ..Deadlines::default() }, Limits::default()).await;
    let mut slow = site.client().await;
    let began = Instant::now();
    slow.stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n").await.unwrap();
    let drips = async {
        // Each octet comes soon enough; the whole does not.
        while slow.stream.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, drips).await.unwrap();
    assert!(began.elapsed() >= soon && began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());

    let mut idle = site.client().await;
    idle.ask("GET", "/", &[]).await;
    assert_eq!(idle.hear("GET").await, None, "idle for too long");
    let mut silent = site.client().await;
    assert_eq!(silent.hear("GET").await, None, "silent from the beginning");
    assert_alive(&site).await;
}

#[tokio::test]
async fn one_who_does_not_take_his_answers_is_cut_off() {
    let soon = Duration::from_millis(150);
    let site = site(Deadlines { write: soon, ..Deadlines::default() }, Limits::default()).await;
    let Client { mut stream, .. } = site.client().await;
    let requests = format!("GET /o/{} HTTP/1.1\r\nHost: t\r\n\r\n", pixel_token()).repeat(100);
    let greedy = async {
        let mut sent = 0_usize;
        while stream.write_all(requests.as_bytes()).await.is_ok() {
            sent += requests.len();
        }
        sent
    };
    let sent = timeout(PATIENCE, greedy).await.expect("cut off");
    assert!(sent < 256 << 20, "{sent} octets were taken");
    assert_alive(&site).await;
}

#[tokio::test]
async fn headers_have_an_end() {
    let limits = Limits { max_header_octets: 8_192, ..Limits::default() };
    let site = site(Deadlines::default(), limits).await;
    let fits = format!(
        "GET /c/{} HTTP/1.1\r\nHost: t\r\nCookie: {}\r\nConnection: close\r\n\r\n",
        link_token(),
        "x".repeat(7_000)
    );
    assert!(site.say(fits.as_bytes()).await.starts_with(b"HTTP/1.1 302 "));
    for (name, request) in [
        ("a long field", format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: {}\r\n\r\n", "x".repeat(20_000))),
        ("without end", format!("GET / HTTP/1.1\r\nHost: t\r\nCookie: {}", "x".repeat(1 << 20))),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: t\r\n\r\n", "x".repeat(20_000))),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: t\r\n{}\r\n", "a: b\r\n".repeat(500))),
    ] {
        let answer = site.say(request.as_bytes()).await;
        let status = answer.get(..13).unwrap_or_default();
        // The close may overtake the answer if the rest was still on its way.
        assert!(
            matches!(status, b"HTTP/1.1 431 " | b"HTTP/1.1 414 " | b""),
            "{name}: {}",
            answer.escape_ascii()
        );
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(text.ends_with("\r\n\r\n") || text.is_empty(), "{name}: no page: {text}");
    }
    assert_alive(&site).await;
}

#[tokio::test]
async fn garbage_is_no_request() {
    let soon = Duration::from_millis(300);
    let site = site(Deadlines { request: soon, ..Deadlines::default() }, Limits::default()).await;
    let every_octet: Vec<u8> = (0..=255).collect();
    for garbage in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /c/\xff\xfe HTTP/1.1\r\nHost: t\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"EHLO client.example\r\nMAIL FROM:<a@b.c>\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        &every_octet,
        &every_octet.repeat(1_000),
    ] {
        let answer = site.say(garbage).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("Location:") && !text.contains(" 200 "), "{}: {text}", garbage.escape_ascii());
    }
    assert_alive(&site).await;
}

#[tokio::test]
async fn no_more_connections_than_there_are_places() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let site = site(Deadlines::default(), limits).await;
    let mut first = site.client().await;
    let mut second = site.client().await;
    assert_eq!(first.ask("GET", "/", &[]).await.status(), 200);
    assert_eq!(second.ask("GET", "/", &[]).await.status(), 200);
    let mut third = site.client().await;
    third.stream.write_all(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n").await.unwrap();
    let mut octet = [0];
    let waits = timeout(Duration::from_millis(200), third.stream.read(&mut octet)).await;
    assert!(waits.is_err(), "a third was answered while two were there");
    drop(first);
    assert_eq!(third.hear("GET").await.unwrap().status(), 200);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let site = Site::keys_only().await;
    let mut client = site.client().await;
    let requests = format!(
        "GET /o/{} HTTP/1.1\r\nHost: t\r\n\r\nHEAD / HTTP/1.1\r\nHost: t\r\n\r\nGET /c/{} HTTP/1.1\r\nHost: t\r\n\r\n",
        pixel_token(),
        link_token()
    );
    client.stream.write_all(requests.as_bytes()).await.unwrap();
    assert_eq!(client.hear("GET").await.unwrap().body.len(), 43);
    assert_eq!(client.hear("HEAD").await.unwrap().status(), 200);
    assert_eq!(client.hear("GET").await.unwrap().status(), 302);
}
