//! Certificates from an authority that the tests play themselves: both challenges, restarts, renewal, and all the ways
//! in which it can fail. `acme_pebble.rs` has a real one.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use envelope::{Clock, SystemClock, Timestamp};
use harness::acme::{Acme, Instead, Manner};
use harness::certificates::Authority;
use harness::certified_relay::{CertifiedRelay, MAIL, Plan, WEB};
use harness::{eventually, tls};

/// A relay that gets its certificates from `acme`, and the authority looks where its doors are.
async fn relay(challenge: &str, change: impl FnOnce(&mut Manner)) -> (Acme, CertifiedRelay) {
    let plan = Plan::new();
    let mut manner = Manner { tls_alpn: Some(plan.tracking), http: Some(plan.plain), ..Manner::default() };
    change(&mut manner);
    let acme = Acme::start(manner).await;
    plan.write(&acme.directory(), acme.authority.pem(), challenge);
    (acme, plan.start())
}

/// Every door shows what the authority gave.
fn all_doors_are_certified(acme: &Acme, relay: &CertifiedRelay) -> [Vec<u8>; 2] {
    let client = tls::trusting(&[acme.authority.pem()]);
    let mail = tls::shown(&client, relay.implicit, MAIL).unwrap();
    assert_eq!(tls::shown_by_starttls(&client, relay.starttls, MAIL).unwrap(), mail);
    let web = tls::shown(&client, relay.tracking, WEB).unwrap();
    assert_ne!(mail, web, "one for each name");
    // Each door shows the other's too, to who asks for it.
    assert_eq!(tls::shown(&client, relay.tracking, MAIL).unwrap(), mail);
    [mail, web]
}

