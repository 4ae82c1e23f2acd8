//! A recipient sees what is recorded, refuses, changes her mind, is exported and forgotten: with the real program.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{PATIENCE, Relay, free_address, http, open_listener, plain_upstream};
use serde_json::Value;

const MAIL: &[u8] =
    b"From: Ana <ana@example.com>\r\nTo: jo@example.net\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n\
    <p>Hi <a href=\"https://example.org/a\">see</a></p>\r\n";
const BROWSER: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");

fn relay(provider: SocketAddr, privacy: &str) -> Relay {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, tracking) = (free_address(), free_address());
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n\
         [privacy]\nabout_field = true\n{privacy}\n{}{}",
        open_listener(smtp),
        plain_upstream(provider)
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    Relay::start_in(folder, smtp, tracking)
}

/// The paths of pixel, link and recipient's page of the newest mail.
fn paths(relay: &Relay, provider: &Provider) -> [Option<String>; 3] {
    let text = String::from_utf8(provider.received().pop().unwrap().content).unwrap();
    let base = format!("http://{}", relay.tracking);
    ["/o/", "/c/", "/r/"].map(|kind| {
        let behind = text.split(&format!("{base}{kind}")).nth(1)?;
        let token: String =
            behind.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
        Some(format!("{kind}{token}"))
    })
}

fn post(host: SocketAddr, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

fn command(relay: &Relay, args: &[&str]) -> Value {
    let output = relay.command(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn kinds(relay: &Relay) -> Vec<String> {
    relay.json("events").iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

fn page(relay: &Relay, path: &str, language: &str) -> String {
    let page = http::request(relay.tracking, "GET", path, &[("Accept-Language", language)]);
    assert_eq!((page.status, page.header("set-cookie")), (200, None));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self'") && !policy.contains("script"), "{policy}");
    String::from_utf8(page.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_holds_for_mail_already_sent_and_for_new_mail() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay(provider.address, "contact = \"Example Ltd\"");
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["Jo@Example.net"], MAIL).starts_with("250"));
    let [Some(pixel), Some(link), Some(about)] = paths(&relay, &provider) else {
        panic!("it is not tracked")
    };
    for path in [&pixel, &link] {
        http::request(relay.tracking, "GET", path, &[BROWSER]);
    }
    assert_eq!(kinds(&relay), ["open", "click"]);

    let shown = page(&relay, &about, "en");
    for said in
        ["ana@example.com", "Example Ltd", "opened 1 times, links followed 1 times", "400 days", "refuse"]
    {
        assert!(shown.contains(said), "{said} in {shown}");
    }
    assert!(page(&relay, &about, "de-AT,de;q=0.9").contains("lang=\"de\""));
    assert!(page(&relay, "/", "de").contains("Example Ltd"));
    assert_eq!(http::request(relay.tracking, "GET", "/about.css", &[]).status, 200);
    // Looking changes nothing, nor does what is no wish, nor another's token.
    http::request(relay.tracking, "HEAD", &about, &[]);
    assert_eq!(post(relay.tracking, &about, "do=what"), 422);
    assert_eq!(post(relay.tracking, &format!("{about}x"), "do=refuse"), 404);
    assert_eq!(kinds(&relay), ["open", "click"]);

    assert_eq!(post(relay.tracking, &about, "do=refuse"), 200);
    assert_eq!(kinds(&relay), ["refusal"]);
    http::request(relay.tracking, "GET", &pixel, &[BROWSER]);
    assert_eq!(http::request(relay.tracking, "GET", &link, &[BROWSER]).status, 302, "links work for ever");
    assert_eq!(kinds(&relay), ["refusal"], "also with mail that was sent before");
    assert!(page(&relay, &about, "en").contains("value=\"allow\""));
    assert!(client.mail(&["jo@example.net"], MAIL).starts_with("250"));
    assert_eq!(paths(&relay, &provider), [None, None, None], "and new mail is not tracked");
    let newest = relay.json("messages").remove(0);
    assert_eq!(newest["reasons"].as_array().unwrap()[0], "recipient_refused");

    assert_eq!(post(relay.tracking, &about, "do=allow"), 200);
    http::request(relay.tracking, "GET", &pixel, &[BROWSER]);
    assert_eq!(kinds(&relay), ["refusal", "open"]);

    let export = command(&relay, &["export", "jo@example.net"]);
    assert_eq!(export["messages"].as_array().unwrap().len(), 2);
    assert_eq!(export["events"].as_array().unwrap().len(), 2);
    let would = command(&relay, &["forget", "jo@example.net", "--dry-run", "--json"]);
    assert_eq!(
        (&would["messages"], &would["events"], &would["remains"]),
        (&2.into(), &2.into(), &Value::Null)
    );
    assert_eq!(kinds(&relay).len(), 2);
    let did = command(&relay, &["forget", "jo@example.net", "--json"]);
    assert_eq!((&did["messages"], &did["remains"]), (&2.into(), &false.into()));
    http::request(relay.tracking, "GET", &pixel, &[BROWSER]);
    assert_eq!(kinds(&relay), [] as [&str; 0]);
    for name in ["waxseal.db", "waxseal.db-wal"] {
        let octets = std::fs::read(relay.path(name)).unwrap().to_ascii_lowercase();
        assert!(!octets.windows(14).any(|window| window == b"jo@example.net"), "{name}");
    }
    let purge = command(&relay, &["purge", "--json"]);
    assert_eq!((&purge["events"], &purge["messages"]), (&0.into(), &0.into()), "nothing is old");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_browser_and_the_operator_ask_is_kept() {
    let provider = Provider::start(Script::default()).await;
    let rules = "[[privacy.rule]]\nrecipients = [\"*@off.example\"]\nmode = \"off\"\n\
                 [[privacy.rule]]\nrecipients = [\"*@day.example\"]\nmode = \"hygiene\"";
    let relay = relay(provider.address, rules);
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["jo@off.example"], MAIL).starts_with("250"));
    assert_eq!(paths(&relay, &provider), [None, None, None]);
    assert_eq!(relay.json("messages")[0]["reasons"][0], "mode_off");

    assert!(client.mail(&["jo@day.example"], MAIL).starts_with("250"));
    let [Some(pixel), None, Some(_)] = paths(&relay, &provider) else { panic!("a pixel and no link") };
    http::request(relay.tracking, "GET", &pixel, &[BROWSER]);
    assert_eq!(kinds(&relay), [] as [&str; 0]);

    assert!(client.mail(&["jo@example.net"], MAIL).starts_with("250"));
    let [Some(pixel), Some(link), Some(_)] = paths(&relay, &provider) else { panic!("it is not tracked") };
    for asks in [("Sec-GPC", "1"), ("DNT", "1")] {
        assert_eq!(http::request(relay.tracking, "GET", &pixel, &[BROWSER, asks]).status, 200);
    }
    assert_eq!(http::request(relay.tracking, "GET", &link, &[BROWSER, ("Sec-GPC", "1")]).status, 302);
    // Nobody waits for it to be written down.
    let click = harness::eventually("the click", || relay.json("events").pop());
    assert_eq!(kinds(&relay), ["click"]);
    for nothing in ["recipient", "device", "place", "address", "user_agent"] {
        assert_eq!(click[nothing], Value::Null, "{nothing}");
    }
    assert_eq!(click["evidence"], serde_json::json!({}));
    assert_eq!(click["link"], 0);
}
