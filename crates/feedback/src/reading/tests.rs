use proptest::prelude::*;

use super::*;

const RELAY_ID: &str = "0199d1a3-7c51-7e0e-9f2a-4c1d6b7e8f90";

/// The header of the message that came back.
fn came_back() -> String {
    format!(
        "Received: by h.example (Waxseal) with ESMTPSA\r\n id {RELAY_ID};\r\n Tue, 24 Nov 2026 08:21:01 +0000\r\n\
         From: Ana <ana@example.com>\r\nTo: bo@example.net\r\nSubject: Hello\r\nMessage-ID: <1@example.com>\r\n"
    )
}

/// A multipart/report of these parts.
fn report(kind: &str, parts: &[(&str, &str)]) -> String {
    let mut text = format!(
        "From: MAILER-DAEMON@mx.example\r\nTo: ana@example.com\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type={kind};\r\n\tboundary=\"b/1\"\r\n\r\nThis is MIME.\r\n\r\n"
    );
    for (header, body) in parts {
        text += &format!("--b/1\r\nContent-Type: {header}\r\n\r\n{body}\r\n");
    }
    text + "--b/1--\r\n"
}

fn delivery(raw: &str) -> DeliveryReport {
    match read(raw.as_bytes()) {
        Ok(Report::Delivery(report)) => report,
        other => panic!("{other:?}\n{raw}"),
    }
}

fn complaint(raw: &str) -> Complaint {
    match read(raw.as_bytes()) {
        Ok(Report::Complaint(complaint)) => complaint,
        other => panic!("{other:?}\n{raw}"),
    }
}

/// Address, severity, status of the only recipient.
fn only(report: &DeliveryReport) -> (Option<&str>, Severity, Option<String>) {
    let [one] = &report.recipients[..] else { panic!("{:?}", report.recipients) };
    (one.address.as_deref(), one.severity, one.status.map(|status| status.to_string()))
}

const BO: Option<&str> = Some("bo@example.net");

#[test]
fn postfix() {
    let status = "Reporting-MTA: dns; mail.example\r\nX-Postfix-Queue-ID: 4F1\r\nX-Postfix-Sender: rfc822; ana@example.com\r\n\
                  Arrival-Date: Tue, 24 Nov 2026 09:21:01 +0100 (CET)\r\n\r\nFinal-Recipient: rfc822; bo@elsewhere.example\r\n\
                  Original-Recipient: rfc822;bo@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.elsewhere.example\r\n\
                  Diagnostic-Code: smtp; 550 5.1.1 <bo@elsewhere.example>: Recipient address rejected:\r\n    User unknown in table\r\n";
    for back in ["text/rfc822-headers", "message/rfc822", "Message/RFC822"] {
        let raw = report(
            "delivery-status",
            &[("text/plain", "Sorry."), ("message/delivery-status", status), (back, &came_back())],
        );
        let read = delivery(&raw);
        assert_eq!(only(&read), (BO, Severity::Hard, Some("5.1.1".to_owned())), "{back}");
        let one = &read.recipients[0];
        assert_eq!(one.final_address.as_deref(), Some("bo@elsewhere.example"));
        assert_eq!(
            one.diagnostic.as_deref(),
            Some("550 5.1.1 <bo@elsewhere.example>: Recipient address rejected: User unknown in table")
        );
        assert_eq!(read.reporting_mta.as_deref(), Some("mail.example"));
        assert_eq!(read.original.relay_ids, [RELAY_ID.parse().unwrap()], "{back}");
        assert_eq!(read.original.message_id.as_deref(), Some("1@example.com"));
        assert_eq!(read.original.to, ["bo@example.net"]);
    }
}

