//! Clients that mean no good, or do no good.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::time::{Duration, Instant};

use site::{Client, PATIENCE, Site, endpoint, link_token, pixel_token};
use tokio::io::AsyncWriteExt;
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
        b"GET /x HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /x HTTP/1.1\r\nA: b\0c\r\n\r\n",
        b"GET /x HTTP/1.1\r\n: x\r\n\r\n",
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

/// As many as there are places, from one host, none of them ever complete.
#[tokio::test]
async fn half_requests_of_one_host_keep_nobody_out() {
    let limits = Limits { max_connections: 64, max_connections_per_address: 16, ..Limits::default() };
    let site = site(Deadlines::default(), limits).await;
    let mut halves = Vec::new();
    for number in 0..512 {
        let mut client = site.client().await;
        // Some say nothing at all.
        if number % 2 == 0 {
            client.stream.write_all(b"GET /o/x HTTP/1.1\r\nHost: t\r\n").await.unwrap();
        }
        halves.push(client);
        if number % 64 == 63 {
            assert_alive(&site).await;
        }
    }
    let began = Instant::now();
    assert_alive(&site).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // The oldest have been told to go, long before their deadline.
    assert_eq!(halves[0].hear("GET").await, None);
    assert_eq!(halves[300].hear("GET").await, None);
}

#[tokio::test]
async fn one_who_is_being_answered_is_not_told_to_go() {
    let (folder, store) =
        (tempfile::tempdir().unwrap(), site::Fake::new(site::Does::Wait(tokio::sync::Notify::new())));
    let limits = Limits { max_connections: 3, ..Limits::default() };
    let deadlines = Deadlines { recording: PATIENCE, ..Deadlines::default() };
    let recorder = site::recorder(store.clone(), folder.path());
    let site = Site::start(Endpoint { limits, deadlines, ..endpoint(Some(recorder)) }).await;
    let mut busy = site.client().await;
    let request = format!("GET /c/{} HTTP/1.1\r\nHost: t\r\n\r\n", link_token());
    busy.stream.write_all(request.as_bytes()).await.unwrap();
    store.was_asked().await;
    let mut others = Vec::new();
    for _ in 0..10 {
        let mut client = site.client().await;
        assert_eq!(client.ask("GET", "/", &[]).await.status(), 200);
        others.push(client);
    }
    store.let_go().await;
    assert_eq!(busy.hear("GET").await.unwrap().status(), 302);
    assert_eq!(others[0].hear("GET").await, None, "the one that was idle for longest");
}

#[tokio::test]
async fn a_connection_has_its_last_request() {
    let limits = Limits { max_requests_per_connection: 3, ..Limits::default() };
    let site = site(Deadlines::default(), limits).await;
    let mut client = site.client().await;
    let path = format!("/o/{}", pixel_token());
    for last in [false, false, true] {
        let answer = client.ask("GET", &path, &[]).await;
        assert_eq!((answer.body.len(), answer.field("Connection")), (43, last.then_some("close")));
    }
    assert_eq!(client.hear("GET").await, None);
}

#[tokio::test]
async fn what_is_no_request_gets_the_pixel_or_the_page() {
    let site = site(Deadlines::default(), Limits::default()).await;
    let pixel = site.ask("GET", "/o/x").await;
    for request in ["GET /o/a<b HTTP/1.1\r\nHost: t\r\n\r\n", "GET /o/a`b HTTP/1.1\r\nHost: t\r\n\r\n"] {
        let heard = site.say(request.as_bytes()).await;
        assert!(heard.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", heard.escape_ascii());
        assert!(heard.ends_with(&pixel.body), "{}", heard.escape_ascii());
        let head = String::from_utf8_lossy(&heard);
        for line in pixel.lines() {
            assert!(head.contains(&format!("{line}\r\n")), "{line} in {head}");
        }
        assert!(head.contains("Connection: close\r\n"));
    }
    let page = site.ask("GET", "/x").await;
    for request in [
        "GET /c/a<b HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /o/x\u{1}y HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET / HTTP/1.1 and more\r\n\r\n",
        "EHLO client.example\r\nMAIL FROM:<a@b.c>\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n\r\n",
    ] {
        let heard = site.say(request.as_bytes()).await;
        let pixel_path = request.starts_with("GET /o/");
        let body = if pixel_path { &pixel.body } else { &page.body };
        assert!(heard.ends_with(body), "{request:?}: {}", heard.escape_ascii());
    }
    // A line that is no header field costs nobody the pixel.
    let odd =
        format!("GET /o/{} HTTP/1.1\r\nno colon\r\nHost: t\r\nConnection: close\r\n\r\n", pixel_token());
    assert!(site.say(odd.as_bytes()).await.ends_with(&pixel.body));
    // Behind an answer of ours it is hyper's bare one.
    let two = "GET /x HTTP/1.1\r\nHost: t\r\n\r\nGET /c/a<b HTTP/1.1\r\n\r\n";
    let heard = String::from_utf8(site.say(two.as_bytes()).await).unwrap();
    assert!(heard.starts_with("HTTP/1.1 404 ") && !heard.contains("Location"), "{heard}");
}
