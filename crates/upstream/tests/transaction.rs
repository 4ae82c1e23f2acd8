//! From MAIL to the reply to the content, and the next message on the same connection.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use envelope::{Body, ForwardPath, MailParameters, Mailbox, RcptParameters, ReversePath, Severity};
use fake::Act::{C, Content, End, Raw, S, Sink, Stall};
use fake::{Act, Fake, after_data, after_ehlo};
use proptest::prelude::*;
use waxseal_upstream::{Connection, HandoffError, Step};

fn ana() -> ReversePath {
    ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap())
}

fn to(address: &str) -> ForwardPath {
    ForwardPath::Mailbox(Mailbox::parse(address).unwrap())
}

const HELLO: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

/// MAIL and RCPT as [`after_data`] expects them.
async fn before_data(fake: &Fake) -> Connection {
    let mut connection = Connection::open(&fake.impatient(), None).await.unwrap();
    assert_eq!(connection.mail(&ana(), &MailParameters::default()).await.unwrap().code().get(), 250);
    assert_eq!(
        connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap().code().get(),
        250
    );
    connection
}

#[tokio::test]
async fn parameters_that_are_offered_go_along_and_no_others() {
    let all = MailParameters {
        size: Some(500),
        body: Some(Body::EightBitMime),
        smtputf8: true,
        ..MailParameters::default()
    };
    let seven_bit = MailParameters { body: Some(Body::SevenBit), ..MailParameters::default() };
    for (extensions, parameters, expected) in [
        (
            &["SIZE 1000", "8BITMIME", "SMTPUTF8"][..],
            all.clone(),
            "MAIL FROM:<ana@x.test> SIZE=500 BODY=8BITMIME SMTPUTF8",
        ),
        (&["SIZE"], all.clone(), "MAIL FROM:<ana@x.test> SIZE=500"),
        (&["8BITMIME"], all.clone(), "MAIL FROM:<ana@x.test> BODY=8BITMIME"),
        (&[], all, "MAIL FROM:<ana@x.test>"),
        (&["SIZE 1000", "8BITMIME", "SMTPUTF8"], seven_bit, "MAIL FROM:<ana@x.test>"),
    ] {
        let fake = Fake::start(after_ehlo(extensions, vec![C(expected), S("250 ok"), End])).await;
        let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
        connection.mail(&ana(), &parameters).await.unwrap();
        drop(connection);
        fake.finish().await;
    }
}

