//! Statuses, headers and bodies, octet by octet.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use site::{Answer, Site, TARGET, link_to, link_token, pixel_token};

const GIF: [u8; 43] = [
    0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 0x01, 0x00, 0x01, 0x00, 0x80, 0x00, 0x00, 0xff, 0xff, 0xff, 0x00,
    0x00, 0x00, 0x21, 0xf9, 0x04, 0x01, 0x00, 0x00, 0x00, 0x00, 0x2c, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00,
    0x01, 0x00, 0x00, 0x02, 0x02, 0x44, 0x01, 0x00, 0x3b,
];

const PIXEL_HEAD: [&str; 9] = [
    "HTTP/1.1 200 OK",
    "Cache-Control: no-store, no-cache, must-revalidate, private, max-age=0",
    "Content-Length: 43",
    "Content-Type: image/gif",
    "Cross-Origin-Resource-Policy: cross-origin",
    "Pragma: no-cache",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "X-Robots-Tag: noindex, nofollow, noarchive",
];

const HTML_FIELDS: [&str; 5] = [
    "Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Content-Type: text/html; charset=utf-8",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "X-Robots-Tag: noindex, nofollow, noarchive",
];

fn assert_html(answer: &Answer, first: &str, more: &[&str]) {
    let length = format!("Content-Length: {}", answer.body.len());
    let mut expected: Vec<&str> = [&HTML_FIELDS, more, &[&length]].concat();
    expected.sort_unstable();
    expected.insert(0, first);
    assert_eq!(answer.lines(), expected);
}

fn assert_not_found(answer: &Answer, what: &str) {
    assert_eq!(answer.status(), 404, "{what}");
    assert_eq!(answer.field("Location"), None, "{what}");
    assert_html(answer, "HTTP/1.1 404 Not Found", &["Cache-Control: no-store"]);
    let page = String::from_utf8_lossy(&answer.body);
    assert!(page.contains("This link leads nowhere") && !page.contains("example.com"), "{what}");
}

#[tokio::test]
async fn the_pixel() {
    let site = Site::keys_only().await;
    let answer = site.ask("GET", &format!("/o/{}", pixel_token())).await;
    assert_eq!(answer.lines(), PIXEL_HEAD);
    assert_eq!(answer.body, GIF);
}

#[tokio::test]
async fn the_pixel_is_the_same_for_tokens_that_are_none() {
    let site = Site::keys_only().await;
    let good = pixel_token();
    let paths =
        ["", "x", &good[1..], &link_token(), &format!("{good}.gif"), &format!("{good}/"), &"A".repeat(4_000)];
    for token in paths {
        let answer = site.ask("GET", &format!("/o/{token}")).await;
        assert_eq!((answer.lines(), &answer.body[..]), (PIXEL_HEAD.to_vec(), &GIF[..]), "{token}");
    }
}

#[tokio::test]
async fn the_redirect() {
    let site = Site::keys_only().await;
    let answer = site.ask("GET", &format!("/c/{}", link_token())).await;
    assert_html(&answer, "HTTP/1.1 302 Found", &["Cache-Control: no-store", &format!("Location: {TARGET}")]);
    let page = String::from_utf8(answer.body).unwrap();
    let href = "https://example.com/it&#39;s?a=1&amp;b=2#top";
    assert!(page.contains(&format!("<a href=\"{href}\" rel=\"noreferrer\">{href}</a>")), "{page}");
}

