//! Keys are rotated and moved, and a machine that has nothing but the keys redirects.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use harness::client::Client;
use harness::http;
use harness::provider::{Provider, Script};
use harness::{Relay, binary, free_address, open_listener, plain_upstream, run_to_end};

const MAIL: &[u8] =
    b"From: ana@example.com\r\nTo: jo@example.net\r\nSubject: x\r\nContent-Type: text/html\r\n\r\n\
<p><a href=\"https://example.org/a\">see</a></p>\r\n";
const TARGET: &str = "https://example.org/a";

/// The link and the pixel of the newest mail.
fn tracked(provider: &Provider) -> (String, String) {
    let text = String::from_utf8(provider.received().pop().unwrap().content).unwrap();
    let url = |mark: &str| {
        let from = text.find(mark).unwrap_or_else(|| panic!("no {mark} in {text}"));
        let start = text[..from].rfind("http").unwrap();
        text[start..].split(['"', '\'', '<', ' ', '\r']).next().unwrap().to_owned()
    };
    (url("/c/"), url("/o/"))
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn keys(folder: &Path) -> Vec<serde_json::Value> {
    let output = binary().args(["keys", "list", "--json", "-c", "waxseal.toml"]).current_dir(folder).output();
    stdout(&output.unwrap()).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn redirects(host: std::net::SocketAddr, url: &str) -> bool {
    let path = &url[url.find("/c/").unwrap()..];
    let answer = http::request(host, "GET", path, &[]);
    match answer.status {
        302 => answer.header("location") == Some(TARGET),
        404 if answer.header("location").is_none() => false,
        other => panic!("{other}: {}", answer.head),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_links_lead_on_after_a_rotation_and_a_restart() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (old, _) = tracked(&provider);
    let first = keys(relay.folder.path());
    assert_eq!((first.len(), first[0]["signs"].as_bool()), (1, Some(true)));
    assert!(first[0]["made_at"].as_str().unwrap().starts_with("20"));

    let said = stdout(&relay.command(&["keys", "rotate"]));
    let now = keys(relay.folder.path());
    let (new_id, old_id) = (now[0]["id"].as_str().unwrap(), first[0]["id"].as_str().unwrap());
    assert_eq!((now.len(), now[0]["signs"].as_bool(), now[1]["id"].as_str()), (2, Some(true), Some(old_id)));
    assert!(said.contains(&format!("{new_id} signs from the next start on")), "{said}");
    // Once more in the same hour, as a timer that fires twice would.
    let said = stdout(&relay.command(&["keys", "rotate", "--if-older-than", "90"]));
    assert!(said.contains("nothing was changed"), "{said}");
    for file in ["links.key", "links.key.bak"] {
        assert_eq!(fs::metadata(relay.path(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }

    // The process that runs signs with what it has; both its links and the next one's are good for ever.
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (between, _) = tracked(&provider);
    assert!(redirects(relay.tracking, &between));
    let (folder, smtp, tracking) = relay.kill();
    let relay = Relay::start_in(folder, smtp, tracking);
    assert!(Client::greeted(relay.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (new, _) = tracked(&provider);
    for url in [&old, &between, &new] {
        assert!(redirects(relay.tracking, url), "{url}");
    }
    // Only the new one needs the new key.
    fs::write(relay.path("alone.key"), fs::read_to_string(relay.path("links.key.bak")).unwrap()).unwrap();
    let opens = |keys: &seal::Keys, url: &str| keys.open_link(&url[url.find("/c/").unwrap() + 3..]).is_some();
    let before = seal::Keys::parse(&fs::read_to_string(relay.path("alone.key")).unwrap()).unwrap();
    assert_eq!([&old, &between, &new].map(|url| opens(&before, url)), [true, true, false]);
    assert_eq!(relay.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_only_the_keys_redirects() {
    let provider = Provider::start(Script::default()).await;
    let sender = Relay::start(provider.address);
    assert!(Client::greeted(sender.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (link, pixel) = tracked(&provider);

    let (folder, tracking) = (tempfile::tempdir().unwrap(), free_address());
    // No upstream, no listener: this node hands nothing on.
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n"
    );
    fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    let here =
        |args: &[&str]| binary().args(args).args(["-c", "waxseal.toml"]).current_dir(folder.path()).output();

    // Without keys it does not begin, and makes none: they would open nothing.
    let refused = here(&["run", "--only", "track", "--without-store"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("waxseal keys export"), "{said}");
    assert_eq!(here(&["run", "--without-store"]).unwrap().status.code(), Some(2));
    assert_eq!(here(&["check"]).unwrap().status.code(), Some(78), "with mail there has to be an upstream");
    assert!(here(&["check", "--only", "track"]).unwrap().status.success());

    let exported = sender.command(&["keys", "export"]);
    assert!(String::from_utf8_lossy(&exported.stderr).contains("Secret"));
    let text = stdout(&exported);
    for (round, expected) in ["1 key added", "nothing was changed"].into_iter().enumerate() {
        let mut import = binary();
        import.args(["keys", "import", "-", "-c", "waxseal.toml"]).current_dir(folder.path());
        let said = stdout(&run_to_end(import, text.as_bytes()));
        assert!(said.contains(expected), "round {round}: {said}");
    }

    let mut node = Relay::start_as(folder, free_address(), tracking, &["--only", "track", "--without-store"]);
    assert!(redirects(node.tracking, &link));
    let answer = http::request(node.tracking, "GET", &pixel[pixel.find("/o/").unwrap()..], &[]);
    assert_eq!((answer.status, answer.body.len()), (200, 43));
    assert!(node.log().contains("recorded nowhere"));
    let mut names: Vec<_> = fs::read_dir(node.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["links.key", "links.key.lock", "waxseal.toml"], "no store, no spool");
    assert_eq!(node.stop(), 0);
}

/// One's own link under the keys of somebody else is a stranger's.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_installation_join_without_taking_over() {
    let provider = Provider::start(Script::default()).await;
    let (one, other) = (Relay::start(provider.address), Relay::start(provider.address));
    assert!(Client::greeted(other.smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    let (link, _) = tracked(&provider);
    assert!(!redirects(one.tracking, &link));

    let file = one.path("other.keys");
    let file = file.to_str().unwrap();
    for _ in 0..2 {
        stdout(&other.command(&["keys", "export", file]));
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let signing = keys(one.folder.path())[0]["id"].clone();
    for _ in 0..2 {
        stdout(&one.command(&["keys", "import", file]));
        let now = keys(one.folder.path());
        assert_eq!((now.len(), &now[0]["id"]), (2, &signing));
    }
    // A file that holds something else is not written over, and what is no key file changes nothing.
    fs::write(file, "mine").unwrap();
    assert!(!other.command(&["keys", "export", file]).status.success());
    assert!(!one.command(&["keys", "import", file]).status.success());
    assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    assert_eq!(keys(one.folder.path()).len(), 2);

    let (folder, smtp, tracking) = one.kill();
    let one = Relay::start_in(folder, smtp, tracking);
    assert!(redirects(one.tracking, &link));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_key_signs_when_it_is_told_to() {
    let provider = Provider::start(Script::default()).await;
    let relay = Relay::start(provider.address);
    let first = keys(relay.folder.path())[0]["id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        stdout(&relay.command(&["keys", "rotate", "--prepare"]));
        let now = keys(relay.folder.path());
        assert_eq!((now.len(), now[0]["id"].as_str()), (2, Some(first.as_str())), "twice is once");
    }
    let second = keys(relay.folder.path())[1]["id"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        stdout(&relay.command(&["keys", "rotate", "--to", &second]));
        assert_eq!(keys(relay.folder.path())[0]["id"].as_str(), Some(second.as_str()));
    }
    assert_eq!(relay.command(&["keys", "rotate", "--to", "00000000"]).status.code(), Some(2));
    assert_eq!(keys(relay.folder.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_and_endpoint_run_apart_on_one_store() {
    let provider = Provider::start(Script::default()).await;
    let (folder, smtp, tracking) = (tempfile::tempdir().unwrap(), free_address(), free_address());
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
         [store]\nurl = \"sqlite:{0}/waxseal.db\"\nspool = \"{0}/spool\"\nsigning_key_file = \"{0}/links.key\"\n{1}{2}delivery = \"queue\"\n",
        folder.path().display(),
        open_listener(smtp),
        plain_upstream(provider.address)
    );
    let other = tempfile::tempdir().unwrap();
    for place in [folder.path(), other.path()] {
        fs::write(place.join("waxseal.toml"), &config).unwrap();
    }
    let relay = Relay::start_as(folder, smtp, tracking, &["--only", "relay"]);
    assert!(std::net::TcpStream::connect(tracking).is_err(), "the endpoint is another process's");
    let endpoint = Relay::start_as(other, smtp, tracking, &["--only", "track"]);
    assert!(Client::greeted(smtp).mail(&["jo@example.net"], MAIL).starts_with("250"));
    harness::eventually("it is handed on", || provider.received().pop());
    let (link, _) = tracked(&provider);
    assert!(redirects(tracking, &link));
    harness::eventually("the click", || (endpoint.json("events").len() == 1).then_some(()));
    assert_eq!(relay.json("events").len(), 1);
    assert_eq!((endpoint.stop(), relay.stop()), (0, 0));
}
