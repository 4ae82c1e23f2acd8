//! The main job: a mail goes through, is opened and clicked, and the sender sees it.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use harness::client::Client;
use harness::http;
use harness::provider::{Provider, Script};
use harness::{Relay, eventually};

const MAIL: &[u8] =
    b"From: Ana <ana@example.com>\r\nTo: jo@example.net\r\nSubject: =?utf-8?q?Offer_4711?=\r\n\
X-Waxseal-Track: opens, links\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n\
Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
<html><body><p>H\xc3\xa9llo,</p>\r\n.a line with a dot\r\n\
<p><a  HREF = 'https://example.org/?a=1&amp;b=2#top'>see</a> <a href=\"mailto:x@y.test\">write</a></p>\r\n\
</body></html>\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_tracked_opened_clicked_and_seen() {
    let provider =
        Provider::start(Script { extensions: vec!["8BITMIME", "SIZE 1000000"], ..Script::default() }).await;
    let mut relay = Relay::start(provider.address);
    let mut client = Client::greeted(relay.smtp);
    assert_eq!(client.mail(&["jo@example.net"], MAIL), "250 2.0.0 queued\r\n");

    let received = provider.received();
    let [mail] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!(
        (mail.reverse_path.as_str(), mail.recipients.as_slice()),
        ("ana@example.com", &["jo@example.net".to_owned()][..])
    );
    let text = String::from_utf8(mail.content.clone()).unwrap();
    assert!(text.starts_with("Received: by "), "{text}");
    assert!(!text.contains("X-Waxseal"), "our field goes");

    // Everything but the Received field, our field, one attribute value and the pixel is as it was.
    let (link, pixel) = (between(&text, "HREF = '", "'"), between(&text, "src=\"", "\""));
    let received_field =
        text.split_inclusive("\r\n").take_while(|line| !line.starts_with("From:")).collect::<String>();
    let img = format!("<img{}>", between(&text, "<img", ">"));
    let undone = text
        .replacen(&received_field, "", 1)
        .replacen(&link, "https://example.org/?a=1&amp;b=2#top", 1)
        .replacen(&img, "", 1);
    let original = String::from_utf8(MAIL.to_vec()).unwrap().replace("X-Waxseal-Track: opens, links\r\n", "");
    assert_eq!(undone, original);

    // The recipient's side. Nobody reads a mail in the second it arrives: within two the verdict is a machine.
    std::thread::sleep(std::time::Duration::from_millis(2_200));
    let opened = http::get(relay.tracking, &pixel);
    assert_eq!(
        (opened.status, opened.body.len(), opened.header("content-type")),
        (200, 43, Some("image/gif"))
    );
    assert!(opened.header("set-cookie").is_none());
    let clicked = http::click(relay.tracking, &link);
    assert_eq!((clicked.status, clicked.header("location")), (302, Some("https://example.org/?a=1&b=2#top")));

    // The sender's side: committed before the answer, so it is there now.
    // On a disk that takes over 300 ms the answer is first.
    let events = eventually("both events", || Some(relay.json("events")).filter(|events| events.len() >= 2));
    assert_eq!(events.len(), 2, "{events:?}");
    for (event, kind) in events.iter().zip(["open", "click"]) {
        assert_eq!(
            (event["kind"].as_str(), event["judgement"]["verdict"].as_str()),
            (Some(kind), Some("human")),
            "{event}"
        );
        assert_eq!(event["recipient_address"], "jo@example.net");
        assert!(!event["judgement"]["reasons"].as_array().unwrap().is_empty());
    }
    assert_eq!(events[1]["link_target"], "https://example.org/?a=1&b=2#top");
    let messages = relay.json("messages");
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    assert_eq!(message["subject"], "Offer 4711");
    assert_eq!(
        (message["opens_by_people"].as_u64(), message["clicks_by_people"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(message["links"][1]["kept"], "scheme");

    let line = relay.wait_for_log("handed off");
    assert!(line.contains("a…@example.com") && !line.contains("jo@"), "{line}");
    // What people read, and not only machines.
    let shown = String::from_utf8(relay.command(&["messages"]).stdout).unwrap();
    assert!(shown.contains("Offer 4711") && shown.contains("opened once, clicked once"), "{shown}");
    assert_eq!(relay.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_choice_sticks_unless_it_was_for_once() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let html = "<p><a href=\"https://example.org/\">x</a></p>";
    let mail = |field: &str| {
        format!("From: ana@example.com\r\n{field}Content-Type: text/html\r\n\r\n{html}\r\n").into_bytes()
    };
    let mut client = Client::greeted(relay.smtp);
    for (field, pixel, links) in [
        ("", true, true),
        ("X-Waxseal-Track: none; once\r\n", false, false),
        ("", true, true),
        ("X-Waxseal-Track: links\r\n", false, true),
        ("", false, true),
        ("X-Waxseal-Track: open\r\n", false, true),
        ("X-PM-TrackOpens: true\r\nX-PM-TrackLinks: None\r\n", true, false),
        ("", true, false),
    ] {
        assert!(client.mail(&["jo@example.net"], &mail(field)).starts_with("250"), "{field}");
        let content = provider.received().pop().unwrap().content;
        let text = String::from_utf8(content).unwrap();
        assert_eq!((text.contains("/o/"), text.contains("/c/")), (pixel, links), "{field:?}: {text}");
        assert!(!text.contains("X-Waxseal-Track") && !text.contains("X-PM-"), "{text}");
    }
    let messages = relay.json("messages");
    assert_eq!(messages[2]["reasons"][0], "unknown_choice");
    assert_eq!(messages[6]["reasons"][0], "opted_out");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_to_the_provider_serves_all_messages_of_a_session() {
    let refuses = [("RCPT nobody@".to_owned(), harness::provider::Behaviour::Say("550 5.1.1 no such user"))];
    let provider = Provider::start(Script { at: refuses.into(), ..Script::default() }).await;
    let relay = Relay::start(provider.address);
    let mut client = Client::greeted(relay.smtp);
    let mail = b"From: ana@example.com\r\n\r\nhello\r\n";
    assert!(client.mail(&["jo@example.net"], mail).starts_with("250"));
    assert_eq!(client.mail(&["nobody@example.net"], mail), "550 5.1.1 127.0.0.1 said: no such user\r\n");
    assert!(client.say("RSET").starts_with("250"));
    assert!(
        client.mail(&["jo@example.net", "nobody@example.net", "kim@example.net"], mail).starts_with("250")
    );
    assert!(client.say("QUIT").starts_with("221"));
    let received = provider.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[1].recipients, ["jo@example.net", "kim@example.net"]);
    assert_eq!(provider.connections(), 1);
    let recipients = &relay.json("messages")[0]["recipients"];
    assert_eq!(recipients[1]["code"], 550);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_of_the_one_recipient_the_provider_took() {
    let refuses = [("RCPT nobody@".to_owned(), harness::provider::Behaviour::Say("550 5.1.1 no such user"))];
    let provider = Provider::start(Script { at: refuses.into(), ..Script::default() }).await;
    let relay = Relay::start(provider.address);
    let mail =
        b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.org/x\">x</a>\r\n";
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["nobody@example.net", "jo@example.net"], mail).starts_with("250"));
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    assert_eq!(http::get(relay.tracking, &between(&text, "src=\"", "\"")).status, 200);
    let event = eventually("the event", || relay.json("events").pop());
    assert_eq!(event["recipient_address"], "jo@example.net");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_work_on_a_relay_whose_store_is_gone() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let mail =
        b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.org/x\">x</a>\r\n";
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], mail).starts_with("250"));
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    let (link, pixel) = (between(&text, "href=\"", "\""), between(&text, "src=\"", "\""));
    let (folder, smtp, tracking) = relay.kill();
    // All that is left is the key.
    for name in ["waxseal.db", "waxseal.db-wal", "waxseal.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let relay = Relay::start_in(folder, smtp, tracking);
    let answer = http::get(relay.tracking, &link);
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://example.org/x")));
    assert_eq!(http::get(relay.tracking, &pixel).status, 200);
    // An event of a message nobody knows any more is an event all the same.
    eventually("two events", || (relay.json("events").len() == 2).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_link_leads_nowhere() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let mail =
        b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.org/x\">x</a>\r\n";
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], mail).starts_with("250"));
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    let link = between(&text, "href=\"", "\"");
    let start = link.rfind('/').unwrap() + 1;
    for at in start..link.len() {
        let mut forged = link.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let answer = http::get(relay.tracking, &String::from_utf8(forged).unwrap());
        assert_eq!((answer.status, answer.header("location")), (404, None), "character {at}");
    }
    assert!(relay.json("events").is_empty());
}

fn between(text: &str, start: &str, end: &str) -> String {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start:?} in {text}")) + start.len();
    let to = from + text[from..].find(end).unwrap();
    text[from..to].to_owned()
}
