//! `waxseal upstream test`, `list` and `login`, and mail that goes out with the token it got.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::certificates::Authority;
use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{Relay, binary, free_address, open_listener, run_to_end};
use serde_json::Value;

/// A folder with a configuration whose upstreams are these.
fn folder_with(upstreams: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[tracking]\nbase_url = \"https://t.example.com\"\n[tls]\nmode = \"none\"\n[store]\nurl = \"sqlite:waxseal.db\"\n\
         spool = \"spool\"\nsigning_key_file = \"links.key\"\n{}{upstreams}",
        open_listener(free_address())
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    folder
}

/// Exit status, standard output, standard error.
fn upstream(folder: &tempfile::TempDir, args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut command = binary();
    command.arg("upstream").args(args).args(["-c", "waxseal.toml"]).current_dir(folder.path());
    let output = run_to_end(command, input);
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_step_by_step_how_far_it_came() {
    let authority = Authority::new();
    let script = |name: &str| Script {
        extensions: vec!["SIZE 1000", "8BITMIME", "AUTH PLAIN LOGIN"],
        tls: Some(authority.server(name)),
        implicit: true,
        login: Some("\0ana@example.com\0hunter2"),
        ..Script::default()
    };
    let good = Provider::start(script("localhost")).await;
    let other = Provider::start(script("mail.example.net")).await;
    let table = |name: &str, address: SocketAddr, rest: &str| {
        format!(
            "[upstream.{name}]\nhost = \"localhost\"\nport = {}\nca_file = \"ca.pem\"\nsenders = [\"*@{name}.example\"]\n{rest}\n",
            address.port()
        )
    };
    let login = |password: &str| {
        format!("auth = \"login\"\nusername = \"ana@example.com\"\npassword = \"{password}\"")
    };
    let folder = folder_with(
        &[
            table("good", good.address, &login("hunter2")),
            table("wrong", good.address, &login("wrong-one")),
            table("own", good.address, "auth = \"pass-through\""),
            table("other", other.address, "auth = \"none\""),
            table("away", free_address(), "auth = \"none\""),
        ]
        .concat(),
    );
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let chmod =
        std::process::Command::new("chmod").args(["600", "waxseal.toml"]).current_dir(folder.path()).status();
    assert!(chmod.unwrap().success());

    let (status, out, err) = upstream(&folder, &["test", "good"], b"");
    assert_eq!(status, 0, "{out}{err}");
    let steps: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(steps, ["connect", "tls", "greeting", "ehlo", "login", "good"], "{out}");
    for said in
        ["TLSv1.3; certificate for localhost, issued by", "SIZE=1000 8BITMIME; AUTH PLAIN LOGIN", "by PLAIN"]
    {
        assert!(out.contains(said), "no {said:?} in\n{out}");
    }

    let (status, out, _) = upstream(&folder, &["test", "wrong"], b"");
    assert_eq!(status, 77, "{out}");
    assert!(out.contains("FAIL") && out.contains("535 5.7.8 Username and Password not accepted"), "{out}");
    assert!(out.contains("app password") && !out.contains("wrong-one"), "{out}");

    let (status, out, _) = upstream(&folder, &["test", "other", "--json"], b"");
    assert_eq!(status, 69);
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let error = last["error"].as_str().unwrap();
    assert!(
        error.starts_with("the certificate of localhost was refused: it is not for localhost; it is for mail.example.net, issued by"),
        "{error}"
    );

    let (status, out, _) = upstream(&folder, &["test", "away"], b"");
    assert_eq!(status, 69, "{out}");
    assert!(out.contains("could not connect to localhost"), "{out}");

    // Without a login it ends before one; with one it asks for the password.
    let (status, out, _) = upstream(&folder, &["test", "own"], b"");
    assert!(status == 0 && !out.contains("by PLAIN"), "{out}");
    let (status, out, _) = upstream(&folder, &["test", "own", "--login", "ana@example.com"], b"hunter2\n");
    assert!(status == 0 && out.contains("by PLAIN"), "{out}");

    let (status, _, err) = upstream(&folder, &["test", "nobody"], b"");
    assert!(status == 2 && err.contains("there are: good, wrong, own, other, away"), "{err}");
    let (status, out, _) = upstream(&folder, &["list"], b"");
    assert!(
        status == 0
            && out.starts_with(&format!("good  localhost:{}  tls implicit, auth login", good.address.port())),
        "{out}"
    );
    assert!(good.received().is_empty(), "nothing is sent");
}

/// By code: its challenge and redirect URI.
type Codes = Arc<Mutex<HashMap<String, (String, String)>>>;

/// An authorisation server whose first token is over at once. Ends with the test.
fn authorisation_server() -> (u16, Codes) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let codes = Codes::default();
    let known = codes.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
            let granted = form["client_id"] == "id-1" && form["client_secret"] == "client-secret" && {
                let mut known = known.lock().unwrap();
                match form["grant_type"].as_str() {
                    "refresh_token" => form["refresh_token"] == "refresh1",
                    _ => known.remove(&form["code"]).is_some_and(|(challenge, redirect_uri)| {
                        // The second reader of RFC 7636 is not ours.
                        let digest = rustls::crypto::aws_lc_rs::default_provider()
                            .cipher_suites
                            .iter()
                            .find_map(|suite| suite.tls13().map(|suite| suite.common.hash_provider))
                            .filter(|hash| hash.output_len() == 32);
                        let is_right = digest.is_none_or(|hash| {
                            URL_SAFE_NO_PAD.encode(hash.hash(form["code_verifier"].as_bytes())) == challenge
                        });
                        is_right && redirect_uri == form["redirect_uri"]
                    }),
                }
            };
            let answer = match (granted, form["grant_type"].as_str()) {
                (false, _) => r#"{"error":"invalid_grant"}"#,
                (true, "refresh_token") => r#"{"access_token":"access2","expires_in":3600}"#,
                _ => {
                    r#"{"access_token":"access1","expires_in":1,"refresh_token":"refresh1","refresh_token_expires_in":604800}"#
                }
            };
            let status = if granted { 200 } else { 400 };
            let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{answer}", answer.len());
        }
    });
    (port, codes)
}

