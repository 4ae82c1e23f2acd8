//! What every backend must do with bounces and complaints.

use crate::samples::{id, message, moment, recipient};
use crate::{EventKind, Feedback, FeedbackKind, MessageRecord, RecipientFeedback, Store};

pub(crate) async fn holds(fresh: impl AsyncFn() -> std::sync::Arc<dyn Store>) {
    the_worst_is_kept_and_told_once(&*fresh().await).await;
    of_an_unknown_message_nothing_is_kept(&*fresh().await).await;
    a_message_is_found_by_its_name(&*fresh().await).await;
}

fn said(n: u32, kind: FeedbackKind) -> Feedback {
    Feedback {
        id: id(500 + n),
        at: moment(n),
        message: id(1),
        recipient: Some(1),
        kind,
        status: Some(format!("5.0.{n}")),
        diagnostic: Some("No \"such\" ü".to_owned()),
    }
}

async fn the_worst_is_kept_and_told_once(store: &dyn Store) {
    let mut record = message(1);
    record.recipients = vec![recipient(0, "a@b.example", 250), recipient(1, "c@d.example", 250)];
    store.record_message(record).await.unwrap();
    let news = [
        said(1, FeedbackKind::Delayed),
        said(2, FeedbackKind::Complaint),
        said(3, FeedbackKind::Hard),
        said(4, FeedbackKind::Soft),
        said(5, FeedbackKind::Complaint),
        Feedback { recipient: None, ..said(6, FeedbackKind::Hard) },
    ];
    for feedback in news.iter().chain(&news) {
        store.record_feedback(feedback.clone()).await.unwrap();
    }
    let expected = RecipientFeedback {
        recipient: 1,
        bounce: Some(FeedbackKind::Hard),
        status: Some("5.0.3".to_owned()),
        diagnostic: Some("No \"such\" ü".to_owned()),
        bounced_at: Some(moment(3)),
        complained_at: Some(moment(2)),
    };
    assert_eq!(store.feedback_of(id(1)).await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(store.message(id(1)).await.unwrap().unwrap().feedback, [expected]);
    let events = store.recent_events(100).await.unwrap();
    assert_eq!(events.len(), news.len(), "each once");
    assert_eq!(events[1].event.kind, EventKind::Complaint);
    assert_eq!(events[2].event.kind, EventKind::Bounce);
    assert_eq!(events[2].recipient_address.as_deref(), Some("c@d.example"));
    let detail: serde_json::Value = serde_json::from_str(&events[2].event.evidence).unwrap();
    assert_eq!(
        detail,
        serde_json::json!({ "kind": "hard", "status": "5.0.3", "diagnostic": "No \"such\" ü" })
    );
}

async fn of_an_unknown_message_nothing_is_kept(store: &dyn Store) {
    store.record_feedback(said(1, FeedbackKind::Hard)).await.unwrap();
    assert_eq!(store.recent_events(10).await.unwrap(), []);
    assert_eq!(store.feedback_of(id(1)).await.unwrap(), []);
}

async fn a_message_is_found_by_its_name(store: &dyn Store) {
    for (n, name) in [(1, "<a@x.example>"), (2, "a@x.example"), (3, "<b@x.example>")] {
        store
            .record_message(MessageRecord { message_id: Some(name.to_owned()), ..message(n) })
            .await
            .unwrap();
    }
    assert_eq!(store.messages_called("a@x.example").await.unwrap(), [id(2), id(1)]);
    assert_eq!(store.messages_called("c@x.example").await.unwrap(), []);
}
