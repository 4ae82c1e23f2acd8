//! Mail programs and servers nobody here wrote send through the real binary, logged in and under TLS, and what
//! arrives at the provider is looked at. `tests/clients/` has what they run.
//!
//! Needs msmtp, neomutt, PHP with `PHPMailer`, Perl, Ruby, Node with nodemailer, Postfix, Exim, and root for the
//! last two: `just e2e`, or `cargo test -- --ignored`. `clients_nobody_here_wrote.rs` has curl, Python and swaks.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::identity::{Changes, compare};
use harness::login_relay::{LOGIN, LoginRelay, PASSWORD};
use harness::mta::{Exim, Postfix};
use harness::provider::{Provider, Received, Script};
use harness::{eventually, free_address, http, run_to_end};
use mail_parser::{MessageParser, MimeHeaders};

const RECIPIENT: &str = "jo@example.net";
/// So many messages of the collection, each with its number in a field of its own.
const MESSAGES: usize = 24;
const NUMBER: &str = "X-Case";

/// The relay under test, and what is asked of it.
struct Setting(LoginRelay);

impl std::ops::Deref for Setting {
    type Target = LoginRelay;

    fn deref(&self) -> &LoginRelay {
        &self.0
    }
}

impl Setting {
    /// A program of `tests/clients/`: PORT LOGIN PASSWORD FILE...
    fn run(&self, program: &str, script: &str, port: u16, messages: &[Case]) {
        let mut command = Command::new(program);
        command.arg(client(script)).args([&port.to_string(), LOGIN, PASSWORD]);
        command.args(messages.iter().map(|case| &case.file));
        self.succeed(command, &[]);
    }

    fn succeed(&self, mut command: Command, input: &[u8]) {
        command.current_dir(self.relay.folder.path());
        let name = command.get_program().display().to_string();
        assert!(which(&name), "this test needs {name}");
        let output = run_to_end(command, input);
        let said = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        assert!(output.status.success(), "{name}: {}{}", said(&output.stdout), said(&output.stderr));
    }

    /// The octets of each case but for our changes; what a mail server put on top is taken off first.
    fn check(&self, cases: &[Case], received: &[Vec<u8>]) {
        assert_eq!(received.len(), cases.len());
        let (mut pixels, mut links) = (0, 0);
        for case in cases {
            let arrived = received.iter().find(|mail| number_of(mail) == Some(case.number));
            let arrived = arrived.unwrap_or_else(|| panic!("{} did not arrive", case.name));
            let changes: Changes = compare(&case.octets, arrived, &self.relay.base_url())
                .unwrap_or_else(|why| panic!("{}: {why}", case.name));
            assert!(changes.pixels.len() <= 1, "{}: {changes:?}", case.name);
            for pixel in &changes.pixels {
                assert_eq!(http::get(self.relay.tracking, pixel).status, 200, "{}", case.name);
            }
            for link in &changes.links {
                assert_eq!(http::get(self.relay.tracking, link).status, 302, "{}: {link}", case.name);
            }
            pixels += changes.pixels.len();
            links += changes.links.len();
        }
        eprintln!("{} messages, {pixels} pixels, {links} links", cases.len());
        assert!(pixels * 3 > cases.len() && links > 0, "hardly anything was tracked");
    }