fn wait_for_both(relay: &mut CertifiedRelay) {
    for name in [MAIL, WEB] {
        // Its first attempt may have failed, and then it waits some seconds, by chance up to twenty.
        let line = format!("a new certificate is in use name=\"{name}\"");
        relay.relay.wait_for_log_within(&line, Duration::from_mins(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_challenges_and_a_restart_that_asks_for_nothing() {
    for challenge in ["tls-alpn-01", "http-01"] {
        // The other challenge could not be answered.
        let (acme, mut relay) = relay(challenge, |manner| {
            match challenge {
                "http-01" => manner.tls_alpn = None,
                _ => manner.http = None,
            }
            // More than one request is patient enough for.
            manner.bad_nonces = 4;
        })
        .await;
        relay.relay.wait_for_log("there is no certificate for this name yet");
        wait_for_both(&mut relay);
        let shown = all_doors_are_certified(&acme, &relay);
        assert_eq!((acme.orders(), acme.accounts()), (2, 1), "{:?}", acme.asked());
        assert!(relay.check().contains(&format!("note: {WEB}: certificate until ")), "{}", relay.check());

        for file in fs::read_dir(relay.relay.path("tls")).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
        }
        let log = relay.relay.log();
        assert!(!log.contains("PRIVATE KEY") && !log.contains("panicked"), "{log}");

        let before = acme.asked().len();
        let mut relay = relay.stopped().start();
        relay.relay.wait_for_log("a kept certificate is in use");
        assert_eq!(all_doors_are_certified(&acme, &relay), shown);
        assert_eq!(acme.asked().len(), before, "a restart asks nobody");
        let plain = relay.plain;
        for (request, expected) in [
            ("GET /c/x HTTP/1.1\r\nHost: t.test.example\r\n", "Location: https://t.test.example/c/x\r\n"),
            ("GET /c/x HTTP/1.1\r\nHost: evil.example\r\n", "HTTP/1.1 404"),
            ("GET /.well-known/acme-challenge/token-0 HTTP/1.1\r\nHost: t.test.example\r\n", "HTTP/1.1 404"),
            ("\u{0}garbage\r\n", "HTTP/1.1 400"),
        ] {
            let mut stream = tls::tcp(plain);
            stream.write_all(format!("{request}Connection: close\r\n\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.contains(expected), "{request}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_that_fails_takes_no_other_down_and_is_not_asked_for_again_at_once() {
    let (acme, mut relay) = relay("tls-alpn-01", |_| {}).await;
    wait_for_both(&mut relay);
    // The mail host alone must be asked for again, and cannot be proven any more.
    let plan = relay.stopped();
    for file in ["json", "pem"] {
        fs::remove_file(plan.folder.path().join(format!("tls/{MAIL}.{file}"))).unwrap();
    }
    acme.behave(|manner| manner.tls_alpn = None);
    let mut relay = plan.start();
    let line = relay.relay.wait_for_log("there is no certificate name=");
    for said in [MAIL, "unauthorized: nobody answers at port 443", "next_try=", "must lead to this machine"] {
        assert!(line.contains(said), "{said}: {line}");
    }
    let client = tls::trusting(&[acme.authority.pem()]);
    tls::shown(&client, relay.tracking, WEB).unwrap();
    tls::shown(&client, relay.implicit, MAIL).expect_err("a certificate of our own is shown");
    let said = relay.check();
    let expected = format!(
        "note: {MAIL}: no certificate yet; a self-signed one is shown until there is; the last try failed (unauthorized"
    );
    assert!(said.contains(&expected), "{said}");

    // Started again and again it asks nobody, until the time has come.
    let before = acme.asked().len();
    let mut relay = relay.stopped().start();
    relay.relay.wait_for_log("there is no certificate for this name yet");
    let plan = relay.stopped();
    assert_eq!(acme.asked().len(), before);
    // Killed while it asks it has noted that it asked; with other settings the note does not count.
    acme.behave(|manner| manner.http = Some(plan.plain));
    plan.write(&acme.directory(), acme.authority.pem(), "http-01");
    let mut relay = plan.start();
    relay.relay.wait_for_log("a new certificate is in use");
    all_doors_are_certified(&acme, &relay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_while_the_old_one_is_shown() {
    let old = Authority::new();
    let plan = Plan::new();
    let acme = Acme::start(Manner { tls_alpn: Some(plan.tracking), ..Manner::default() }).await;
    plan.write(&acme.directory(), acme.authority.pem(), "tls-alpn-01");
    // In the last third of its life.
    let folder = plan.folder.path().join("tls");
    fs::create_dir(&folder).unwrap();
    for name in [MAIL, WEB] {
        let (certificate, key) = old.issue_for(name, 2000, 2039);
        fs::write(folder.join(format!("{name}.pem")), certificate + &key).unwrap();
        fs::write(folder.join(format!("{name}.json")), format!("{{\"issued_by\":\"{}\"}}", acme.directory()))
            .unwrap();
    }
    acme.behave(|manner| {
        manner.instead = Some(("/order", Instead::Problem(503, "serverInternal", "back soon", Some("1"))));
    });
    let mut relay = plan.start();
    let line = relay.relay.wait_for_log("the certificate was not renewed");
    assert!(
        line.contains("serverInternal: back soon") && line.contains("valid_until=\"2039-01-01\""),
        "{line}"
    );
    assert_eq!(acme.orders(), 1, "an authority that is away is not asked for every name");
    let client = tls::trusting(&[old.pem()]);
    tls::shown(&client, relay.tracking, WEB).unwrap();
    acme.behave(|manner| manner.instead = None);
    wait_for_both(&mut relay);
    all_doors_are_certified(&acme, &relay);
    assert!(relay.file(&format!("{WEB}.pem")).contains("PRIVATE KEY"));
}

/// Nothing that an authority does ends the relay, and the log says what it was.
#[tokio::test(flavor = "multi_thread")]
async fn authorities_that_behave_badly() {
    use Instead::{Flood, HangUp, Html, OtherName, Problem, Text};
    let rate_limited = Problem(429, "rateLimited", "too many certificates already issued", Some("7200"));
    let cases: [(&'static str, Instead, &str); 14] = [
        ("/dir", Html(200), "the authority's answer is not that of ACME (HTTP status 200)"),
        ("/dir", Html(502), "the authority's answer is not that of ACME (HTTP status 502)"),
        ("/dir", HangUp, "localhost did not answer"),
        ("/dir", Flood, "localhost did not answer: length limit exceeded"),
        ("/nonce", Html(500), "the authority's answer is not that of ACME (HTTP status 500)"),
        (
            "/account",
            Problem(400, "externalAccountRequired", "who are you", None),
            "take another `tls.directory`",
        ),
        ("/account", Problem(400, "invalidContact", "no such address", None), "put `tls.email` right"),
        ("/order", rate_limited, "rateLimited: too many certificates already issued"),
        (
            "/order",
            Problem(400, "accountDoesNotExist", "never heard of you", None),
            "a new one made at the next try",
        ),
        ("/order", Html(503), "the authority's answer is not that of ACME (HTTP status 503)"),
        (
            "/finalize",
            Problem(403, "caa", "CAA record prevents issuance", None),
            "CAA records of relay.test.example",
        ),
        (
            "/cert",
            Text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "the certificate that came cannot be used",
        ),
        ("/cert", OtherName, "the private key is another certificate's"),
        (
            "/challenge",
            Problem(400, "malformed", "the\u{7} line\nbreaks", None),
            "malformed: the  line breaks",
        ),
    ];
    for (path, instead, said) in cases {
        let what = format!("{path} {instead:?}");
        let (acme, mut relay) = relay("tls-alpn-01", |manner| manner.instead = Some((path, instead))).await;
        let line = relay.relay.wait_for_log("there is no certificate name=");
        assert!(line.contains(said), "{what}: {line}");
        // Mail and links go on meanwhile, with a certificate that nobody vouches for.
        let client = tls::trusting(&[acme.authority.pem()]);
        let refused = tls::shown(&client, relay.tracking, WEB).unwrap_err();
        assert!(
            refused.contains("UnknownIssuer") || refused.contains("CaUsedAsEndEntity"),
            "{what}: {refused}"
        );
        let record: serde_json::Value = eventually("the record is written", || {
            serde_json::from_str(&relay.file(&format!("{MAIL}.json"))).ok()
        });
        let next: Timestamp = record["next_try"].as_str().unwrap().parse().unwrap();
        let pause = next.since(SystemClock.now()).as_secs();
        let expected = if what.contains("rateLimited") { 7_100..=7_200 } else { 1..=150 };
        assert!(expected.contains(&pause), "{what}: {pause} s");
        if what.contains("accountDoesNotExist") {
            eventually("the account is forgotten", || {
                let files = fs::read_dir(relay.relay.path("tls")).unwrap();
                let names: Vec<_> =
                    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
                (!names.iter().any(|name| name.starts_with("account-"))).then_some(())
            });
        }
        assert!(!relay.relay.log().contains("panicked"), "{}", relay.relay.log());
        assert_eq!(relay.relay.stop(), 0, "{what}");
    }
}
