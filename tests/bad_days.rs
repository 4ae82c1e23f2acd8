//! What happens when something is away, slow, full, hostile or killed.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::certificates::Authority;
use harness::client::Client;
use harness::http;
use harness::login_relay::with_both_doors;
use harness::provider::{Behaviour, Provider, Script};
use harness::{Relay, eventually, free_address, open_listener, plain_upstream};

const TRACKED: &[u8] =
    b"From: a@b.example\r\nContent-Type: text/html\r\n\r\n<p><a href=\"https://example.org/x\">x</a></p>\r\n";

fn at(place: &str, behaviour: Behaviour) -> Script {
    Script { at: [(place.to_owned(), behaviour)].into(), ..Script::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_a_451_that_a_person_understands() {
    let relay = Relay::start(free_address());
    let mut client = Client::greeted(relay.smtp);
    let reply = client.mail(&["jo@example.net"], TRACKED);
    assert!(reply.starts_with("451 4.4.1 Your provider 127.0.0.1 does not answer right now"), "{reply}");
    assert!(client.say("NOOP").starts_with("250"), "the connection stays usable");
    assert!(relay.json("messages").is_empty(), "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_at_each_stage() {
    for (place, behaviour, expected) in [
        ("CONNECT", Behaviour::Say("554 5.7.1 go away"), "554 5.7.1 127.0.0.1 said: go away"),
        ("CONNECT", Behaviour::Stall, "451 4.4.1"),
        ("EHLO", Behaviour::Close, "451 4.4.2"),
        ("MAIL", Behaviour::Say("550 5.7.1 not you"), "550 5.7.1 127.0.0.1 said: not you"),
        ("MAIL", Behaviour::Stall, "451 4.4.1"),
        ("RCPT jo@", Behaviour::Say("450 4.2.1 later"), "450 4.2.1 127.0.0.1 said: later"),
        ("DATA", Behaviour::Say("451 4.3.0 not now"), "451 4.3.0 127.0.0.1 said: not now"),
        ("DATA", Behaviour::Close, "451 4.4.2"),
        (".", Behaviour::Say("554-5.7.1 spam\r\n554 5.7.1 see our page"), "554-5.7.1 127.0.0.1 said: spam"),
        (".", Behaviour::Say("421 4.3.2 closing"), "451 4.3.2 127.0.0.1 said: closing"),
        (".", Behaviour::Close, "451 4.4.2 Your provider 127.0.0.1 did not confirm"),
    ] {
        let provider = Provider::start(at(place, behaviour.clone())).await;
        let relay = Relay::start(provider.address);
        let mut client = Client::greeted(relay.smtp);
        let reply = client.mail(&["jo@example.net"], TRACKED);
        assert!(reply.starts_with(expected), "{place} {behaviour:?}: {reply}");
        assert!(client.say("RSET").starts_with("250"));
        assert!(client.say("NOOP").starts_with("250"));
        assert!(provider.received().is_empty(), "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_before_the_final_dot_sends_nothing() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let mut client = Client::greeted(relay.smtp);
    for line in ["MAIL FROM:<ana@example.com>", "RCPT TO:<jo@example.net>"] {
        assert!(client.say(line).starts_with("250"));
    }
    assert!(client.say("DATA").starts_with("354"));
    client.send(b"Subject: half\r\n\r\nhalf a mess");
    drop(client);
    let mut next = Client::greeted(relay.smtp);
    assert!(next.mail(&["jo@example.net"], TRACKED).starts_with("250"));
    let received = provider.received();
    assert_eq!(received.len(), 1);
    assert!(!String::from_utf8_lossy(&received[0].content).contains("half"));
}

#[tokio::test(flavor = "multi_thread")]
async fn smuggling_is_refused_after_the_dot_and_nothing_is_executed() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    for end in ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r\r\n"] {
        let mut client = Client::greeted(relay.smtp);
        for line in ["MAIL FROM:<ana@example.com>", "RCPT TO:<jo@example.net>"] {
            assert!(client.say(line).starts_with("250"));
        }
        assert!(client.say("DATA").starts_with("354"));
        let smuggled = format!(
            "Subject: x\r\n\r\nbody{end}MAIL FROM:<evil@example.org>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nevil\r\n.\r\n"
        );
        client.send(smuggled.as_bytes());
        let reply = client.reply();
        assert!(reply.starts_with("550 5.6.0") || reply.starts_with("554 5.6.0"), "{end:?}: {reply}");
        assert!(client.say("NOOP").starts_with("250"), "{end:?}");
    }
    assert!(provider.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_locked_and_mail_goes_out_untracked() {
    let provider = Provider::start(Script::default()).await;
    let mut relay = Relay::start(provider.address);
    let locker = rusqlite::Connection::open(relay.path("waxseal.db")).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    let reply = Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED);
    assert!(reply.starts_with("250"), "{reply}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    assert!(text.contains("https://example.org/x") && !text.contains("/o/"), "{text}");
    relay.wait_for_log("untracked");
    locker.execute_batch("ROLLBACK").unwrap();
    // And when it is back, so is tracking.
    eventually("tracking again", || {
        Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED);
        let text = String::from_utf8(provider.received().pop()?.content).ok()?;
        text.contains("/o/").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn events_while_the_store_is_locked_wait_in_the_journal_and_count_once() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED).starts_with("250"));
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    let link = text.split('"').find(|piece| piece.contains("/c/")).unwrap().to_owned();

    let locker = rusqlite::Connection::open(relay.path("waxseal.db")).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for _ in 0..5 {
        let began = Instant::now();
        let answer = http::get(relay.tracking, &link);
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://example.org/x")));
        assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    }
    // Nobody says goodbye: what was answered must be on disk.
    let (folder, smtp, tracking) = relay.kill();
    locker.execute_batch("ROLLBACK").unwrap();
    drop(locker);
    let relay = Relay::start_in(folder, smtp, tracking);
    eventually("five events", || (relay.json("events").len() == 5).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(relay.json("events").len(), 5, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_the_door() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    for (hello, expected) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "421 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "421 "),
        (b"\x00\xff\xfe binary\r\n", "500 "),
    ] {
        let mut stream = TcpStream::connect(relay.smtp).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(hello).unwrap();
        stream.write_all(b"QUIT\r\n").unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        assert!(
            said.lines().nth(1).is_some_and(|line| line.starts_with(expected)),
            "{}: {said}",
            hello.escape_ascii()
        );
    }
    // An endless line is cut off, not kept.
    let mut stream = TcpStream::connect(relay.smtp).unwrap();
    let line = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < 64 && stream.write_all(&line).is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "64 MB without a line end were taken");
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED).starts_with("250"));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_said_before_and_after_and_the_connection_lives() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp) + &plain_upstream(provider.address) + "[limits]\nmessage_size = \"100KB\"\n"
    });
    let mut client = Client::greeted(relay.smtp);
    assert!(client.say("MAIL FROM:<ana@example.com> SIZE=100001").starts_with("552 5.3.4"));
    let large = [TRACKED, &b"<p>0123456789</p>\r\n".repeat(6_000)].concat();
    let reply = client.mail(&["jo@example.net"], &large);
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert!(client.mail(&["jo@example.net"], TRACKED).starts_with("250"));
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_takes_too_long_to_rewrite_goes_out_as_it_came_and_holds_up_no_other() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp) + &plain_upstream(provider.address) + "[limits]\nrewrite_time = \"100ms\"\n"
    });
    let mut client = Client::greeted(relay.smtp);
    let long = [TRACKED, &b"<p><a href=\"https://example.org/x\">x</a></p>\r\n".repeat(65_000)].concat();
    // More of them than may be rewritten at once: they would take many seconds if they ran on.
    for number in 0..10 {
        assert!(client.mail(&["jo@example.net"], &long).starts_with("250"));
        let received = provider.received().remove(number).content;
        assert!(received.ends_with(&long), "message {number} did not come as it was");
    }
    let messages = relay.json("messages");
    let slow = messages.iter().filter(|message| message.to_string().contains("too_slow")).count();
    assert_eq!(slow, 10);
    assert!(client.mail(&["jo@example.net"], TRACKED).starts_with("250"));
    let last = provider.received().pop().unwrap().content;
    assert!(String::from_utf8_lossy(&last).contains("/o/"), "the next one is tracked");
}