/// The notice is in a nested multipart, the words come in several reply lines, the id is repeated beside.
#[test]
fn gmail() {
    let status = "Reporting-MTA: dns; googlemail.com\r\nReceived-From-MTA: dns; ana@example.com\r\n\
                  Arrival-Date: Tue, 24 Nov 2026 00:21:01 -0800 (PST)\r\nX-Original-Message-ID: <1@example.com>\r\n\r\n\
                  Final-Recipient: rfc822; bo@example.net\r\nAction: failed\r\nStatus: 5.0.0\r\n\
                  Remote-MTA: dns; mx.example.net. (192.0.2.7, the server for the domain example.net.)\r\n\
                  Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try\r\n \
                  550-5.1.1 double-checking the address. 550 5.1.1  https://support.example/ - gsmtp\r\n";
    let nested = "multipart/related; boundary=inner\r\n\r\n--inner\r\nContent-Type: text/html\r\n\r\n<p>No</p>\r\n--inner--";
    let raw = report("delivery-status", &[(nested, ""), ("message/delivery-status", status)]);
    let read = delivery(&raw);
    assert_eq!(only(&read), (BO, Severity::Hard, Some("5.1.1".to_owned())));
    assert_eq!(read.original.message_id.as_deref(), Some("1@example.com"));
}

#[test]
fn exchange_and_microsoft_365() {
    let status = "Reporting-MTA: dns;AM0PR01.prod.example\r\nReceived-From-MTA: dns;mx.example\r\n\r\n\
                  Original-Recipient: rfc822;bo@example.net\r\nFinal-Recipient: rfc822;bo@example.net\r\nAction: failed\r\n\
                  Status: 5.1.10\r\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP\r\n address lookup\r\nX-Display-Name: Bo\r\n";
    let raw =
        report("delivery-status", &[("message/delivery-status", status), ("message/rfc822", &came_back())]);
    assert_eq!(only(&delivery(&raw)), (BO, Severity::Hard, Some("5.1.10".to_owned())));

    // Nothing came back: the notification answers the message.
    let raw = report("delivery-status", &[("message/delivery-status", status)]).replacen(
        "Subject:",
        "In-Reply-To: <1@example.com>\r\nSubject:",
        1,
    );
    assert_eq!(delivery(&raw).original.message_id.as_deref(), Some("1@example.com"));

    // Neither Action nor blanks.
    let status = "Reporting-MTA:dns;EX01\r\n\r\nFinal-Recipient:RFC822;<bo@example.net>\r\nStatus:5.7.1\r\nX-Supplementary-Info:< #5.7.1>\r\n";
    let raw = report("delivery-status", &[("message/delivery-status", status)]);
    assert_eq!(only(&delivery(&raw)), (BO, Severity::Soft, Some("5.7.1".to_owned())));

    let old = "From: System Administrator <postmaster@ex.example>\r\nSubject: Undeliverable: Hello\r\n\r\n\
               Your message\r\n\r\n  To:      bo@example.net\r\n  Subject: Hello\r\n\r\ndid not reach the following recipient(s) could not be reached:\r\n\r\n\
               bo@example.net on Tue, 24 Nov 2026 08:21\r\n    There is no such account.\r\n    <ex.example #5.1.1>\r\n";
    assert_eq!(only(&delivery(old)), (BO, Severity::Hard, Some("5.1.1".to_owned())));
}

#[test]
fn exim_in_both_forms() {
    let back = came_back().replace("\r\n ", "\r\n\t");
    let old = format!(
        "X-Failed-Recipients: bo@example.net,\r\n  cy@example.net\r\nAuto-Submitted: auto-replied\r\n\
         From: Mail Delivery System <Mailer-Daemon@h.example>\r\nSubject: Mail delivery failed\r\n\r\n\
         This message was created automatically by mail delivery software.\r\n\r\nA message that you sent could not be delivered:\r\n\r\n\
         \x20 bo@example.net\r\n    host mx.example.net [192.0.2.7]\r\n    SMTP error from remote mail server after RCPT TO:<bo@example.net>:\r\n    550 5.1.1 No such user\r\n\
         \x20 cy@example.net\r\n    Unrouteable address\r\n\r\n\
         ------ This is a copy of the message, including all the headers. ------\r\n\r\n{back}\r\nHello\r\n"
    );
    let read = delivery(&old);
    let got: Vec<_> = read.recipients.iter().map(|r| (r.address.as_deref().unwrap(), r.severity)).collect();
    assert_eq!(got, [("bo@example.net", Severity::Hard), ("cy@example.net", Severity::Hard)]);
    assert_eq!(read.recipients[0].status.unwrap().to_string(), "5.1.1");
    assert_eq!(read.original.relay_ids.len(), 1);

    let late = "Subject: Warning: message 1 delayed 24 hours\r\n\r\nThis message was created automatically by mail delivery software.\r\n\
                A message that you sent has not yet been delivered to one or more of its\r\nrecipients after more than 24 hours on the queue on h.example.\r\n\r\n\
                The address to which the message has not yet been delivered is:\r\n\r\n  bo@example.net\r\n    host mx.example.net [192.0.2.7]: 451 4.7.1 Later\r\n\r\n\
                No action is required on your part. Delivery attempts will continue for some time.\r\n";
    assert_eq!(only(&delivery(late)).1, Severity::Delayed);
}

