//! What `waxseal check` finds in a configuration file, through the functions that `run` and `check` call.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use waxseal::config::{self, ProblemKind, Problems};

/// Stands for every secret in `tests/config/*.toml`; nothing that we print may hold it.
const PLANTED: &str = "PLANTED-SECRET";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn everything_said(problems: &Problems) -> String {
    format!("{}{}{problems}{problems:?}{}", problems.render(false), problems.render(true), problems.to_json())
}

/// Each `NAME.toml` gives what stands in `NAME.stderr`; `UPDATE=1` writes that anew.
#[test]
fn every_mistake_is_told_in_these_words() {
    let mut names: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 50, "the files are not where they should be");
    let mut wrong = Vec::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let problems = config::parse(&text, &name, &folder()).expect_err(&name);
        assert!(!everything_said(&problems).contains(PLANTED), "{name} lets a secret out:\n{problems}");
        let said = problems.render(false);
        let expected = path.with_extension("stderr");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{name} says now:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `config/waxseal.toml` is what the table of keys says; `UPDATE=1` writes it anew.
#[test]
fn the_shipped_file_holds_every_key_at_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/waxseal.toml");
    let example = config::example();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &example).unwrap();
    }
    let shipped = fs::read_to_string(&path).unwrap();
    assert_eq!(
        shipped, example,
        "config/waxseal.toml and the table of keys differ; `just bless` writes it anew"
    );

    // As it is; without its comments; and with every default written out: always the same.
    let without_comments: String =
        shipped.lines().filter(|line| !line.starts_with('#')).fold(String::new(), joined);
    let with_defaults: String = shipped.lines().map(uncommented).fold(String::new(), joined);
    assert_ne!(with_defaults, shipped);
    let parse = |text: &str| config::parse(text, "waxseal.toml", Path::new("/etc/waxseal")).unwrap();
    let config = parse(&shipped);
    assert_eq!(config, parse(&without_comments));
    assert_eq!(config, parse(&with_defaults));

    // Each key once in its table.
    let mut table = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in shipped.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if line.starts_with('[') {
            line.clone_into(&mut table);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            assert!(seen.insert((table.clone(), key.to_owned())), "{table} {key} is there twice");
        }
    }
    assert!(seen.len() > 50, "{seen:?}");
}

fn joined(text: String, line: impl AsRef<str>) -> String {
    text + line.as_ref() + "\n"
}

/// A default without its `#`; an example, a sender and a sentence stay what they are.
fn uncommented(line: &str) -> &str {
    let is_setting = |rest: &str| {
        rest == "[[smtp]]"
            || rest.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
                && !rest.ends_with("# example")
    };
    // `[[sender]]` stays a comment, and with it what is in it.
    match line.strip_prefix('#') {
        Some(rest) if is_setting(rest) && !rest.starts_with("aliases") => rest,
        _ => line,
    }
}

#[test]
fn a_password_in_a_file_for_everybody_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's mine.toml");
    fs::write(
        &path,
        "[tracking]\nbase_url = \"http://t.example\"\n[upstream.a]\nhost = \"h.example\"\nauth = \"login\"\nusername = \"a\"\npassword = \"PLANTED-SECRET\"\n",
    )
    .unwrap();
    let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o600, 0o640, 0o660] {
        set_mode(mode);
        let config = config::load(&path).unwrap();
        assert!(!format!("{config:?}").contains(PLANTED));
    }
    for mode in [0o644, 0o604] {
        set_mode(mode);
        let problems = config::load(&path).unwrap_err();
        assert_eq!(problems.kind(), ProblemKind::Config);
        let said = everything_said(&problems);
        assert!(!said.contains(PLANTED), "{said}");
        assert!(said.contains("run: chmod o= '") && said.contains("it'\\''s mine.toml'"), "{said}");
    }
    // Without a secret in it, everybody may read it.
    let text = fs::read_to_string(&path).unwrap().replace("password = \"PLANTED-SECRET\"", "");
    fs::write(&path, text.replace("\"login\"\nusername = \"a\"", "\"none\"")).unwrap();
    assert!(config::load(&path).is_ok());
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let problems = config::load(&folder.path().join("missing.toml")).unwrap_err();
    assert_eq!(problems.kind(), ProblemKind::NotFound);
    assert_eq!(problems.len(), 1);
    assert!(problems.to_string().contains("there is no such file"));

    let problems = config::load(folder.path()).unwrap_err();
    assert_eq!(problems.kind(), ProblemKind::Config);

    let path = folder.path().join("waxseal.toml");
    fs::write(&path, b"[server]\nhostname = \"PLANTED-SECRET\xff\"\n").unwrap();
    let problems = config::load(&path).unwrap_err();
    assert!(problems.to_string().contains("line 2"), "{problems}");
    assert!(!everything_said(&problems).contains(PLANTED));

    fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(config::load(&path).unwrap_err().to_string().contains("octets"));
}

