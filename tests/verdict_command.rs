//! `waxseal verdict` and `waxseal intel`, as a person and as a program use them.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_waxseal"))
        .args(args)
        .env_remove("WAXSEAL_CONFIG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that refuses its arguments reads nothing.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn one_case_is_explained_in_sentences() {
    let apple = ["verdict", "--kind", "open", "--ua", "Mozilla/5.0", "--ip", "104.28.42.1", "--after", "41s"];
    let output = run(&apple, b"");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said = out(&output);
    for words in [
        "certainly machine (prefetch)",
        "apple_mpp  Apple's Mail Privacy Protection loads images whether or not the message is read.",
        "neither time, place nor device is the reader's",
        "apple_relay (relay), by the list apple-proxy of 2026-08-22",
        "rules      20",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("device  "), "{said}");

    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    let person = [
        "verdict",
        "--kind",
        "click",
        "--ua",
        firefox,
        "--ip",
        "198.51.100.7",
        "--asn",
        "AS3320",
        "--after",
        "2h",
        "--header",
        "Accept: text/html",
        "--header",
        "Accept-Language: de",
        "--header",
        "Sec-Fetch-Mode: navigate",
        "--context",
        "links_in_message=4",
        "--context",
        "sender_ips=[\"203.0.113.1\"]",
        "--json",
    ];
    let output = run(&person, b"");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["verdict"], "human");
    assert_eq!(said["device"]["client"], "Firefox");
    assert_eq!(said["device"]["kind"], "desktop");
    assert_eq!(said["explained"][0]["code"], said["reasons"][0]);
    assert!(said["explained"][0]["sentence"].as_str().unwrap().ends_with('.'));
    assert_eq!(said["networks"].as_array().unwrap().len(), 0);
}

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_write_instead() {
    for (args, words) in [
        (vec!["--kind", "open", "--after", "41"], "write it with its unit: 41s"),
        (vec!["--kind", "look"], "it is open or click"),
        (vec!["--kind", "open", "--ip", "here"], "invalid IP address"),
        (vec!["--kind", "open", "--header", "Accept"], "--header is 'Name: value'"),
        (vec!["--kind", "open", "--context", "links_in_mesage=4"], "did you mean \"links_in_message\"?"),
        (vec!["--kind", "open", "--context", "links_in_message=many"], "a number"),
        (vec!["--kind", "open", "--jsonl", "-"], "cannot be used with"),
        (vec![], "--kind"),
    ] {
        let output = run(&[vec!["verdict"], args.clone()].concat(), b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).contains(words), "{args:?}: {}", err(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_file_of_evidence_gets_a_line_for_each_line() {
    let lines = [
        r#"{"kind":"open","ua":"Mozilla/5.0","ip":"172.225.10.1","asn":36183.0,"since_accept_s":12,"headers":null}"#,
        r#"{"kind":"click","method":"HEAD","ua":"","ip":"104.47.1.254","context":{"moon":"full"}}"#,
        r#"{"kind":"open""#,
        r#"{"ua":"x"}"#,
        "",
        r#"{"kind":"click","ua":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1","ip":"::ffff:198.51.100.9","since_accept_s":900.5,"headers":{"ACCEPT":"text/html","Accept-Language":"de","Sec-Fetch-Mode":"navigate","Cookie":null},"context":{"links_in_message":3,"distinct_links_within_1s":1,"sender_ips":null}}"#,
    ];
    let output = run(&["verdict", "--jsonl", "-"], (lines.join("\r\n") + "\r\n").as_bytes());
    assert_eq!(output.status.code(), Some(1));
    let said = out(&output);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), lines.len(), "{said:#?}");
    for (line, verdict) in [(0, "prefetch"), (1, "scanner"), (5, "human")] {
        let judged: Value = serde_json::from_str(said[line]).unwrap();
        let keys: Vec<&str> = judged.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["confidence", "reasons", "trust", "verdict"]);
        assert_eq!(judged["verdict"], verdict, "{judged}");
        for what in ["time", "place", "device"] {
            assert!(judged["trust"][what].is_boolean(), "{judged}");
        }
    }
    for line in [2, 3] {
        let told: Value = serde_json::from_str(said[line]).unwrap();
        assert_eq!(told["line"], line + 1);
        assert!(err(&output).contains(&format!(
            "standard input:{}: {}",
            line + 1,
            told["error"].as_str().unwrap()
        )));
    }
    assert_eq!(said[4], "");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.jsonl");
    fs::write(&file, lines[0]).unwrap();
    let output = run(&["verdict", "--jsonl", file.to_str().unwrap()], b"");
    assert_eq!((output.status.code(), out(&output).lines().count()), (Some(0), 1));
    assert_eq!(run(&["verdict", "--jsonl", "/nonexistent/x.jsonl"], b"").status.code(), Some(66));
}

