use mail_parser::{MessageParser, MimeHeaders, PartType};
use proptest::prelude::*;

use envelope::Ret;

use super::*;

const CONTENT: &[u8] = b"Received: by relay.example\r\nFrom: ana@example.com\r\nSubject: Hello\r\nMessage-ID: <m1@example.com>\r\n\r\n<p>body</p>\r\n";

fn at(hours: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000 + hours * 3_600_000)
}

fn message(from: &str) -> QueuedMessage {
    QueuedMessage {
        id: RelayId::new(at(0), [1; 10]),
        queued_at: at(0),
        sender: "ana@example.com".into(),
        upstream: "own".into(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse(from).unwrap()),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: CONTENT.len() as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: vec![],
    }
}

fn told(address: &str, code: u16, enhanced: &str, text: &str) -> Told {
    Told {
        recipient: QueuedRecipient {
            index: 0,
            forward_path: ForwardPath::Mailbox(Mailbox::parse(address).unwrap()),
            parameters: RcptParameters::default(),
            state: RecipientState::Failed,
            attempts: 1,
            due_at: at(0),
            code,
            reply: String::new(),
        },
        answer: Answer { code, enhanced: EnhancedStatusCode::parse(enhanced), text: text.into() },
        given_up: false,
    }
}

fn compose(message: &QueuedMessage, content: &[u8], news: News, recipients: &[Told]) -> Option<NewMessage> {
    let notification = Notification {
        id: RelayId::new(at(1), [2; 10]),
        at: at(1),
        hostname: "relay.example",
        provider: "smtp.provider.example",
        message,
        content: Some(content),
        news,
        recipients,
    };
    notification.compose()
}

/// What another reader makes of it: the three parts and their types; the header fields are ours alone.
fn read(new: &NewMessage) -> [String; 3] {
    let text = String::from_utf8_lossy(&new.content).into_owned();
    let head = text.split_once("\r\n\r\n").unwrap().0;
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap())
        .filter(|name| !matches!(*name, "In-Reply-To" | "References"))
        .collect();
    let expected =
        ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
    assert_eq!(names, expected, "{head}");
    assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n', '\0'])), "{text}");

    let mail = MessageParser::default().parse(&new.content[..]).unwrap();
    assert!(mail.content_type().is_some_and(|kind| kind.attribute("report-type") == Some("delivery-status")));
    let children: Vec<_> = match &mail.parts[0].body {
        PartType::Multipart(children) => children.iter().map(|at| &mail.parts[*at as usize]).collect(),
        other => panic!("{other:?}"),
    };
    let types: Vec<String> = children
        .iter()
        .map(|part| {
            let kind = part.content_type().unwrap();
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
        })
        .collect();
    assert_eq!(types[..2], ["text/plain", "message/delivery-status"], "{text}");
    assert!(matches!(types[2].as_str(), "text/rfc822-headers" | "message/rfc822"), "{types:?}");
    let mut bodies = children.iter().map(|part| match &part.body {
        PartType::Text(text) => text.to_string(),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            String::from_utf8_lossy(octets).into_owned()
        }
        PartType::Message(inner) => String::from_utf8_lossy(inner.raw_message()).into_owned(),
        other => panic!("{other:?}"),
    });
    [bodies.next().unwrap(), bodies.next().unwrap(), bodies.next().unwrap()]
}