#[test]
fn qmail() {
    let raw = format!(
        "From: MAILER-DAEMON@q.example\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program at q.example.\r\n\
         I was not able to deliver your message.\r\n\r\n<bo@example.net>:\r\n192.0.2.7 does not like recipient.\r\n\
         Remote host said: 550 5.1.1 <bo@example.net>: user unknown\r\nGiving up on 192.0.2.7.\r\n\r\n\
         <cy@nowhere.example>:\r\nSorry, I couldn't find any host named nowhere.example. (#5.1.2)\r\n\r\n\
         --- Below this line is a copy of the message.\r\n\r\nReturn-Path: <ana@example.com>\r\n{}\r\nHello\r\n",
        came_back()
    );
    let read = delivery(&raw);
    let got: Vec<_> = read
        .recipients
        .iter()
        .map(|r| (r.address.as_deref().unwrap(), r.severity, r.status.unwrap().to_string()))
        .collect();
    assert_eq!(
        got,
        [
            ("bo@example.net", Severity::Hard, "5.1.1".to_owned()),
            ("cy@nowhere.example", Severity::Hard, "5.1.2".to_owned())
        ]
    );
    assert_eq!(read.original.relay_ids.len(), 1);
}

#[test]
fn several_recipients_each_with_its_fate() {
    let status = "Reporting-MTA: dns; h\r\n\r\nFinal-Recipient: rfc822; a@example.net\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n\
                  Final-Recipient: rfc822; b@example.net\r\nAction: relayed (to non-DSN-aware mailer)\r\nStatus: 2.0.0\r\n\r\n\
                  Final-Recipient: rfc822; c@example.net\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 Over quota\r\n\r\n\
                  Final-Recipient: utf-8; j\\x{F6}@example.net\r\nAction: FAILED\r\nStatus: 4.4.7\r\n\r\nX-Nonsense: 1\r\n";
    let raw = report("delivery-status", &[("message/global-delivery-status", status)]);
    let got: Vec<_> =
        delivery(&raw).recipients.into_iter().map(|r| (r.address.unwrap(), r.severity)).collect();
    let expected = [
        ("a@example.net", Severity::Delayed),
        ("b@example.net", Severity::None),
        ("c@example.net", Severity::Soft),
        ("jö@example.net", Severity::Soft),
    ];
    assert_eq!(got, expected.map(|(address, severity)| (address.to_owned(), severity)));
}

/// Not allowed (RFC 2046 §5.2.1), and done all the same.
#[test]
fn parts_that_are_encoded() {
    let status = "message/delivery-status\r\nContent-Transfer-Encoding: base64";
    let body = "UmVwb3J0aW5nLU1UQTogZG5zOyBoDQoNCkZpbmFsLVJlY2lwaWVudDogcmZjODIyOyBib0BleGFtcGxlLm5ldA0KQWN0aW9uOiBmYWlsZWQNClN0YXR1czogNS4xLjENCg==";
    let back = "message/rfc822\r\nContent-Transfer-Encoding: quoted-printable";
    let raw = report(
        "delivery-status",
        &[(status, body), (back, &came_back().replace("(Waxseal)", "(=57axseal)"))],
    );
    let read = delivery(&raw);
    assert_eq!(only(&read).0, BO);
    assert_eq!(read.original.relay_ids.len(), 1);
}

