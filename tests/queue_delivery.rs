//! Mail that is answered 250 before the provider has it: it arrives, whatever happens in between.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::client::{Client, stuffed};
use harness::provider::{Behaviour, Provider, Received, Script};
use harness::{Relay, eventually, free_address, open_listener, plain_upstream};

const TRACKED: &[u8] = b"From: Ana <ana@example.com>\r\nSubject: Hello\r\nMessage-ID: <m1@example.com>\r\nDate: Tue, 24 Nov 2026 08:21:01 +0000\r\nContent-Type: text/html\r\n\r\n<p><a href=\"https://example.org/x\">x</a></p>\r\n";
const SOON: &str = "retry = { first = \"100ms\", longest = \"1s\", give_up = \"1h\" }\n";

fn relay_with(provider: SocketAddr, keys: &str) -> Relay {
    let keys = keys.to_owned();
    Relay::start_with(|smtp| open_listener(smtp) + &plain_upstream(provider) + &keys + SOON)
}

fn text_of(mail: &Received) -> String {
    String::from_utf8(mail.content.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_queued_handed_on_tracked_and_on_record() {
    let provider = Provider::start(Script::default()).await;
    let mut relay = relay_with(provider.address, "delivery = \"queue\"\n");
    let reply = Client::greeted(relay.smtp).mail(&["bo@example.net", "li@example.net"], TRACKED);
    assert!(reply.starts_with("250 2.0.0 Queued as 0"), "{reply}");
    let mail = eventually("the mail", || provider.received().pop());
    assert_eq!(mail.recipients, ["bo@example.net", "li@example.net"]);
    let text = text_of(&mail);
    assert!(text.starts_with("Received: by ") && text.contains("/o/") && text.contains("/c/"), "{text}");
    let record =
        eventually("the record", || relay.json("messages").pop().filter(|record| record["code"] == 250));
    assert!(reply.contains(record["id"].as_str().unwrap()), "{reply}");
    assert_eq!(record["recipients"][1]["code"], 250);
    assert_eq!(record["pixel"], true);
    relay.wait_for_log("handed on from the queue");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_gets_it_when_it_is_back_even_after_a_kill() {
    let address = free_address();
    let relay = relay_with(address, "delivery = \"queue\"\n");
    for n in 0..5 {
        let reply = Client::greeted(relay.smtp).mail(&[&format!("r{n}@example.net")], TRACKED);
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let (folder, smtp, tracking) = relay.kill();
    let mut relay = Relay::start_in(folder, smtp, tracking);
    assert!(relay.wait_for_log("ready").contains("queued=5"));
    let provider = Provider::start_on(address, Script::default()).await;
    eventually("five mails", || (provider.received().len() == 5).then_some(()));
    eventually("five records", || {
        let records = relay.json("messages");
        records.iter().all(|record| record["code"] == 250).then_some(())
    });
    assert_eq!(provider.received().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_mail_waits_in_the_queue_wherever_the_provider_goes_away_before_it_has_it() {
    for (place, behaviour) in [
        ("CONNECT", Behaviour::Say("554 5.7.1 go away")),
        ("CONNECT", Behaviour::Close),
        ("EHLO", Behaviour::Close),
        ("MAIL", Behaviour::Say("421 4.3.2 closing")),
        ("RCPT bo@", Behaviour::Close),
        ("DATA", Behaviour::Close),
        (".", Behaviour::Say("421 4.3.2 closing")),
    ] {
        let script = |place: &str, behaviour: &Behaviour| Script {
            at: [
                (place.to_owned(), behaviour.clone()),
                ("RCPT no@".to_owned(), Behaviour::Say("550 5.1.1 no such user")),
            ]
            .into(),
            ..Script::default()
        };
        let away = Provider::start(script(place, &behaviour)).await;
        let address = away.address;
        let relay = relay_with(address, "on_unavailable = \"queue\"\n");
        let mut client = Client::greeted(relay.smtp);
        let early = matches!(place, "CONNECT" | "EHLO" | "MAIL");
        assert!(client.say("MAIL FROM:<ana@example.com>").starts_with("250"), "{place}");
        if !early {
            assert!(client.say("RCPT TO:<no@example.net>").starts_with("550 5.1.1"), "{place}");
        }
        for to in ["li@example.net", "bo@example.net"] {
            assert!(client.say(&format!("RCPT TO:<{to}>")).starts_with("250"), "{place}");
        }
        assert!(client.say("DATA").starts_with("354"));
        client.send(&stuffed(TRACKED));
        client.send(b".\r\n");
        let reply = client.reply();
        assert!(reply.starts_with("250 2.0.0 Queued as"), "{place}: {reply}");
        assert!(away.received().is_empty());
        away.stop();
        let provider = loop {
            // Its connections close a moment after it.
            if tokio::net::TcpListener::bind(address).await.is_ok() {
                break Provider::start_on(address, Script::default()).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mail = eventually(place, || provider.received().pop());
        assert_eq!(mail.recipients, ["li@example.net", "bo@example.net"], "{place}");
        assert!(text_of(&mail).contains("/o/"), "{place}");
        let record =
            eventually("the record", || relay.json("messages").pop().filter(|record| record["code"] == 250));
        let codes: Vec<_> =
            record["recipients"].as_array().unwrap().iter().map(|one| one["code"].clone()).collect();
        assert_eq!(codes, if early { vec![250, 250] } else { vec![550, 250, 250] }, "{place}");
        assert_eq!(provider.received().len(), 1, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_mail_that_the_provider_may_have_is_never_queued() {
    let script = Script { at: [(".".to_owned(), Behaviour::Close)].into(), ..Script::default() };
    let provider = Provider::start(script).await;
    let relay = relay_with(provider.address, "on_unavailable = \"queue\"\n");
    let reply = Client::greeted(relay.smtp).mail(&["bo@example.net"], TRACKED);
    assert!(reply.starts_with("451 4.4.2 Your provider 127.0.0.1 did not confirm"), "{reply}");
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(provider.connections(), 1, "nobody tries again");
    // Nor what it refuses.
    let script =
        Script { at: [(".".to_owned(), Behaviour::Say("554 5.7.1 spam"))].into(), ..Script::default() };
    let provider = Provider::start(script).await;
    let relay = relay_with(provider.address, "on_unavailable = \"queue\"\n");
    let reply = Client::greeted(relay.smtp).mail(&["bo@example.net"], TRACKED);
    assert!(reply.starts_with("554 5.7.1"), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_gets_a_copy_and_too_many_share_one_and_it_is_said() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay_with(provider.address, "delivery = \"queue\"\nfan_out = true\nfan_out_most = 3\n");
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["a@example.net", "b@example.net", "c@example.net"], TRACKED).starts_with("250"));
    eventually("three copies", || (provider.received().len() == 3).then_some(()));
    let mails = provider.received();
    let head = |mail: &Received| text_of(mail).split_once("\r\n\r\n").unwrap().0.to_owned();
    let pixel =
        |mail: &Received| text_of(mail).split("/o/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let (heads, pixels): (BTreeSet<_>, BTreeSet<_>) =
        mails.iter().map(|mail| (head(mail), pixel(mail))).unzip();
    assert_eq!((heads.len(), pixels.len()), (1, 3), "the same header, tokens of its own");
    // Who opened? The second.
    let second = mails.iter().find(|mail| mail.recipients == ["b@example.net"]).unwrap();
    let opened = harness::http::get(relay.tracking, &format!("{}/o/{}", relay.base_url(), pixel(second)));
    assert_eq!(opened.status, 200);
    eventually("the open", || relay.json("events").pop().filter(|event| event["recipient"] == 1));

    assert!(
        client
            .mail(&["a@x.example", "b@x.example", "c@x.example", "d@x.example"], TRACKED)
            .starts_with("250")
    );
    eventually("one copy for all", || provider.received().pop().filter(|mail| mail.recipients.len() == 4));
    let said = relay
        .json("messages")
        .into_iter()
        .any(|record| record["reasons"] == serde_json::json!(["one_copy_for_all"]));
    assert!(said);
    assert_eq!(provider.received().len(), 4);
}

/// As the dispatcher makes them: from the content with our Received field on top, for every message of the collection.
#[test]
fn the_copies_of_a_message_have_the_same_header_and_the_same_links() {
    let mut told_apart = 0;
    for case in harness::collection::cases() {
        let field = harness::collection::TRACK_FIELD;
        let content = relay::without_control_fields(&case.submitted, field).into_owned();
        let received = &b"Received: by relay.example (Waxseal) with ESMTPSA\r\n id 0; Tue, 24 Nov 2026 08:21:01 +0000\r\n"[..];
        let with_header =
            mime::header_end(&content) > 0 && !content.starts_with(b" ") && !content.starts_with(b"\t");
        let queued = Arc::new([if with_header { received } else { b"" }, &content].concat());
        let head = |octets: &[u8]| octets[..mime::header_end(octets)].to_vec();
        let copy = |recipient| {
            let tracking = relay::Tracking { recipient, ..harness::collection::tracking(&case.submitted) };
            relay::rewrite(&queued, &tracking)
        };
        let [shared, first, second] =
            [seal::Recipient::Shared, seal::Recipient::Index(0), seal::Recipient::Index(1)].map(copy);
        assert!(head(&first.content) == head(&queued), "{}", case.name);
        assert!(head(&second.content) == head(&queued), "{}", case.name);
        // What is on record is what was found when the message came in.
        for copy in [&first, &second] {
            assert_eq!(
                (copy.pixel, &copy.links, &copy.reasons, &copy.parts),
                (shared.pixel, &shared.links, &shared.reasons, &shared.parts),
                "{}",
                case.name
            );
        }
        assert_eq!(first.content == second.content, !first.is_tracked(), "{}", case.name);
        told_apart += usize::from(first.content != second.content);
    }
    assert!(told_apart > 100, "{told_apart}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_back_as_a_notification_that_other_programs_read() {
    let script = Script {
        at: [("RCPT no@".to_owned(), Behaviour::Say("550 5.1.1 no such user here"))].into(),
        ..Script::default()
    };
    let provider = Provider::start(script).await;
    let relay = relay_with(provider.address, "delivery = \"queue\"\n");
    assert!(Client::greeted(relay.smtp).mail(&["no@example.net"], TRACKED).starts_with("250"));
    let mail = eventually("the notification", || provider.received().pop());
    assert_eq!(
        (mail.reverse_path.as_str(), mail.recipients.as_slice()),
        ("", &["ana@example.com".to_owned()][..])
    );
    let text = text_of(&mail);
    assert!(
        !text.contains("/o/") && !text.contains("/c/") && text.contains("Auto-Submitted: auto-replied"),
        "{text}"
    );
    let record =
        eventually("the record", || relay.json("messages").pop().filter(|record| record["code"] == 550));
    assert_eq!(record["recipients"][0]["reply"], "no such user here");
    let program = r#"
import email, email.policy, sys
mail = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
assert not mail.defects, mail.defects
assert mail.get_content_type() == "multipart/report" and mail.get_param("report-type") == "delivery-status"
human, status, returned = mail.iter_parts()
assert all(not part.defects for part in mail.walk())
assert human.get_content_type() == "text/plain" and "no such user here" in human.get_content()
message, recipient = status.get_payload()
assert message["Reporting-MTA"].startswith("dns; "), message.items()
assert recipient["Final-Recipient"] == "rfc822; no@example.net"
assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1"
assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user here"
assert returned.get_content_type() == "text/rfc822-headers"
assert "Message-ID: <m1@example.com>" in returned.get_content()
assert mail["In-Reply-To"] == "<m1@example.com>" and mail["To"].addresses[0].addr_spec == "ana@example.com"
print("read")
"#;
    let mut python = std::process::Command::new("python3");
    if python.arg("--version").output().is_err() {
        eprintln!("no python3 here: not read by it");
        return;
    }
    let mut python = std::process::Command::new("python3");
    python.args(["-c", program]);
    let output = harness::run_to_end(python, &mail.content);
    assert_eq!(output.stdout, b"read\n", "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_add_takes_no_queued_mail_over_the_providers_limit() {
    let script = Script { extensions: vec!["SIZE 4000"], ..Script::default() };
    let provider = Provider::start(script).await;
    for fan_out in ["", "fan_out = true\n"] {
        let relay = relay_with(provider.address, &format!("delivery = \"queue\"\n{fan_out}"));
        let mut client = Client::greeted(relay.smtp);
        let mut send = |subject: &str, octets: usize| {
            let head =
                format!("From: ana@example.com\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n");
            let line = "<p><a href=\"https://example.org/x\">x</a></p>\r\n";
            let mut mail = head + &line.repeat(5);
            mail.push_str(&format!("<p>{}</p>\r\n", "y".repeat(octets - mail.len() - 9)));
            let reply = client.mail(&["bo@example.net", "li@example.net"], mail.as_bytes());
            assert!(reply.starts_with("250"), "{reply}");
        };
        let arrived = |subject: &str| {
            let line = format!("\r\nSubject: {subject}\r\n");
            eventually(subject, || provider.received().iter().map(text_of).find(|text| text.contains(&line)))
        };
        // The first one has been there, and the provider has said what it takes.
        send("small", 500);
        assert!(arrived("small").contains("/o/"));
        send("near", 3_600);
        let near = arrived("near");
        assert!(!near.contains("/o/") && !near.contains("/c/"), "it would have grown over the limit");
        assert!(near.len() < 4_000 && near.contains("https://example.org/x"), "{}", near.len());
        // What never fitted is refused for good, and its sender hears why.
        send("large", 4_100);
        let told = eventually("the notification", || {
            provider.received().iter().find(|mail| mail.reverse_path.is_empty()).map(text_of)
        });
        assert!(told.contains("Subject: large") && told.contains("Action: failed"), "{told}");
        eventually("an empty queue", || {
            relay.command(&["queue", "list", "--json"]).stdout.is_empty().then_some(())
        });
        let large =
            |mail: &Received| !mail.reverse_path.is_empty() && text_of(mail).contains("Subject: large");
        assert!(!provider.received().iter().any(large));
        provider.forget();
    }
}

/// Clients that send without a pause, each mail with a subject of its own, and remember which were answered 250.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<BTreeSet<String>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(relay: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<Mutex<BTreeSet<String>>>::default());
        let number = Arc::<AtomicUsize>::default();
        let threads = (0..clients).map(|_| {
            let (stop, answered, number) = (stop.clone(), answered.clone(), number.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    // However it ends: what was not answered is nobody's promise.
                    let _ = session(relay, &stop, &answered, &number);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        });
        let threads = threads.collect();
        Self { stop, answered, threads }
    }

    fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.answered.lock().unwrap())
    }
}

fn session(
    relay: SocketAddr,
    stop: &AtomicBool,
    answered: &Mutex<BTreeSet<String>>,
    number: &AtomicUsize,
) -> io::Result<()> {
    let stream = TcpStream::connect(relay)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    heard(&mut stream, "220")?;
    said(&mut stream, "EHLO load.test\r\n", "250")?;
    while !stop.load(Ordering::SeqCst) {
        let subject = format!("mail-{}", number.fetch_add(1, Ordering::SeqCst));
        said(&mut stream, "MAIL FROM:<ana@example.com>\r\n", "250")?;
        said(&mut stream, "RCPT TO:<bo@example.net>\r\n", "250")?;
        said(&mut stream, "DATA\r\n", "354")?;
        let content = format!(
            "From: ana@example.com\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n<p><a href=\"https://example.org/\">x</a></p>\r\n.\r\n"
        );
        said(&mut stream, &content, "250")?;
        answered.lock().unwrap().insert(subject);
    }
    Ok(())
}

fn said(stream: &mut BufReader<TcpStream>, text: &str, expected: &str) -> io::Result<()> {
    stream.get_mut().write_all(text.as_bytes())?;
    heard(stream, expected)
}

fn heard(stream: &mut BufReader<TcpStream>, expected: &str) -> io::Result<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || !line.starts_with(expected) {
            return Err(io::Error::other(line));
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// By subject: the connections it came on.
fn arrivals(provider: &Provider) -> BTreeMap<String, Vec<u64>> {
    let mut arrivals: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for mail in provider.received() {
        let text = text_of(&mail);
        let subject = text.split("Subject: ").nth(1).unwrap().split("\r\n").next().unwrap();
        arrivals.entry(subject.to_owned()).or_default().push(mail.connection);
    }
    arrivals
}

fn until_all_arrived(provider: &Provider, answered: &BTreeSet<String>) -> BTreeMap<String, Vec<u64>> {
    let began = Instant::now();
    loop {
        let arrived = arrivals(provider);
        let missing = answered.iter().filter(|subject| !arrived.contains_key(*subject)).count();
        if missing == 0 {
            return arrived;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "{missing} of {} mails were lost", answered.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn term_under_load_loses_nothing_and_doubles_nothing() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay_with(provider.address, "delivery = \"queue\"\n");
    let load = Load::start(relay.smtp, 4);
    eventually("some load", || (provider.received().len() > 50).then_some(()));
    relay.signal("TERM");
    let (smtp, tracking) = (relay.smtp, relay.tracking);
    let (status, folder) = relay.ended_in();
    assert_eq!(status, 0);
    let answered = load.stop();
    let _relay = Relay::start_in(folder, smtp, tracking);
    let arrived = until_all_arrived(&provider, &answered);
    let twice: Vec<_> = arrived.iter().filter(|(_, on)| on.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    println!("{} mails answered, all arrived once", answered.len());
}

/// 10 kills; 200 with `WAXSEAL_LONG=1`.
#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_loses_nothing_and_doubles_only_what_was_under_way() {
    let kills = if std::env::var_os("WAXSEAL_LONG").is_some() { 200 } else { 10 };
    let provider = Provider::start(Script::default()).await;
    let mut relay = relay_with(provider.address, "delivery = \"queue\"\n");
    let load = Load::start(relay.smtp, 4);
    let mut random = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos());
    println!("seed {random}");
    // The first connection of each life.
    let mut lives = vec![0];
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(20 + (random >> 33) % 600));
        let (folder, smtp, tracking) = relay.kill();
        lives.push(provider.connections());
        relay = Relay::start_in(folder, smtp, tracking);
    }
    let answered = load.stop();
    let arrived = until_all_arrived(&provider, &answered);
    let life_of = |connection: u64| lives.iter().filter(|first| **first < connection).count();
    let mut per_kill: BTreeMap<usize, usize> = BTreeMap::new();
    for (subject, connections) in arrived.iter().filter(|(_, connections)| connections.len() > 1) {
        for pair in connections.windows(2) {
            let (first, again) = (life_of(pair[0]), life_of(pair[1]));
            assert!(first < again, "{subject} twice without a kill in between: {connections:?}");
            *per_kill.entry(first).or_default() += 1;
        }
    }
    let (doubled, most) = (per_kill.values().sum::<usize>(), per_kill.values().max().copied().unwrap_or(0));
    assert!(most <= 64, "more than can be under way: {per_kill:?}");
    println!(
        "{kills} kills, {} mails answered, {} arrived, {doubled} of them twice, at most {most} by one kill",
        answered.len(),
        arrived.len()
    );
    assert!(answered.len() > kills);
}
