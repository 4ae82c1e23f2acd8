use envelope::{Choice, Reason, RelayId, Timestamp};
use serde::Serialize;

use crate::{ChoiceOrigin, RecipientFeedback, text};

/// One message: whose it is, what was done to it, what the provider said. Never its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageRecord {
    /// Our id.
    #[serde(serialize_with = "text::display")]
    pub id: RelayId,
    /// When the client had said all of it.
    #[serde(serialize_with = "text::display")]
    pub accepted_at: Timestamp,
    /// Whose message it is.
    pub sender: String,
    /// As MAIL gave it; `<>` is one.
    pub reverse_path: String,
    /// The `From` field, decoded.
    pub from: Option<String>,
    /// The `Subject` field, decoded.
    pub subject: Option<String>,
    /// The `Message-ID` field.
    pub message_id: Option<String>,
    /// What the sender wanted tracked.
    #[serde(serialize_with = "text::choice")]
    pub choice: Choice,
    /// Who said so.
    pub choice_origin: ChoiceOrigin,
    /// It left with a pixel.
    pub pixel: bool,
    /// How many links it left with that lead through us.
    pub links_tracked: u16,
    /// Why it was not tracked, or not as asked.
    #[serde(serialize_with = "text::all")]
    pub reasons: Vec<Reason>,
    /// The parts left as they came.
    pub parts: Vec<PartNote>,
    /// Every recipient, also those the provider refused.
    pub recipients: Vec<RecipientRecord>,
    /// Every link, in document order, also those left alone.
    pub links: Vec<LinkRecord>,
    /// The provider's name in the configuration.
    pub upstream: String,
    /// The reply code to the content; 0: no answer yet.
    pub code: u16,
    /// The reply's text.
    pub reply: String,
    /// The content's length as it came.
    pub octets_in: u64,
    /// The content's length as it left.
    pub octets_out: u64,
    /// From the final dot to the reply, in milliseconds.
    pub took_ms: u64,
}

/// One recipient and the provider's answer to RCPT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecipientRecord {
    /// Its number in the message; events refer to it.
    pub index: u16,
    /// The forward-path.
    pub address: String,
    /// The reply code.
    pub code: u16,
    /// The reply's text.
    pub reply: String,
}

/// What came of a message since its record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageOutcome {
    /// The message.
    pub id: RelayId,
    /// New answers, each with the number of its recipient.
    pub recipients: Vec<RecipientAnswer>,
    /// The reply to the content, and when it was given.
    pub reply: Option<(u16, String, Timestamp)>,
}

/// A provider's answer for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientAnswer {
    /// The recipient's number in the message.
    pub index: u16,
    /// The reply code.
    pub code: u16,
    /// The reply's text.
    pub reply: String,
}

/// One link of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkRecord {
    /// Its number among the tracked ones; events refer to it. Of no meaning when `kept`.
    pub index: u16,
    /// As written.
    pub href: String,
    /// Where a click leads, if it is tracked.
    pub target: Option<String>,
    /// Why it was left alone; `None`: it is tracked.
    #[serde(serialize_with = "text::optional")]
    pub kept: Option<Reason>,
}

/// A part that was left as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartNote {
    /// Where in the message: `1.2`.
    pub path: String,
    /// Why.
    #[serde(serialize_with = "text::display")]
    pub reason: Reason,
}

/// Which messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageFilter {
    /// Only this sender's. ASCII case does not count.
    pub sender: Option<String>,
    /// At most so many; a backend may give fewer.
    pub limit: u32,
    /// Only older ones than this.
    pub before: Option<RelayId>,
}

/// A message and what came of it.
///
/// Counted are people ([`verdict::Verdict::counts_as_person`]) and machines (prefetch, scanner, preview).
/// The sender's own hits and those nobody can tell are neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageSummary {
    /// The message.
    #[serde(flatten)]
    pub record: MessageRecord,
    /// Opens by people.
    pub opens_by_people: u64,
    /// Opens by machines.
    pub opens_by_machines: u64,
    /// Clicks by people.
    pub clicks_by_people: u64,
    /// Clicks by machines.
    pub clicks_by_machines: u64,
    /// What came back about its recipients: bounces and complaints.
    pub feedback: Vec<RecipientFeedback>,
}

impl Default for MessageFilter {
    fn default() -> Self {
        Self { sender: None, limit: 50, before: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{id, message, moment};

    /// Other programs read this: a name that changes here changes for them.
    #[test]
    fn as_json() {
        let mut record = message(1);
        record.links.truncate(2);
        record.recipients.truncate(1);
        let summary = MessageSummary {
            record,
            opens_by_people: 1,
            opens_by_machines: 2,
            clicks_by_people: 3,
            clicks_by_machines: 4,
            feedback: vec![],
        };
        let expected = serde_json::json!({
            "id": id(1).to_string(),
            "accepted_at": moment(1).to_string(),
            "sender": "ana@example.com",
            "reverse_path": "<ana@example.com>",
            "from": "Ana <ana@example.com>",
            "subject": "Grüße 🦀",
            "message_id": "<1@example.com>",
            "choice": { "opens": true, "links": true },
            "choice_origin": "header_once",
            "pixel": true,
            "links_tracked": 2,
            "reasons": ["store_failed", "unknown_choice"],
            "parts": [{ "path": "1.2", "reason": "attachment" }],
            "recipients": [
                { "index": 0, "address": "bo@example.net", "code": 250, "reply": "2.1.5 Said" },
            ],
            "links": [
                { "index": 0, "href": "https://a.example/", "target": "https://a.example/", "kept": null },
                { "index": 65535, "href": "mailto:x@a.example", "target": null, "kept": "scheme" },
            ],
            "upstream": "main",
            "code": 0,
            "reply": "",
            "octets_in": 1000,
            "octets_out": 1400,
            "took_ms": 0,
            "opens_by_people": 1,
            "opens_by_machines": 2,
            "clicks_by_people": 3,
            "clicks_by_machines": 4,
            "feedback": [],
        });
        assert_eq!(serde_json::to_value(&summary).unwrap(), expected);
    }
}