#[test]
fn complaints() {
    let feedback = "Feedback-Type: abuse\r\nUser-Agent: SomeFBL/1\r\nVersion: 1\r\nOriginal-Mail-From: <ana@example.com>\r\n\
                    Original-Rcpt-To: <bo@example.net>\r\nSource-IP: 192.0.2.1\r\n";
    let parts =
        [("text/plain", "Spam"), ("message/feedback-report", feedback), ("message/rfc822", &came_back())];
    let read = complaint(&report("feedback-report", &parts));
    assert_eq!((read.kind, &read.addresses[..]), (FeedbackType::Abuse, &["bo@example.net".to_owned()][..]));
    assert_eq!(read.original.relay_ids.len(), 1);

    for (kind, expected) in [
        ("not-spam", FeedbackType::NotSpam),
        ("opt-out", FeedbackType::OptOut),
        ("Fraud", FeedbackType::Fraud),
        ("new-word", FeedbackType::Other),
    ] {
        let feedback = format!("Feedback-Type: {kind}\r\n\r\nUser-Agent: x\r\n");
        let read = complaint(&report("feedback-report", &[("message/feedback-report", &feedback)]));
        assert_eq!(read.kind, expected);
        assert!(read.original.is_empty());
    }

    let microsoft = format!("X-HmXmrOriginalRecipient: bo@example.net\r\n{}", came_back());
    let read =
        complaint(&report("x", &[("text/plain", "complaint about message"), ("message/rfc822", &microsoft)]));
    assert_eq!(read.addresses, ["bo@example.net"]);
    assert_eq!(read.original.message_id.as_deref(), Some("1@example.com"));
}

#[test]
fn what_is_no_report() {
    let receipt = report(
        "disposition-notification",
        &[
            ("text/plain", "read"),
            (
                "message/disposition-notification",
                "Final-Recipient: rfc822;bo@example.net\r\nDisposition: manual-action/MDN-sent; displayed\r\n",
            ),
        ],
    );
    assert_eq!(read(receipt.as_bytes()), Err(ReadError::ReadReceipt));
    let away = "From: bo@example.net\r\nSubject: Away\r\nAuto-Submitted: auto-replied\r\nIn-Reply-To: <1@example.com>\r\n\r\nI am away.\r\n";
    assert_eq!(read(away.as_bytes()), Err(ReadError::NoReport));
    let forwarded = report("x", &[("text/plain", "look"), ("message/rfc822", &came_back())]);
    assert_eq!(read(forwarded.as_bytes()), Err(ReadError::NoReport));
    assert_eq!(read(b""), Err(ReadError::NoMessage));
    let silent = report("delivery-status", &[("message/delivery-status", "Reporting-MTA: dns; h\r\n")]);
    assert_eq!(read(silent.as_bytes()), Err(ReadError::NoRecipient));
}

#[test]
fn cut_anywhere_it_does_not_panic() {
    let parts = [
        (
            "message/delivery-status",
            "Reporting-MTA: dns; h\r\n\r\nFinal-Recipient: utf-8; j\\x{F6}@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        ),
        ("message/rfc822", &came_back()),
    ];
    let raw = report("delivery-status", &parts);
    for end in 0..raw.len() {
        let _ = read(&raw.as_bytes()[..end]);
    }
}

proptest! {
    #[test]
    fn never_panics(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&octets);
    }

    #[test]
    fn never_panics_on_what_looks_like_one(
        lines in prop::collection::vec(
            prop_oneof![
                Just("Final-Recipient: rfc822; bo@example.net".to_owned()),
                Just("Action: failed".to_owned()),
                Just("--b/1".to_owned()),
                Just("Content-Type: message/delivery-status".to_owned()),
                Just("Content-Type: message/rfc822".to_owned()),
                Just("<bo@example.net>:".to_owned()),
                Just("Hi. This is the qmail-send program".to_owned()),
                Just(String::new()),
                "\\PC{0,40}",
            ],
            0..40,
        )
    ) {
        let _ = read(report("delivery-status", &[("text/plain", &lines.join("\r\n"))]).as_bytes());
        let _ = read(lines.join("\n").as_bytes());
    }
}
