use envelope::{Choice, ManualClock, Timestamp};
use seal::Recipient;
use store::{ChoiceOrigin, FeedbackLog as _, MessageRecord, RecipientRecord, SqliteStore, Suppressions as _};
use tempfile::TempDir;

use super::*;

const SECRET: [u8; 32] = [7; 32];

struct House {
    _folder: TempDir,
    store: SqliteStore,
    intake: Intake,
}

fn id(n: u8) -> RelayId {
    RelayId::new(Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n)), [n; 10])
}

fn record(n: u8, message_id: &str, to: &[&str]) -> MessageRecord {
    MessageRecord {
        id: id(n),
        accepted_at: Timestamp::from_unix_millis(1_795_508_461_000),
        sender: "ana@example.com".into(),
        reverse_path: "<ana@example.com>".into(),
        from: None,
        subject: None,
        message_id: Some(message_id.into()),
        choice: Choice { opens: true, links: true },
        choice_origin: ChoiceOrigin::Header,
        pixel: true,
        links_tracked: 0,
        reasons: vec![],
        parts: vec![],
        recipients: (0..)
            .zip(to)
            .map(|(index, address)| RecipientRecord {
                index,
                address: format!("<{address}>"),
                code: 250,
                reply: String::new(),
            })
            .collect(),
        links: vec![],
        upstream: "main".into(),
        code: 250,
        reply: String::new(),
        octets_in: 1,
        octets_out: 1,
        took_ms: 1,
    }
}

async fn house() -> House {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("s.db")).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_795_508_999_000)));
    let keys = Arc::new(Keys::generate(SECRET));
    for (n, message_id, to) in [
        (1, "<1@example.com>", &["bo@example.net"][..]),
        (2, "<2@example.com>", &["bo@example.net", "Cy@example.net"]),
        (3, "<2@example.com>", &["di@example.net"]),
    ] {
        store.record_message(record(n, message_id, to)).await.unwrap();
    }
    let intake = Intake::new(Arc::new(store.clone()), keys, clock);
    House { _folder: folder, store, intake }
}

fn bounce_of(recipient: &str, action: &str, status: &str, original: &str) -> String {
    format!(
        "From: mailer-daemon@mx.example\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\nDiagnostic-Code: smtp; 550 {status} No\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{original}\r\n--b--\r\n"
    )
}

fn by_trace(n: u8) -> String {
    format!(
        "Received: by h.example (Waxseal) with ESMTPSA\r\n id {};\r\n now\r\nSubject: x\r\n\r\nHello",
        id(n)
    )
}

impl House {
    async fn take(&self, raw: &str) -> Result<Vec<(RelayId, Option<u16>, FeedbackKind)>, IntakeError> {
        let taken = self.intake.take(raw.as_bytes()).await?;
        Ok(taken.items.into_iter().map(|item| (taken.message, item.recipient, item.kind)).collect())
    }
}

#[tokio::test]
async fn found_by_trace_by_token_and_by_message_id() {
    let house = house().await;
    let token = house.intake.keys.seal_pixel(id(2), Recipient::Index(1));
    let by_token =
        format!("Subject: x\r\nContent-Type: text/html\r\n\r\n<img src=\"https://t.example/o/{token}\">");
    let hard = FeedbackKind::Hard;
    for (what, raw, expected) in [
        ("trace", bounce_of("bo@example.net", "failed", "5.1.1", &by_trace(1)), (id(1), Some(0), hard)),
        ("case", bounce_of("cy@EXAMPLE.net", "failed", "5.1.1", &by_trace(2)), (id(2), Some(1), hard)),
        // Forwarded, so nobody here knows the address: the copy says whose it was.
        ("token", bounce_of("x@elsewhere.example", "failed", "5.1.1", &by_token), (id(2), Some(1), hard)),
        (
            "only one",
            bounce_of("x@elsewhere.example", "failed", "5.1.1", &by_trace(1)),
            (id(1), Some(0), hard),
        ),
        (
            "header",
            bounce_of(
                "x@elsewhere.example",
                "failed",
                "5.1.1",
                &format!("To: Cy <cy@example.net>\r\n{}", by_trace(2)),
            ),
            (id(2), Some(1), hard),
        ),
        // Two were sent under this Message-ID: the one that went to whom the report names.
        (
            "id",
            bounce_of("di@example.net", "failed", "5.1.1", "Message-ID: <2@example.com>\r\n\r\n"),
            (id(3), Some(0), hard),
        ),
        (
            "id",
            bounce_of("cy@example.net", "delayed", "4.4.1", "Message-ID: <2@example.com>\r\n\r\n"),
            (id(2), Some(1), FeedbackKind::Delayed),
        ),
    ] {
        assert_eq!(house.take(&raw).await.unwrap(), [expected], "{what}");
    }
}

