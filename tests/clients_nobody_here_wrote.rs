//! Every message of the collection goes through the real binary, sent by programs we did not write.
//!
//! Needs curl, Python 3 and swaks: `just e2e`, or `cargo test -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::http;
use harness::identity::{Changes, compare};
use harness::login_relay::{LOGIN, LoginRelay, PASSWORD};
use harness::provider::{Provider, Script};
use serde_json::Value;

struct Setting {
    relay: LoginRelay,
    provider: Provider,
}

/// A relay with a local sender, and a provider that keeps every octet.
async fn setting() -> Setting {
    let extensions = vec!["8BITMIME", "SMTPUTF8", "SIZE 50000000", "PIPELINING"];
    let provider = Provider::start(Script { extensions, ..Script::default() }).await;
    Setting { relay: LoginRelay::before(provider.address), provider }
}

/// The collection: name and octets, CRLF only, since a bare LF never gets past the door.
fn messages() -> Vec<(String, PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path().join("in.eml");
        let Ok(octets) = std::fs::read(&file) else { continue };
        let bare = octets.iter().enumerate().any(|(at, octet)| match octet {
            b'\n' => at == 0 || octets[at - 1] != b'\r',
            b'\r' => octets.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let name = file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        // SMTP cannot carry a content without a line end at its end.
        if !bare && octets.ends_with(b"\r\n") {
            found.push((name, file, octets));
        }
    }
    found.sort();
    assert!(found.len() >= 150, "only {} messages", found.len());
    found
}

fn succeed(mut command: Command, name: &str) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{error}: this test needs {}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{name}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What the provider got is what was sent but for the changes; each of these works; each is recorded.
fn check(setting: &Setting, sent: &[(String, Vec<u8>)]) {
    let received = setting.provider.received();
    assert_eq!(received.len(), sent.len());
    let base_url = setting.relay.relay.base_url();
    let (mut pixels, mut links, mut tracked) = (0, 0, 0);
    for ((name, octets), mail) in sent.iter().zip(&received) {
        let changes: Changes =
            compare(octets, &mail.content, &base_url).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(changes.pixels.len() <= 1, "{name}: {changes:?}");
        for pixel in &changes.pixels {
            assert_eq!(http::get(setting.relay.relay.tracking, pixel).status, 200, "{name}");
        }
        for link in &changes.links {
            let answer = http::get(setting.relay.relay.tracking, link);
            assert_eq!(answer.status, 302, "{name}: {link}");
            assert!(answer.header("location").is_some_and(|to| to.starts_with("http")), "{name}");
        }
        pixels += changes.pixels.len();
        links += changes.links.len();
        tracked += usize::from(changes != Changes::default());
    }
    let events = setting.relay.relay.command(&["events", "--json", "--limit", "1000"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), (pixels + links).min(1000), "every fetch is an event");
    let records = setting.relay.relay.json("messages");
    assert_eq!(records.len(), sent.len());
    for record in &records {
        let tracked = record["pixel"] == true || record["links_tracked"].as_u64() > Some(0);
        assert!(
            tracked || !record["reasons"].as_array().unwrap().is_empty(),
            "untracked without a reason: {record}"
        );
    }
    eprintln!("{} messages, {tracked} changed, {pixels} pixels, {links} links", sent.len());
    assert!(tracked * 3 > sent.len(), "hardly anything was tracked");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: just e2e"]
async fn curl_sends_the_collection_over_implicit_tls() {
    let setting = setting().await;
    let mut sent = vec![];
    for (name, file, octets) in messages().into_iter().step_by(2) {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--cacert",
            "ca.pem",
            "--user",
            &format!("{LOGIN}:{PASSWORD}"),
        ])
        .args(["--url", &format!("smtps://localhost:{}/client.test", setting.relay.implicit)])
        .args(["--mail-from", LOGIN, "--mail-rcpt", "jo@example.net", "--upload-file"])
        .arg(file)
        .current_dir(setting.relay.relay.folder.path());
        succeed(curl, &name);
        sent.push((name, octets));
    }
    check(&setting, &sent);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python 3: just e2e"]
async fn python_sends_the_collection_over_starttls_on_one_connection() {
    const SCRIPT: &str = "
import smtplib, ssl, sys
port, login, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
server = smtplib.SMTP('localhost', port, local_hostname='client.test')
server.starttls(context=ssl.create_default_context(cafile='ca.pem'))
server.login(login, password)
for n, name in enumerate(sys.argv[4:]):
    if n % 20 == 5: server.rset()
    server.sendmail(login, ['jo@example.net'], open(name, 'rb').read(), mail_options=['BODY=8BITMIME'])
server.quit()
";
    let setting = setting().await;
    let chosen: Vec<_> = messages().into_iter().skip(1).step_by(2).collect();
    let mut python = Command::new("python3");
    python.args(["-c", SCRIPT, &setting.relay.starttls.to_string(), LOGIN, PASSWORD]);
    python.args(chosen.iter().map(|(_, file, _)| file)).current_dir(setting.relay.relay.folder.path());
    succeed(python, "python");
    let sent: Vec<_> = chosen.into_iter().map(|(name, _, octets)| (name, octets)).collect();
    check(&setting, &sent);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swaks: just e2e"]
async fn swaks_logs_in_each_way_and_sees_the_providers_words() {
    let setting = setting().await;
    let mut sent = vec![];
    let all = messages();
    for (number, (name, file, octets)) in all.into_iter().step_by(12).enumerate() {
        let (port, tls) = if number % 2 == 0 {
            (setting.relay.implicit, "-tlsc")
        } else {
            (setting.relay.starttls, "-tls")
        };
        let auth = if number % 3 == 0 { "LOGIN" } else { "PLAIN" };
        let mut swaks = Command::new("swaks");
        swaks
            .args([
                "--server",
                "localhost",
                "--port",
                &port.to_string(),
                tls,
                "--tls-verify",
                "--tls-ca-path",
                "ca.pem",
            ])
            .args([
                "--auth",
                auth,
                "--auth-user",
                LOGIN,
                "--auth-password",
                PASSWORD,
                "--helo",
                "client.test",
            ])
            .args(["--from", LOGIN, "--to", "jo@example.net", "--data"])
            .arg(format!("@{}", file.display()))
            .current_dir(setting.relay.relay.folder.path());
        succeed(swaks, &name);
        sent.push((name, octets));
    }
    // swaks ends the content itself, with a line end before the dot: one more than the file has.
    let received = setting.provider.received();
    let extra = received[0].content.ends_with(b"\r\n\r\n") && !sent[0].1.ends_with(b"\r\n\r\n");
    if extra {
        for (_, octets) in &mut sent {
            octets.extend_from_slice(b"\r\n");
        }
    }
    check(&setting, &sent);
}
