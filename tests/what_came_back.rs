//! Bounces and complaints on each of their ways in: a pipe, a Maildir, a listener.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::process::Output;

use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{Relay, binary, free_address, open_listener, plain_upstream, run_to_end};
use serde_json::Value;

const MAIL: &str = "From: Ana <ana@example.com>\r\nTo: bo@example.net\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n\
     Content-Type: text/html\r\n\r\n<p>Hi <a href=\"https://a.example/\">there</a></p>\r\n";

/// What Postfix says of a mail to bo and cy: bo is no more, cy is late.
fn bounce(came_back: &[u8]) -> Vec<u8> {
    let headers = String::from_utf8_lossy(came_back);
    let headers = headers.split_once("\r\n\r\n").unwrap().0;
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nTo: ana@example.com\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
         Final-Recipient: rfc822; bo@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 No such user\r\n\r\n\
         Final-Recipient: rfc822; cy@example.net\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\n{headers}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn complaint(came_back: &[u8]) -> Vec<u8> {
    let mut raw = b"From: fbl@example.net\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; \
         boundary=\"b\"\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: FBL/1\r\n\
         Original-Rcpt-To: cy@example.net\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        .to_vec();
    raw.extend_from_slice(came_back);
    raw.extend_from_slice(b"\r\n--b--\r\n");
    raw
}

fn ingest(relay: &Relay, args: &[&str], input: &[u8]) -> Output {
    let mut command = binary();
    command.arg("ingest").args(args).args(["-c", "waxseal.toml"]).current_dir(relay.folder.path());
    run_to_end(command, input)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Bounce and complaint of each recipient, in order.
fn states(message: &Value) -> Vec<(u64, Option<&str>, bool)> {
    let feedback = message["feedback"].as_array().unwrap();
    feedback
        .iter()
        .map(|one| {
            let complained = !one["complained_at"].is_null();
            (one["recipient"].as_u64().unwrap(), one["bounce"].as_str(), complained)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_pipe_by_maildir_and_by_mail() {
    let provider = Provider::start(Script::default()).await;
    let inbound = free_address();
    let mut relay = Relay::start_with(|smtp| {
        open_listener(smtp)
            + &format!("[[smtp]]\nrole = \"feedback\"\nlisten = \"{inbound}\"\n")
            + &plain_upstream(provider.address)
    });
    let reply = Client::greeted(relay.smtp).mail(&["bo@example.net", "cy@example.net"], MAIL.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    let came_back = provider.received()[0].content.clone();

    // A pipe, as a mail server's alias has it.
    let taken = ingest(&relay, &[], &bounce(&came_back));
    assert_eq!(taken.status.code(), Some(0), "{}", words(&taken));
    assert!(words(&taken).contains("bo@example.net: hard (5.1.1)"), "{}", words(&taken));
    assert_eq!(states(&relay.json("messages")[0]), [(0, Some("hard"), false), (1, Some("delayed"), false)]);
    let strange = ingest(&relay, &["--json"], b"Subject: Hello\r\n\r\nHow are you?\r\n");
    assert_eq!(strange.status.code(), Some(65), "{}", words(&strange));

    // A Maildir: the complaint is taken, what is none stays.
    for folder in ["mail/new", "mail/cur", "mail/tmp"] {
        std::fs::create_dir_all(relay.path(folder)).unwrap();
    }
    std::fs::write(relay.path("mail/new/1.a"), complaint(&came_back)).unwrap();
    std::fs::write(relay.path("mail/new/2.b"), b"Subject: Hello\r\n\r\nHow are you?\r\n").unwrap();
    let taken = ingest(&relay, &["--maildir", "mail"], b"");
    assert_eq!(taken.status.code(), Some(65), "{}", words(&taken));
    assert!(relay.path("mail/cur/1.a:2,S").exists() && relay.path("mail/new/2.b").exists());
    assert_eq!(states(&relay.json("messages")[0]), [(0, Some("hard"), false), (1, Some("delayed"), true)]);

    // By mail: the same again changes nothing, and what is no report of ours is refused.
    let mut client = Client::greeted(inbound);
    let mut by_mail = |content: &[u8]| {
        assert!(client.say("MAIL FROM:<>").starts_with("250"));
        assert!(client.say("RCPT TO:<bounces@example.com>").starts_with("250"));
        assert!(client.say("DATA").starts_with("354"));
        client.send(content);
        client.say(".")
    };
    let reply = by_mail(&bounce(&came_back));
    assert!(reply.starts_with("250 2.6.0"), "{reply}");
    let reply = by_mail(MAIL.as_bytes());
    assert!(reply.starts_with("550 5.6.0"), "{reply}");
    let events = relay.json("events");
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["bounce", "bounce", "complaint"]);
    assert_eq!(events[0]["evidence"]["diagnostic"], "550 5.1.1 No such user");
    assert_eq!(provider.received().len(), 1, "nothing of it goes anywhere");

    let listed = relay.command(&["messages"]);
    let listed = words(&listed);
    assert!(listed.contains("bo@example.net: bounced for good, 5.1.1, 550 5.1.1 No such user"), "{listed}");
    assert!(listed.contains("cy@example.net: is late, 4.4.1; complained"), "{listed}");
    assert!(relay.log().contains("feedback"));
}

/// The API takes reports too, and tells what is known to whom it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_api() {
    let provider = Provider::start(Script::default()).await;
    let api = free_address();
    let relay = Relay::start_with(|smtp| {
        open_listener(smtp)
            + &format!("[console]\nlisten = \"{api}\"\n")
            + &plain_upstream(provider.address)
            + "[[sender]]\naddress = \"ana@example.com\"\n[[sender]]\naddress = \"bo@example.com\"\n"
    });
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["bo@example.net", "cy@example.net"], MAIL.as_bytes()).starts_with("250"));
    let came_back = provider.received()[0].content.clone();

    let token = |address: &str, scopes: &str| {
        let made = relay.command(&["token", "add", address, "--label", "crm", "--scope", scopes]);
        assert!(made.status.success(), "{}", words(&made));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (feedback, ana, bo) = (
        token("ana@example.com", "feedback"),
        token("ana@example.com", "read,correct"),
        token("bo@example.com", "read"),
    );
    let ask = |method: &str, path: &str, token: &str, body: &[u8]| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {api}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let answer = harness::http::raw(api, &[head.as_bytes(), body].concat());
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, body)
    };
    assert_eq!(ask("POST", "/api/v1/feedback", "wxs_no", &bounce(&came_back)).0, 401);
    assert_eq!(ask("POST", "/api/v1/feedback", &ana, &bounce(&came_back)).0, 403);
    let (status, taken) = ask("POST", "/api/v1/feedback", &feedback, &bounce(&came_back));
    assert_eq!((status, &taken["items"][0]["kind"]), (200, &Value::from("hard")), "{taken}");
    assert_eq!(ask("POST", "/api/v1/feedback", &feedback, MAIL.as_bytes()).0, 422);

    let (status, page) = ask("GET", "/api/v1/messages", &ana, b"");
    assert_eq!(status, 200);
    assert_eq!(states(&page["items"][0]), [(0, Some("hard"), false), (1, Some("delayed"), false)]);
    let id = page["items"][0]["id"].as_str().unwrap();
    assert_eq!(ask("GET", "/api/v1/messages", &bo, b"").1["items"], Value::Array(vec![]));
    assert_eq!(ask("GET", &format!("/api/v1/messages/{id}"), &bo, b"").0, 404);
    let events = ask("GET", "/api/v1/events", &ana, b"").1;
    assert_eq!(events["items"].as_array().unwrap().len(), 2);

    let listed = words(&relay.command(&["token", "list", "bo@example.com"]));
    let name = listed.split_whitespace().next().unwrap();
    assert!(!listed.contains(&bo) && bo.contains(name), "{listed}");
    assert!(relay.command(&["token", "remove", name]).status.success());
    assert_eq!(ask("GET", "/api/v1/messages", &bo, b"").0, 401, "at once");
}
