//! Every message of the collection goes through the real binary, sent by programs we did not write.
//!
//! Needs curl, Python 3 and swaks: `just e2e`, or `cargo test -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::certificates::Authority;
use harness::identity::{Changes, compare};
use harness::provider::{Provider, Script};
use harness::{Relay, binary, free_address, http, plain_upstream, run_to_end};
use serde_json::Value;

const LOGIN: &str = "ana@example.com";
const PASSWORD: &str = "correct horse";

struct Setting {
    relay: Relay,
    provider: Provider,
    implicit: u16,
    starttls: u16,
}

/// A relay with both kinds of TLS and a local sender, and a provider that keeps every octet.
async fn setting() -> Setting {
    let extensions = vec!["8BITMIME", "SMTPUTF8", "SIZE 50000000", "PIPELINING"];
    let provider = Provider::start(Script { extensions, ..Script::default() }).await;
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let (implicit, starttls, tracking) = (free_address(), free_address(), free_address());
    let (certificate, key) = authority.issue("localhost");
    std::fs::write(folder.path().join("cert.pem"), certificate).unwrap();
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let config = format!(
        "[[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[[smtp]]\nlisten = \"{starttls}\"\ntls = \"starttls\"\n\
         [tls]\nmode = \"files\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
         [tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\nsticky = \"off\"\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}",
        plain_upstream(provider.address)
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    let relay = Relay::start_in(folder, starttls, tracking);
    let mut add = binary();
    add.args(["sender", "add", "-c", "waxseal.toml", LOGIN]).current_dir(relay.folder.path());
    let added = run_to_end(add, format!("{PASSWORD}\n").as_bytes());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    Setting { relay, provider, implicit: implicit.port(), starttls: starttls.port() }
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
    let base_url = setting.relay.base_url();
    let (mut pixels, mut links, mut tracked) = (0, 0, 0);
    for ((name, octets), mail) in sent.iter().zip(&received) {
        let changes: Changes =
            compare(octets, &mail.content, &base_url).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(changes.pixels.len() <= 1, "{name}: {changes:?}");
        for pixel in &changes.pixels {
            assert_eq!(http::get(setting.relay.tracking, pixel).status, 200, "{name}");
        }
        for link in &changes.links {
            let answer = http::get(setting.relay.tracking, link);
            assert_eq!(answer.status, 302, "{name}: {link}");
            assert!(answer.header("location").is_some_and(|to| to.starts_with("http")), "{name}");
        }
        pixels += changes.pixels.len();
        links += changes.links.len();
        tracked += usize::from(changes != Changes::default());
    }
    let events = setting.relay.command(&["events", "--json", "--limit", "1000"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), (pixels + links).min(1000), "every fetch is an event");
    let records = setting.relay.json("messages");
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
        .args(["--url", &format!("smtps://localhost:{}/client.test", setting.implicit)])
        .args(["--mail-from", LOGIN, "--mail-rcpt", "jo@example.net", "--upload-file"])
        .arg(file)
        .current_dir(setting.relay.folder.path());
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
    python.args(["-c", SCRIPT, &setting.starttls.to_string(), LOGIN, PASSWORD]);
    python.args(chosen.iter().map(|(_, file, _)| file)).current_dir(setting.relay.folder.path());
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
        let (port, tls) =
            if number % 2 == 0 { (setting.implicit, "-tlsc") } else { (setting.starttls, "-tls") };
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
            .current_dir(setting.relay.folder.path());
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
