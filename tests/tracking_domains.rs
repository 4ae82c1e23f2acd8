//! Several names for one tracking endpoint: each sender's links carry the sender's own.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use harness::client::Client;
use harness::http;
use harness::provider::{Provider, Script};
use harness::{Relay, free_address, plain_upstream};

const TARGET: &str = "https://example.org/page?a=1";

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_has_the_first_domain_that_matches_and_all_are_known_as_ours() {
    let provider = Provider::start(Script::default()).await;
    let (folder, smtp, tracking) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\n\
         defaults = {{ opens = true, links = true }}\nold_base_urls = [\"http://old.example.com\"]\n\
         contact = \"mailto:security@example.com\"\n\
         [[tracking.domain]]\nbase_url = \"http://kim.example.net\"\nsenders = [\"kim@example.net\"]\n\
         [[tracking.domain]]\nbase_url = \"http://go.example.net:8080\"\nsenders = [\"*@example.net\"]\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n\
         [[smtp]]\nlisten = \"{smtp}\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\n{}",
        plain_upstream(provider.address)
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    let relay = Relay::start_in(folder, smtp, tracking);
    let bases = [
        ("ana@example.com", relay.base_url()),
        ("kim@example.net", "http://kim.example.net".to_owned()),
        ("Lou@EXAMPLE.net", "http://go.example.net:8080".to_owned()),
    ];
    let mut links = Vec::new();
    for (sender, base) in &bases {
        let text = sent(&relay, &provider, sender, &format!("<p><a href=\"{TARGET}\">x</a></p>"));
        let (link, pixel) = (between(&text, "href=\"", "\""), between(&text, "src=\"", "\""));
        assert!(link.starts_with(&format!("{base}/c/")), "{sender}: {link}");
        assert!(pixel.starts_with(&format!("{base}/o/")), "{sender}: {pixel}");
        // The endpoint answers under every name, known to it or not.
        let path = &link[base.len()..];
        for host in ["kim.example.net", "go.example.net:8080", "another.example"] {
            let answer = http::request(relay.tracking, "GET", &format!("http://{host}{path}"), &[]);
            assert_eq!((answer.status, answer.header("location")), (302, Some(TARGET)), "{host}");
        }
        links.push(link);
    }
    // Somebody quotes a mail of each, and one from before the host was renamed.
    links.push(links[0].replace(&relay.base_url(), "http://old.example.com"));
    for quoted in links {
        let html = format!("<p>new</p><blockquote><a href=\"{quoted}\">x</a></blockquote>");
        let text = sent(&relay, &provider, "lou@example.net", &html);
        let link = between(&text, "href=\"", "\"");
        assert!(!link.contains(&quoted), "wrapped twice, or left: {link}");
        let path = link.strip_prefix("http://go.example.net:8080").unwrap_or(&link);
        let leads_to = if link == TARGET {
            link.clone()
        } else {
            let answer = http::request(relay.tracking, "GET", path, &[]);
            answer.header("location").unwrap_or_else(|| panic!("{link} leads nowhere")).to_owned()
        };
        assert_eq!(leads_to, TARGET, "{quoted} is known as ours, and unwrapped");
    }
    let security = http::request(relay.tracking, "GET", "/.well-known/security.txt", &[]);
    assert!(security.body.starts_with(b"Contact: mailto:security@example.com\r\nExpires: 20"));
}

fn sent(relay: &Relay, provider: &Provider, sender: &str, html: &str) -> String {
    let mail = format!("From: {sender}\r\nContent-Type: text/html\r\n\r\n{html}\r\n");
    let mut client = Client::greeted(relay.smtp);
    assert!(client.say(&format!("MAIL FROM:<{sender}>")).starts_with("250"));
    assert!(client.say("RCPT TO:<jo@example.net>").starts_with("250"));
    assert!(client.say("DATA").starts_with("354"));
    client.send(format!("{mail}.\r\n").as_bytes());
    assert!(client.reply().starts_with("250"));
    String::from_utf8(provider.received().last().unwrap().content.clone()).unwrap()
}

fn between(text: &str, start: &str, end: &str) -> String {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start:?} in {text}")) + start.len();
    let to = from + text[from..].find(end).unwrap();
    text[from..to].to_owned()
}
