//! A queue whose file is damaged: what can be read of it goes out, and the rest has a name.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::BTreeSet;
use std::path::Path;

use harness::client::Client;
use harness::identity::compare;
use harness::provider::{Provider, Script};
use harness::{Relay, binary, eventually, free_address, open_listener, plain_upstream};

const MAILS: usize = 24;

/// What is done to the octets of `queue.db`; the pages of the messages' rows come with it.
type Harm = fn(&mut Vec<u8>, &[usize]);

fn mail(n: usize) -> Vec<u8> {
    let head = format!(
        "From: ana@example.com\r\nTo: all@example.org\r\nSubject: mail-{n}\r\nContent-Type: text/html\r\n\r\n"
    );
    // The last two are files in the spool.
    let lines = if n + 2 < MAILS { 200 } else { 15_000 };
    (head + &format!("<p>{n:080}</p>\r\n").repeat(lines)).into_bytes()
}

fn number_of(content: &[u8]) -> usize {
    let head = String::from_utf8_lossy(&content[..content.len().min(1_000)]);
    head.split("Subject: mail-").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap()
}

fn pages_of_messages(database: &Path) -> Vec<usize> {
    let db = rusqlite::Connection::open(database).unwrap();
    let mut pages = db.prepare("SELECT pageno FROM dbstat WHERE name = 'message'").unwrap();
    let pages = pages.query_map([], |row| row.get::<_, u32>(0)).unwrap();
    pages.map(|page| page.unwrap() as usize - 1).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_is_delivered_and_the_rest_is_named_and_can_be_put_back() {
    let harms: [(&str, Harm, usize); 4] = [
        ("cut to four tenths", |octets, _| octets.truncate(octets.len() * 4 / 10), 6),
        ("cut to eight tenths", |octets, _| octets.truncate(octets.len() * 8 / 10), 14),
        (
            "the rows of the messages lost",
            |octets, rows| rows.iter().for_each(|page| octets[page * 4_096..(page + 1) * 4_096].fill(0)),
            MAILS,
        ),
        ("all of it", |octets, _| octets.fill(0x55), 2),
    ];
    for (case, harm, at_least) in harms {
        let address = free_address();
        let relay = Relay::start_with(|smtp| {
            open_listener(smtp)
                + &plain_upstream(address)
                + "delivery = \"queue\"\nretry = { first = \"100ms\", longest = \"1s\", give_up = \"1h\" }\n"
        });
        for n in 0..MAILS {
            let reply = Client::greeted(relay.smtp).mail(&[&format!("r{n}@example.net")], &mail(n));
            assert!(reply.starts_with("250"), "{reply}");
        }
        relay.signal("TERM");
        let (smtp, tracking) = (relay.smtp, relay.tracking);
        let (status, folder) = relay.ended_in();
        assert_eq!(status, 0);
        let database = folder.path().join("spool/queue.db");
        let rows = pages_of_messages(&database);
        let mut octets = std::fs::read(&database).unwrap();
        harm(&mut octets, &rows);
        std::fs::write(&database, octets).unwrap();

        let provider = Provider::start_on(address, Script::default()).await;
        let mut relay = Relay::start_in(folder, smtp, tracking);
        relay.wait_for_log("the queue's database is damaged");
        let listed = || relay_list(relay.folder.path());
        let whole = eventually("those that wait are delivered", || {
            let named = listed();
            let waits = named.iter().any(|message| message["state"]["code"] == "waiting");
            (!waits).then(|| provider.received().len())
        });
        let named = listed();
        let mut seen: BTreeSet<usize> =
            provider.received().iter().map(|mail| number_of(&mail.content)).collect();
        assert_eq!(seen.len(), whole, "{case}: none twice");
        let mut restored = 0;
        for message in &named {
            assert_eq!(message["state"]["code"], "set_aside", "{case}: {message}");
            assert_eq!(message["sender"], "ana@example.com", "{case}");
            let to = message["recipients"][0]["forward_path"].as_str().unwrap();
            let number: usize = to.trim_start_matches('r').split('@').next().unwrap().parse().unwrap();
            assert!(seen.insert(number), "{case}: {number} was delivered and is named");
            let output = relay.command(&["queue", "restore", message["id"].as_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() {
                restored += 1;
            } else {
                assert!(said.contains("is damaged") && said.contains("--content"), "{case}: {said}");
            }
        }
        eventually("those that were put back", || {
            (provider.received().len() == whole + restored).then_some(())
        });
        for received in provider.received() {
            let number = number_of(&received.content);
            assert_eq!(received.recipients, [format!("r{number}@example.net")], "{case}");
            let changes = compare(&mail(number), &received.content, &relay.base_url());
            assert!(changes.is_ok_and(|changes| changes.links.is_empty()), "{case}: {number}");
        }
        println!("{case}: {whole} delivered, {} named, {restored} of them put back", named.len());
        assert!(seen.len() >= at_least, "{case}: {} known", seen.len());
        assert_eq!(relay.stop(), 0);
    }
}

fn relay_list(folder: &Path) -> Vec<serde_json::Value> {
    let output = binary()
        .args(["queue", "list", "--json", "-c", "waxseal.toml"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_an_envelope_is_named_and_sent_to_whom_the_operator_says() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp) + &plain_upstream(provider.address) + "delivery = \"queue\"\n"
    });
    let content =
        b"From: Ana <ana@example.com>\r\nTo: bo@example.net\r\nSubject: Lost\r\n and found\r\n\r\nHello\r\n";
    let stray = relay.path("spool/damaged/2026-7.eml");
    // A copy of the envelope that another message has taken the place of.
    std::fs::write(&stray, [&b"X-Waxseal-Envelope: 0 {}\r\n"[..], content].concat()).unwrap();
    let output = relay.command(&["queue", "list"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("2026-7.eml") && text.contains("\"Lost and found\""), "{text}");
    assert_eq!(relay_list(relay.folder.path())[0]["subject"], "Lost and found");

    let file = stray.to_str().unwrap();
    for (args, sentence) in [
        (vec!["queue", "restore", file], "--from ADDRESS"),
        (vec!["queue", "restore", file, "--from", "ana@example.com", "--to", "nobody"], "is not an address"),
        (
            vec![
                "queue",
                "restore",
                file,
                "--from",
                "ana@example.com",
                "--to",
                "bo@example.net",
                "--upstream",
                "x",
            ],
            "there is no upstream \"x\"; there are: provider",
        ),
        (vec!["queue", "restore", "01a20000-0000-7000-8000-000000000000"], "there is no message"),
    ] {
        let output = relay.command(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(sentence), "{args:?}: {said}");
    }
    let args = [
        "queue",
        "restore",
        file,
        "--from",
        "ana@example.com",
        "--to",
        "bo@example.net",
        "--to",
        "li@example.net",
    ];
    let output = relay.command(&args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mail = eventually("the mail", || provider.received().pop());
    assert_eq!((mail.reverse_path.as_str(), mail.recipients.len()), ("ana@example.com", 2));
    assert_eq!(mail.content, content);
    assert!(!stray.exists() && relay_list(relay.folder.path()).is_empty());
}
