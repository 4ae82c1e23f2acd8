//! DSN and REQUIRETLS: what goes along with MAIL and RCPT, and what stops a message.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use envelope::{ForwardPath, MailParameters, Mailbox, Notify, RcptParameters, Ret, ReversePath, Severity};
use fake::Act::{C, End, Handshake, S};
use fake::certificates::Authority;
use fake::{Fake, after_ehlo};
use waxseal_upstream::{Connection, HandoffError, Tls, Upstream};

fn ana() -> ReversePath {
    ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap())
}

fn jo() -> ForwardPath {
    ForwardPath::Mailbox(Mailbox::parse("jo@y.test").unwrap())
}

#[tokio::test]
async fn what_is_asked_of_notifications_goes_along_where_dsn_is_offered() {
    let mail = |ret, envid: Option<&str>| MailParameters {
        ret,
        envid: envid.map(Into::into),
        ..MailParameters::default()
    };
    let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
    let rcpt = |notify, orcpt: Option<&str>| RcptParameters { notify, orcpt: orcpt.map(Into::into) };
    for (mail, rcpt, in_mail, in_rcpt) in [
        (mail(None, None), rcpt(None, None), "", ""),
        (
            mail(Some(Ret::Full), Some("QQ+3D314")),
            rcpt(on(true, true, false), Some("rfc822;Bob+40y.test")),
            " RET=FULL ENVID=QQ+3D314",
            " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40y.test",
        ),
        (mail(Some(Ret::Headers), None), rcpt(Some(Notify::Never), None), " RET=HDRS", " NOTIFY=NEVER"),
        (mail(None, Some("x")), rcpt(on(false, false, true), None), " ENVID=x", " NOTIFY=DELAY"),
        (mail(None, None), rcpt(on(true, true, true), None), "", " NOTIFY=SUCCESS,FAILURE,DELAY"),
        // Neither an empty list nor what would end the command may be said.
        (mail(None, Some("")), rcpt(on(false, false, false), Some("")), "", ""),
        (mail(Some(Ret::Full), Some("x\r\nRSET")), rcpt(None, Some("rfc822;x y")), " RET=FULL", ""),
    ] {
        for offered in [true, false] {
            let (in_mail, in_rcpt) = if offered { (in_mail, in_rcpt) } else { ("", "") };
            let mail_line: &'static str = format!("MAIL FROM:<ana@x.test>{in_mail}").leak();
            let rcpt_line: &'static str = format!("RCPT TO:<jo@y.test>{in_rcpt}").leak();
            let acts = vec![C(mail_line), S("250 ok"), C(rcpt_line), S("250 ok"), End];
            let fake = Fake::start(after_ehlo(if offered { &["DSN"] } else { &["SIZE"] }, acts)).await;
            let mut connection = Connection::open(&fake.upstream(), None).await.unwrap();
            connection.mail(&ana(), &mail).await.unwrap();
            connection.rcpt(&jo(), &rcpt).await.unwrap();
            drop(connection);
            fake.finish().await;
        }
    }
}

/// RFC 8689: only with a server that keeps to it, over TLS that was verified, or not at all.
#[tokio::test]
async fn a_message_that_requires_tls_gets_it_or_stays_here() {
    let authority = Authority::new();
    let required = MailParameters { require_tls: true, ..MailParameters::default() };
    for (encrypted, offered, refused) in [
        (true, true, None),
        (true, false, Some("550 5.7.30")),
        (false, true, Some("550 5.7.10")),
        (false, false, Some("550 5.7.10")),
    ] {
        let plain = [C("MAIL FROM:<ana@x.test>"), S("250 ok"), End];
        let mut acts = vec![];
        if refused.is_none() {
            acts.extend([C("MAIL FROM:<ana@x.test> REQUIRETLS"), S("250 ok"), C("RSET"), S("250 ok")]);
        }
        acts.extend(plain);
        let extensions = if offered { &["REQUIRETLS"][..] } else { &[] };
        let mut script = if encrypted { vec![Handshake] } else { vec![] };
        script.extend(after_ehlo(extensions, acts));
        let fake = Fake::with_tls(script, Some(authority.server("localhost"))).await;
        let upstream = Upstream {
            host: "localhost".into(),
            tls: if encrypted { Tls::Implicit } else { Tls::None },
            trust: authority.trust(),
            ..fake.upstream()
        };
        let mut connection = Connection::open(&upstream, None).await.unwrap();
        match (connection.mail(&ana(), &required).await, refused) {
            (Ok(reply), None) => {
                assert!(reply.is_positive());
                connection.reset().await.unwrap();
            }
            (Err(error), Some(told)) => {
                assert!(matches!(error, HandoffError::TlsNotRequired { .. }));
                assert!(error.reply().to_string().starts_with(told), "{}", error.reply());
                assert_eq!(error.severity(), Severity::Permanent);
            }
            (answer, _) => panic!("{encrypted} {offered}: {answer:?}"),
        }
        // Nothing was sent, and the next message does not suffer from it.
        connection.mail(&ana(), &MailParameters::default()).await.unwrap();
        drop(connection);
        fake.finish().await;
    }
}