#[tokio::test]
async fn what_is_made_up_is_not_taken() {
    let house = house().await;
    let forged = Keys::generate([8; 32]).seal_pixel(id(1), Recipient::Index(0));
    let strange = format!("Content-Type: text/html\r\n\r\n<img src=\"https://t.example/o/{forged}\">");
    for original in ["Message-ID: <none@example.com>\r\n\r\n", "Subject: x\r\n\r\n", &by_trace(77), &strange]
    {
        let refused = house.take(&bounce_of("bo@example.net", "failed", "5.1.1", original)).await;
        assert!(matches!(refused, Err(IntakeError::NotOurs)), "{original}");
    }
    let refused = house.take(&bounce_of("mallory@example.org", "failed", "5.1.1", &by_trace(2))).await;
    assert!(matches!(refused, Err(IntakeError::Nobody { .. })));
    let refused = house.take("Subject: hello\r\n\r\nnothing\r\n").await;
    assert!(matches!(refused, Err(IntakeError::Unread(_))));
    assert_eq!(house.store.recent_events(10).await.unwrap(), []);
}

#[tokio::test]
async fn the_worst_counts_and_the_same_news_once() {
    let house = house().await;
    for (action, status) in
        [("delayed", "4.4.1"), ("failed", "5.1.1"), ("failed", "5.1.1"), ("failed", "5.2.2")]
    {
        house.take(&bounce_of("bo@example.net", action, status, &by_trace(1))).await.unwrap();
    }
    // Delivered in the end, says somebody: nothing bad.
    let good = house.take(&bounce_of("bo@example.net", "delivered", "2.0.0", &by_trace(1))).await.unwrap();
    assert_eq!(good, []);
    let complaint = format!(
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\
         Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: FBL/1\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--b--\r\n",
        by_trace(1)
    );
    house.take(&complaint).await.unwrap();
    house.take(&complaint.replace("abuse", "not-spam")).await.unwrap();

    let [state] = &house.store.feedback_of(id(1)).await.unwrap()[..] else { panic!() };
    assert_eq!((state.recipient, state.bounce), (0, Some(FeedbackKind::Hard)));
    assert_eq!(state.status.as_deref(), Some("5.1.1"));
    assert_eq!(state.diagnostic.as_deref(), Some("550 5.1.1 No"));
    assert!(state.bounced_at.is_some() && state.complained_at.is_some());
    let events = house.store.recent_events(10).await.unwrap();
    assert_eq!(events.len(), 4, "delayed, hard once, soft, complaint");
}

/// Only where the operator wants it, and only what was named.
#[tokio::test]
async fn a_hard_bounce_can_put_its_address_on_the_list() {
    let house = house().await;
    house.take(&bounce_of("bo@example.net", "failed", "5.1.1", &by_trace(1))).await.unwrap();
    let listed = async || house.store.suppression("ana@example.com", "bo@example.net").await.unwrap();
    assert_eq!(listed().await, None, "not by itself");

    let intake = house.intake.clone().suppressing(vec![FeedbackKind::Hard]);
    let soft = bounce_of("cy@example.net", "failed", "5.2.2", &by_trace(2));
    let hard = bounce_of("bo@example.net", "failed", "5.1.1", &by_trace(1));
    for report in [&soft, &hard, &hard] {
        intake.take(report.as_bytes()).await.unwrap();
    }
    let found = listed().await.unwrap();
    assert_eq!((found.reason, found.message), (SuppressionReason::Bounced, Some(id(1))));
    assert_eq!(house.store.suppression("ana@example.com", "cy@example.net").await.unwrap(), None);
    assert_eq!(house.store.suppression("bo@example.com", "bo@example.net").await.unwrap(), None);
}

/// One copy for several, and a report that names nobody.
#[tokio::test]
async fn one_of_several() {
    let house = house().await;
    let complaint = format!(
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\
         Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\n{}\r\n--b--\r\n",
        by_trace(2)
    );
    assert_eq!(house.take(&complaint).await.unwrap(), [(id(2), None, FeedbackKind::Complaint)]);
    assert_eq!(house.store.recent_events(10).await.unwrap().len(), 1);
}
