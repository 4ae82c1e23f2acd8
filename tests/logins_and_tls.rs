//! Who may send, over which kind of door, and with which login at the provider.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::os::unix::fs::PermissionsExt;

use envelope::{Credentials, ForwardPath, MailParameters, Mailbox, ReversePath};
use harness::certificates::Authority;
use harness::client::Client;
use harness::login_relay::with_both_doors;
use harness::provider::{Provider, Script};
use harness::{Relay, binary, free_address, plain_upstream, run_to_end};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use upstream::{Connection, HandoffError, Tls, Trust, Upstream};

const CONTENT: &[u8] =
    b"From: ana@example.com\r\nContent-Type: text/html\r\n\r\n<a href=\"https://example.org/\">x</a>\r\n";

/// A mail program: the code we hand mail on with, pointed at ourselves.
struct Program {
    relay: Upstream,
}

impl Program {
    fn new(authority: &Authority, port: u16, tls: Tls) -> Self {
        let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        Self {
            relay: Upstream {
                name: "relay".into(),
                host: "localhost".into(),
                port,
                tls,
                trust: Trust::Roots(vec![root]),
                helo: "client.test".into(),
                timeout: harness::PATIENCE,
                proxy: None,
            },
        }
    }

    async fn log_in(&self, login: &str, password: &str) -> Result<Connection, HandoffError> {
        let credentials = Credentials::with_password(login, password);
        Connection::open(&self.relay, Some(&credentials)).await
    }
}

async fn send(connection: &mut Connection, from: &str) -> String {
    send_content(connection, from, CONTENT).await
}

async fn send_content(connection: &mut Connection, from: &str, content: &[u8]) -> String {
    let path = ReversePath::Mailbox(Mailbox::parse(from).unwrap());
    let reply = connection.mail(&path, &MailParameters::default()).await.unwrap();
    if !reply.is_positive() {
        return reply.to_string();
    }
    let to = ForwardPath::Mailbox(Mailbox::parse("jo@example.net").unwrap());
    connection.rcpt(&to, &envelope::RcptParameters::default()).await.unwrap();
    connection.content(b"", content).await.unwrap().to_string()
}