fn get(port: u16, target: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_mail_goes_out_with_a_token_that_was_renewed() {
    let (server, codes) = authorisation_server();
    let provider = Provider::start(Script {
        extensions: vec!["AUTH XOAUTH2"],
        login: Some("user=ana@example.com\x01auth=Bearer access2\x01\x01"),
        ..Script::default()
    })
    .await;
    let mut relay = Relay::start_with(|smtp| {
        format!(
            "{}[upstream.google]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nauth = \"xoauth2\"\n\
             oauth = {{ authorize_url = \"http://127.0.0.1:{server}/auth\", token_url = \"http://127.0.0.1:{server}/token\", scope = \"mail\", client_id = \"id-1\" }}\n",
            open_listener(smtp),
            provider.address.port()
        )
    });
    let mut client = Client::greeted(relay.smtp);
    let reply = client.mail(&["jo@example.net"], b"Subject: x\r\n\r\nx\r\n");
    assert!(reply.starts_with("454 4.7.0 There is no sign-in for ana@example.com"), "{reply}");
    // The secret of the registration comes in a file; with a wrong one nobody gets in.
    let path = relay.path("waxseal.toml");
    let with_secret = std::fs::read_to_string(&path)
        .unwrap()
        .replace("client_id = \"id-1\"", "client_id = \"id-1\", client_secret_file = \"./secrets/client\"");
    std::fs::create_dir(relay.path("secrets")).unwrap();
    std::fs::write(relay.path("secrets/client"), "client-secret\n").unwrap();
    std::fs::write(&path, with_secret).unwrap();

    let mut child = binary()
        .args(["upstream", "login", "google", "ana@example.com", "--wait", "30", "-c", "waxseal.toml"])
        .current_dir(relay.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut link = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut link).unwrap();
    let link = url::Url::parse(link.trim()).unwrap();
    let query: HashMap<String, String> = link.query_pairs().into_owned().collect();
    let redirect = url::Url::parse(&query["redirect_uri"]).unwrap();
    assert_eq!((redirect.host_str(), query["code_challenge_method"].as_str()), (Some("127.0.0.1"), "S256"));
    codes
        .lock()
        .unwrap()
        .insert("the code".into(), (query["code_challenge"].clone(), query["redirect_uri"].clone()));
    let back = redirect.port().unwrap();
    // Others who come by are sent away, and do no harm.
    for target in ["/favicon.ico", "/?code=evil", "/?code=evil&state=guess", "/?state="] {
        assert!(get(back, target).starts_with("HTTP/1.1 404"), "{target}");
    }
    let answer = get(back, &format!("/?state={}&code=the+code", query["state"]));
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("Signed in"), "{answer}");
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // It is on disk, sealed.
    for file in std::fs::read_dir(relay.path("oauth")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(
            text.contains("ana@example.com") && !text.contains("refresh1") && !text.contains("access1"),
            "{text}"
        );
    }
    let listed = relay.command(&["upstream", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["sign_ins"][0]["address"], "ana@example.com");
    assert!(listed["sign_ins"][0]["refresh_expires"].is_string(), "{listed}");

    // The relay that runs has no secret yet, so it is told no; the next has one.
    let log = relay.log();
    assert!(!log.contains("access1") && !log.contains("refresh1"), "{log}");
    let (folder, smtp, tracking) = relay.kill();
    let mut relay = Relay::start_in(folder, smtp, tracking);
    let reply = Client::greeted(relay.smtp).mail(&["jo@example.net"], b"Subject: x\r\n\r\nx\r\n");
    assert!(reply.starts_with("250"), "{reply}\n{}", relay.log());
    assert_eq!(provider.received().len(), 1);
    let output = relay.command(&["upstream", "test", "google", "--login", "ana@example.com"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("by XOAUTH2"));
}