#[test]
fn rules_of_ones_own_are_judged_by() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    let built_in = out(&run(&["intel", "rules"], b""));
    assert!(built_in.contains("\nversion = \""), "{}", &built_in[..200]);
    let own = built_in
        .replace("version = \"", "version = \"house-")
        .replace("\"HEY.com/ImageProxy\"", "\"Wombat\"");
    fs::write(&file, own).unwrap();
    let args = ["verdict", "--rules", file.to_str().unwrap(), "--kind", "open", "--ua", "Wombat/1", "--json"];
    let said: Value = serde_json::from_slice(&run(&args, b"").stdout).unwrap();
    assert_eq!(said["reasons"][0], "unproven_image_proxy");
    assert!(said["rules"].as_str().unwrap().starts_with("house-"));

    fs::write(&file, built_in.replace("wait_s = ", "wayt_s = ").replace("40.92.0.0/15", "40.92.0.0/99"))
        .unwrap();
    let output = run(&args, b"");
    assert_eq!(output.status.code(), Some(78));
    let told = err(&output);
    assert!(told.contains("rules.toml:") && told.contains("wayt_s: is not a key here"), "{told}");
    assert!(told.contains("\"40.92.0.0/99\" is not an address or a prefix"), "{told}");
}

/// A folder of new lists, and one where those in use are kept.
fn update(from: &Path, to: &Path, more: &[&str]) -> Output {
    let args = ["intel", "update", "--from", from.to_str().unwrap(), "--to", to.to_str().unwrap()];
    run(&[&args[..], more].concat(), b"")
}