#[tokio::test(flavor = "multi_thread")]
async fn term_lets_what_is_under_way_finish() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let mut idle = Client::greeted(relay.smtp);
    let mut busy = Client::greeted(relay.smtp);
    for line in ["MAIL FROM:<ana@example.com>", "RCPT TO:<jo@example.net>"] {
        assert!(busy.say(line).starts_with("250"));
    }
    assert!(busy.say("DATA").starts_with("354"));
    busy.send(b"Subject: half\r\n\r\n");
    relay.signal("TERM");
    // (The second TERM of `stop` below would mean "now".)
    assert!(idle.reply().starts_with("421 4.3.2"));
    busy.send(b"and the rest\r\n.\r\n");
    assert!(busy.reply().starts_with("250"), "the provider's 250");
    assert_eq!(provider.received().len(), 1);
    assert_eq!(relay.ended(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_does_not_hold_up_the_end() {
    let provider = Provider::start(Script::default()).await;
    for (delivery, last) in [("", "MAIL"), ("", "RCPT"), ("delivery = \"queue\"\n", "RCPT")] {
        let relay =
            Relay::start_with(|smtp| open_listener(smtp) + &plain_upstream(provider.address) + delivery);
        let mut open = Client::greeted(relay.smtp);
        assert!(open.say("MAIL FROM:<ana@example.com>").starts_with("250"));
        if last == "RCPT" {
            assert!(open.say("RCPT TO:<jo@example.net>").starts_with("250"));
        }
        let began = Instant::now();
        relay.signal("TERM");
        assert!(open.reply().starts_with("421 4.3.2"), "{delivery} {last}");
        // The client does not even close.
        assert_eq!(relay.ended(), 0);
        assert!(began.elapsed() < Duration::from_secs(8), "{delivery} {last}: {:?}", began.elapsed());
        drop(open);
    }
    assert!(provider.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_starttls_in_clear_is_never_obeyed() {
    let provider = Provider::start(Script::default()).await;
    let authority = Authority::new();
    let rest = plain_upstream(provider.address);
    let (relay, _, _) = with_both_doors(&authority, "", &rest);
    let hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03";
    for injected in [
        &b"EHLO evil\r\nMAIL FROM:<eve@example.org>\r\nRCPT TO:<jo@example.net>\r\nDATA\r\nevil\r\n.\r\n"[..],
        b"R",
        b"RSET\r\n",
        hello,
        b"AUTH PLAIN AGFuYUBleGFtcGxlLmNvbQBjb3JyZWN0IGhvcnNl\r\n",
    ] {
        for at_once in [true, false] {
            let mut client = Client::greeted(relay.smtp);
            if at_once {
                client.send(&[b"STARTTLS\r\n", injected].concat());
                assert!(client.reply().starts_with("220 "));
            } else {
                assert!(client.say("STARTTLS").starts_with("220 "));
                client.send(injected);
            }
            client.end_of_sending();
            let rest = client.rest();
            // At most an alert of TLS: no reply in clear.
            let is_reply = rest.lines().any(|line| line.as_bytes().first().is_some_and(u8::is_ascii_digit));
            assert!(!is_reply, "{}, {at_once}: {rest:?}", injected.escape_ascii());
        }
    }
    assert!(provider.received().is_empty());
    assert!(Client::greeted(relay.smtp).say("NOOP").starts_with("250"));
}

/// Sends an octet a second within DATA until it is told to go; what it was told.
fn dribbling(relay: std::net::SocketAddr, most_seconds: u64) -> std::thread::JoinHandle<String> {
    let mut client = Client::greeted(relay);
    for line in ["MAIL FROM:<ana@example.com>", "RCPT TO:<jo@example.net>"] {
        assert!(client.say(line).starts_with("250"));
    }
    assert!(client.say("DATA").starts_with("354"));
    std::thread::spawn(move || {
        for _ in 0..most_seconds {
            if let Some(reply) = client.reply_within(Duration::from_secs(1)) {
                return reply;
            }
            if !client.try_send(b"x") {
                return client.reply();
            }
        }
        "never".to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dribbles_within_data_keeps_nobody_from_sending() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp)
            + &plain_upstream(provider.address)
            + "[limits]\nmessage_size = \"80KB\"\nin_flight = \"160KB\"\nconnections_per_address = 50\n"
    });
    let dribblers: Vec<_> = (0..12).map(|_| dribbling(relay.smtp, 60)).collect();
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    let reply = Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED);
    assert!(reply.starts_with("250"), "{reply}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(provider.received().len(), 1);
    drop(relay);
    for dribbler in dribblers {
        dribbler.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes: just e2e"]
async fn who_dribbles_within_data_is_shown_the_door() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let began = Instant::now();
    let told = dribbling(relay.smtp, 300).join().unwrap();
    assert!(told.starts_with("421 4.4.2"), "{told}");
    assert!((150..240).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert!(provider.received().is_empty());
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], TRACKED).starts_with("250"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_ours_is_its_owners_alone_whatever_the_umask_is() {
    use std::os::unix::fs::PermissionsExt;
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start_with_umask("000", |smtp| {
        open_listener(smtp) + &plain_upstream(provider.address) + "delivery = \"queue\"\n"
    });
    let large = [TRACKED, &b"<p>0123456789</p>\r\n".repeat(80_000)].concat();
    for mail in [TRACKED, &large] {
        assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], mail).starts_with("250"));
    }
    eventually("both", || (provider.received().len() == 2).then_some(()));
    let text = String::from_utf8(provider.received()[0].content.clone()).unwrap();
    let link = text.split('"').find(|piece| piece.contains("/c/")).unwrap().to_owned();
    // One in the journal.
    let locker = rusqlite::Connection::open(relay.path("waxseal.db")).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(http::get(relay.tracking, &link).status, 302);
    let mut seen = 0;
    let mut folders = vec![relay.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // The test's own.
            if path.ends_with("waxseal.toml") {
                continue;
            }
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode, expected, "{}", path.display());
            seen += 1;
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(seen >= 8, "{seen}");
    locker.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_status_69() {
    let provider = Provider::start(Script::default()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[tracking]\nbase_url = \"http://{0}\"\nlisten = \"{0}\"\n[store]\nurl = \"sqlite:w.db\"\nspool = \"s\"\nsigning_key_file = \"k\"\n{1}{2}",
        free_address(),
        open_listener(taken.local_addr().unwrap()),
        plain_upstream(provider.address)
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    let mut command = harness::binary();
    command.args(["run", "-c", "waxseal.toml"]).current_dir(folder.path());
    let output = harness::run_to_end(command, b"");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("cannot listen on"), "{said}");
}
