//! One-click unsubscribe without a store behind it, and every bit of every token.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use seal::{Keys, LINK_PATH, PIXEL_PATH, REFUSAL_PATH, Recipient, UNSUBSCRIBE_PATH};
use site::{Site, TARGET, keys, message};

const CLICK: &str = "List-Unsubscribe=One-Click";

fn token() -> String {
    keys().seal_unsubscribe(message(), Recipient::Index(1))
}

async fn say(site: &Site, head: &str, body: &str) -> String {
    let request = format!("{head}\r\nHost: t.example.com\r\nConnection: close\r\n\r\n{body}");
    String::from_utf8(site.say(request.as_bytes()).await).unwrap()
}

/// Where nothing can be written down, nobody is told that he is unsubscribed.
#[tokio::test]
async fn with_the_keys_alone_it_is_to_be_tried_again() {
    let site = Site::keys_only().await;
    let head = format!("POST /u/{} HTTP/1.1\r\nContent-Length: {}", token(), CLICK.len());
    let answer = say(&site, &head, CLICK).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: 300\r\n") && !answer.contains("Set-Cookie"), "{answer}");
    let page = site.ask("GET", &format!("/u/{}", token())).await;
    assert_eq!(page.status(), 200);
    assert!(String::from_utf8(page.body).unwrap().contains("this sender"));
}

#[tokio::test]
async fn a_body_that_is_too_long_or_none_is_not_waited_for() {
    let mut endpoint = site::endpoint(None);
    endpoint.deadlines.request = std::time::Duration::from_millis(300);
    let site = Site::start(endpoint).await;
    let post = |more: &str| format!("POST /u/{} HTTP/1.1\r\n{more}", token());
    for (head, body, status) in [
        (post("Content-Length: 1000000"), "x".repeat(2_000), "413"),
        (post("Transfer-Encoding: chunked"), format!("7d0\r\n{}\r\n", "x".repeat(2_000)), "413"),
        (post("Content-Length: 26"), "List-".to_owned(), "408"),
        (post("Content-Length: 0"), String::new(), "422"),
    ] {
        let answer = say(&site, &head, &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    // One that goes away in the middle costs nobody anything.
    let _ = site.say(post("Content-Length: 26\r\n\r\nLi").as_bytes()).await;
    assert_eq!(site.ask("GET", &format!("/u/{}", token())).await.status(), 200);
}

/// Every bit of every kind of token, at every path: never a redirect, and nobody is unsubscribed.
#[tokio::test]
async fn a_token_with_any_bit_changed_leads_nowhere() {
    let site = Site::keys_only().await;
    let keys = keys();
    let tokens = [
        (PIXEL_PATH, keys.seal_pixel(message(), Recipient::Index(1))),
        (LINK_PATH, keys.seal_link(message(), Recipient::Index(1), 2, TARGET).unwrap()),
        (UNSUBSCRIBE_PATH, token()),
        (REFUSAL_PATH, keys.seal_refusal(message(), Recipient::Index(1))),
    ];
    let mut asked = 0_u32;
    for (path, token) in &tokens {
        // One connection has an end to its requests.
        let mut client = site.client().await;
        let octets = URL_SAFE_NO_PAD.decode(token).unwrap();
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let url = format!("{path}{}", URL_SAFE_NO_PAD.encode(&flipped));
            let answer = client.ask("GET", &url, &[]).await;
            let expected = if *path == PIXEL_PATH { 200 } else { 404 };
            assert_eq!((answer.status(), answer.field("Location")), (expected, None), "bit {bit} of {url}");
            asked += 1;
        }
        // What was signed for one path is unknown at the others; a pixel's answer is always the same.
        for (other, _) in tokens.iter().filter(|(other, _)| other != path && *other != PIXEL_PATH) {
            let answer = client.ask("GET", &format!("{other}{token}"), &[]).await;
            assert_eq!((answer.status(), answer.field("Location")), (404, None), "{path} token at {other}");
        }
        let cut = client.ask("GET", &format!("{path}{}", &token[..token.len() - 1]), &[]).await;
        assert_eq!(cut.field("Location"), None);
    }
    assert!(asked > 4 * 39 * 8, "{asked}");
    let mut client = site.client().await;
    // Another installation's.
    let strange = Keys::generate([8; 32]);
    let link = strange.seal_link(message(), Recipient::Index(1), 2, TARGET).unwrap();
    let unsubscribe = strange.seal_unsubscribe(message(), Recipient::Index(1));
    for url in [format!("/c/{link}"), format!("/u/{unsubscribe}")] {
        let answer = client.ask("GET", &url, &[]).await;
        assert_eq!((answer.status(), answer.field("Location")), (404, None));
    }
    // A copy that several share: nobody can say who it is.
    let shared = keys.seal_unsubscribe(message(), Recipient::Shared);
    assert_eq!(client.ask("GET", &format!("/u/{shared}"), &[]).await.status(), 404);
    assert_eq!(client.ask("GET", &format!("/c/{}", tokens[1].1), &[]).await.status(), 302, "unchanged");
    assert_eq!(client.ask("GET", &format!("/u/{}", token()), &[]).await.status(), 200, "unchanged");
}
