use envelope::{RelayId, Timestamp};
use serde::{Deserialize, Serialize};
use verdict::{Judgement, Kind};

use crate::text;

/// An open or a click, judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Our id: recording the same one again changes nothing.
    #[serde(with = "text")]
    pub id: RelayId,
    /// When it happened.
    #[serde(with = "text")]
    pub at: Timestamp,
    /// Open or click.
    pub kind: Kind,
    /// Which message.
    #[serde(with = "text")]
    pub message: RelayId,
    /// Which of its recipients; `None`: the copy all of them share.
    pub recipient: Option<u16>,
    /// Which of its links.
    pub link: Option<u16>,
    /// Who it was, and how one knows.
    pub judgement: Judgement,
    /// What it was read with, in words.
    pub device: Option<String>,
    /// The client's address, as far as it may be kept.
    pub address: Option<String>,
    /// The user agent, as far as it may be kept.
    pub user_agent: Option<String>,
    /// What else was kept of the evidence: a JSON object, `{}` if nothing.
    #[serde(with = "text::json")]
    pub evidence: String,
}

/// An event with its number and what is known of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredEvent {
    /// Greater than that of every event committed before it.
    pub seq: i64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// The message's sender.
    pub sender: Option<String>,
    /// The message's subject.
    pub subject: Option<String>,
    /// The recipient's address.
    pub recipient_address: Option<String>,
    /// Where the link leads.
    pub link_target: Option<String>,
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
            "judgement": {
                "verdict": "human",
                "confidence": "probable",
                "reasons": ["browser", "with, comma \"and\" quotes"],
                "trust": { "time": true, "place": false, "device": true },
                "rules": "2026-11",
            },
            "device": "Thunderbird on Linux",
            "address": "203.0.113.0",
            "user_agent": "Mozilla/5.0 Thunderbird",
            "evidence": { "after_s": 41 },
            "sender": "ana@example.com",
            "subject": null,
            "recipient_address": "bo@example.net",
            "link_target": "https://a.example/",
        });
        assert_eq!(serde_json::to_value(&stored).unwrap(), expected);
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