#[test]
fn a_failure() {
    let recipients = [
        told("bo@example.net", 550, "5.1.1", "no such user\nask the postmaster"),
        told("li@example.net", 0, "", "could not connect to smtp.provider.example:465: connection refused"),
        Told { given_up: true, ..told("kim@example.net", 451, "4.7.1", "later") },
    ];
    let new = compose(&message("ana@example.com"), CONTENT, News::Failed, &recipients).unwrap();
    assert_eq!(new.message.reverse_path, ReversePath::Null);
    assert_eq!(new.message.recipients[0].forward_path.to_string(), "ana@example.com");
    assert_eq!((new.message.upstream.as_str(), new.message.copies), ("own", Copies::Shared));
    let [people, status, returned] = read(&new);
    assert_eq!(
        people.replace("\r\n", "\n").trim_end(),
        "\
This is the mail relay relay.example.

Your message did not arrive at the following recipients. It will not be tried again.

    Subject: Hello
    From:    ana@example.com
    Sent:    Tue, 24 Nov 2026 08:21:01 +0000

bo@example.net
    smtp.provider.example said: 550 5.1.1 no such user
    ask the postmaster

li@example.net
    could not connect to smtp.provider.example:465: connection refused

kim@example.net
    It was tried for 60 minutes. The last time:
    smtp.provider.example said: 451 4.7.1 later"
    );
    assert_eq!(
        status.replace("\r\n", "\n").trim_end(),
        "\
Reporting-MTA: dns; relay.example
Arrival-Date: Tue, 24 Nov 2026 08:21:01 +0000

Final-Recipient: rfc822; bo@example.net
Action: failed
Status: 5.1.1
Remote-MTA: dns; smtp.provider.example
Diagnostic-Code: smtp; 550 5.1.1 no such user ask the postmaster
Last-Attempt-Date: Tue, 24 Nov 2026 09:21:01 +0000

Final-Recipient: rfc822; li@example.net
Action: failed
Status: 5.0.0
Diagnostic-Code: x-waxseal; could not connect to smtp.provider.example:465:
 connection refused
Last-Attempt-Date: Tue, 24 Nov 2026 09:21:01 +0000

Final-Recipient: rfc822; kim@example.net
Action: failed
Status: 4.7.1
Remote-MTA: dns; smtp.provider.example
Diagnostic-Code: smtp; 451 4.7.1 later
Last-Attempt-Date: Tue, 24 Nov 2026 09:21:01 +0000"
    );
    let head = CONTENT.split(|octet| *octet == b'<').next().unwrap();
    assert!(returned.as_bytes().starts_with(head), "{returned}");
    assert!(!returned.contains("body"));
}

#[test]
fn only_who_wants_to_hear_of_it() {
    let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
    let delayed = News::Delayed { until: at(72) };
    for (notify, failed, late, relayed) in [
        (None, true, true, false),
        (Some(Notify::Never), false, false, false),
        (on(true, false, false), false, false, true),
        (on(false, true, false), true, false, false),
        (on(false, false, true), false, true, false),
    ] {
        let mut one = told("bo@example.net", 250, "", "ok");
        one.recipient.parameters.notify = notify;
        for (news, wanted) in [(News::Failed, failed), (delayed, late), (News::Relayed, relayed)] {
            let made = compose(&message("ana@example.com"), CONTENT, news, std::slice::from_ref(&one));
            assert_eq!(made.is_some(), wanted, "{notify:?} {news:?}");
        }
    }
    let mut from_nobody = message("ana@example.com");
    from_nobody.reverse_path = ReversePath::Null;
    assert_eq!(compose(&from_nobody, CONTENT, News::Failed, &[told("bo@example.net", 550, "", "no")]), None);
}

#[test]
fn what_is_not_ascii_travels_as_ascii() {
    let content = "From: ana@example.com\r\nSubject: Grüße\r\nMessage-ID: <ü@example.com>\r\n\r\nKörper\r\n";
    let mut message = message("ana@example.com");
    message.parameters.ret = Some(Ret::Full);
    let one = told("jörg@bücher.example", 550, "5.1.1", "kein Benutzer „jörg“");
    let new = compose(&message, content.as_bytes(), News::Failed, &[one]).unwrap();
    assert!(new.content.is_ascii() && !new.message.parameters.smtputf8);
    assert!(!String::from_utf8_lossy(&new.content).contains("In-Reply-To"));
    let [people, status, returned] = read(&new);
    assert!(people.contains("jörg@bücher.example") && people.contains("„jörg“") && people.contains("Grüße"));
    assert!(status.contains("Final-Recipient: utf-8; j\\x{F6}rg@b\\x{FC}cher.example\r\n"), "{status}");
    assert!(status.contains("Diagnostic-Code: smtp; 550 5.1.1 kein Benutzer ?j?rg?\r\n"), "{status}");
    assert!(returned.contains("Subject: Grüße") && !returned.contains("Körper"), "{returned}");
    // A sender whose own address is not ASCII hears of it all the same.
    let one = told("bo@example.net", 550, "", "no");
    let new = compose(&super::tests::message("jörg@example.com"), content.as_bytes(), News::Failed, &[one])
        .unwrap();
    assert!(new.message.parameters.smtputf8 && new.message.parameters.body == Some(Body::EightBitMime));
}