    /// What `tests/clients/*` compose: two alternatives and an attached page.
    fn check_composed(&self, mail: &[u8]) {
        let message = MessageParser::new().parse(mail).unwrap();
        let subject = message.subject().unwrap_or_default();
        let html = message.body_html(0).unwrap();
        assert_eq!(html.matches("<img").count(), 1, "{subject}: {html}");
        let base_url = self.relay.base_url();
        let of_ours = |text: &str, kind: &str| {
            let begin =
                text.find(&format!("{base_url}/{kind}/")).unwrap_or_else(|| panic!("{subject}: {text}"));
            text[begin..].chars().take_while(|c| *c != '"').collect::<String>()
        };
        assert_eq!(http::get(self.relay.tracking, &of_ours(&html, "o")).status, 200, "{subject}");
        let answer = http::get(self.relay.tracking, &of_ours(&html, "c"));
        assert_eq!(answer.header("location"), Some("https://example.com/a?b=1&c=2"), "{subject}");
        assert!(html.contains("Größe"), "{subject}: {html}");
        assert!(message.body_text(0).unwrap().contains("https://example.com/text"), "{subject}");
        let attached = message.attachments().next().unwrap();
        assert_eq!(attached.attachment_name(), Some("page.html"), "{subject}");
        assert_eq!(attached.contents(), b"<a href=\"https://example.com/attached\">x</a>", "{subject}");
    }
}

/// One message of the collection.
struct Case {
    number: usize,
    name: String,
    file: PathBuf,
    octets: Vec<u8>,
}

/// Messages that programs send as they are: complete headers, short lines, no odd line ends.
fn cases(folder: &Path) -> Vec<Case> {
    let collection = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut names: Vec<_> =
        std::fs::read_dir(collection).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut found = vec![];
    for path in names {
        let Ok(octets) = std::fs::read(path.join("in.eml")) else { continue };
        if is_ordinary(&octets) {
            found.push((path.file_name().unwrap().to_string_lossy().into_owned(), octets));
        }
    }
    assert!(found.len() > MESSAGES * 2, "only {} ordinary messages", found.len());
    let step = found.len() / MESSAGES;
    let chosen = found.into_iter().step_by(step).take(MESSAGES).enumerate();
    let case = |(number, (name, octets)): (usize, (String, Vec<u8>))| {
        let octets = [format!("{NUMBER}: {number}\r\n").as_bytes(), &octets].concat();
        let file = folder.join(format!("{number}.eml"));
        std::fs::write(&file, &octets).unwrap();
        Case { number, name, file, octets }
    };
    chosen.map(case).collect()
}

fn is_ordinary(octets: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(octets) else { return false };
    let Some((header, _)) = text.split_once("\r\n\r\n") else { return false };
    let header = format!("\r\n{}", header.to_ascii_lowercase());
    let has = |name: &str| header.matches(&format!("\r\n{name}:")).count() == 1;
    // What some of the programs would take for themselves, or mend.
    let odd =
        ["bcc", "return-path", "content-length", "sender", "x-waxseal-track", "resent-from", "received"];
    ["from", "to", "date", "message-id"].iter().all(|name| has(name))
        && !odd.iter().any(|name| header.contains(&format!("\r\n{name}:")))
        && header.contains('@')
        && text.ends_with("\r\n")
        && !text.ends_with("\r\n\r\n")
        && !text.replace("\r\n", "").contains(['\r', '\n', '\0'])
        && text.split("\r\n").all(|line| line.len() < 900 && !line.starts_with("From "))
        && text.contains("<a ")
}

fn number_of(mail: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(mail);
    let line = text.lines().find_map(|line| line.strip_prefix(NUMBER)?.strip_prefix(": "))?;
    line.trim().parse().ok()
}

fn contents(received: &[Received]) -> Vec<Vec<u8>> {
    received.iter().map(|mail| mail.content.clone()).collect()
}

