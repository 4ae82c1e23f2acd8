//! What mail programs and servers nobody here wrote are told when the provider misbehaves, and what it has then.
//!
//! Needs what `real_clients.rs` and `clients_nobody_here_wrote.rs` need: `just e2e`, or `cargo test -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::login_relay::{LOGIN, LoginRelay, PASSWORD};
use harness::mta::{Exim, Postfix};
use harness::provider::{Behaviour, Provider, Received, Script};
use harness::{eventually, run_to_end};

const RECIPIENT: &str = "jo@example.net";

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is sent.
    Sent,
    /// For now it is not; the reply that says so.
    Later(&'static str),
    /// It never will be.
    Never(&'static str),
}

/// A provider that misbehaves: where, how, what the client hears, how many copies the provider has then.
fn misdeeds() -> Vec<(&'static str, Behaviour, Told, usize)> {
    let pause = Duration::from_millis(400);
    vec![
        ("CONNECT", Behaviour::Say("554 5.7.1 go away"), Told::Never("554"), 0),
        ("CONNECT", Behaviour::Close, Told::Later("451"), 0),
        ("EHLO", Behaviour::Late(pause), Told::Sent, 1),
        ("MAIL", Behaviour::Say("451 4.3.0 not now"), Told::Later("451"), 0),
        ("RCPT jo@", Behaviour::Say("450 4.2.1 greylisted"), Told::Later("450"), 0),
        ("RCPT jo@", Behaviour::Say("550-5.1.1 no such\r\n550 5.1.1 user"), Told::Never("550"), 0),
        ("RCPT jo@", Behaviour::Say("what do you mean?"), Told::Later("451"), 0),
        ("DATA", Behaviour::Close, Told::Later("451"), 0),
        ("DATA", Behaviour::Say("554 5.7.1 no"), Told::Never("554"), 0),
        (".", Behaviour::Say("452 4.3.1 disk full"), Told::Later("452"), 0),
        (".", Behaviour::Say("554-5.7.1 spam\r\n554-5.7.1 see\r\n554 5.7.1 our page"), Told::Never("554"), 0),
        (".", Behaviour::Say("250-2.0.0 queued\r\n250-as\r\n250 2.0.0 1234"), Told::Sent, 1),
        (".", Behaviour::Say("\u{1}\u{2}garbage"), Told::Later("451"), 0),
        (".", Behaviour::Close, Told::Later("451"), 0),
        // It has the mail, and nobody can know.
        (".", Behaviour::Lose, Told::Later("451"), 1),
        (".", Behaviour::Stall, Told::Later("451"), 0),
        (".", Behaviour::Late(pause), Told::Sent, 1),
        (".", Behaviour::Drip(Duration::from_millis(20)), Told::Sent, 1),
    ]
}

async fn recording() -> (Provider, LoginRelay) {
    let extensions = vec!["8BITMIME", "SMTPUTF8", "SIZE 50000000", "PIPELINING"];
    let provider = Provider::start(Script { extensions, ..Script::default() }).await;
    let relay = LoginRelay::before(provider.address);
    (provider, relay)
}

fn mail(subject: &str) -> Vec<u8> {
    format!(
        "From: {LOGIN}\r\nTo: {RECIPIENT}\r\nSubject: {subject}\r\nDate: Tue, 24 Nov 2026 08:21:01 +0000\r\n\
         Message-ID: <{subject}@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n"
    )
    .into_bytes()
}

/// The copies of one message that the provider has for its recipient.
fn copies(provider: &Provider, subject: &str) -> usize {
    let line = format!("\r\nSubject: {subject}\r\n");
    let has = |mail: &&Received| {
        mail.recipients == [RECIPIENT] && String::from_utf8_lossy(&mail.content).contains(&line)
    };
    provider.received().iter().filter(has).count()
}

/// Sends one message from a file; gives success, and all it said.
type Send<'a> = &'a dyn Fn(&LoginRelay, &Path) -> (bool, String);

/// Each misdeed, and after each a provider that is well again: the same program gets its next message through.
async fn is_told_the_truth(send: Send<'_>) {
    let (provider, relay) = recording().await;
    let misdeeds = misdeeds();
    for (number, (place, behaviour, told, has)) in misdeeds.iter().enumerate() {
        let case = format!("{place} {behaviour:?}");
        // A connection of the last message would know nothing of a greeting.
        if matches!(*place, "CONNECT" | "EHLO") {
            provider.hang_up();
        }
        provider.does(place, Some(behaviour.clone()));
        let subject = format!("bad-{number}");
        let (sent, said) = send(&relay, &written(&relay, &subject));
        match told {
            Told::Sent => assert!(sent, "{case}: {said}"),
            Told::Later(code) | Told::Never(code) => {
                assert!(!sent, "{case}: it was told that it was sent: {said}");
                let told = [' ', '-'].iter().any(|next| said.contains(&format!("{code}{next}")));
                assert!(told, "{case}: it was not told {code}: {said}");
            }
        }
        assert_eq!(copies(&provider, &subject), *has, "{case}");
        provider.does(place, None);
        let subject = format!("good-{number}");
        let (sent, said) = send(&relay, &written(&relay, &subject));
        assert!(sent, "after {case}: {said}");
        assert_eq!(copies(&provider, &subject), 1, "after {case}");
    }
    // Connections that were kept, and that the provider closes meanwhile, cost nobody anything.
    for number in 0..3 {
        provider.hang_up();
        let subject = format!("idle-{number}");
        let (sent, said) = send(&relay, &written(&relay, &subject));
        assert!(sent, "{said}");
        assert_eq!(copies(&provider, &subject), 1);
    }
    let all = provider.received().len();
    let expected = misdeeds.iter().map(|(.., has)| has + 1).sum::<usize>() + 3;
    assert_eq!(all, expected, "nothing but these");
}

fn written(relay: &LoginRelay, subject: &str) -> PathBuf {
    let file = relay.relay.path(&format!("{subject}.eml"));
    std::fs::write(&file, mail(subject)).unwrap();
    file
}

fn run(relay: &LoginRelay, mut command: Command, input: &[u8]) -> (bool, String) {
    command.current_dir(relay.relay.folder.path()).env("HOME", relay.relay.folder.path());
    let output = run_to_end(command, input);
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// A program of `tests/clients/one/`.
fn script(
    program: &'static str,
    name: &'static str,
    starttls: bool,
) -> impl Fn(&LoginRelay, &Path) -> (bool, String) {
    move |relay, file| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/one").join(name);
        let port = if starttls { relay.starttls } else { relay.implicit };
        let mut command = Command::new(program);
        command.arg(path).args([&port.to_string(), LOGIN, PASSWORD]).arg(file);
        run(relay, command, &[])
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl: just e2e"]
async fn curl() {
    is_told_the_truth(&|relay, file| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--verbose", "--cacert", "ca.pem"]);
        curl.args(["--user", &format!("{LOGIN}:{PASSWORD}"), "--mail-from", LOGIN, "--mail-rcpt", RECIPIENT]);
        curl.args(["--url", &format!("smtps://localhost:{}/client.test", relay.implicit), "--upload-file"]);
        curl.arg(file);
        run(relay, curl, &[])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs swaks: just e2e"]
async fn swaks() {
    is_told_the_truth(&|relay, file| {
        let mut swaks = Command::new("swaks");
        swaks.args(["--server", "localhost", "--port", &relay.starttls.to_string(), "-tls", "--tls-verify"]);
        swaks.args(["--tls-ca-path", "ca.pem", "--auth", "PLAIN", "--auth-user", LOGIN]);
        swaks.args([
            "--auth-password",
            PASSWORD,
            "--helo",
            "client.test",
            "--from",
            LOGIN,
            "--to",
            RECIPIENT,
        ]);
        swaks.arg("--data").arg(format!("@{}", file.display()));
        run(relay, swaks, &[])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs msmtp: just e2e"]
async fn msmtp() {
    is_told_the_truth(&|relay, file| {
        let mut msmtp = Command::new("msmtp");
        msmtp.args(["--host=localhost", "--tls=on", "--tls-trust-file=ca.pem", "--auth=plain"]);
        msmtp.args([&format!("--port={}", relay.implicit), "--tls-starttls=off", &format!("--user={LOGIN}")]);
        msmtp.arg(format!("--passwordeval=echo '{PASSWORD}'")).args([&format!("--from={LOGIN}"), RECIPIENT]);
        run(relay, msmtp, &std::fs::read(file).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python 3: just e2e"]
async fn python_smtplib() {
    is_told_the_truth(&script("python3", "python.py", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and nodemailer: just e2e"]
async fn nodemailer() {
    is_told_the_truth(&script("node", "nodemailer.mjs", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PHP and PHPMailer: just e2e"]
async fn phpmailer() {
    is_told_the_truth(&script("php", "phpmailer.php", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Perl with IO::Socket::SSL and Authen::SASL: just e2e"]
async fn perl_net_smtp() {
    is_told_the_truth(&script("perl", "net_smtp.pl", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Ruby: just e2e"]
async fn ruby_net_smtp() {
    is_told_the_truth(&script("ruby", "net_smtp.rb", true)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs neomutt: just e2e"]
async fn neomutt() {
    is_told_the_truth(&|relay, file| {
        let rc = format!(
            "set smtp_url = \"smtps://{}@localhost:{}/\"\nset smtp_pass = \"{PASSWORD}\"\nset smtp_authenticators = \"plain\"\n\
             set ssl_ca_certificates_file = \"{}\"\nset ssl_usesystemcerts = no\nset copy = no\nset content_type = \"text/html\"\n\
             set from = \"{LOGIN}\"\nset hostname = client.test\nset header_cache = \"\"\nset record = \"\"\n",
            LOGIN.replace('@', "%40"),
            relay.implicit,
            relay.ca().display()
        );
        std::fs::write(relay.relay.path("muttrc"), rc).unwrap();
        let subject = file.file_stem().unwrap().to_str().unwrap();
        let mut neomutt = Command::new("neomutt");
        neomutt.args(["-n", "-F", "muttrc", "-s", subject, "--", RECIPIENT]).env("LC_ALL", "C.UTF-8");
        run(relay, neomutt, b"<p>Hello</p>\n")
    })
    .await;
}

/// A mail server takes every message at once, and tries again by itself what was refused for now.
#[derive(Clone, Copy)]
struct Server<'a> {
    submit: &'a dyn Fn() -> Command,
    flush: &'a dyn Fn(),
    log: &'a dyn Fn() -> String,
    /// What its log says of a message that it keeps, and of one that it sends back.
    keeps: &'a str,
    sends_back: &'a str,
}

fn a_server_keeps_what_is_refused_for_now(provider: &Provider, relay: &LoginRelay, server: Server<'_>) {
    for (number, (place, behaviour, told, has)) in misdeeds().into_iter().enumerate() {
        let case = format!("{place} {behaviour:?}");
        if matches!(place, "CONNECT" | "EHLO") {
            provider.hang_up();
        }
        provider.does(place, Some(behaviour));
        let subject = format!("bad-{number}");
        let before = [server.keeps, server.sends_back].map(|words| (server.log)().matches(words).count());
        let unix = String::from_utf8(mail(&subject)).unwrap().replace("\r\n", "\n");
        let (taken, said) = run(relay, (server.submit)(), unix.as_bytes());
        assert!(taken, "{case}: {said}");
        let log = || {
            let log = (server.log)();
            [server.keeps, server.sends_back].map(|words| log.matches(words).count())
        };
        match told {
            Told::Sent => eventually(&case, || (copies(provider, &subject) == 1).then_some(())),
            Told::Later(_) => eventually(&case, || (log()[0] > before[0]).then_some(())),
            Told::Never(_) => eventually(&case, || (log()[1] > before[1]).then_some(())),
        }
        assert_eq!(copies(provider, &subject), has, "{case}");
        provider.does(place, None);
        (server.flush)();
        let expected = match told {
            Told::Sent => 1,
            Told::Never(_) => 0,
            // Once for what it was told in the end; before that the provider kept one in silence.
            Told::Later(_) => has + 1,
        };
        eventually(&format!("after {case}"), || (copies(provider, &subject) >= expected).then_some(()));
        (server.flush)();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(copies(provider, &subject), expected, "after {case}");
    }
}

fn open_to_others(relay: &LoginRelay) {
    std::fs::set_permissions(relay.relay.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postfix and root: just e2e"]
async fn postfix_as_a_satellite() {
    let (provider, relay) = recording().await;
    open_to_others(&relay);
    let postfix =
        Postfix::satellite(&format!("[localhost]:{}", relay.starttls), &relay.ca(), LOGIN, PASSWORD);
    let server = Server {
        submit: &|| {
            let mut sendmail = postfix.sendmail();
            sendmail.args(["-i", "-f", LOGIN, RECIPIENT]);
            sendmail
        },
        flush: &|| postfix.flush(),
        log: &|| postfix.log(),
        keeps: "status=deferred",
        sends_back: "status=bounced",
    };
    a_server_keeps_what_is_refused_for_now(&provider, &relay, server);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Exim and root: just e2e"]
async fn exim_with_a_smarthost() {
    let (provider, relay) = recording().await;
    open_to_others(&relay);
    let exim = Exim::satellite(relay.starttls, &relay.ca(), LOGIN, PASSWORD);
    let server = Server {
        submit: &|| {
            let mut command = exim.command();
            command.args(["-i", "-f", LOGIN, RECIPIENT]);
            command
        },
        flush: &|| exim.flush(),
        log: &|| exim.log(),
        keeps: " == ",
        sends_back: " ** ",
    };
    a_server_keeps_what_is_refused_for_now(&provider, &relay, server);
}
