//! What goes out together where the server takes it (RFC 2920), and what must not follow from that.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use envelope::{ForwardPath, MailParameters, Mailbox, RcptParameters, Reply, ReversePath};
use fake::Act::{C, Content, End, S, Stall};
use fake::{Act, Fake, after_ehlo};
use waxseal_upstream::{Connection, HandoffError};

const HELLO: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";
const EXTENSIONS: &[&str] = &["PIPELINING"];

/// The whole of a transaction, as a caller goes through it; the last reply.
async fn transaction(
    connection: &mut Connection,
    to: &[&str],
    content: &[u8],
) -> Result<Vec<u16>, HandoffError> {
    let paths: Vec<_> = to.iter().map(|to| ForwardPath::Mailbox(Mailbox::parse(to).unwrap())).collect();
    let parameters = RcptParameters::default();
    let asked: Vec<_> = paths.iter().map(|path| (path, &parameters)).collect();
    let reverse_path = ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap());
    let code = |reply: &Reply| reply.code().get();
    let mail = connection.mail_ahead(&reverse_path, &MailParameters::default(), &asked, content).await?;
    let mut codes = vec![code(&mail)];
    if mail.is_positive() {
        for (path, parameters) in &asked {
            codes.push(code(&connection.rcpt(path, parameters).await?));
        }
        if codes[1..].contains(&250) {
            codes.push(code(&connection.content(b"", content).await?));
        }
    }
    if connection.is_in_transaction() && connection.is_usable() {
        let _ = connection.reset().await;
    }
    Ok(codes)
}

async fn open(script: Vec<Act>) -> (Fake, Connection) {
    let fake = Fake::start(after_ehlo(EXTENSIONS, script)).await;
    let connection = Connection::open(&fake.impatient(), None).await.unwrap();
    (fake, connection)
}

