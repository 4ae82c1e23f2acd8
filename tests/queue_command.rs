//! `waxseal queue …` on a queue that nobody works, and on one that somebody does.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use envelope::{ForwardPath, MailParameters, Mailbox, RcptParameters, RelayId, ReversePath, Timestamp};
use store::{
    Copies, NewMessage, Queue, QueueState, QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientState,
    SqliteQueue,
};
use tempfile::TempDir;

struct Scratch {
    folder: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let scratch = Self { folder: tempfile::tempdir().unwrap() };
        let file = "[tracking]\nbase_url = \"http://127.0.0.1:1\"\nlisten = \"127.0.0.1:0\"\n\
             [[smtp]]\nlisten = \"127.0.0.1:0\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\n\
             as = \"ana@example.com\"\n\
             [upstream.provider]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nauth = \"none\"\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n";
        std::fs::write(scratch.config(), file).unwrap();
        scratch
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("waxseal.toml")
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Three messages: one new, one tried twice, one damaged and set aside.
    async fn filled(&self) -> SqliteQueue {
        let queue = SqliteQueue::open(&self.spool(), 0).unwrap();
        queue.put(message(1, "ana@example.com", b"Subject: one\r\n\r\nHello\r\n")).await.unwrap();
        queue.put(message(2, "Bo@example.com", &vec![b'x'; 2_000_000])).await.unwrap();
        queue.put(message(3, "ana@example.com", b"Subject: three\r\n\r\nHello\r\n")).await.unwrap();
        for _ in 0..2 {
            let outcome = RecipientOutcome {
                index: 0,
                state: RecipientState::Waiting,
                due_at: Timestamp::from_unix_millis(4_000_000_000_000),
                code: 451,
                reply: "4.7.1 Greylisted\u{1b}[2J, come back".to_owned(),
            };
            queue.settle(id(2), vec![outcome], vec![]).await.unwrap();
        }
        queue.set_aside(id(3), "its content was changed").await.unwrap();
        queue
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut words = args.iter();
        Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .arg("queue")
            .args(words.next())
            .arg("--config")
            .arg(self.config())
            .args(words)
            .stdin(Stdio::null())
            .env("TZ", "UTC")
            .output()
            .unwrap()
    }

    /// Standard output and standard error of a run that must go well.
    fn fine(&self, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{args:?}: {out}{err}");
        (out, err)
    }

    /// The status and standard error of a run that must not.
    fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let (out, err) = texts(&output);
        assert!(!output.status.success(), "{args:?}: {out}{err}");
        (output.status.code().unwrap(), err)
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn id(n: u8) -> RelayId {
    RelayId::new(Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n)), [n; 10])
}

fn message(n: u8, sender: &str, content: &[u8]) -> NewMessage {
    let queued_at = Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n));
    let message = QueuedMessage {
        id: id(n),
        queued_at,
        sender: sender.to_owned(),
        upstream: "provider".to_owned(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse(sender).unwrap()),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: content.len() as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: vec![QueuedRecipient {
            index: 0,
            forward_path: ForwardPath::Mailbox(Mailbox::parse("cy@example.net").unwrap()),
            parameters: RcptParameters::default(),
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: queued_at,
            code: 0,
            reply: String::new(),
        }],
    };
    NewMessage { message, content: Arc::new(content.to_vec()) }
}

#[tokio::test]
async fn the_queue_is_shown_whether_somebody_works_it_or_not() {
    let scratch = Scratch::new();
    let queue = scratch.filled().await;
    let at_work = scratch.fine(&["list"]);
    queue.close().await;
    let (out, err) = scratch.fine(&["list"]);
    assert_eq!((out.clone(), err.clone()), at_work);
    let expected = format!(
        "2026-11-24 08:21:01  {}  ana@example.com → cy@example.net  23 octets\n    waits for provider, due now\n\
         2026-11-24 08:21:01  {}  Bo@example.com → cy@example.net  2000 KB\n    waits for provider, tried 2 times, \
         next 2096-10-02 07:06:40; 451 4.7.1 Greylisted?[2J, come back\n\
         2026-11-24 08:21:01  {}  ana@example.com → cy@example.net  25 octets\n    damaged, set aside: its content \
         was changed\n",
        id(1),
        id(2),
        id(3)
    );
    assert_eq!(out, expected);
    assert_eq!(err, "2 waiting, 0 held, 1 damaged and set aside; 2000 KB.\n");
}

