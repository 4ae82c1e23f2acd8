//! The demo's page in Debian's Chromium, used as a person uses it; the story is `browser/demo.mjs`.

mod harness;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{binary, run_to_end};

/// Ended with the test, whichever way that goes.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs Chromium, Node and `npm ci --prefix tests/browser`: just e2e"]
fn a_person_opens_and_clicks_and_sees_both() {
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    assert!(browser.join("node_modules").exists(), "first run: npm ci --prefix tests/browser");
    let temp = tempfile::tempdir().unwrap();
    let child = binary()
        .args(["demo", "--no-open"])
        .env("TMPDIR", temp.path())
        .env_remove("SSH_CONNECTION")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = |line: &String| line.trim().strip_prefix("console   ").map(str::to_owned);
    let console = lines.find_map(|line| said(&line)).unwrap();
    let console = console.split(' ').next().unwrap().to_owned();
    lines.find(|line| line.contains("Offer 4711")).expect("the seeded messages");
    // Nobody reads the demo's output from here on, and it must not wait for that.
    let rest = std::thread::spawn(move || lines.for_each(drop));

    let mut story = Command::new("node");
    story.arg(browser.join("demo.mjs")).arg(format!("{console}/demo"));
    if let Some(pictures) = std::env::var_os("WAXSEAL_PICTURES") {
        story.arg(pictures);
    }
    let output = run_to_end(story, b"");
    let (told, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{why}");
    println!("{told}");

    drop(child);
    rest.join().unwrap();
}
