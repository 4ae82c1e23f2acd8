//! Logins with an access token: XOAUTH2 and OAUTHBEARER (RFC 7628).
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::{Credentials, Severity};
use fake::Act::{C, End, S, Stall};
use fake::{Act, Fake, after_ehlo};
use waxseal_upstream::{Connection, HandoffError};

const TOKEN: &str = "ya29.A0AfH6SMBx_secret";
/// {"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}
const CHALLENGE: &str =
    "334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

fn ana() -> Credentials {
    Credentials::with_access_token("ana@x.test", TOKEN)
}

fn line(mechanism: &str, response: &str) -> &'static str {
    format!("AUTH {mechanism} {}", STANDARD.encode(response)).leak()
}

fn xoauth2() -> &'static str {
    line("XOAUTH2", &format!("user=ana@x.test\x01auth=Bearer {TOKEN}\x01\x01"))
}

fn oauthbearer(port: u16) -> &'static str {
    let response = format!("n,a=ana@x.test,\x01host=127.0.0.1\x01port={port}\x01auth=Bearer {TOKEN}\x01\x01");
    line("OAUTHBEARER", &response)
}

#[tokio::test]
async fn a_token_by_the_mechanism_that_is_offered() {
    for (offered, mechanism) in [
        ("AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER", "XOAUTH2"),
        ("AUTH OAUTHBEARER PLAIN xoauth2", "XOAUTH2"),
        ("AUTH PLAIN OAUTHBEARER", "OAUTHBEARER"),
    ] {
        // The port is a part of what is said, and known only once there is one.
        let started = |line| Fake::start(after_ehlo(&[offered], vec![C(line), S("235 2.7.0 in"), End]));
        let fake = if mechanism == "XOAUTH2" {
            started(xoauth2()).await
        } else {
            started("AUTH OAUTHBEARER *").await
        };
        drop(Connection::open(&fake.upstream(), Some(&ana())).await.unwrap());
        fake.finish().await;
    }
    assert!(oauthbearer(25).starts_with("AUTH OAUTHBEARER bixhPWFuYUB4LnRlc3QsAWhvc3Q9MTI3LjAuMC4xAXBvcnQ9"));
}

/// The reason comes in a challenge, and the refusal only when that is answered.
#[tokio::test]
async fn a_refused_token_has_the_providers_words_and_no_secrets() {
    type Row = (&'static str, Vec<Act>, &'static str);
    let refusal = "535-5.7.8 Username and Password not accepted. For more information, go to\r\n535 5.7.8 https://support.x.test/answer";
    let said = "535 5.7.8 127.0.0.1 said: Username and Password not accepted. For more information, go to https://support.x.test/answer";
    let bearer = C("AUTH OAUTHBEARER *");
    let leak: &'static str = format!("535 5.7.3 {TOKEN} of ANA@x.test, {}", &xoauth2()[13..]).leak();
    let table: Vec<Row> = vec![
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(CHALLENGE), C(""), S(refusal), End], said),
        ("AUTH OAUTHBEARER", vec![bearer, S(CHALLENGE), C("AQ=="), S(refusal), End], said),
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(refusal), End], said),
        (
            "AUTH XOAUTH2",
            vec![C(xoauth2()), S(CHALLENGE), C(""), S("454 4.7.0 later"), End],
            "454 4.7.0 127.0.0.1 said: later",
        ),
        (
            "AUTH XOAUTH2",
            vec![C(xoauth2()), S(CHALLENGE), C(""), S("421 4.7.0 too often"), End],
            "451 4.7.0 127.0.0.1 said: too often",
        ),
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(leak), End], "535 5.7.3 127.0.0.1 said: *** of ***, ***"),
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(CHALLENGE), C(""), S(CHALLENGE), Stall], "451 4.5.0*"),
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(CHALLENGE), C(""), S("235 in"), Stall], "451 4.5.0*"),
        ("AUTH XOAUTH2", vec![C(xoauth2()), S(CHALLENGE), C("")], "451 4.4.2*"),
        ("AUTH PLAIN LOGIN", vec![End], "451 4.7.4*"),
    ];
    for (extension, acts, expected) in table {
        let fake = Fake::start(after_ehlo(&[extension], acts)).await;
        let error = Connection::open(&fake.upstream(), Some(&ana())).await.unwrap_err();
        let reply = error.reply().to_string();
        match expected.strip_suffix("0*").or(expected.strip_suffix("2*")).or(expected.strip_suffix("4*")) {
            Some(start) => assert!(reply.starts_with(start), "{reply}"),
            None => assert_eq!(reply, expected),
        }
        let shown = format!("{error} {error:?} {reply}");
        assert!(!shown.contains(TOKEN) && !shown.contains(&xoauth2()[13..]), "{shown}");
        fake.finish().await;
    }
}

#[tokio::test]
async fn a_token_that_would_be_read_as_something_else_is_not_sent() {
    for (login, token) in [("ana\x01auth=Bearer x", "t"), ("ana", "t\x01"), ("ana", "t\r\n"), ("a\0", "t")] {
        let fake = Fake::start(after_ehlo(&["AUTH XOAUTH2"], vec![End])).await;
        let login = Credentials::with_access_token(login, token);
        let error = Connection::open(&fake.upstream(), Some(&login)).await.unwrap_err();
        assert!(matches!(error, HandoffError::LoginUnsendable { .. }));
        assert_eq!(error.severity(), Severity::Permanent);
        fake.finish().await;
    }
}
