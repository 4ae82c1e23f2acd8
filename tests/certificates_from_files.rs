//! Certificate and key are replaced while the relay runs, under load, one after the other and badly: no handshake
//! fails, on any port.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::certificates::Authority;
use harness::{Relay, binary, eventually, free_address, open_listener, plain_upstream, run_to_end, tls};
use rustls::ClientConfig;

/// A door, and how TLS begins there.
#[derive(Clone, Copy)]
struct Door {
    address: SocketAddr,
    starttls: bool,
}

impl Door {
    fn shown(self, client: &ClientConfig) -> Result<Vec<u8>, String> {
        let shown = if self.starttls { tls::shown_by_starttls } else { tls::shown };
        shown(client, self.address, "localhost")
    }
}

struct Setting {
    relay: Relay,
    doors: [Door; 3],
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

fn setting(authority: &Authority) -> (Setting, String) {
    let folder = tempfile::tempdir().unwrap();
    let (implicit, starttls, tracking) = (free_address(), free_address(), free_address());
    let (certificate, key) = authority.issue("localhost");
    write(folder.path(), "cert.pem", &certificate);
    write(folder.path(), "key.pem", &key);
    let config = format!(
        "[[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[[smtp]]\nlisten = \"{starttls}\"\ntls = \"starttls\"\n\
         [tls]\nmode = \"files\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
         [tracking]\nbase_url = \"https://localhost:{}\"\nlisten = \"{tracking}\"\n\
         [limits]\nconnections_per_address = 200\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}",
        tracking.port(),
        plain_upstream(free_address())
    );
    write(folder.path(), "waxseal.toml", &config);
    let relay = Relay::start_in(folder, starttls, tracking);
    let door = |address, starttls| Door { address, starttls };
    (
        Setting { relay, doors: [door(implicit, false), door(starttls, true), door(tracking, false)] },
        certificate,
    )
}

#[test]
fn no_handshake_fails_while_certificate_and_key_are_replaced() {
    let authority = Authority::new();
    let (mut setting, first) = setting(&authority);
    let client = Arc::new(tls::trusting(&[authority.pem()]));
    let folder = setting.relay.folder.path().to_owned();
    for door in setting.doors {
        assert_eq!(door.shown(&client).unwrap(), tls::der(&first));
    }

    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let load: Vec<_> = setting
        .doors
        .into_iter()
        .map(|door| {
            let (over, done, client) = (over.clone(), done.clone(), client.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    door.shown(&client)?;
                    done.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    let everywhere = |pem: &str| {
        for door in setting.doors {
            eventually("the new certificate is shown", || {
                (door.shown(&client).unwrap() == tls::der(pem)).then_some(())
            });
        }
    };

    // The certificate first, the key first, and both at once as a tool does it that renames.
    let mut last = first;
    for order in [["cert", "key"], ["key", "cert"], ["new-cert", "new-key"]] {
        let (certificate, key) = authority.issue("localhost");
        for file in order {
            let text = if file.ends_with("cert") { &certificate } else { &key };
            write(&folder, &format!("{file}.pem"), text);
            if let Some(name) = file.strip_prefix("new-") {
                fs::rename(folder.join(format!("{file}.pem")), folder.join(format!("{name}.pem"))).unwrap();
            } else {
                // As slow as a person; the relay looks in between.
                std::thread::sleep(Duration::from_secs(2));
            }
        }
        everywhere(&certificate);
        last = certificate;
    }

    // A pair that is none stays out, and the log says which file and why.
    let (_, key) = authority.issue("localhost");
    let right_key = fs::read_to_string(folder.join("key.pem")).unwrap();
    write(&folder, "key.pem", &key);
    let line = setting.relay.wait_for_log("the new certificate is not used");
    assert!(line.contains("key.pem: the private key is another certificate's"), "{line}");
    everywhere(&last);
    fs::remove_file(folder.join("cert.pem")).unwrap();
    everywhere(&last);
    write(&folder, "cert.pem", &last);
    write(&folder, "key.pem", &right_key);
    setting.relay.wait_for_log("the certificate's files are again those in use");
    let (certificate, key) = authority.issue("localhost");
    write(&folder, "cert.pem", &certificate);
    write(&folder, "key.pem", &key);
    everywhere(&certificate);

    over.store(true, Ordering::Relaxed);
    for thread in load {
        thread.join().unwrap().expect("no handshake may fail");
    }
    let done = done.load(Ordering::Relaxed);
    eprintln!("{done} handshakes");
    assert!(done > 300, "hardly any load: {done}");
    assert_eq!(setting.relay.stop(), 0);
}

/// What `check` finds in the files, besides what keeps the relay from starting.
#[test]
fn check_looks_into_the_certificate() {
    let authority = Authority::new();
    let cases = [
        ("good", authority.issue("t.example.com"), "https://t.example.com", "", 0, "fine"),
        (
            "another host",
            authority.issue("u.example.com"),
            "https://t.example.com",
            "",
            78,
            "is not for t.example.com",
        ),
        (
            "expired",
            authority.issue_for("t.example.com", 2020, 2021),
            "https://t.example.com",
            "",
            78,
            "expired on 2021-01-01",
        ),
        (
            "of the future",
            authority.issue_for("t.example.com", 4000, 4001),
            "https://t.example.com",
            "",
            78,
            "not valid yet",
        ),
        (
            "only for mail",
            authority.issue("u.example.com"),
            "http://t.example.com",
            "mail",
            0,
            "note: the certificate is not for `server.hostname`",
        ),
    ];
    for (what, (certificate, key), base_url, mail, status, said) in cases {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "cert.pem", &certificate);
        write(folder.path(), "key.pem", &key);
        let listener = if mail.is_empty() {
            open_listener(free_address())
        } else {
            "[server]\nhostname = \"relay.example.com\"\n[[smtp]]\nlisten = \"127.0.0.1:465\"\ntls = \"implicit\"\n".to_owned()
        };
        let config = format!(
            "{listener}[tls]\nmode = \"files\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n[tracking]\nbase_url = \"{base_url}\"\n{}",
            plain_upstream(free_address())
        );
        write(folder.path(), "waxseal.toml", &config);
        let check = |arguments: &[&str]| {
            let mut command = binary();
            command.args(["check", "-c", "waxseal.toml"]).args(arguments).current_dir(folder.path());
            let output = run_to_end(command, b"");
            let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
            (output.status.code(), text)
        };
        let (code, text) = check(&[]);
        assert!(code == Some(status) && text.contains(said), "{what}: {code:?} {text}");
        let (code, text) = check(&["--json"]);
        let found: serde_json::Value = serde_json::from_str(&text).unwrap();
        let levels: Vec<_> =
            found.as_array().unwrap().iter().map(|found| found["level"].as_str().unwrap()).collect();
        let expected: &[&str] = match (status, mail) {
            (0, "") => &[],
            (0, _) => &["note"],
            _ => &["error"],
        };
        assert!(code == Some(status) && levels == expected, "{what}: {text}");
    }
}
