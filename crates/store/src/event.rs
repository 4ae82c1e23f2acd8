use envelope::{RelayId, Timestamp};
use serde::{Deserialize, Serialize};
use verdict::{Judgement, Kind};

use crate::text;

/// Something that happened to a message after it left: an open, a click, a bounce, what was said of one of them.
///
/// Events are never changed. What is thought of an open or a click later is an event of its own, about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Our id: recording the same one again changes nothing.
    #[serde(with = "text")]
    pub id: RelayId,
    /// When it happened.
    #[serde(with = "text")]
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// Which message.
    #[serde(with = "text")]
    pub message: RelayId,
    /// Which of its recipients; `None`: the copy all of them share.
    pub recipient: Option<u16>,
    /// Which of its links.
    pub link: Option<u16>,
    /// Which event a verdict or a correction is about.
    #[serde(default, with = "text::maybe")]
    pub about: Option<RelayId>,
    /// Who it was, and how one knows. `None` for what nobody needs to judge, such as a bounce.
    pub judgement: Option<Judgement>,
    /// What it was read with, in words.
    pub device: Option<String>,
    /// Where, if the verdict can believe it and the operator has a map: a country's code, or `city, CC`.
    #[serde(default)]
    pub place: Option<String>,
    /// The client's address, as far as it may be kept.
    pub address: Option<String>,
    /// The user agent, as far as it may be kept.
    pub user_agent: Option<String>,
    /// A JSON object, `{}` if there is nothing. Of an open or a click: what it is judged by, for as long as that
    /// is kept. Of the others: the details, such as a bounce's status code.
    #[serde(with = "text::json")]
    pub evidence: String,
}

/// What can happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The pixel was fetched.
    Open,
    /// A tracked link was followed.
    Click,
    /// An open or a click is judged anew.
    Verdict,
    /// It could not be delivered.
    Bounce,
    /// The recipient's provider reports it as unwanted.
    Complaint,
    /// The recipient wants no more of the sender's mail.
    Unsubscribe,
    /// The recipient wants no opens and clicks recorded.
    Refusal,
    /// The sender says who an open or a click was.
    Correction,
}

/// An event with its number, what is thought of it now, and what is known of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredEvent {
    /// Greater than that of every event committed before it.
    pub seq: i64,
    /// The event. Of an open or a click with the judgement that holds now.
    #[serde(flatten)]
    pub event: Event,
    /// The judgement it came with, if another holds now.
    pub first_judgement: Option<Judgement>,
    /// Nothing that arrives shortly after it can change it any more: people may be told of it.
    pub settled: bool,
    /// The sender has said who it was. Rules change nothing any more.
    pub corrected: bool,
    /// The message's sender.
    pub sender: Option<String>,
    /// The message's subject.
    pub subject: Option<String>,
    /// The recipient's address.
    pub recipient_address: Option<String>,
    /// Where the link leads.
    pub link_target: Option<String>,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Click,
        Self::Verdict,
        Self::Bounce,
        Self::Complaint,
        Self::Unsubscribe,
        Self::Refusal,
        Self::Correction,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Click => "click",
            Self::Verdict => "verdict",
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::Unsubscribe => "unsubscribe",
            Self::Refusal => "refusal",
            Self::Correction => "correction",
        }
    }

    /// The kind with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Of an open or a click, what the rules call it.
    pub fn hit(self) -> Option<Kind> {
        match self {
            Self::Open => Some(Kind::Open),
            Self::Click => Some(Kind::Click),
            _ => None,
        }
    }
}

impl From<Kind> for EventKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Open => Self::Open,
            Kind::Click => Self::Click,
        }
    }
}

impl PartialEq<Kind> for EventKind {
    fn eq(&self, kind: &Kind) -> bool {
        self.hit() == Some(*kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{click, id, moment};

    /// Other programs read this: a name that changes here changes for them.
    #[test]
    fn as_json() {
        let event = Event { evidence: r#"{"after_s":41}"#.to_owned(), ..click(1, 2, 3) };
        let stored = StoredEvent {
            seq: 7,
            event,
            first_judgement: None,
            settled: true,
            corrected: false,
            sender: Some("ana@example.com".to_owned()),
            subject: None,
            recipient_address: Some("bo@example.net".to_owned()),
            link_target: Some("https://a.example/".to_owned()),
        };
        let expected = serde_json::json!({
            "seq": 7,
            "id": stored.event.id.to_string(),
            "at": moment(1).to_string(),
            "kind": "click",
            "message": id(2).to_string(),
            "recipient": 0,
            "link": 3,
            "about": null,
            "judgement": {
                "verdict": "human",
                "confidence": "probable",
                "reasons": ["browser", "with, comma \"and\" quotes"],
                "trust": { "time": true, "place": false, "device": true },
                "rules": "2026-11",
            },
            "device": "Thunderbird on Linux",
            "place": null,
            "address": "203.0.113.0",
            "user_agent": "Mozilla/5.0 Thunderbird",
            "evidence": { "after_s": 41 },
            "first_judgement": null,
            "settled": true,
            "corrected": false,
            "sender": "ana@example.com",
            "subject": null,
            "recipient_address": "bo@example.net",
            "link_target": "https://a.example/",
        });
        assert_eq!(serde_json::to_value(&stored).unwrap(), expected);
    }

    /// What a version wrote to its journal before there were other events than opens and clicks.
    #[test]
    fn an_event_of_before_is_read() {
        let event = Event { about: Some(id(7)), place: Some("Ghent, BE".to_owned()), ..click(1, 2, 3) };
        let mut json = serde_json::to_value(&event).unwrap();
        assert_eq!(serde_json::from_value::<Event>(json.clone()).unwrap(), event);
        for new in ["about", "place"] {
            json.as_object_mut().unwrap().remove(new);
        }
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), click(1, 2, 3));
    }

    #[test]
    fn codes_lead_back_to_what_they_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_code(kind.code()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.code());
            assert_eq!(kind.hit().map_or(kind, EventKind::from), kind);
        }
        assert_eq!(EventKind::from_code("Open"), None);
    }

    #[test]
    fn what_is_no_json_object_stays_a_text() {
        for evidence in ["", "\"a\"", "[1]", "{"] {
            let event = Event { evidence: evidence.to_owned(), ..click(1, 2, 3) };
            let json = serde_json::to_value(&event).unwrap();
            assert_eq!(json["evidence"], evidence);
            assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }
}
