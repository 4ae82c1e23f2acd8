//! From the socket to a server that waits for MAIL: greeting, EHLO, TLS, login.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::time::Duration;

use envelope::{Credentials, MailParameters, ReversePath, Severity};
use fake::Act::{C, End, Handshake, Raw, S, Slowly, Stall};
use fake::certificates::Authority;
use fake::{Act, Fake, after_ehlo};
use waxseal_upstream::{Connection, HandoffError, SizeLimit, Step, Tls, Trust, Upstream};

async fn refused(upstream: &Upstream, login: Option<&Credentials>) -> HandoffError {
    let error = Connection::open(upstream, login).await.map(|_| ()).unwrap_err();
    for text in [error.to_string(), format!("{error:?}"), error.reply().to_string()] {
        assert!(!text.to_lowercase().contains("internal"), "{text}");
        for secret in ["ana@x.test", "hunter2", "aHVudGVyMg", "YW5hQHgudGVzd"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    error
}

fn ana() -> Credentials {
    Credentials::with_password("ana@x.test", "hunter2")
}

/// `\0ana@x.test\0hunter2`, by another program than ours.
const PLAIN: &str = "AUTH PLAIN AGFuYUB4LnRlc3QAaHVudGVyMg==";

#[tokio::test]
async fn extensions_are_read_in_any_case_and_nothing_is_said_twice() {
    let extensions = ["size 1000", "Pipelining", "8bitmime", "auth plain login", "DSN"];
    let fake = Fake::start(after_ehlo(&extensions, vec![C("QUIT"), S("221 bye"), End])).await;
    let connection = Connection::open(&fake.upstream(), None).await.unwrap();
    let offered = connection.extensions();
    assert_eq!(offered.size, SizeLimit::Octets(1000));
    assert!(offered.pipelining && offered.eight_bit_mime && offered.dsn && !offered.smtputf8);
    assert_eq!(offered.auth, ["PLAIN", "LOGIN"]);
    assert!(connection.is_usable());
    connection.quit().await;
    fake.finish().await;
}

#[tokio::test]
async fn odd_greetings() {
    for greeting in [
        Raw(b"220\r\n".to_vec()),
        Raw(b"220 bare LF\n".to_vec()),
        Raw(b"220-many\r\n220-lines\r\n220 caf\xe9\r\n".to_vec()),
        Slowly(b"220-one by\r\n220 one\r\n".to_vec()),
        Raw([b"220 ", &[b'x'; 3000][..], b"\r\n"].concat()),
    ] {
        let script = vec![
            greeting,
            C("EHLO relay.test"),
            Raw(b"250\n".to_vec()),
            C("MAIL FROM:<>"),
            S("250 ok"),
            Stall,
        ];
        let fake = Fake::start(script).await;
        let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
        connection.mail(&ReversePath::Null, &MailParameters::default()).await.unwrap();
        drop(connection);
        fake.finish().await;
    }
}

#[tokio::test]
async fn helo_when_ehlo_is_refused() {
    let fake = Fake::start(vec![
        S("220 old"),
        C("EHLO relay.test"),
        S("502 what?"),
        C("HELO relay.test"),
        S("250 STARTTLS"),
        C("MAIL FROM:<>"),
        S("250 ok"),
        End,
    ])
    .await;
    let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
    assert_eq!(*connection.extensions(), waxseal_upstream::Extensions::default());
    let parameters = MailParameters {
        size: Some(10),
        body: Some(envelope::Body::EightBitMime),
        smtputf8: true,
        ..MailParameters::default()
    };
    connection.mail(&ReversePath::Null, &parameters).await.unwrap();
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn a_server_that_does_not_want_us() {
    type Row = (&'static str, Vec<Act>, &'static str);
    let ehlo = C("EHLO relay.test");
    let table: Vec<Row> = vec![
        ("greeting 5yz", vec![S("554 5.7.1 go away")], "554 5.7.1 127.0.0.1 said: go away"),
        ("greeting 4yz", vec![S("450 later")], "450 127.0.0.1 said: later"),
        ("greeting 421", vec![S("421 4.7.0 too busy")], "451 4.7.0 127.0.0.1 said: too busy"),
        ("EHLO 4yz", vec![S("220 hi"), ehlo.clone(), S("451 4.3.0 no")], "451 4.3.0 127.0.0.1 said: no"),
        (
            "HELO too",
            vec![S("220 hi"), ehlo.clone(), S("550 a"), C("HELO relay.test"), S("550 5.7.1 bad name")],
            "550 5.7.1 127.0.0.1 said: bad name",
        ),
        (
            "not SMTP",
            vec![S("HTTP/1.1 400 Bad Request")],
            "451 4.5.0 Your provider 127.0.0.1 gave an answer that is not SMTP; your program will try again",
        ),
        ("999", vec![S("999 x")], "451 4.5.0 *"),
        ("3yz", vec![S("354 x")], "451 4.5.0 *"),
        ("greets twice", vec![Raw(b"220 a\r\n250 b\r\n".to_vec())], "451 4.5.0 *"),
        ("EHLO 3yz", vec![S("220 hi"), ehlo, S("354 x")], "451 4.5.0 *"),
        ("hangs up", vec![], "451 4.4.2 *"),
        ("endless", vec![Raw(b"220-x\r\n".repeat(1000)), Stall], "451 4.5.0 *"),
        ("one endless line", vec![Raw(vec![b'2'; 300_000]), Stall], "451 4.5.0 *"),
    ];
    for (case, script, expected) in table {
        let fake = Fake::start(script).await;
        let reply = refused(&fake.upstream(), None).await.reply().to_string();
        match expected.strip_suffix('*') {
            Some(start) => assert!(reply.starts_with(start), "{case}: {reply}"),
            None => assert_eq!(reply, expected, "{case}"),
        }
    }
}

#[tokio::test]
async fn nobody_there() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let fake = Fake::start(vec![]).await;
    let error = refused(&Upstream { port, ..fake.upstream() }, None).await;
    assert!(matches!(error, HandoffError::Unreachable { .. }), "{error:?}");
    assert_eq!(
        error.reply().to_string(),
        "451 4.4.1 Your provider 127.0.0.1 does not answer right now; your program will try again"
    );
    let unknown = Upstream { host: "no-such-host.invalid".into(), ..fake.impatient() };
    let error = refused(&unknown, None).await;
    assert!(matches!(error, HandoffError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_silent_server() {
    let table: Vec<(Vec<Act>, Step)> = vec![
        (vec![Stall], Step::Greeting),
        (vec![Raw(b"220-half\r\n220 a gree".to_vec()), Stall], Step::Greeting),
        (vec![S("220 hi"), C("EHLO relay.test"), Stall], Step::Hello),
        (after_ehlo(&["AUTH PLAIN"], vec![C(PLAIN), Stall]), Step::Login),
    ];
    for (script, expected) in table {
        let fake = Fake::start(script).await;
        let error = refused(&fake.impatient(), Some(&ana())).await;
        assert!(matches!(error, HandoffError::Silent { step, .. } if step == expected), "{error:?}");
        assert_eq!(error.severity(), Severity::Transient);
        assert_eq!(error.reply().enhanced().unwrap().to_string(), "4.4.1");
        fake.finish().await;
    }
}

/// One octet now and then keeps a deadline per read from ever passing.
#[tokio::test]
async fn a_dribbling_server_is_silent_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dribble = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while tokio::io::AsyncWriteExt::write_all(&mut tcp, b"2").await.is_ok() {
            ticks.tick().await;
        }
    });
    let fake = Fake::start(vec![]).await;
    let error = refused(&Upstream { port, ..fake.impatient() }, None).await;
    assert!(matches!(error, HandoffError::Silent { step: Step::Greeting, .. }), "{error:?}");
    dribble.await.unwrap();
}

// --- TLS ---

fn encrypted(fake: &Fake, tls: Tls, trust: Trust) -> Upstream {
    Upstream { host: "localhost".into(), tls, trust, ..fake.upstream() }
}

fn implicit(acts: Vec<Act>) -> Vec<Act> {
    let mut script = vec![Handshake];
    script.extend(after_ehlo(&["AUTH PLAIN LOGIN"], acts));
    script
}

#[tokio::test]
async fn implicit_tls() {
    let authority = Authority::new();
    let script =
        implicit(vec![C(PLAIN), S("235 2.7.0 in"), C("MAIL FROM:<>"), S("250 ok"), C("QUIT"), S("221 bye")]);
    let fake = Fake::with_tls(script, Some(authority.server("localhost"))).await;
    let upstream = encrypted(&fake, Tls::Implicit, authority.trust());
    let mut connection = Connection::open(&upstream, Some(&ana())).await.unwrap();
    connection.mail(&ReversePath::Null, &MailParameters::default()).await.unwrap();
    connection.quit().await;
    fake.finish().await;
}

#[tokio::test]
async fn starttls_and_what_was_said_before_counts_no_more() {
    let authority = Authority::new();
    let mut script =
        after_ehlo(&["starttls", "SMTPUTF8", "AUTH LOGIN"], vec![C("STARTTLS"), S("220 go"), Handshake]);
    script.extend([C("EHLO relay.test"), S("250-x\r\n250 AUTH PLAIN"), C(PLAIN), S("235 in"), End]);
    let fake = Fake::with_tls(script, Some(authority.server("localhost"))).await;
    let upstream = encrypted(&fake, Tls::StartTls, authority.trust());
    let connection = Connection::open(&upstream, Some(&ana())).await.unwrap();
    assert!(!connection.extensions().smtputf8);
    assert_eq!(connection.extensions().auth, ["PLAIN"]);
    drop(connection);
    fake.finish().await;
}

#[tokio::test]
async fn certificates_that_are_refused() {
    let authority = Authority::new();
    for (case, server, trust) in [
        ("unknown authority", authority.server("localhost"), Authority::new().trust()),
        ("wrong host", authority.server("other.test"), authority.trust()),
        ("expired", authority.expired_server("localhost"), authority.trust()),
    ] {
        for tls in [Tls::Implicit, Tls::StartTls] {
            let mut script = Vec::new();
            if tls == Tls::StartTls {
                script = after_ehlo(&["STARTTLS"], vec![C("STARTTLS"), S("220 go")]);
            }
            // TLS 1.3 lets the server finish before the client has judged: it hears nothing then.
            script.extend([Handshake, End]);
            let fake = Fake::with_tls(script, Some(server.clone())).await;
            let error = refused(&encrypted(&fake, tls, trust.clone()), Some(&ana())).await;
            assert!(matches!(error, HandoffError::Certificate { .. }), "{case}: {error:?}");
            assert_eq!(error.reply().code().get(), 451);
            assert!(error.hint().is_some());
            fake.finish().await;
        }
    }
}

#[tokio::test]
async fn the_system_does_not_trust_an_authority_of_today() {
    let authority = Authority::new();
    let fake = Fake::with_tls(vec![Handshake, End], Some(authority.server("localhost"))).await;
    let error = refused(&encrypted(&fake, Tls::Implicit, Trust::System), None).await;
    // TlsFailed: a machine without any authorities.
    assert!(matches!(error, HandoffError::Certificate { .. } | HandoffError::TlsFailed { .. }), "{error:?}");
}

#[tokio::test]
async fn no_trust_at_all() {
    let fake = Fake::start(vec![End]).await;
    let error = refused(&encrypted(&fake, Tls::Implicit, Trust::Roots(vec![])), None).await;
    assert!(matches!(error, HandoffError::TlsFailed { .. }), "{error:?}");
    fake.finish().await;
}

#[tokio::test]
async fn starttls_taken_out_of_the_reply() {
    let authority = Authority::new();
    let fake = Fake::start(after_ehlo(&["AUTH PLAIN"], vec![End])).await;
    let error = refused(&encrypted(&fake, Tls::StartTls, authority.trust()), Some(&ana())).await;
    assert!(matches!(error, HandoffError::StartTlsNotOffered { .. }), "{error:?}");
    fake.finish().await;
}

#[tokio::test]
async fn starttls_refused() {
    let authority = Authority::new();
    let fake = Fake::start(after_ehlo(&["STARTTLS"], vec![C("STARTTLS"), S("454 4.7.0 not now"), End])).await;
    let error = refused(&encrypted(&fake, Tls::StartTls, authority.trust()), Some(&ana())).await;
    assert_eq!(error.reply().to_string(), "454 4.7.0 localhost said: not now");
    fake.finish().await;
}

#[tokio::test]
async fn octets_after_the_220_are_refused() {
    let authority = Authority::new();
    for injected in [&b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"[..], b"220 go\r\n2", b"220 go\r\n\r\n"] {
        let script = after_ehlo(&["STARTTLS"], vec![C("STARTTLS"), Raw(injected.to_vec()), Handshake, End]);
        let fake = Fake::with_tls(script, Some(authority.server("localhost"))).await;
        let error = refused(&encrypted(&fake, Tls::StartTls, authority.trust()), Some(&ana())).await;
        assert!(matches!(error, HandoffError::StartTlsInjected { .. }), "{error:?}");
    }
    // In a packet of its own it meets the TLS library, or is seen before: never taken for an answer.
    let script = after_ehlo(
        &["STARTTLS"],
        vec![C("STARTTLS"), S("220 go"), Slowly(b"250 AUTH PLAIN\r\n".to_vec()), Stall],
    );
    let fake = Fake::start(script).await;
    let upstream =
        Upstream { timeout: Duration::from_secs(1), ..encrypted(&fake, Tls::StartTls, authority.trust()) };
    let error = refused(&upstream, Some(&ana())).await;
    assert!(
        matches!(error, HandoffError::StartTlsInjected { .. } | HandoffError::TlsFailed { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_wrong_kind_of_port() {
    let authority = Authority::new();
    let fake = Fake::start(vec![S("220 plain"), Stall]).await;
    let error = refused(&encrypted(&fake, Tls::Implicit, authority.trust()), None).await;
    assert!(matches!(error, HandoffError::TlsFailed { .. }) && error.hint().is_some(), "{error:?}");

    let fake = Fake::with_tls(vec![Handshake, Stall], Some(authority.server("localhost"))).await;
    let upstream = Upstream {
        timeout: Duration::from_millis(150),
        ..encrypted(&fake, Tls::StartTls, authority.trust())
    };
    let error = refused(&upstream, None).await;
    assert!(
        matches!(error, HandoffError::Silent { step: Step::Greeting, .. }) && error.hint().is_some(),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_never_ends() {
    let authority = Authority::new();
    let fake = Fake::start(vec![Stall]).await;
    let upstream = Upstream {
        timeout: Duration::from_millis(150),
        ..encrypted(&fake, Tls::Implicit, authority.trust())
    };
    let error = refused(&upstream, None).await;
    assert!(matches!(error, HandoffError::Silent { .. }), "{error:?}");
}

// --- login ---

#[tokio::test]
async fn login_is_used_where_plain_is_not_offered_whatever_the_prompts() {
    for (first, second) in
        [("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"), ("334", "334 "), ("334 dXNlcg==", "334 not base64!")]
    {
        let acts = vec![
            C("AUTH LOGIN"),
            S(first),
            C("YW5hQHgudGVzdA=="),
            S(second),
            C("aHVudGVyMg=="),
            S("235 in"),
            End,
        ];
        let fake = Fake::start(after_ehlo(&["AUTH CRAM-MD5 LOGIN"], acts)).await;
        drop(Connection::open(&fake.upstream(), Some(&ana())).await.unwrap());
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_refused_login_has_the_providers_words_and_no_secrets() {
    type Row = (&'static str, Vec<Act>, &'static str);
    let table: Vec<Row> = vec![
        (
            "AUTH PLAIN",
            vec![
                C(PLAIN),
                S("535-5.7.8 Username and Password not accepted\r\n535 5.7.8 see https://x.test/help"),
                End,
            ],
            "535 5.7.8 127.0.0.1 said: Username and Password not accepted see https://x.test/help",
        ),
        ("AUTH PLAIN", vec![C(PLAIN), S("454 4.7.0 later"), End], "454 4.7.0 127.0.0.1 said: later"),
        (
            "AUTH PLAIN",
            vec![C(PLAIN), S("535 5.7.8 ANA@x.test with HUNTER2 (aHVudGVyMg==) is wrong"), End],
            "535 5.7.8 127.0.0.1 said: *** with *** (***) is wrong",
        ),
        (
            "AUTH PLAIN",
            vec![C(PLAIN), S("421 4.7.0 ana@x.test tried too often"), End],
            "451 4.7.0 127.0.0.1 said: *** tried too often",
        ),
        (
            "AUTH PLAIN",
            vec![C(PLAIN), S("334 eyJzdGF0dXMiOiI0MDAifQ=="), C("*"), S("535 5.7.8 no"), End],
            "535 5.7.8 127.0.0.1 said: no",
        ),
        (
            "AUTH LOGIN",
            vec![C("AUTH LOGIN"), S("334 x"), C("YW5hQHgudGVzdA=="), S("535 unknown user ana@x.test"), End],
            "535 127.0.0.1 said: unknown user ***",
        ),
        ("AUTH LOGIN", vec![C("AUTH LOGIN"), S("235 in already"), End], "451 4.5.0 *"),
        ("AUTH PLAIN", vec![C(PLAIN), S("354 x"), C("*"), S("250 ok"), End], "451 4.5.0 *"),
        ("AUTH PLAIN", vec![C(PLAIN), S("ana@x.test hunter2"), End], "451 4.5.0 *"),
        ("AUTH CRAM-MD5 XOAUTH2", vec![End], "451 4.7.4 *"),
        ("DSN", vec![End], "451 4.7.4 *"),
    ];
    for (extension, acts, expected) in table {
        let fake = Fake::start(after_ehlo(&[extension], acts)).await;
        let reply = refused(&fake.upstream(), Some(&ana())).await.reply().to_string();
        match expected.strip_suffix('*') {
            Some(start) if !start.ends_with('*') => assert!(reply.starts_with(start), "{reply}"),
            _ => assert_eq!(reply, expected),
        }
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_login_with_a_nul_is_not_sent() {
    let fake = Fake::start(after_ehlo(&["AUTH PLAIN"], vec![End])).await;
    let login = Credentials::with_password("ana\0root", "x");
    let error = refused(&fake.upstream(), Some(&login)).await;
    assert_eq!(error.reply().code().get(), 535);
    fake.finish().await;
}
