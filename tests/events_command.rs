//! `waxseal events …`: what is thought of opens and clicks, and how to change it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use envelope::{RelayId, Timestamp};
use serde_json::{Value, json};
use store::{Event, EventKind, EvidenceRule, Settlement, Settling, SqliteStore, Store};
use tempfile::TempDir;
use verdict::{Confidence, Judgement, Trust, Verdict};

struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// A store with two opens that old rules took for a person's; of one it is still known that it was no GET.
    async fn new() -> Self {
        let scratch = Self { folder: tempfile::tempdir().unwrap() };
        let file = "[tracking]\nbase_url = \"http://127.0.0.1:1\"\nlisten = \"127.0.0.1:0\"\n\
             [[smtp]]\nlisten = \"127.0.0.1:0\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\n\
             as = \"ana@example.com\"\n\
             [upstream.provider]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nauth = \"none\"\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n";
        std::fs::write(scratch.folder.path().join("waxseal.toml"), file).unwrap();
        let store = scratch.store();
        for n in [1, 2] {
            store.record_event(open(n)).await.unwrap();
        }
        let newest = *store.committed().borrow();
        let evidence = EvidenceRule::KeepFor(Duration::from_hours(24));
        store.settle(Settlement { upto: newest, evidence, ..Settlement::default() }).await.unwrap();
        store.close().await;
        scratch
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.folder.path().join("waxseal.db")).unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        let config: PathBuf = self.folder.path().join("waxseal.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.arg("events").args(args).env("WAXSEAL_CONFIG", config).env("TZ", "UTC");
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn fine(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Vec<Value> {
        self.fine(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn id(n: u8) -> RelayId {
    RelayId::new(Timestamp::from_unix_millis(1_795_508_461_000), [n; 10])
}

fn open(n: u8) -> Event {
    Event {
        id: id(n),
        at: Timestamp::from_unix_millis(1_795_508_461_000),
        kind: EventKind::Open,
        message: id(100),
        recipient: Some(0),
        link: None,
        about: None,
        judgement: Some(Judgement {
            verdict: Verdict::Human,
            confidence: Confidence::Probable,
            reasons: vec!["browser".to_owned()],
            trust: Trust { time: true, place: true, device: true },
            rules: "of-long-ago".to_owned(),
        }),
        device: Some("Firefox on Linux".to_owned()),
        place: None,
        address: None,
        user_agent: None,
        evidence: if n == 1 { r#"{"method":"HEAD","headers":[]}"#.to_owned() } else { "{}".to_owned() },
    }
}

#[tokio::test]
async fn new_rules_are_tried_and_then_applied() {
    let scratch = Scratch::new().await;
    let report = |dry_run: bool, judged: u64, changes: Value| {
        let changed = changes.as_array().unwrap().len();
        json!({
            "rules": verdict::Rules::builtin().version(),
            "dry_run": dry_run,
            "judged": judged,
            "changed": changed,
            "changes": changes,
        })
    };
    let one = json!([{ "from": "human", "to": "scanner", "count": 1 }]);
    for _ in 0..2 {
        assert_eq!(scratch.json(&["reclassify", "--dry-run", "--json"]), [report(true, 1, one.clone())]);
    }
    assert_eq!(scratch.json(&["--json"]).len(), 2, "nothing was changed");
    let said = scratch.fine(&["reclassify", "--dry-run", "--verbose"]);
    assert!(said.contains(&id(1).to_string()) && said.contains("human → scanner"), "{said}");
    assert!(said.contains("1 would change; nothing was changed"), "{said}");
    assert_eq!(
        scratch.json(&["reclassify", "--json", "--since", "2027-01-01"]),
        [report(false, 0, json!([]))]
    );

    assert_eq!(scratch.json(&["reclassify", "--json"]), [report(false, 1, one)]);
    assert_eq!(scratch.json(&["reclassify", "--json"]), [report(false, 1, json!([]))]);
    let events = scratch.json(&["--json"]);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["judgement"]["verdict"], "scanner");
    assert_eq!(events[0]["first_judgement"]["verdict"], "human");
    assert_eq!(events[2]["kind"], "verdict");
    assert_eq!(events[2]["about"], id(1).to_string());

    let said = scratch.fine(&["--verbose", "--message", &id(100).to_string()]);
    for part in [
        "machine (certainly): method_not_get",
        "method_not_get: The request only checked",
        "first it was: person",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(said.matches("Firefox on Linux").count(), 1, "the scanner's is not believed: {said}");
}

#[tokio::test]
async fn the_sender_has_the_last_word() {
    let scratch = Scratch::new().await;
    let event = id(1).to_string();
    for _ in 0..2 {
        let said = scratch.fine(&["correct", &event, "--me"]);
        assert!(said.contains(&format!("{event} was you")), "{said}");
    }
    let report = &scratch.json(&["reclassify", "--json"])[0];
    assert_eq!((&report["judged"], &report["changed"]), (&json!(0), &json!(0)));
    let events = scratch.json(&["--json"]);
    assert_eq!(events.len(), 3, "said once");
    assert_eq!(events[0]["judgement"]["reasons"], json!(["corrected_me"]));
    assert_eq!(events[0]["corrected"], true);

    let unknown = scratch.run(&["correct", &id(9).to_string(), "--person"]);
    assert_eq!(unknown.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there is no event"));
    for wrong in
        [&["correct", &event][..], &["correct", &event, "--me", "--person"], &["correct", "x", "--me"]]
    {
        assert_eq!(scratch.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let wrong = scratch.run(&["reclassify", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("write 2026-11-01"));
}