#[tokio::test]
async fn the_location_is_the_target_octet_by_octet() {
    let site = Site::keys_only().await;
    let mut client = site.client().await;
    let longest = format!("https://example.com/{}", "x".repeat(980));
    for target in [
        "http://example.com/",
        "https://xn--bcher-kva.example/%C3%BC?q=a+b&c=%20&amp;d#frag%23",
        "https://example.com:8443/a/b;c=1,2/@!$*()[]|'?x={y}^`&z=\\~",
        "https://[2001:db8::1]/",
        &longest,
    ] {
        let answer = client.ask("GET", &format!("/c/{}", link_to(target)), &[]).await;
        assert_eq!((answer.status(), answer.field("Location")), (302, Some(target)));
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let site = Site::keys_only().await;
    let mut client = site.client().await;
    for path in [
        &format!("/o/{}", pixel_token()),
        &format!("/c/{}", link_token()),
        "/o/x",
        "/c/x",
        "/",
        "/robots.txt",
        "/x",
    ] {
        let get = client.ask("GET", path, &[]).await;
        let head = client.ask("HEAD", path, &[]).await;
        assert_eq!(head.lines(), get.lines(), "{path}");
        // Were a body sent, it would stand before the next answer's first line.
        assert_eq!(client.ask("GET", path, &[]).await.lines(), get.lines(), "{path}");
    }
}

#[tokio::test]
async fn every_changed_character_leads_nowhere() {
    let site = Site::keys_only().await;
    let mut client = site.client().await;
    let good = link_token();
    let mut asked = 0;
    for at in 0..good.len() {
        let original = good.as_bytes()[at];
        // Every flipped bit that still makes a path, and some that base64 might take for the same.
        let others = (0..8).map(|bit| original ^ (1 << bit)).chain(*b"AZaz09-_+/=.~%");
        for other in others
            .filter(|other| *other != original && other.is_ascii_graphic() && !b"?#\"<>".contains(other))
        {
            let mut token = good.clone().into_bytes();
            token[at] = other;
            let token = String::from_utf8(token).unwrap();
            let answer = client.ask("GET", &format!("/c/{token}"), &[]).await;
            asked += 1;
            // What may not stand in a URL at all ends the connection; and each has its last request.
            if answer.field("Connection") == Some("close") {
                assert_eq!((answer.status(), answer.field("Location")), (404, None), "{token}");
                client = site.client().await;
            } else {
                assert_not_found(&answer, &token);
            }
        }
        for token in [&good[..at], &good[at + 1..]] {
            assert_not_found(&client.ask("GET", &format!("/c/{token}"), &[]).await, token);
        }
    }
    assert!(asked > good.len() * 10, "{asked} changes of {} characters", good.len());
    assert_eq!(client.ask("GET", &format!("/c/{good}"), &[]).await.status(), 302, "unchanged");
}

#[tokio::test]
async fn what_is_no_link_of_ours_leads_nowhere() {
    let site = Site::keys_only().await;
    let good = link_token();
    let foreign = seal::Keys::generate([8; 32]);
    let foreign = foreign.seal_link(site::message(), seal::Recipient::Index(1), 2, TARGET).unwrap();
    for path in [
        "/c/",
        "/c",
        "/o",
        &format!("/c/{}", pixel_token()),
        &format!("/c/{foreign}"),
        &format!("/c/{good}/"),
        &format!("/c/{good}.gif"),
        &format!("/c//{good}"),
        &format!("/C/{good}"),
        &format!("//c/{good}"),
        "/c/https://evil.example/",
        "/c/?url=https://evil.example/",
        "//evil.example/",
        "/index.php",
        "/.well-known/x",
        "/../etc/passwd",
    ] {
        assert_not_found(&site.ask("GET", path).await, path);
    }
}

#[tokio::test]
async fn the_query_and_the_form_of_the_address_do_not_matter() {
    let site = Site::keys_only().await;
    let good = link_token();
    for path in [
        format!("/c/{good}?utm_source=x&url=https://evil.example/"),
        format!("/c/{good}?"),
        format!("http://t.example.com/c/{good}"),
        format!("http://another.example/c/{good}"),
        // RFC 3986 §6.2.2.2: the same URL.
        format!("/%63/%{:02X}{}", good.as_bytes()[0], &good[1..]),
        format!("/c/{}", good.bytes().map(|octet| format!("%{octet:02x}")).collect::<String>()),
    ] {
        let answer = site.ask("GET", &path).await;
        assert_eq!((answer.status(), answer.field("Location")), (302, Some(TARGET)), "{path}");
    }
    let http_1_0 = site.say(format!("GET /c/{good} HTTP/1.0\r\n\r\n").as_bytes()).await;
    assert!(http_1_0.starts_with(b"HTTP/1.0 302 Found\r\n"), "{}", http_1_0.escape_ascii());
}

#[tokio::test]
async fn other_methods_are_refused() {
    let site = Site::keys_only().await;
    let (pixel, link) = (format!("/o/{}", pixel_token()), format!("/c/{}", link_token()));
    for path in [&pixel, &link, "/c/x", "/", "/robots.txt", "/favicon.ico"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            let answer = site.ask(method, path).await;
            assert_eq!(answer.field("Location"), None, "{method} {path}");
            let more = ["Allow: GET, HEAD", "Cache-Control: no-store"];
            assert_html(&answer, "HTTP/1.1 405 Method Not Allowed", &more);
        }
    }
    let posted = format!("POST {link} HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\na=b");
    let answer = site.say(posted.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 405 "), "without waiting for a body: {}", answer.escape_ascii());
}

#[tokio::test]
async fn the_few_other_pages() {
    let site = Site::keys_only().await;
    let home = site.ask("GET", "/").await;
    assert_html(&home, "HTTP/1.1 200 OK", &["Cache-Control: public, max-age=3600"]);
    let page = String::from_utf8(home.body).unwrap();
    assert!(page.contains("A mail tracking host") && !page.contains("<script"));

    let robots = site.ask("GET", "/robots.txt").await;
    assert_eq!((robots.status(), robots.field("Content-Type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(robots.body, b"User-agent: *\nDisallow: /o/\nDisallow: /c/\nDisallow: /u/\nDisallow: /r/\n");

    assert_not_found(&site.ask("GET", "/.well-known/security.txt").await, "nobody is named");

    let icon = site.ask("GET", "/favicon.ico").await;
    assert_eq!(icon.lines(), ["HTTP/1.1 204 No Content", "Cache-Control: public, max-age=86400"]);
}

#[tokio::test]
async fn there_is_never_a_cookie() {
    let site = Site::keys_only().await;
    let mut client = site.client().await;
    for path in [&format!("/o/{}", pixel_token()), &format!("/c/{}", link_token()), "/", "/x", "/favicon.ico"]
    {
        let answer = client.ask("GET", path, &[("Cookie", "a=b; c=d"), ("If-None-Match", "*")]).await;
        assert!(!answer.head.to_ascii_lowercase().contains("cookie"), "{path}");
        assert_eq!(answer.field("Etag").or(answer.field("Last-Modified")), None, "{path}");
    }
}

#[tokio::test]
async fn whom_to_tell_about_a_weakness() {
    let contact = Some("mailto:security@example.com".to_owned());
    let site = Site::start(waxseal_track::Endpoint { contact, ..site::endpoint(None) }).await;
    let answer = site.ask("GET", "/.well-known/security.txt").await;
    assert_eq!((answer.status(), answer.field("Content-Type")), (200, Some("text/plain; charset=utf-8")));
    let text = String::from_utf8(answer.body).unwrap();
    // 90 days after the clock's 2026-11-24.
    let expected = "Contact: mailto:security@example.com\r\nExpires: 2027-02-22T";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(site.ask("POST", "/.well-known/security.txt").await.status(), 405);
}