fn relay(authority: &Authority, rest: &str) -> (Relay, u16, u16) {
    with_both_doors(authority, "", rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_of_the_store_logs_in_over_tls_and_uses_only_his_own_addresses() {
    let authority = Authority::new();
    let provider = Provider::start(Script::default()).await;
    let (relay, implicit, starttls) = relay(&authority, &plain_upstream(provider.address));
    let mut add = binary();
    add.args(["sender", "add", "-c", "waxseal.toml", "ana@example.com", "--alias", "sales@example.com"]);
    add.current_dir(relay.folder.path());
    let added = run_to_end(add, b"correct horse\n");
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let listed = String::from_utf8(relay.command(&["sender", "list"]).stdout).unwrap();
    assert_eq!(listed, "ana@example.com  also sales@example.com  (store)\n");

    for (port, tls) in [(implicit, Tls::Implicit), (starttls, Tls::StartTls)] {
        let program = Program::new(&authority, port, tls);
        let mut connection = program.log_in("ana@example.com", "correct horse").await.unwrap();
        assert!(send(&mut connection, "ana@example.com").await.starts_with("250"), "{tls:?}");
        assert!(send(&mut connection, "Sales@example.com").await.starts_with("250"));
        let refused = send(&mut connection, "boss@example.com").await;
        assert_eq!(refused, "550 5.7.1 You may not send as boss@example.com with this login");
        assert!(
            send(&mut connection, "ana@example.com").await.starts_with("250"),
            "and the connection goes on"
        );
        for (login, password) in [
            ("ana@example.com", "wrong horse"),
            ("nobody@example.com", "correct horse"),
            ("ana@example.com", "correct hors"),
        ] {
            let refused = program.log_in(login, password).await.map(|_| ()).unwrap_err();
            assert_eq!(refused.reply().code().get(), 535, "{login} {password}");
        }
        let untracked = program.log_in("ana@example.com/none", "correct horse").await;
        send(&mut untracked.unwrap(), "ana@example.com").await;
        let content = provider.received().pop().unwrap().content;
        assert!(!String::from_utf8_lossy(&content).contains("/o/"), "the suffix was heard");
        // It stuck; the next message asks for both again.
        let mut both = program.log_in("ana@example.com/opens,links", "correct horse").await.unwrap();
        send(&mut both, "ana@example.com").await;
    }

    // Plain text on 587: no login before TLS, no mail without a login.
    let mut client = Client::connect(relay.smtp);
    assert!(!client.say("EHLO client.test").contains("AUTH"));
    assert!(client.say("AUTH PLAIN AGFuYUBleGFtcGxlLmNvbQBjb3JyZWN0IGhvcnNl").starts_with("530 5.7.0"));
    assert!(client.say("MAIL FROM:<ana@example.com>").starts_with("530 5.7.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_password_is_made_used_and_removed() {
    let authority = Authority::new();
    let provider = Provider::start(Script::default()).await;
    let declared = "[[sender]]\naddress = \"kim@example.com\"\n";
    let (relay, implicit, _) = relay(&authority, &format!("{}{declared}", plain_upstream(provider.address)));
    let program = Program::new(&authority, implicit, Tls::Implicit);
    let mut add = binary();
    add.args(["sender", "add", "-c", "waxseal.toml", "ana@example.com", "--alias", "sales@example.com"]);
    add.current_dir(relay.folder.path());
    run_to_end(add, b"correct horse\n");
    let sender = |arguments: &[&str]| {
        let command = [&["sender", "app-password"], arguments].concat();
        let said = relay.command(&command);
        (said.status.success(), String::from_utf8(said.stdout).unwrap())
    };
    // A sender of the file who has no other password, and one of the store by an alias.
    for (asked, login) in [("kim@example.com", "kim@example.com"), ("sales@example.com", "ana@example.com")] {
        let (done, password) = sender(&["add", asked, "--label", "phone"]);
        let password = password.trim_end();
        assert!(done && password.len() == 39, "{password}");
        assert!(!sender(&["add", asked, "--label", "Phone"]).0, "taken");
        assert!(!sender(&["list", login]).1.contains(password), "shown once");
        let listed = sender(&["list", login, "--json"]).1;
        assert!(listed.contains("\"label\":\"phone\"") && listed.lines().count() == 1, "{listed}");
        let mut connection = program.log_in(login, password).await.unwrap();
        assert!(send_content(&mut connection, login, b"Subject: x\r\n\r\nhi\r\n").await.starts_with("250"));
        let other = if login == "kim@example.com" { "ana@example.com" } else { "kim@example.com" };
        assert!(program.log_in(other, password).await.is_err(), "another's");
        for file in walk(relay.folder.path()) {
            let octets = std::fs::read(&file).unwrap();
            assert!(!octets.windows(39).any(|octets| octets == password.as_bytes()), "{}", file.display());
        }
        assert!(sender(&["remove", asked, "PHONE"]).0);
        assert!(!sender(&["remove", asked, "phone"]).0, "gone");
        assert!(program.log_in(login, password).await.is_err());
    }
    assert!(!sender(&["add", "nobody@example.com"]).0);
    program.log_in("ana@example.com", "correct horse").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn from_must_be_the_senders_own() {
    let authority = Authority::new();
    let provider = Provider::start(Script::default()).await;
    for (setting, expected) in [("", "550 5.7.1 "), ("from_must_match = false\n", "250")] {
        let upstream = format!("{}{setting}", plain_upstream(provider.address));
        let (relay, implicit, _) = relay(&authority, &upstream);
        let mut add = binary();
        add.args(["sender", "add", "-c", "waxseal.toml", "ana@example.com", "--alias", "sales@example.com"]);
        add.current_dir(relay.folder.path());
        run_to_end(add, b"correct horse\n");
        let program = Program::new(&authority, implicit, Tls::Implicit);
        let mut connection = program.log_in("ana@example.com", "correct horse").await.unwrap();
        let before = provider.received().len();
        let foreign = b"From: \"Ana\" <boss@example.com>\r\nSubject: x\r\n\r\nhi\r\n";
        let said = send_content(&mut connection, "ana@example.com", foreign).await;
        assert!(said.starts_with(expected), "{said}");
        if setting.is_empty() {
            assert_eq!(said, "550 5.7.1 You may not put boss@example.com into From with this login");
            assert_eq!(provider.received().len(), before, "nothing was handed on");
        }
        // And the connection goes on.
        for own in
            ["From: Ana <SALES@example.com>", "From: ana@example.com\r\nSender: sales@example.com", "To: x"]
        {
            let content = format!("{own}\r\nSubject: x\r\n\r\nhi\r\n");
            let said = send_content(&mut connection, "ana@example.com", content.as_bytes()).await;
            assert!(said.starts_with("250"), "{own}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_ends_before_anything_is_computed() {
    let authority = Authority::new();
    let provider = Provider::start(Script::default()).await;
    let limits = "[auth]\nthrottle = { failures = 3, per = \"1h\" }\n";
    let (mut relay, implicit, _) =
        relay(&authority, &format!("{}{limits}", plain_upstream(provider.address)));
    for address in ["ana@example.com", "bo@example.com"] {
        let mut add = binary();
        add.args(["sender", "add", "-c", "waxseal.toml", address]);
        add.current_dir(relay.folder.path());
        run_to_end(add, b"correct horse\n");
    }
    let program = Program::new(&authority, implicit, Tls::Implicit);
    let code = async |login: &str, password: &str| {
        program.log_in(login, password).await.map_or_else(|e| e.to_string(), |_| "235".to_owned())
    };
    for _ in 0..3 {
        assert!(code("ana@example.com", "wrong horse").await.contains("535"));
    }
    for password in ["wrong horse", "correct horse", "wrong horse"] {
        let said = code("ANA@example.com", password).await;
        assert!(said.contains("454"), "{said}");
    }
    assert_eq!(code("bo@example.com", "correct horse").await, "235");
    let log = relay.log();
    assert_eq!(log.matches("too many wrong logins").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_through_login_is_the_providers_to_judge_and_is_stored_nowhere() {
    let authority = Authority::new();
    for (extensions, tls, word) in [
        (vec!["AUTH PLAIN", "8BITMIME"], Tls::Implicit, "implicit"),
        (vec!["STARTTLS", "AUTH PLAIN"], Tls::StartTls, "starttls"),
    ] {
        let script = Script {
            extensions,
            tls: Some(authority.server("localhost")),
            implicit: tls == Tls::Implicit,
            login: Some("\0ana@example.com\0S3cret-of-Ana"),
            ..Script::default()
        };
        let provider = Provider::start(script).await;
        let upstream = format!(
            "[upstream.own]\nhost = \"localhost\"\nport = {}\ntls = \"{word}\"\nca_file = \"ca.pem\"\nauth = \"pass-through\"\ntimeout = \"3s\"\n\
             [log]\nlevel = \"trace\"\naddresses = \"full\"\n",
            provider.address.port()
        );
        let (mut relay, implicit, _) = relay(&authority, &upstream);
        let program = Program::new(&authority, implicit, Tls::Implicit);
        let mut connection = program.log_in("ana@example.com", "S3cret-of-Ana").await.unwrap();
        assert!(send(&mut connection, "ana@example.com").await.starts_with("250"));
        assert!(send(&mut connection, "ana@example.com").await.starts_with("250"));
        connection.quit().await;
        let received = provider.received();
        assert_eq!(received.len(), 2);
        assert_eq!(received[0].login.as_deref(), Some("\0ana@example.com\0S3cret-of-Ana"));
        assert_eq!(provider.connections(), 1, "the connection that proved the login carries the mail");

        let refused = program.log_in("ana@example.com", "S3cret-of-Bob").await.map(|_| ()).unwrap_err();
        let said = refused.reply();
        assert!(
            said.to_string().contains("535 5.7.8")
                && said.to_string().contains("Username and Password not accepted"),
            "{said}"
        );
        let log = relay.log();
        assert!(!log.contains("S3cret") && !log.contains("UzNjcmV0"), "{log}");
        let folder = relay.folder.path().to_owned();
        assert_eq!(relay.json("messages").len(), 2);
        for file in walk(&folder) {
            let octets = std::fs::read(&file).unwrap();
            assert!(!octets.windows(6).any(|octets| octets == b"S3cret"), "{}", file.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_for_everybody_and_a_certificate_that_is_not_believed() {
    let authority = Authority::new();
    let stranger = Authority::new();
    for (shows, expected) in [(&authority, "250"), (&stranger, "451 4.7.5")] {
        let script = Script {
            extensions: vec!["AUTH PLAIN"],
            tls: Some(shows.server("localhost")),
            implicit: true,
            login: Some("\0relay@example.com\0hunter2-of-all"),
            ..Script::default()
        };
        let provider = Provider::start(script).await;
        let smtp = free_address();
        let upstream = format!(
            "[[smtp]]\nlisten = \"{smtp}\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\nas = \"ana@example.com\"\n\
             [upstream.team]\nhost = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\nauth = \"login\"\nusername = \"relay@example.com\"\npassword_env = \"TEST_PASSWORD\"\ntimeout = \"3s\"\n",
            provider.address.port()
        );
        // The environment is the binary's alone: the file names the variable.
        let upstream = upstream.replace("password_env = \"TEST_PASSWORD\"", "password_file = \"password\"");
        let folder_writer = |relay: &std::path::Path| {
            std::fs::write(relay.join("password"), "hunter2-of-all\n").unwrap();
            std::fs::set_permissions(relay.join("password"), std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let relay = relay_with(&authority, &upstream, folder_writer);
        let reply = Client::greeted(smtp).mail(&["jo@example.net"], CONTENT);
        assert!(reply.starts_with(expected), "{reply}");
        assert!(!reply.contains("hunter2"));
        drop(relay);
    }
}

fn relay_with(authority: &Authority, rest: &str, prepare: impl FnOnce(&std::path::Path)) -> Relay {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let tracking = free_address();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{rest}"
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    Relay::start_in(folder, tracking, tracking)
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}
