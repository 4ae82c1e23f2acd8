//! Records for tests.

use std::sync::Arc;

use envelope::{
    Choice, ForwardPath, MailParameters, Mailbox, RcptParameters, Reason, RelayId, ReversePath, Timestamp,
};
use verdict::{Confidence, Judgement, Trust, Verdict};

use crate::{
    ChoiceOrigin, Copies, Event, EventKind, LinkRecord, MessageRecord, NewMessage, PartNote, QueueState,
    QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientRecord, RecipientState,
};

/// The `n`th id: ids sort by `n`.
pub(crate) fn id(n: u32) -> RelayId {
    let mut random = [0; 10];
    random[6..].copy_from_slice(&n.to_be_bytes());
    RelayId::new(moment(n), random)
}

pub(crate) fn moment(n: u32) -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000 + i64::from(n))
}

pub(crate) fn judgement(verdict: Verdict) -> Judgement {
    Judgement {
        verdict,
        confidence: Confidence::Probable,
        reasons: vec!["browser".to_owned(), "with, comma \"and\" quotes".to_owned()],
        trust: Trust { time: true, place: false, device: true },
        rules: "2026-11".to_owned(),
    }
}

/// A person's open of the message `message`.
pub(crate) fn open(n: u32, message: u32) -> Event {
    Event {
        id: id(1_000_000 + n),
        at: moment(n),
        kind: EventKind::Open,
        message: id(message),
        recipient: Some(0),
        link: None,
        about: None,
        judgement: Some(judgement(Verdict::Human)),
        device: Some("Thunderbird on Linux".to_owned()),
        place: None,
        address: Some("203.0.113.0".to_owned()),
        user_agent: Some("Mozilla/5.0 Thunderbird".to_owned()),
        evidence: "{}".to_owned(),
    }
}

pub(crate) fn click(n: u32, message: u32, link: u16) -> Event {
    Event { kind: EventKind::Click, link: Some(link), ..open(n, message) }
}

/// `about` is judged anew.
pub(crate) fn verdict_on(n: u32, about: &Event, verdict: Verdict) -> Event {
    Event {
        id: id(2_000_000 + n),
        at: moment(n),
        kind: EventKind::Verdict,
        about: Some(about.id),
        judgement: Some(judgement(verdict)),
        device: None,
        address: None,
        user_agent: None,
        ..about.clone()
    }
}

pub(crate) fn message(n: u32) -> MessageRecord {
    MessageRecord {
        id: id(n),
        accepted_at: moment(n),
        sender: "ana@example.com".to_owned(),
        reverse_path: "<ana@example.com>".to_owned(),
        from: Some("Ana <ana@example.com>".to_owned()),
        subject: Some("Grüße 🦀".to_owned()),
        message_id: Some("<1@example.com>".to_owned()),
        choice: Choice::BOTH,
        choice_origin: ChoiceOrigin::HeaderOnce,
        pixel: true,
        links_tracked: 2,
        reasons: vec![Reason::StoreFailed, Reason::UnknownChoice],
        parts: vec![PartNote { path: "1.2".to_owned(), reason: Reason::Attachment }],
        recipients: vec![recipient(0, "bo@example.net", 250), recipient(1, "no@example.net", 550)],
        links: vec![
            link(0, "https://a.example/", None),
            link(u16::MAX, "mailto:x@a.example", Some(Reason::Scheme)),
            link(1, "https://b.example/?a=1&amp;b=2", None),
            link(u16::MAX, "#top", Some(Reason::Fragment)),
        ],
        upstream: "main".to_owned(),
        code: 0,
        reply: String::new(),
        octets_in: 1_000,
        octets_out: 1_400,
        took_ms: 0,
    }
}

pub(crate) fn recipient(index: u16, address: &str, code: u16) -> RecipientRecord {
    RecipientRecord { index, address: address.to_owned(), code, reply: "2.1.5 Said".to_owned() }
}

pub(crate) fn link(index: u16, href: &str, kept: Option<Reason>) -> LinkRecord {
    let target = kept.is_none().then(|| href.replace("&amp;", "&"));
    LinkRecord { index, href: href.to_owned(), target, kept }
}

/// The `n`th message for the queue, due at `due_at`, from `sender`, with a content of its own.
pub(crate) fn queued(n: u32, sender: &str, due_at: Timestamp) -> NewMessage {
    let content = Arc::new(format!("Subject: {n}\r\n\r\nHello {n}\r\n").into_bytes());
    let message = QueuedMessage {
        id: id(n),
        queued_at: moment(n),
        sender: sender.to_owned(),
        upstream: "main".to_owned(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse("ana@example.com").unwrap()),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: content.len() as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: vec![queued_recipient(0, "bo@example.net", due_at)],
    };
    NewMessage { message, content }
}

pub(crate) fn queued_recipient(index: u16, address: &str, due_at: Timestamp) -> QueuedRecipient {
    QueuedRecipient {
        index,
        forward_path: ForwardPath::Mailbox(Mailbox::parse(address).unwrap()),
        parameters: RcptParameters::default(),
        state: RecipientState::Waiting,
        attempts: 0,
        due_at,
        code: 0,
        reply: String::new(),
    }
}

pub(crate) fn outcome(index: u16, state: RecipientState, due_at: Timestamp) -> RecipientOutcome {
    let code = if state == RecipientState::HandedOn { 250 } else { 451 };
    RecipientOutcome { index, state, due_at, code, reply: "4.2.1 Grüße, later".to_owned() }
}