/// Relative paths start from the file's folder, not from where the program was started.
#[test]
fn paths_start_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.toml");
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    fs::write(
        &path,
        "[tracking]\nbase_url = \"http://t.example\"\n[store]\nurl = \"sqlite:a.db\"\n[upstream.a]\nhost = \"h.example\"\nauth = \"login\"\nusername = \"a\"\npassword_file = \"secret\"\n",
    )
    .unwrap();
    assert_eq!(config::load(&path).unwrap().store.database, folder.path().join("a.db"));
}

#[test]
fn records_for_programs() {
    let text =
        "[server]\n  hostnam = \"relay.example.com\"\n[upstream.a]\nhost = \"h.example\"\nauth = \"none\"\n";
    let problems = config::parse(text, "a.toml", Path::new(".")).unwrap_err();
    assert_eq!(
        problems.to_json(),
        serde_json::json!([
            {
                "message": "unknown key `server.hostnam`",
                "level": "error",
                "key": "server.hostnam",
                "file": "a.toml",
                "line": 2,
                "column": 3,
                "note": "not a setting Waxseal knows",
                "help": "did you mean `hostname`?",
            },
            {
                "message": "`tracking.base_url` is missing",
                "level": "error",
                "key": "tracking.base_url",
                "file": "a.toml",
                "line": null,
                "column": null,
                "note": null,
                "help": "write base_url = \"https://t.example.com\" under [tracking]",
            },
        ])
    );
}

/// Colour is for terminals and changes no word; a hostile file brings no escape sequence of its own.
#[test]
fn colour_changes_no_word() {
    let text = "\"\\u001b[2J\" = 1\n[upstream.\"\\u202e\\u001b[31m\"]\nhost = 5\n";
    let problems = config::parse(text, "a\u{1b}[31m.toml", Path::new(".")).unwrap_err();
    let (plain, coloured) = (problems.render(false), problems.render(true));
    assert!(!plain.contains(['\u{1b}', '\u{202e}']), "{plain:?}");
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        stripped += before;
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(stripped + rest, plain);
}

/// Files with a secret in every place where one may stand, and in places where it may not.
const SEEDS: [&str; 3] = [
    r#"
schema = 1
[tracking]
base_url = "https://t.example.com" # PLANTED-SECRET
[tls]
mode = "none"
[[smtp]]
listen = "127.0.0.1:2525"
[upstream.a]
host = "smtp.provider.example"
auth = "login"
username = "relay@example.com"
password = "PLANTED-SECRET"
senders = ["*@a.example"]
[upstream.b]
host = "smtp.provider.example"
auth = "login"
username = "relay@example.com"
password_env = "PLANTED-SECRET"
[[sender]]
address = "ana@example.com"
password_hash = "PLANTED-SECRET"
tracking = { opens = true, links = false }
"#,
    r#"
[upstream]
a = { host = "smtp.provider.example", auth = "login", username = "a", password = "PLANTED-SECRET" }
b = { password = "PLANTED-SECRET", hots = "h.example", oauth = { client_secret = "PLANTED-SECRET" } }
c.password = """
PLANTED-SECRET, which no line break makes a key
"""
c.password_credential = 'PLANTED-SECRET'
[notify]
slack = { webhook_url = "PLANTED-SECRET" }
[[webhook]]
secret = "PLANTED-SECRET"
"#,
    r#"
pasword = "PLANTED-SECRET"
token = ["PLANTED-SECRET", 'PLANTED-SECRET']
[limits]
message_size = 35 # "PLANTED-SECRET"
api_key = '''PLANTED-SECRET'''
[log]
level = "nonsense"
kennwort = "PLANTED-SECRET"
[upstream.a]
password = PLANTED-SECRET
"#,
];