fn client(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

fn which(program: &str) -> bool {
    program.contains('/') && Path::new(program).exists()
        || Command::new("sh").args(["-c", "command -v \"$0\"", program]).output().unwrap().status.success()
}

async fn recording() -> (Provider, Setting) {
    let extensions = vec!["8BITMIME", "SMTPUTF8", "SIZE 50000000", "PIPELINING"];
    let provider = Provider::start(Script { extensions, ..Script::default() }).await;
    let setting = Setting(LoginRelay::before(provider.address));
    (provider, setting)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs msmtp: just e2e"]
async fn msmtp() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    for case in &cases {
        let mut command = Command::new("msmtp");
        command.args(["--host=localhost", "--tls=on", "--tls-trust-file=ca.pem", "--auth=plain"]);
        // One port or the other in turn.
        if case.number % 2 == 0 {
            command.args([&format!("--port={}", setting.implicit), "--tls-starttls=off"]);
        } else {
            command.args([&format!("--port={}", setting.starttls), "--tls-starttls=on"]);
        }
        command.args([&format!("--user={LOGIN}"), &format!("--passwordeval=echo '{PASSWORD}'")]);
        command.args([&format!("--from={LOGIN}"), RECIPIENT]);
        setting.succeed(command, &case.octets);
    }
    setting.check(&cases, &contents(&provider.received()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Node and nodemailer: just e2e"]
async fn nodemailer_with_a_pool() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    setting.run("node", "nodemailer.mjs", setting.implicit, &cases);
    let mut received = contents(&provider.received());
    let composed = received.iter().position(|mail| number_of(mail).is_none()).unwrap();
    setting.check_composed(&received.remove(composed));
    setting.check(&cases, &received);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PHP and PHPMailer: just e2e"]
async fn phpmailer_with_keep_alive() {
    let (provider, setting) = recording().await;
    setting.run("php", "phpmailer.php", setting.starttls, &[]);
    let received = provider.received();
    assert_eq!(received.len(), 3);
    for mail in &received {
        setting.check_composed(&mail.content);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Perl with IO::Socket::SSL and Authen::SASL: just e2e"]
async fn perl_net_smtp_with_reset() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    setting.run("perl", "net_smtp.pl", setting.implicit, &cases);
    setting.check(&cases, &contents(&provider.received()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Ruby: just e2e"]
async fn ruby_net_smtp() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    setting.run("ruby", "net_smtp.rb", setting.starttls, &cases);
    setting.check(&cases, &contents(&provider.received()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs neomutt: just e2e"]
async fn neomutt() {
    let (provider, setting) = recording().await;
    let rc = format!(
        "set smtp_url = \"smtps://{}@localhost:{}/\"\nset smtp_pass = \"{PASSWORD}\"\nset smtp_authenticators = \"plain\"\n\
         set ssl_ca_certificates_file = \"{}\"\nset ssl_usesystemcerts = no\nset copy = no\nset content_type = \"text/html\"\n\
         set from = \"{LOGIN}\"\nset hostname = client.test\nset header_cache = \"\"\nset record = \"\"\n",
        LOGIN.replace('@', "%40"),
        setting.implicit,
        setting.ca().display()
    );
    std::fs::write(setting.relay.path("muttrc"), rc).unwrap();
    std::fs::write(setting.relay.path("page.html"), "<a href=\"https://example.com/attached\">x</a>")
        .unwrap();
    let mut command = Command::new("neomutt");
    command.args(["-n", "-F", "muttrc", "-s", "From neomutt", "-a", "page.html", "--", RECIPIENT]);
    command.env("HOME", setting.relay.folder.path()).env("LC_ALL", "C.UTF-8");
    setting
        .succeed(command, "<p>Größe <a href=\"https://example.com/a?b=1&amp;c=2\">Look</a></p>\n".as_bytes());
    let received = provider.received();
    assert_eq!(received.len(), 1);
    let message = MessageParser::new().parse(&received[0].content).unwrap();
    let html = message.body_html(0).unwrap();
    assert!(html.contains("Größe") && html.matches("<img").count() == 1, "{html}");
    assert!(html.contains(&format!("href=\"{}/c/", setting.relay.base_url())), "{html}");
    let attached = message.attachments().next().unwrap();
    assert_eq!(attached.contents(), b"<a href=\"https://example.com/attached\">x</a>");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postfix and root: just e2e"]
async fn postfix_as_a_satellite() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    let relay = format!("[localhost]:{}", setting.starttls);
    let ca = setting.relay.folder.path();
    std::fs::set_permissions(ca, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let postfix = Postfix::satellite(&relay, &setting.ca(), LOGIN, PASSWORD);
    for case in &cases {
        let mut sendmail = postfix.sendmail();
        sendmail.args(["-i", "-f", LOGIN, RECIPIENT]);
        setting.succeed(sendmail, &unix(&case.octets));
    }
    eventually("Postfix handed all on", || (provider.received().len() >= cases.len()).then_some(()));
    let received: Vec<_> =
        contents(&provider.received()).iter().map(|mail| without_received(mail, "by postfix.test")).collect();
    setting.check(&cases, &received);
    assert!(!postfix.log().contains("warning"), "{}", postfix.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Exim and root: just e2e"]
async fn exim_with_a_smarthost() {
    let (provider, setting) = recording().await;
    let cases = cases(setting.relay.folder.path());
    let ca = setting.relay.folder.path();
    std::fs::set_permissions(ca, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let exim = Exim::satellite(setting.starttls, &setting.ca(), LOGIN, PASSWORD);
    for case in &cases {
        let mut command = exim.command();
        command.args(["-i", "-f", LOGIN, RECIPIENT]);
        setting.succeed(command, &unix(&case.octets));
    }
    assert_eq!(provider.received().len(), cases.len(), "{}", exim.log());
    let received: Vec<_> =
        contents(&provider.received()).iter().map(|mail| without_received(mail, "exim.test")).collect();
    setting.check(&cases, &received);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postfix and root: just e2e"]
async fn postfix_as_the_provider() {
    let address = free_address();
    let postfix = Postfix::provider(address);
    let setting = Setting(LoginRelay::before(address));
    let cases = cases(setting.relay.folder.path());
    setting.run("perl", "net_smtp.pl", setting.implicit, &cases);
    let delivered = eventually("Postfix put all into files", || {
        Some(postfix.delivered()).filter(|mails| mails.len() >= cases.len())
    });
    let delivered: Vec<_> = delivered
        .iter()
        .map(|mail| {
            // Files have the line ends of this system, and four fields of Postfix's own on top.
            let mail = String::from_utf8(mail.clone()).unwrap().replace('\n', "\r\n").into_bytes();
            let tops = ["Return-Path", "X-Original-To", "Delivered-To", "Received"];
            tops.iter().fold(mail, |mail, name| without_field(&mail, name))
        })
        .collect();
    setting.check(&cases, &delivered);
}

fn unix(octets: &[u8]) -> Vec<u8> {
    String::from_utf8(octets.to_vec()).unwrap().replace("\r\n", "\n").into_bytes()
}

/// Our own Received field stays on top; that of the server before us, which has `words` in it, goes.
fn without_received(mail: &[u8], words: &str) -> Vec<u8> {
    let text = String::from_utf8(mail.to_vec()).unwrap();
    let (mut kept, mut gone) = (String::new(), false);
    let mut lines = text.split_inclusive("\r\n").peekable();
    while let Some(line) = lines.next() {
        let mut field = line.to_owned();
        while lines.peek().is_some_and(|next| next.starts_with([' ', '\t'])) && !line.trim().is_empty() {
            field.push_str(lines.next().unwrap());
        }
        if !gone
            && field.starts_with("Received:")
            && field.contains(&format!("by {}", words.trim_start_matches("by ")))
        {
            gone = true;
        } else {
            kept.push_str(&field);
        }
    }
    assert!(gone, "no Received field {words:?}: {text}");
    kept.into_bytes()
}

/// Takes the first field of this name off, if it stands at the top.
fn without_field(mail: &[u8], name: &str) -> Vec<u8> {
    let text = String::from_utf8(mail.to_vec()).unwrap();
    if !text.starts_with(&format!("{name}:")) {
        return mail.to_vec();
    }
    let mut lines = text.split_inclusive("\r\n").skip(1).skip_while(|line| line.starts_with([' ', '\t']));
    lines.by_ref().collect::<String>().into_bytes()
}
