//! One click, and no more mail of that sender's arrives.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;

use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{PATIENCE, Relay, eventually, free_address, http, open_listener, plain_upstream, run_to_end};

const HTML: &str = "<p>Hi <a href=\"https://example.org/a\">see</a></p>\r\n";

fn mail(more: &str) -> Vec<u8> {
    format!("From: ana@example.com\r\nTo: jo@example.net\r\nSubject: x\r\n{more}Content-Type: text/html\r\n\r\n{HTML}")
        .into_bytes()
}

/// A relay that says https, as if a proxy in front of it did TLS.
fn relay(provider: SocketAddr, rest: &str, of_upstream: &str) -> Relay {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, tracking) = (free_address(), free_address());
    let config = format!(
        "[tracking]\nbase_url = \"https://t.example.com\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
         [tls]\nmode = \"none\"\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n\
         [unsubscribe]\n{rest}\n{}{}{of_upstream}",
        open_listener(smtp),
        plain_upstream(provider)
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    Relay::start_in(folder, smtp, tracking)
}

/// The path of the one-click URL, if there is one in the header.
fn one_click(content: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(content).into_owned();
    let header = text.split("\r\n\r\n").next().unwrap().to_owned();
    let found =
        header.split("List-Unsubscribe: <https://t.example.com").nth(1)?.split('>').next()?.to_owned();
    assert_eq!(
        header.matches("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n").count(),
        1,
        "{header}"
    );
    Some(found)
}