#[tokio::test]
async fn what_the_provider_does_not_take_is_refused_before_it_is_sent() {
    let fake = Fake::start(after_ehlo(
        &["SIZE 100"],
        vec![C("MAIL FROM:<ana@x.test>"), S("250 ok"), C("RCPT TO:<jo@y.test>"), S("250 ok"), Stall],
    ))
    .await;
    let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
    let declared = MailParameters { size: Some(101), ..MailParameters::default() };
    let error = connection.mail(&ana(), &declared).await.unwrap_err();
    assert!(matches!(error, HandoffError::TooLarge { octets: 101, limit: 100, .. }));
    let utf8 = ReversePath::Mailbox(Mailbox::parse("jörg@x.test").unwrap());
    let error = connection.mail(&utf8, &MailParameters::default()).await.unwrap_err();
    assert_eq!(error.reply().code().get(), 553);

    connection.mail(&ana(), &MailParameters::default()).await.unwrap();
    assert_eq!(
        connection
            .rcpt(&to("jörg@y.test"), &RcptParameters::default())
            .await
            .unwrap_err()
            .reply()
            .code()
            .get(),
        553
    );
    connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
    for (content, code) in [
        (&b"a\nb\r\n"[..], 554),
        (b"a\rb\r\n", 554),
        (b"a\r\n.\r\r\nb\r\n", 554),
        ("é\r\n".as_bytes(), 554),
        (&[b'x'; 101], 552),
    ] {
        let error = connection.content(b"", content).await.unwrap_err();
        assert_eq!(error.reply().code().get(), code, "{}", content.escape_ascii());
        assert_eq!(error.severity(), Severity::Permanent);
        assert!(connection.is_usable() && !error.outcome_unknown());
    }
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn each_recipient_has_the_providers_own_words() {
    let fake = Fake::start(after_ehlo(
        &["PIPELINING"],
        vec![
            C("MAIL FROM:<>"),
            S("250 2.1.0 ok"),
            C("RCPT TO:<jo@y.test>"),
            S("250 2.1.5 fine"),
            C("RCPT TO:<nobody@y.test>"),
            Raw(b"550-5.1.1 no such\r\n550 5.1.1 user h\xe9re\r\n".to_vec()),
            C("RCPT TO:<full@y.test>"),
            S("452 4.2.2 mailbox full"),
            C("RCPT TO:<\"a b\"@y.test>"),
            S("250"),
            C("RCPT TO:<postmaster>"),
            S("571 5.7.1 not you"),
            C("DATA"),
            S("354 go"),
            Content,
            S("250 2.0.0 queued as 42"),
            End,
        ],
    ))
    .await;
    let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
    connection.mail(&ReversePath::Null, &MailParameters::default()).await.unwrap();
    for (path, expected) in [
        (to("jo@y.test"), "250 2.1.5 fine"),
        (to("nobody@y.test"), "550 5.1.1 no such user hére"),
        (to("full@y.test"), "452 4.2.2 mailbox full"),
        (to("\"a b\"@y.test"), "250 "),
        (ForwardPath::Postmaster, "571 5.7.1 not you"),
    ] {
        assert_eq!(connection.rcpt(&path, &RcptParameters::default()).await.unwrap().to_string(), expected);
    }
    let reply = connection.content(b"Received: by us\r\n", HELLO).await.unwrap();
    assert_eq!(reply.to_string(), "250 2.0.0 queued as 42");
    drop(connection);
    assert_eq!(fake.finish().await, [[b"Received: by us\r\n", HELLO].concat()]);
}

#[tokio::test]
async fn a_connection_is_used_for_the_next_message_also_after_refusals() {
    let fake = Fake::start(after_ehlo(
        &["8BITMIME"],
        vec![
            C("MAIL FROM:<ana@x.test>"),
            S("250 ok"),
            C("RCPT TO:<jo@y.test>"),
            S("250 ok"),
            C("DATA"),
            S("354 go"),
            Content,
            S("554 5.7.1 spam"),
            C("RSET"),
            S("250 ok"),
            C("MAIL FROM:<ana@x.test>"),
            S("550 5.7.1 not today"),
            C("MAIL FROM:<ana@x.test>"),
            S("250 ok"),
            C("RCPT TO:<jo@y.test>"),
            S("250 ok"),
            C("DATA"),
            S("451 4.3.0 later"),
            C("RSET"),
            S("250 ok"),
            Sink,
        ],
    ))
    .await;
    let mut connection = before_data(&fake).await;
    assert_eq!(connection.content(b"", HELLO).await.unwrap().to_string(), "554 5.7.1 spam");
    assert!(connection.is_usable());
    connection.reset().await.unwrap();
    let refused = connection.mail(&ana(), &MailParameters::default()).await.unwrap();
    assert_eq!(refused.code().get(), 550);
    connection.mail(&ana(), &MailParameters::default()).await.unwrap();
    connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
    assert_eq!(connection.content(b"", HELLO).await.unwrap().code().get(), 451);
    connection.reset().await.unwrap();
    for _ in 0..3 {
        connection.mail(&ana(), &MailParameters::default()).await.unwrap();
        connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
        assert!(connection.content(b"", HELLO).await.unwrap().is_positive());
    }
    connection.quit().await;
    assert_eq!(fake.finish().await.len(), 4);
}

#[tokio::test]
async fn a_provider_that_fails_at_each_stage() {
    type Check = fn(&HandoffError) -> bool;
    let silent: Check = |e| matches!(e, HandoffError::Silent { step: Step::Data, .. });
    let lost: Check = |e| matches!(e, HandoffError::Lost { step: Step::Data, .. });
    let shut: Check = |e| matches!(e, HandoffError::ShutDown { .. });
    let nonsense: Check = |e| matches!(e, HandoffError::Nonsense { .. });
    let unknown: Check = HandoffError::outcome_unknown;
    for (case, acts, check, code) in [
        ("silent at DATA", vec![Stall], silent, 451),
        ("gone at DATA", vec![], lost, 451),
        ("421 at DATA", vec![S("421 4.3.2 closing")], shut, 451),
        ("250 to DATA", vec![S("250 ok"), Stall], nonsense, 451),
        ("nonsense to DATA", vec![S("hello"), Stall], nonsense, 451),
        ("silent after the dot", vec![S("354 go"), Content, Stall], unknown, 451),
        ("gone after the dot", vec![S("354 go"), Content], unknown, 451),
        ("nonsense after the dot", vec![S("354 go"), Content, S("HTTP/1.1 200"), Stall], unknown, 451),
        ("354 after the dot", vec![S("354 go"), Content, S("354 more"), Stall], unknown, 451),
        ("421 after the dot is an answer", vec![S("354 go"), Content, S("421 4.3.2 no")], shut, 451),
    ] {
        let fake = Fake::start(after_data(acts)).await;
        let mut connection = before_data(&fake).await;
        let error = connection.content(b"", HELLO).await.unwrap_err();
        assert!(check(&error), "{case}: {error:?}");
        assert_eq!(error.reply().code().get(), code, "{case}");
        assert!(!connection.is_usable(), "{case}");
        let again = connection.mail(&ana(), &MailParameters::default()).await.unwrap_err();
        assert!(matches!(again, HandoffError::Unusable { .. }), "{case}");
        drop(connection);
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_the_content_is_its_answer_and_a_consent_is_not() {
    let large = [b"Subject: large\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(500_000)].concat();
    for (said, refused) in [("552 5.3.4 too much", true), ("250 ok already", false)] {
        let fake = Fake::start(after_data(vec![S("354 go"), Act::Some(100_000), S(said), Stall])).await;
        let mut connection = before_data(&fake).await;
        let answer = connection.content(b"", &large).await;
        match answer {
            Ok(reply) => assert!(refused && reply.to_string() == said, "{reply}"),
            Err(error) => {
                assert!(!refused && matches!(error, HandoffError::Nonsense { .. }), "{said}: {error:?}");
            }
        }
        assert!(!connection.is_usable());
        drop(connection);
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_reply_nobody_asked_for_is_not_taken_for_the_next_one() {
    let fake = Fake::start(after_data(vec![S("354 go"), Content, S("250 ok\r\n250 ok"), Stall])).await;
    let mut connection = before_data(&fake).await;
    assert!(connection.content(b"", HELLO).await.unwrap().is_positive());
    assert!(connection.mail(&ana(), &MailParameters::default()).await.is_err());
    assert!(!connection.is_usable());
    drop(connection);
    fake.finish().await;
}

/// DATA cannot carry it; everything else goes by DATA, also where CHUNKING is offered.
#[tokio::test]
async fn content_without_a_line_end_goes_by_bdat_where_that_is_offered() {
    let transaction =
        || vec![C("MAIL FROM:<ana@x.test>"), S("250 ok"), C("RCPT TO:<jo@y.test>"), S("250 ok")];
    let mut script = transaction();
    script.extend([C("BDAT 18 LAST"), Act::Octets(b"Received: us\r\n.\r\nx"), S("250 taken")]);
    script.extend(transaction());
    script.extend([C("BDAT 1 LAST"), Act::Octets(b"."), S("552 5.3.4 too much"), C("RSET"), S("250 ok")]);
    script.extend(transaction());
    script.extend([C("BDAT 0 LAST"), S("250 taken")]);
    script.extend(transaction());
    script.extend([C("DATA"), S("354 go"), Content, S("250 taken")]);
    script.extend(transaction());
    script.extend([C("BDAT 1 LAST"), Act::Octets(b"x")]);
    let fake = Fake::start(after_ehlo(&["CHUNKING"], script)).await;
    let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
    for (trace, content, expected) in [
        (&b"Received: us\r\n"[..], &b".\r\nx"[..], Some("250 taken")),
        (b"", b".", Some("552 5.3.4 too much")),
        (b"", b"", Some("250 taken")),
        (b"", b"x\r\n", Some("250 taken")),
        (b"", b"x", None),
    ] {
        connection.mail(&ana(), &MailParameters::default()).await.unwrap();
        connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
        match (connection.content(trace, content).await, expected) {
            (Ok(reply), Some(expected)) => assert_eq!(reply.to_string(), expected),
            (Err(error), None) => assert!(error.outcome_unknown(), "{error:?}"),
            (answer, _) => panic!("{content:?}: {answer:?}"),
        }
        if connection.is_in_transaction() && connection.is_usable() {
            connection.reset().await.unwrap();
        }
    }
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn a_large_chunk_is_refused_in_its_middle() {
    let large = b"0123456789abcdef\r\n".repeat(500_000);
    let large = &large[..large.len() - 1 - 1];
    let acts = vec![
        C("MAIL FROM:<ana@x.test>"),
        S("250 ok"),
        C("RCPT TO:<jo@y.test>"),
        S("250 ok"),
        C("BDAT *"),
        Act::Some(100_000),
        S("552 5.3.4 too much"),
        Act::Freeze,
    ];
    let fake = Fake::start(after_ehlo(&["CHUNKING"], acts)).await;
    let mut connection = before_data(&fake).await;
    assert_eq!(connection.content(b"", large).await.unwrap().to_string(), "552 5.3.4 too much");
    assert!(!connection.is_usable(), "the rest of it was not sent");
}

#[tokio::test]
async fn a_dropped_call_leaves_no_connection_behind() {
    let fake = Fake::start(after_data(vec![Stall])).await;
    let mut connection = before_data(&fake).await;
    let call = connection.content(b"", HELLO);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), call).await.is_err());
    assert!(!connection.is_usable());
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn odd_contents_arrive_octet_for_octet() {
    let fake = Fake::start(after_ehlo(&["8BITMIME"], vec![Sink])).await;
    let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
    let contents: &[&[u8]] = &[
        b".\r\n",
        b"..\r\n.\r\n..\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"a\r\n.\r\n",
        b"a\r\n.b\r\n\r\n.\r\n\r\n",
        b"\xff\x80\0 binary\r\n",
    ];
    for content in contents {
        connection.mail(&ana(), &MailParameters::default()).await.unwrap();
        connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
        connection.content(b"", content).await.unwrap();
    }
    connection.quit().await;
    assert_eq!(fake.finish().await, contents);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_content_arrives_octet_for_octet(
        lines in proptest::collection::vec("[.]{0,3}[\\x00-\\x09\\x0b\\x0c\\x0e-\\x7f]{0,30}", 0..40),
        long in 0_usize..200_000,
    ) {
        let mut content: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
        content.extend(std::iter::repeat_n(b'.', long));
        content.extend_from_slice(b"\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let arrived = runtime.block_on(async {
            let fake = Fake::start(after_ehlo(&["8BITMIME"], vec![Sink])).await;
            let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
            connection.mail(&ana(), &MailParameters::default()).await.unwrap();
            connection.rcpt(&to("jo@y.test"), &RcptParameters::default()).await.unwrap();
            connection.content(b"Received: x\r\n", &content).await.unwrap();
            connection.quit().await;
            fake.finish().await
        });
        prop_assert_eq!(&arrived[0][..13], b"Received: x\r\n");
        prop_assert!(arrived[0][13..] == content[..]);
    }
}