/// A change to a text, by its position in thousandths.
#[derive(Clone, Debug)]
enum Edit {
    Delete(usize),
    Insert(usize, char),
    DropLine(usize),
    RepeatLine(usize, usize),
    JoinLines(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let place = 0usize..1_000;
    let special = prop::sample::select("\"'[]{}=,.#\n\\ \ta1-_*@/:\u{e4}\u{1b}".chars().collect::<Vec<_>>());
    let edit = prop_oneof![
        place.clone().prop_map(Edit::Delete),
        (place.clone(), special).prop_map(|(at, c)| Edit::Insert(at, c)),
        place.clone().prop_map(Edit::DropLine),
        (place.clone(), place.clone()).prop_map(|(from, to)| Edit::RepeatLine(from, to)),
        place.prop_map(Edit::JoinLines),
    ];
    prop::collection::vec(edit, 1..8)
}

fn edited(text: &str, edits: &[Edit]) -> String {
    let mut text = text.to_owned();
    for edit in edits {
        let characters: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            break;
        }
        let line = |at: &usize| at * lines.len() / 1_000;
        text = match edit {
            Edit::Delete(at) => {
                let at = at * characters.len() / 1_000;
                characters[..at].iter().chain(&characters[at + 1..]).collect()
            }
            Edit::Insert(at, c) => {
                let at = at * characters.len() / 1_000;
                characters[..at].iter().chain([c]).chain(&characters[at..]).collect()
            }
            Edit::DropLine(at) => {
                let at = line(at);
                lines.remove(at);
                lines.join("\n")
            }
            Edit::RepeatLine(from, to) => {
                let (from, to) = (line(from), line(to));
                lines.insert(to, lines[from]);
                lines.join("\n")
            }
            Edit::JoinLines(at) => {
                let at = line(at);
                let (before, after) = lines.split_at(at);
                before.join("\n") + &after.join("\n")
            }
        };
    }
    text
}

/// The secret, whole or broken in two by an edit.
fn lets_a_secret_out(said: &str) -> bool {
    said.contains("PLANTED") || said.contains("SECRET")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gets_an_answer(text in "[ -~\n\\PC]{0,200}") {
        if let Err(problems) = config::parse(&text, "a.toml", Path::new("/nonexistent")) {
            prop_assert!(problems.len() > 0 && !everything_said(&problems).is_empty());
        }
    }

    #[test]
    fn no_slip_lets_a_secret_out(seed in 0..SEEDS.len(), edits in edits()) {
        let text = edited(SEEDS[seed], &edits);
        match config::parse(&text, "a.toml", Path::new("/nonexistent")) {
            Ok(config) => {
                let said = format!("{config:?}");
                prop_assert!(!lets_a_secret_out(&said), "{text}\n\n{said}");
            }
            Err(problems) => {
                let said = everything_said(&problems);
                prop_assert!(!lets_a_secret_out(&said), "{text}\n\n{said}");
                prop_assert!(!said.contains("does not know why"), "{text}");
            }
        }
    }

    #[test]
    fn a_slip_in_the_shipped_file_gets_an_answer(edits in edits()) {
        let text = edited(&config::example(), &edits);
        if let Err(problems) = config::parse(&text, "a.toml", Path::new("/nonexistent")) {
            let said = everything_said(&problems);
            prop_assert!(problems.len() > 0 && !said.contains("does not know why"), "{text}");
        }
    }
}