fn together(to: &[&'static str]) -> Vec<Act> {
    let mut acts = vec![C("MAIL FROM:<ana@x.test>")];
    acts.extend(to.iter().map(|to| C(to)));
    acts.push(C("DATA"));
    acts
}

#[tokio::test]
async fn the_envelope_and_data_go_out_before_any_reply() {
    let mut script = together(&["RCPT TO:<jo@y.test>", "RCPT TO:<no@y.test>"]);
    script.extend([S("250 ok"), S("250 ok"), S("550 no"), S("354 go"), Content, S("250 taken")]);
    script.extend(together(&["RCPT TO:<jo@y.test>"]));
    script.extend([S("250 ok\r\n250 ok\r\n354 go"), Content, S("451 later"), End]);
    let (fake, mut connection) = open(script).await;
    let codes = transaction(&mut connection, &["jo@y.test", "no@y.test"], HELLO).await.unwrap();
    assert_eq!(codes, [250, 250, 550, 250]);
    assert_eq!(transaction(&mut connection, &["jo@y.test"], b".\r\n").await.unwrap(), [250, 250, 451]);
    assert!(connection.is_usable());
    drop(connection);
    assert_eq!(fake.finish().await, [HELLO, b".\r\n"]);
}

#[tokio::test]
async fn what_is_refused_leaves_a_connection_for_the_next_message() {
    for (case, replies, codes) in [
        ("MAIL", [S("550 not you"), S("503 no"), S("503 no")], &[550][..]),
        ("RCPT", [S("250 ok"), S("550 no"), S("554 nobody")], &[250, 550]),
        ("DATA", [S("250 ok"), S("250 ok"), S("451 later")], &[250, 250, 451]),
    ] {
        let mut script = together(&["RCPT TO:<jo@y.test>"]);
        script.extend(replies);
        script.extend([C("RSET"), S("250 ok")]);
        script.extend(together(&["RCPT TO:<jo@y.test>"]));
        script.extend([S("250 ok"), S("250 ok"), S("354 go"), Content, S("250 taken"), End]);
        let (fake, mut connection) = open(script).await;
        assert_eq!(transaction(&mut connection, &["jo@y.test"], HELLO).await.unwrap(), codes, "{case}");
        assert!(connection.is_usable(), "{case}");
        assert_eq!(
            transaction(&mut connection, &["jo@y.test"], HELLO).await.unwrap(),
            [250, 250, 250],
            "{case}"
        );
        drop(connection);
        assert_eq!(fake.finish().await, [HELLO], "{case}");
    }
}

/// RFC 2920 §3.1: it waits for a content that has no recipient. Whatever we sent would be one.
#[tokio::test]
async fn a_server_that_wants_a_content_for_nobody_gets_the_end_of_the_connection() {
    for (replies, codes) in [
        ([S("250 ok"), S("550 no"), S("354 go")], &[250, 550][..]),
        ([S("550 no"), S("550 no"), S("354 go")], &[550]),
    ] {
        let mut script = together(&["RCPT TO:<jo@y.test>"]);
        script.extend(replies);
        script.push(End);
        let (fake, mut connection) = open(script).await;
        assert_eq!(transaction(&mut connection, &["jo@y.test"], HELLO).await.unwrap(), codes);
        assert!(!connection.is_usable());
        connection.quit().await;
        assert!(fake.finish().await.is_empty());
    }
}

#[tokio::test]
async fn a_server_that_goes_in_the_middle_has_no_content() {
    for (case, replies) in [
        ("at MAIL", vec![]),
        ("at RCPT", vec![S("250 ok")]),
        ("at DATA", vec![S("250 ok"), S("250 ok")]),
        ("421 at RCPT", vec![S("250 ok"), S("421 4.3.2 closing")]),
        ("silent", vec![S("250 ok"), Stall]),
    ] {
        let mut script = together(&["RCPT TO:<jo@y.test>"]);
        script.extend(replies);
        let (fake, mut connection) = open(script).await;
        let error = transaction(&mut connection, &["jo@y.test"], HELLO).await.unwrap_err();
        assert!(!error.outcome_unknown(), "{case}: {error:?}");
        assert!(!connection.is_usable(), "{case}");
        drop(connection);
        assert!(fake.finish().await.is_empty(), "{case}");
    }
}

/// The call that would say it says why; nothing that follows has gone out then.
#[tokio::test]
async fn what_cannot_go_out_as_it_is_does_not_go_ahead() {
    let one_by_one = || {
        vec![
            C("MAIL FROM:<ana@x.test>"),
            S("250 ok"),
            C("RCPT TO:<jo@y.test>"),
            S("250 ok"),
            C("RSET"),
            S("250 ok"),
        ]
    };
    let (fake, mut connection) = open([one_by_one(), one_by_one(), vec![End]].concat()).await;
    for content in [&b"a\nb\r\n"[..], "é\r\n".as_bytes()] {
        assert!(transaction(&mut connection, &["jo@y.test"], content).await.is_err());
        assert!(connection.is_usable());
        connection.reset().await.unwrap();
    }
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn only_what_fits_a_socket_goes_ahead_and_only_where_it_is_offered() {
    let many: Vec<String> = (0..200).map(|n| format!("{n}@a-rather-long-name.test")).collect();
    let to: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut script = vec![C("MAIL FROM:<ana@x.test>"), S("250 ok")];
    script.extend(to.iter().flat_map(|_| [C("RCPT TO:<*"), S("250 ok")]));
    script.extend([C("DATA"), S("354 go"), Content, S("250 taken"), End]);
    let (fake, mut connection) = open(script).await;
    assert_eq!(transaction(&mut connection, &to, HELLO).await.unwrap().len(), 202);
    drop(connection);
    fake.finish().await;

    let script = vec![C("MAIL FROM:<ana@x.test>"), Stall];
    let fake = Fake::start(after_ehlo(&[], script)).await;
    let mut connection = Connection::open(&fake.impatient(), None).await.unwrap();
    assert!(transaction(&mut connection, &["jo@y.test"], HELLO).await.is_err());
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn another_call_than_was_announced_ends_the_connection() {
    let mut script = together(&["RCPT TO:<jo@y.test>"]);
    script.extend([S("250 ok\r\n250 ok\r\n354 go"), End]);
    let (fake, mut connection) = open(script).await;
    let path = ForwardPath::Mailbox(Mailbox::parse("jo@y.test").unwrap());
    let parameters = RcptParameters::default();
    let mail = MailParameters::default();
    let reverse_path = ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap());
    connection.mail_ahead(&reverse_path, &mail, &[(&path, &parameters)], HELLO).await.unwrap();
    let error = connection.content(b"", HELLO).await.unwrap_err();
    assert!(matches!(error, HandoffError::Unusable { .. }) && !connection.is_usable());
    drop(connection);
    assert!(fake.finish().await.is_empty());
}