#[test]
fn lists_are_taken_when_they_are_whole_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("new"), folder.path().join("own"));
    fs::create_dir(&from).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/networks");
    let (v4, v6) = ("linode.ipv4_merged.txt", "linode.ipv6_merged.txt");
    let list = |name: &str| fs::read_to_string(shipped.join(name)).unwrap();
    let dated = |text: &str| format!("# date: 2026-11-20\n# source: test\n{text}");
    fs::write(from.join(v4), dated(&(list(v4) + "203.1.113.0/24\n"))).unwrap();
    fs::write(from.join(v6), list(v6)).unwrap();
    fs::write(from.join("strangers.txt"), "198.18.0.0/15\n").unwrap();
    fs::write(from.join("README.md"), "words").unwrap();

    let output = update(&from, &to, &["--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("1 added, 0 removed (2026-08-22 → 2026-11-20)"), "{}", out(&output));
    assert!(err(&output).contains("strangers: not used by the rules"), "{}", err(&output));
    assert!(!to.exists());

    assert_eq!(update(&from, &to, &[]).status.code(), Some(0));
    let written: Vec<_> = fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(written, ["linode.txt"]);
    let asked =
        ["verdict", "--lists", to.to_str().unwrap(), "--kind", "open", "--ip", "203.1.113.9", "--json"];
    let said: Value = serde_json::from_slice(&run(&asked, b"").stdout).unwrap();
    assert_eq!(said["networks"][0]["list"], "linode", "{said}");
    assert_eq!(said["networks"][0]["date"], "2026-11-20");

    // Each of these is refused, and changes nothing.
    let before = fs::read(to.join("linode.txt")).unwrap();
    let half: String = list(v4).lines().take(50).fold(String::new(), |text, line| text + line + "\n");
    for (text, words) in [
        (half, "entries left"),
        (String::new(), "has lost all of IPv4"),
        (dated(&list(v4)).replace("2026-11-20", "2026-08-01"), "older than the one in use"),
        (dated(list(v4).trim_end()), "does not end with a line end"),
        (dated(&list(v4)) + "0.0.0.0/0\n", "wider than anybody's"),
        (dated(&list(v4)) + "<html>\n", "is not an address or a prefix"),
    ] {
        fs::write(from.join(v4), &text).unwrap();
        let output = update(&from, &to, &[]);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(err(&output).contains(words), "{words}: {}", err(&output));
        assert_eq!(fs::read(to.join("linode.txt")).unwrap(), before, "{words}");
    }
    fs::write(from.join(v4), dated(list(v4).trim_end())).unwrap();
    assert_eq!(update(&from, &to, &["--force"]).status.code(), Some(0));
    assert_ne!(fs::read(to.join("linode.txt")).unwrap(), before);

    let empty = tempfile::tempdir().unwrap();
    let output = update(empty.path(), &to, &[]);
    assert_eq!(output.status.code(), Some(66));
    assert!(err(&output).contains("there is no list in"), "{}", err(&output));
}

#[test]
fn the_publishers_own_files_can_be_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("new"), folder.path().join("own"));
    fs::create_dir(&from).unwrap();
    fs::write(
        from.join("egress-ip-ranges.csv"),
        "198.51.99.0/27,GB,GB-EN,London,\n2a04:4e41:64::/45,DE,DE-BE,Berlin,\n",
    )
    .unwrap();
    fs::write(
        from.join("crawler-user-agents.json"),
        r#"[{"pattern":"wombat","addition_date":"2026/11/01"}]"#,
    )
    .unwrap();
    // Two networks instead of thirteen thousand: nothing a person would not be asked about.
    assert_eq!(update(&from, &to, &[]).status.code(), Some(1));
    let output = update(&from, &to, &["--force", "--date", "2026-11-24"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let lists = to.to_str().unwrap();
    let judged = |more: &[&str]| -> Value {
        let args = [&["verdict", "--lists", lists, "--json"], more].concat();
        serde_json::from_slice(&run(&args, b"").stdout).unwrap()
    };
    let apple = judged(&["--kind", "open", "--ua", "Mozilla/5.0", "--ip", "198.51.99.7"]);
    assert_eq!((&apple["verdict"], &apple["confidence"]), (&"prefetch".into(), &"certain".into()));
    assert_eq!(apple["networks"][0]["date"], "2026-11-24");
    assert_eq!(judged(&["--kind", "click", "--ua", "wombat/1"])["reasons"][0], "bot_list");
}

#[test]
fn the_lists_in_use_are_listed_with_their_dates() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("waxseal.toml");
    fs::create_dir(folder.path().join("lists")).unwrap();
    fs::write(folder.path().join("lists/google.txt"), "# date: 2026-06-01\n34.64.0.0/10\n").unwrap();
    let file = "[tracking]\nbase_url = \"http://127.0.0.1:1\"\n[upstream.a]\nhost = \"smtp.provider.example\"\n\
         auth = \"pass-through\"\n[intel]\nlists = \"lists\"\n";
    fs::write(&config, file).unwrap();
    let config = config.to_str().unwrap();
    let said = out(&run(&["intel", "list", "-c", config], b""));
    let google = said.lines().find(|line| line.starts_with("google ")).unwrap();
    assert!(google.contains("2026-06-01") && google.contains("the one built in is newer"), "{google}");
    assert!(said.contains("apple-proxy") && said.contains("(built in)"), "{said}");
    let lists = out(&run(&["intel", "list", "-c", config, "--json"], b""));
    for line in lists.lines() {
        let list: Value = serde_json::from_str(line).unwrap();
        assert_eq!(list["built_in"], list["name"] != "google", "{list}");
        assert!(list["date"].is_string() && list["entries"].as_u64().unwrap() > 0, "{list}");
    }
    assert_eq!(lists.lines().count(), 9);
    // And judged by.
    let args = ["verdict", "-c", config, "--kind", "open", "--ip", "34.64.0.1", "--json"];
    let judged: Value = serde_json::from_slice(&run(&args, b"").stdout).unwrap();
    assert_eq!(judged["networks"][0]["date"], "2026-06-01");
}