fn post(host: SocketAddr, path: &str, media_type: &str, body: &str) -> http::Answer {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: t.example.com\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(body.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    http::Answer { status, head, body: answer[end + 4..].to_vec() }
}

const FORM: &str = "application/x-www-form-urlencoded";
const CLICK: &str = "List-Unsubscribe=One-Click";

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn suppressed(relay: &Relay) -> Vec<serde_json::Value> {
    let listed = said(&relay.command(&["suppress", "list", "--json"]));
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reasons(relay: &Relay) -> Vec<String> {
    let newest = relay.json("messages").remove(0);
    newest["reasons"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_click_and_no_more_mail() {
    let provider = Provider::start(Script::default()).await;
    let mut relay = relay(provider.address, "add = \"when-tracked\"\nmailto = \"u@example.com\"", "");
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["Jo@Example.net"], &mail("")).starts_with("250"));
    let content = provider.received().pop().unwrap().content;
    let path = one_click(&content).expect("there is a List-Unsubscribe");
    let text = String::from_utf8(content).unwrap();
    // On top, and nothing of the client's own header was touched.
    let added = format!(
        "List-Unsubscribe: <https://t.example.com{path}>,\r\n <mailto:u@example.com?subject=unsubscribe%20{}>\r\n\
         List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFrom: ana@example.com\r\nTo: jo@example.net\r\nSubject: x\r\n\
         Content-Type: text/html\r\n\r\n",
        &path[3..]
    );
    assert!(text.starts_with("Received: ") && text.contains(&added), "{text}");
    assert!(reasons(&relay).contains(&"unsubscribe_added".to_owned()));

    // Programs that look at mail fetch every link in it: that changes nothing.
    for method in ["GET", "HEAD"] {
        let page = http::request(relay.tracking, method, &path, &[]);
        assert_eq!((page.status, page.header("location"), page.header("set-cookie")), (200, None, None));
        assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"));
    }
    let page = http::request(relay.tracking, "GET", &path, &[]);
    let page = String::from_utf8(page.body).unwrap();
    assert!(
        page.contains("ana@example.com")
            && page.contains("<form method=\"post\">")
            && !page.contains("<script")
    );
    assert!(!page.contains("jo@") && !page.contains("Jo@"), "who it is does not stand there");
    for method in ["PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = http::request(relay.tracking, method, &path, &[]);
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    }
    for (media_type, body, status) in [
        (FORM, "", 422),
        (FORM, "List-Unsubscribe=no", 422),
        ("application/json", "{}", 422),
        (FORM, &"x".repeat(5_000), 413),
    ] {
        assert_eq!(post(relay.tracking, &path, media_type, body).status, status, "{body:.40}");
    }
    let mut cut = path.clone();
    cut.pop();
    for unknown in [cut.as_str(), "/u/", "/u/AAAA", &path.replace("/u/", "/r/")] {
        let answer = post(relay.tracking, unknown, FORM, CLICK);
        assert!(
            [404, 405].contains(&answer.status) && answer.header("location").is_none(),
            "{}",
            answer.status
        );
    }
    assert_eq!(suppressed(&relay), [] as [serde_json::Value; 0]);

    // It, and it again, in both forms.
    let parts =
        "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
    for (media_type, body) in [(FORM, CLICK), (FORM, CLICK), ("multipart/form-data; boundary=x", parts)] {
        let done = post(relay.tracking, &path, media_type, body);
        assert_eq!((done.status, done.header("location"), done.header("set-cookie")), (200, None, None));
        assert!(String::from_utf8_lossy(&done.body).contains("unsubscribed"));
        let list = suppressed(&relay);
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(
            (list[0]["sender"].as_str(), list[0]["address"].as_str(), list[0]["reason"].as_str()),
            (Some("ana@example.com"), Some("jo@example.net"), Some("unsubscribed"))
        );
    }
    let events: Vec<_> =
        relay.json("events").into_iter().filter(|event| event["kind"] == "unsubscribe").collect();
    assert_eq!((events.len(), events[0]["recipient"].as_u64()), (1, Some(0)));
    let line = relay.wait_for_log("a recipient unsubscribed");
    assert!(!line.contains("jo@"), "{line}");

    // At once, whatever the case of letters, and only for him.
    for address in ["jo@example.net", "JO@EXAMPLE.NET"] {
        let refused = client.mail(&[address], &mail(""));
        assert_eq!(refused, format!("550 5.7.1 {address} has unsubscribed from your mail\r\n"));
        client.say("RSET");
    }
    let before = provider.received().len();
    assert!(client.mail(&["jo@example.net", "kim@example.net"], &mail("")).starts_with("250"));
    let received = provider.received();
    assert_eq!(
        (received.len(), &received[before].recipients),
        (before + 1, &vec!["kim@example.net".to_owned()])
    );
    assert!(reasons(&relay).contains(&"recipient_suppressed".to_owned()));
    let recipients = relay.json("messages").remove(0)["recipients"].clone();
    assert_eq!((recipients[0]["code"].as_u64(), recipients[1]["code"].as_u64()), (Some(550), Some(250)));

    // Off the list by hand, and it goes again.
    said(&relay.command(&["suppress", "remove", "jo@example.net", "--sender", "ana@example.com"]));
    eventually("the relay sees it", || {
        let reply = client.mail(&["jo@example.net"], &mail(""));
        client.say("RSET");
        reply.starts_with("250").then_some(())
    });
    assert_eq!(relay.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_where_it_can_be_told_who_unsubscribes_and_never_beside_ones_own() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay(provider.address, "add = \"when-tracked\"", "");
    let mut client = Client::greeted(relay.smtp);
    let own = "List-Unsubscribe: <https://lists.example/x>\r\n";
    let signed = "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=a; h=from; bh=x; b=y\r\n";
    for (to, more, reason) in [
        (vec!["jo@example.net"], own, Some("unsubscribe_own")),
        (vec!["jo@example.net", "kim@example.net"], "", Some("unsubscribe_shared")),
        (vec!["jo@example.net"], "X-Waxseal-Track: none; once\r\n", None),
        (vec!["jo@example.net"], signed, None),
    ] {
        assert!(client.mail(&to, &mail(more)).starts_with("250"));
        let content = provider.received().pop().unwrap().content;
        let text = String::from_utf8(content.clone()).unwrap();
        assert_eq!(one_click(&content), None, "{text}");
        assert_eq!(text.matches("List-Unsubscribe").count(), usize::from(more == own), "{text}");
        let reasons = reasons(&relay);
        let ours: Vec<_> = reasons.iter().filter(|code| code.starts_with("unsubscribe")).collect();
        assert_eq!(ours, reason.iter().collect::<Vec<_>>(), "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_has_its_own_and_one_who_unsubscribes_gets_no_copy_that_waits() {
    let refuses = [("MAIL".to_owned(), harness::provider::Behaviour::Say("451 4.3.0 later"))];
    let provider = Provider::start(Script { at: refuses.into(), ..Script::default() }).await;
    let queue = "delivery = \"queue\"\nfan_out = true\nunsubscribe = \"always\"\nretry = { first = \"1s\", longest = \"1s\", give_up = \"1h\" }\n";
    let skipping = relay(provider.address, "on_suppressed = \"skip\"", queue);
    let mut client = Client::greeted(skipping.smtp);
    let everybody = ["jo@example.net", "kim@example.net", "lee@example.net"];
    // Not tracked, and yet a copy each: there is something to tell them apart by.
    assert!(client.mail(&everybody, &mail("X-Waxseal-Track: none; once\r\n")).starts_with("250"));
    assert!(reasons(&skipping).contains(&"unsubscribe_added".to_owned()));
    said(&skipping.command(&["suppress", "add", "KIM@example.net", "--reason", "bounced"]));
    assert_eq!(provider.received().len(), 0);
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    provider.does("MAIL", None);
    eventually("the others are handed on", || (provider.received().len() == 2).then_some(()));
    let received = provider.received();
    let mut to: Vec<_> = received.iter().map(|mail| mail.recipients.join(",")).collect();
    to.sort();
    assert_eq!(to, ["jo@example.net", "lee@example.net"]);
    let paths: Vec<_> = received.iter().map(|mail| one_click(&mail.content).unwrap()).collect();
    assert_ne!(paths[0], paths[1]);
    for mail in &received {
        assert!(mail.content.ends_with(HTML.as_bytes()), "the body is as it was");
    }
    eventually("the record says so", || {
        let recipients = skipping.json("messages").remove(0)["recipients"].clone();
        (recipients[1]["code"] == 550).then_some(())
    });
    // Each unsubscribes for himself.
    for (mail, path) in received.iter().zip(&paths) {
        assert_eq!(post(skipping.tracking, path, FORM, CLICK).status, 200);
        assert!(suppressed(&skipping).iter().any(|entry| entry["address"] == mail.recipients[0].as_str()));
    }
    // With skip they are left out silently, and mail for nobody is no mail.
    let reply = client.say("MAIL FROM:<ana@example.com>");
    assert!(reply.starts_with("250"), "{reply}");
    let reply = client.say("RCPT TO:<jo@example.net>");
    assert_eq!(reply, "250 2.1.5 Left out: jo@example.net has unsubscribed from your mail\r\n");
    assert!(client.say("DATA").starts_with("354"));
    client.send(b"Subject: x\r\n\r\nhi\r\n.\r\n");
    assert!(client.reply().starts_with("550 5.7.1 Nobody is left"));
    assert_eq!(reasons(&skipping), ["recipient_suppressed"]);
    assert!(client.mail(&["jo@example.net", "max@example.net"], &mail("")).starts_with("250"));
    eventually("max has his", || {
        provider.received().iter().any(|mail| mail.recipients == ["max@example.net"]).then_some(())
    });
    let queue = skipping.command(&["queue", "list", "--json"]);
    eventually("nobody is told", || said(&queue).is_empty().then_some(()));
    assert!(provider.received().iter().all(|mail| mail.recipients != ["ana@example.com"]), "no notification");
}

/// The store is away: a mail program that hears 5xx tries again, one that hears 2xx never does.
#[tokio::test(flavor = "multi_thread")]
async fn while_it_cannot_be_written_down_it_is_not_said_to_be_done() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay(provider.address, "add = \"always\"", "");
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["jo@example.net"], &mail("")).starts_with("250"));
    let path = one_click(&provider.received().pop().unwrap().content).unwrap();
    let db = rusqlite::Connection::open(relay.path("waxseal.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = post(relay.tracking, &path, FORM, CLICK);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("300")));
    // Mail still goes out meanwhile, and untracked; without the store nobody could unsubscribe from it.
    assert!(client.mail(&["kim@example.net"], &mail("")).starts_with("250"));
    assert_eq!(one_click(&provider.received().pop().unwrap().content), None);
    db.execute_batch("ROLLBACK").unwrap();
    eventually("it works again", || (post(relay.tracking, &path, FORM, CLICK).status == 200).then_some(()));
    assert!(client.mail(&["jo@example.net"], &mail("")).starts_with("550 5.7.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_kept_by_hand_too() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay(provider.address, "", "");
    let list = "address,sender,reason\n# mine\nbo@example.net\n\"kim@example.net\",ana@example.com,complaint\nlee@example.net,,bounced\n";
    for _ in 0..2 {
        std::fs::write(relay.path("list.csv"), list).unwrap();
        assert!(said(&relay.command(&["suppress", "import", "list.csv"])).starts_with("3 addresses"));
        assert_eq!(suppressed(&relay).len(), 3);
    }
    std::fs::write(relay.path("wrong.csv"), "max@example.net\nnonsense\nlee@example.net,,sulking\n").unwrap();
    let wrong = relay.command(&["suppress", "import", "wrong.csv"]);
    let error = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        wrong.status.code() == Some(2) && error.contains("line 2") && error.contains("line 3"),
        "{error}"
    );
    assert_eq!(suppressed(&relay).len(), 3, "nothing of it was imported");
    let shown = said(&relay.command(&["suppress", "list"]));
    assert!(shown.contains("bo@example.net  no mail of anybody  by hand"), "{shown}");
    assert_eq!(said(&relay.command(&["suppress", "list", "--sender", "ANA@example.com"])).lines().count(), 1);
    let mut client = Client::greeted(relay.smtp);
    for (address, sentence) in [
        ("bo@example.net", "550 5.7.1 bo@example.net is to get no mail from here\r\n"),
        (
            "kim@example.net",
            "550 5.7.1 kim@example.net reported your mail as unwanted, so no more is sent there\r\n",
        ),
        (
            "lee@example.net",
            "550 5.7.1 Mail to lee@example.net came back for good before, so no more is sent there\r\n",
        ),
    ] {
        eventually(address, || {
            let reply = client.mail(&[address], &mail(""));
            client.say("RSET");
            (reply == sentence).then_some(())
        });
    }
    // Not the other way round: an answer, or a notification, from nobody.
    assert!(client.say("MAIL FROM:<>").starts_with("250"));
    assert!(client.say("RCPT TO:<bo@example.net>").starts_with("250"));
    client.say("RSET");
    assert!(said(&relay.command(&["suppress", "remove", "kim@example.net"])).contains("was not on the list"));
    said(&relay.command(&["suppress", "remove", "bo@example.net"]));
    assert_eq!(suppressed(&relay).len(), 2);
    assert!(!relay.command(&["suppress", "add", "nonsense"]).status.success());
    let mut import = harness::binary();
    import.args(["suppress", "import", "-", "--sender", "ana@example.com", "-c", "waxseal.toml"]);
    import.current_dir(relay.folder.path());
    said(&run_to_end(import, b"max@example.net\n"));
    assert_eq!(suppressed(&relay).len(), 3);
}

/// Queued mail is refused too, and its sender hears that it was we who did.
#[tokio::test(flavor = "multi_thread")]
async fn mail_that_waits_for_one_who_unsubscribed_comes_back() {
    let refuses = [("MAIL".to_owned(), harness::provider::Behaviour::Say("451 4.3.0 later"))];
    let provider = Provider::start(Script { at: refuses.into(), ..Script::default() }).await;
    let queue = "delivery = \"queue\"\nretry = { first = \"1s\", longest = \"1s\", give_up = \"1h\" }\n";
    let relay = relay(provider.address, "", queue);
    let mut client = Client::greeted(relay.smtp);
    assert!(client.mail(&["jo@example.net", "kim@example.net"], &mail("")).starts_with("250"));
    said(&relay.command(&[
        "suppress",
        "add",
        "jo@example.net",
        "--sender",
        "ana@example.com",
        "--reason",
        "unsubscribed",
    ]));
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    provider.does("MAIL", None);
    eventually("both mails", || (provider.received().len() == 2).then_some(()));
    let received = provider.received();
    let to = |address: &str| received.iter().find(|mail| mail.recipients == [address]).unwrap();
    assert!(String::from_utf8_lossy(&to("kim@example.net").content).contains("see</a>"));
    let told = to("ana@example.com");
    let text = String::from_utf8(told.content.clone()).unwrap();
    assert_eq!(told.reverse_path, "");
    for expected in ["Status: 5.7.1", "Action: failed", "jo@example.net", "has unsubscribed from your mail"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("127.0.0.1 said") && !text.contains("Remote-MTA"), "{text}");
    eventually("the record says so", || {
        let recipients = relay.json("messages").remove(0)["recipients"].clone();
        (recipients[0]["code"] == 550 && recipients[1]["code"] == 250).then_some(())
    });
}

/// A client nobody here wrote does what mail programs do, in the two forms of RFC 8058.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl"]
async fn curl_unsubscribes() {
    let provider = Provider::start(Script::default()).await;
    let relay = relay(provider.address, "add = \"always\"", "");
    let mut client = Client::greeted(relay.smtp);
    for (address, form) in [("jo@example.net", "--data"), ("kim@example.net", "--form")] {
        assert!(client.mail(&[address], &mail("")).starts_with("250"));
        let path = one_click(&provider.received().pop().unwrap().content).unwrap();
        let url = format!("http://{}{path}", relay.tracking);
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--include", form, CLICK, &url]);
        let answer = said(&run_to_end(curl, b""));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && !answer.contains("Location:"), "{answer}");
        assert!(client.mail(&[address], &mail("")).starts_with("550 5.7.1"));
        client.say("RSET");
    }
}
