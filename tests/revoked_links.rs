//! A link that was sent can be stopped, and let go again.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::process::Output;

use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{Relay, eventually, http, open_listener, plain_upstream};

const MAIL: &[u8] =
    b"From: ana@example.com\r\nTo: jo@example.net\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n\
<p><a href=\"https://example.org/a\">one</a> <a href=\"https://example.org/b\">two</a></p>\r\n";

fn urls(provider: &Provider, mark: &str) -> Vec<String> {
    let text = String::from_utf8(provider.received().pop().unwrap().content).unwrap();
    let path = |(at, _): (usize, &str)| text[at..].split(['"', '\'']).next().unwrap().to_owned();
    text.match_indices(mark).map(path).collect()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A page that says so, and leads nowhere.
fn is_stopped(relay: &Relay, path: &str) -> bool {
    let answer = http::request(relay.tracking, "GET", path, &[]);
    let page = String::from_utf8(answer.body.clone()).unwrap();
    match answer.status {
        410 => {
            assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none());
            assert!(page.contains("stopped") && !page.contains("example.org"), "{page}");
            true
        }
        302 => false,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_a_recipient_and_a_message_are_stopped_and_let_go() {
    let provider = Provider::start(Script::default()).await;
    // It asks for the links again and again, more often than one address may have recorded.
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp)
            + &plain_upstream(provider.address)
            + "[limits]\ntracking_per_ip = { requests = 100000, per = \"1m\" }\n"
    });
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (links, pixels) = (urls(&provider, "/c/"), urls(&provider, "/o/"));
    let [one, two] = links.as_slice() else { panic!("{links:?}") };
    let id = relay.json("messages")[0]["id"].as_str().unwrap().to_owned();
    let revoke = |args: &[&str]| said(&relay.command(&[&["revoke"], args].concat()));
    let soon = |expected: [bool; 2]| {
        eventually("the endpoint sees it", || {
            (([one, two].map(|path| is_stopped(&relay, path))) == expected).then_some(())
        });
    };

    let out = revoke(&[&id, "--link", "0"]);
    assert!(out.contains("https://example.org/a is revoked") || out.contains("is revoked:"), "{out}");
    soon([true, false]);
    assert!(revoke(&[&id, "--link", "0"]).contains("already"));
    assert!(revoke(&[&id, "--undo"]).contains("was not revoked as such"));
    assert!(revoke(&[&id, "--link", "0", "--undo"]).contains("works again"));
    soon([false, false]);

    // As a report of abuse has it.
    revoke(&[&format!("http://{}{two}", relay.tracking)]);
    soon([false, true]);
    revoke(&[&format!("http://{}{two}", relay.tracking), "--undo"]);
    soon([false, false]);

    revoke(&[&id, "--recipient", "JO@example.net"]);
    soon([true, true]);
    let listed = said(&relay.command(&["revoke", "list", "--json"]));
    let listed: serde_json::Value = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((listed["message"].as_str(), listed["recipient"].as_u64()), (Some(id.as_str()), Some(0)));
    assert!(listed["link"].is_null());
    assert!(said(&relay.command(&["revoke", "list"])).contains("for jo@example.net"));

    // The pixel is served, for an error would be shown; it is not recorded, and neither is what was stopped.
    let before = relay.json("events").len();
    let pixel = http::request(relay.tracking, "GET", &pixels[0], &[]);
    assert_eq!((pixel.status, pixel.body.len()), (200, 43));
    assert!(is_stopped(&relay, one));
    assert_eq!(relay.json("events").len(), before);
    revoke(&[&id, "--recipient", "0", "--undo"]);
    soon([false, false]);
    http::request(relay.tracking, "GET", &pixels[0], &[]);
    eventually("the open", || relay.json("events").iter().any(|event| event["kind"] == "open").then_some(()));

    for (args, expected) in [
        (vec![id.as_str(), "--link", "7"], "no tracked link 7; it has 0 (https://example.org/a), 1"),
        (vec![id.as_str(), "--recipient", "eve@example.net"], "it went to jo@example.net (0)"),
        (vec!["nonsense"], "neither the id of a message"),
        (vec!["https://t.example.com/c/AAAA"], "not signed with the keys"),
        (vec![], "required"),
    ] {
        let output = relay.command(&[&["revoke"], args.as_slice()].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(expected), "{args:?}: {error}");
    }
    // It stays over a restart, and the first request after it hears it.
    revoke(&[&id]);
    let (folder, smtp, tracking) = relay.kill();
    let relay = Relay::start_in(folder, smtp, tracking);
    assert!(is_stopped(&relay, one) && is_stopped(&relay, two));
    let head = http::request(relay.tracking, "HEAD", one, &[]);
    assert_eq!((head.status, head.header("location")), (410, None));
    assert_eq!(relay.stop(), 0);
}