#[test]
fn all_of_it_comes_back_if_asked_for() {
    let mut message = message("ana@example.com");
    message.parameters.ret = Some(Ret::Full);
    let one = [told("bo@example.net", 550, "", "no")];
    let [_, _, returned] = read(&compose(&message, CONTENT, News::Failed, &one).unwrap());
    assert!(returned.contains("<p>body</p>"), "{returned}");
    let large = [CONTENT, &b"0123456789\r\n".repeat(100_000)].concat();
    let [_, _, returned] = read(&compose(&message, &large, News::Failed, &one).unwrap());
    assert!(!returned.contains("<p>body</p>") && returned.contains("Subject: Hello"));
}

#[test]
fn nothing_comes_back_of_what_was_to_go_over_tls_only() {
    let mut message = message("ana@example.com");
    message.parameters.require_tls = true;
    message.parameters.ret = Some(Ret::Full);
    let one = [told("bo@example.net", 550, "5.7.30", "REQUIRETLS not supported")];
    let new = compose(&message, CONTENT, News::Failed, &one).unwrap();
    let text = String::from_utf8_lossy(&new.content);
    assert!(text.contains("Status: 5.7.30") && !text.contains("Hello") && !text.contains("<p>"), "{text}");
    assert!(!text.contains("could not be read"));
}

#[test]
fn an_endless_header_is_cut_at_a_line() {
    let content = ["X-Long: 0123456789\r\n".repeat(20_000).as_bytes(), b"\r\nbody"].concat();
    let one = [told("bo@example.net", 550, "", "no")];
    let [_, _, returned] = read(&compose(&message("ana@example.com"), &content, News::Failed, &one).unwrap());
    assert!(returned.len() <= 64 * 1024 && returned.trim_end().ends_with("0123456789"), "{}", returned.len());
}

proptest! {
    /// Whatever a provider says and whatever a message holds: no field and no part but ours.
    #[test]
    fn nothing_can_be_injected(
        text in "(?s).{0,300}",
        subject in "(?s).{0,100}",
        id in "(?s).{0,60}",
        xtext in "[ -~]{0,60}",
        code in prop_oneof![Just(0_u16), 400_u16..600],
    ) {
        let content = format!("Subject: {subject}\r\nMessage-ID: {id}\r\nX: y\r\n\r\nbody");
        let mut message = message("ana@example.com");
        message.parameters.envid = Some(xtext.clone());
        let mut one = told("bo@example.net", code, "", "");
        one.answer = if code == 0 { Answer::nobody(text.clone()) } else { Answer { text, ..one.answer } };
        one.recipient.parameters.orcpt = Some(format!("rfc822;{xtext}"));
        let new = compose(&message, content.as_bytes(), News::Failed, &[one]).unwrap();
        prop_assert!(new.content.is_ascii());
        let [_, status, _] = read(&new);
        let names: Vec<&str> = status
            .split("\r\n")
            .filter(|line| !line.is_empty() && !line.starts_with(' '))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        let known = [
            "Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "Original-Recipient", "Final-Recipient", "Action",
            "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date",
        ];
        prop_assert!(names.iter().all(|name| known.contains(name)), "{:?}", names);
        prop_assert_eq!(names.iter().filter(|name| **name == "Action").count(), 1);
    }

    #[test]
    fn what_the_queue_keeps_of_an_answer_reads_back(code in 400_u16..600, enhanced in "(5\\.[0-9]\\.[0-9])?", text in "[a-z ]{0,30}") {
        let answer = Answer { code, enhanced: EnhancedStatusCode::parse(&enhanced), text };
        prop_assert_eq!(Answer::kept(code, &answer.to_kept()), answer);
    }
}