#[tokio::test]
async fn the_list_is_cut_and_sorted_out_and_given_as_json() {
    let scratch = Scratch::new();
    scratch.filled().await.close().await;
    let ids = |args: &[&str]| -> Vec<String> {
        let (out, _) = scratch.fine(args);
        let objects = out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        objects.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = [1, 2, 3].map(|n| id(n).to_string()).into();
    assert_eq!(ids(&["list", "--json"]), all);
    assert_eq!(ids(&["list", "--json", "--limit", "2"]), all[..2]);
    assert_eq!(ids(&["list", "--json", "--sender", "bo@EXAMPLE.com"]), all[1..2]);
    assert_eq!(ids(&["list", "--json", "--sender", "nobody@example.com"]), [""; 0]);
}

#[tokio::test]
async fn one_message_is_shown_by_its_whole_id_or_its_end() {
    let scratch = Scratch::new();
    scratch.filled().await.close().await;
    let (whole, _) = scratch.fine(&["show", &id(2).to_string()]);
    let (short, _) = scratch.fine(&["show", &id(2).short()]);
    assert_eq!(whole, short);
    for expected in [
        "from       <Bo@example.com> (Bo@example.com)",
        "to         <cy@example.net>",
        "tried 2 times; 451 4.7.1",
    ] {
        assert!(whole.contains(expected), "{expected}: {whole}");
    }
    assert!(!whole.contains('\u{1b}'), "{whole}");
    let (json, _) = scratch.fine(&["show", "--json", &id(3).to_string()]);
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["state"]["code"], "set_aside");
    let (content, _) = scratch.fine(&["show", "--content", &id(1).to_string()]);
    assert_eq!(content, "Subject: one\r\n\r\nHello\r\n");
}

#[tokio::test]
async fn a_damaged_content_is_printed_as_it_is() {
    let scratch = Scratch::new();
    scratch.filled().await.close().await;
    let body = scratch.spool().join("bodies").join(id(2).to_string());
    std::fs::write(body, "all that is left").unwrap();
    let output = scratch.run(&["show", "--content", &id(2).to_string()]);
    let (out, err) = texts(&output);
    assert_eq!(out, "all that is left");
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("has 16 octets, of 2000000; what is there was printed"), "{err}");
}

#[tokio::test]
async fn what_is_changed_is_seen_by_who_works_it() {
    let scratch = Scratch::new();
    let queue = scratch.filled().await;
    let now = Timestamp::from_unix_millis(1_900_000_000_000);
    let due = async || {
        let due = queue.due(now, 9, &[]).await.unwrap();
        due.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    let whole = id(2).to_string();
    assert_eq!(due().await, [id(1)]);
    assert!(scratch.fine(&["retry", &whole]).1.contains("is tried next"));
    let mut both = due().await;
    both.sort();
    assert_eq!(both, [id(1), id(2)]);
    assert!(scratch.fine(&["hold", &id(1).to_string()]).1.contains("is held"));
    assert_eq!(due().await, [id(2)]);
    assert!(scratch.fine(&["list"]).0.contains("held; for provider"));
    assert!(scratch.fine(&["retry", &id(1).to_string()]).1.contains("as soon as it is released"));
    assert!(scratch.fine(&["release", &id(1).to_string()]).1.contains("is no longer held"));
    assert!(scratch.fine(&["release", &id(1).to_string()]).1.contains("was not held"));
    assert_eq!(scratch.fine(&["flush"]).1, "2 messages are tried next, if the relay runs.\n");
    let mut both = due().await;
    both.sort();
    assert_eq!(both, [id(1), id(2)]);
    assert!(scratch.fine(&["delete", "--yes", &whole]).1.contains("is deleted"));
    assert_eq!(due().await, [id(1)]);
    assert!(std::fs::read_dir(scratch.spool().join("bodies")).unwrap().next().is_none());
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_changes_nothing() {
    let scratch = Scratch::new();
    let (status, err) = scratch.refused(&["list"]);
    assert_eq!(status, 66);
    assert!(err.contains("there is no queue in"), "{err}");
    assert!(!scratch.spool().exists());

    scratch.filled().await.close().await;
    let before = scratch.fine(&["list", "--json"]);
    for command in ["retry", "hold", "release"] {
        let (status, err) = scratch.refused(&[command, &id(3).to_string()]);
        assert_eq!(status, 1);
        assert!(err.contains("is damaged and set aside: its content was changed"), "{err}");
    }
    for command in ["show", "retry", "hold", "release", "delete"] {
        let (status, err) = scratch.refused(&[command, &id(9).to_string()]);
        assert_eq!(status, 1);
        assert!(err.contains(&format!("there is no message {} in the queue", id(9))), "{err}");
        let (status, err) = scratch.refused(&[command, "no-id"]);
        assert_eq!(status, 2);
        assert!(err.contains("is not the id of a message"), "{err}");
    }
    let (status, err) = scratch.refused(&["delete", &id(1).to_string()]);
    assert_eq!(status, 2);
    assert!(err.contains("say --yes"), "{err}");
    assert_eq!(scratch.fine(&["list", "--json"]), before);
    assert!(is_private(&scratch.spool().join("queue.db")));
}

#[tokio::test]
async fn an_empty_queue_is_said_to_be_one() {
    let scratch = Scratch::new();
    SqliteQueue::open(&scratch.spool(), 0).unwrap().close().await;
    assert_eq!(scratch.fine(&["list"]), (String::new(), "The queue is empty.\n".to_owned()));
    assert_eq!(scratch.fine(&["flush"]).1, "Nothing waits.\n");
}

#[cfg(unix)]
fn is_private(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).unwrap().permissions().mode().is_multiple_of(0o100)
}

#[cfg(not(unix))]
fn is_private(_file: &Path) -> bool {
    true
}
