//! The first five minutes: `waxseal demo --script` shows the main job and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use harness::{binary, http, run_to_end};

/// Ended with the test, whichever way that goes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn demos_left(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn the_script_shows_everything_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.args(["demo", "--script"]).env("TMPDIR", temp.path());
    let output = run_to_end(command, b"");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for expected in [
        "you are ana@demo.test",
        "\"Offer 4711\"   tracked: opens, 2 links",
        "\"Plain words\"   not tracked: The message is plain text",
        "ana → 3 people   \"Minutes of Monday\"   tracked: opens, 1 link",
        "opened   Hello   machine",
        "opened   Offer 4711   Firefox on Linux   person",
        "clicked  https://example.com/offer?no=4711&lang=en   Firefox on Linux   person",
        "Nothing is left behind",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    assert_eq!(demos_left(temp.path()), 0);
}

#[test]
fn the_page_is_served_and_ctrl_c_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let child = binary()
        .args(["demo", "--no-open"])
        .env("TMPDIR", temp.path())
        .env_remove("SSH_CONNECTION")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut stdout = BufReader::new(child.0.stdout.take().unwrap());
    let (mut console, mut said) = (None, String::new());
    // Both: the machine's open comes last.
    while !(said.contains("Offer 4711") && said.contains("opened   Hello")) {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "{said}");
        if let Some(rest) = line.trim().strip_prefix("console   http://") {
            console = rest.split(' ').next().map(|address| address.parse().unwrap());
        }
        said.push_str(&line);
    }
    let console = console.unwrap();
    let page = http::get(console, &format!("http://{console}/demo"));
    let text = String::from_utf8(page.body).unwrap();
    assert_eq!(page.status, 200);
    for expected in [
        "Offer 4711",
        "Minutes of Monday",
        "plain text",
        "by a machine only",
        "2 of 3 links",
        "<ins class=\"mark\">",
    ] {
        assert!(text.contains(expected), "no {expected:?} on the page");
    }
    // Another site's page, or another name for this address, gets nothing.
    let two_hosts = http::request(console, "GET", "/demo", &[("Host", "evil.example")]);
    assert_eq!(two_hosts.status, 421);
    assert!(answer_under_the_name(console, "evil.example").starts_with("HTTP/1.1 421"));
    assert!(answer_under_the_name(console, "localhost").starts_with("HTTP/1.1 200"));

    let interrupted =
        std::process::Command::new("kill").args(["-INT", &child.0.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    stdout.read_to_string(&mut said).unwrap();
    assert!(child.0.wait().unwrap().success(), "{said}");
    assert_eq!(demos_left(temp.path()), 0);
}

fn answer_under_the_name(console: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(console).unwrap();
    write!(stream, "GET /demo HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn keep_keeps_store_and_keys() {
    let temp = tempfile::tempdir().unwrap();
    let kept = temp.path().join("kept");
    let mut command = binary();
    command.args(["demo", "--script", "--keep"]).arg(&kept);
    let output = run_to_end(command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["waxseal.db", "links.key"] {
        assert!(kept.join(name).exists(), "{name}");
    }
}
