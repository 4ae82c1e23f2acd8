use async_trait::async_trait;
use envelope::{RelayId, Timestamp};
use serde::Serialize;

use crate::{StoreError, text};

/// What came back about a message, from a report that was matched with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Made from what the report says: the same report again changes nothing.
    pub id: RelayId,
    /// When it was taken.
    pub at: Timestamp,
    /// Which message.
    pub message: RelayId,
    /// Which of its recipients; `None`: a report that does not say, about a message with several.
    pub recipient: Option<u16>,
    /// What it says.
    pub kind: FeedbackKind,
    /// The enhanced status code, or the type of the complaint.
    pub status: Option<String>,
    /// The words of whoever refused or complained.
    pub diagnostic: Option<String>,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeedbackKind {
    /// Not delivered yet.
    Delayed,
    /// Not delivered, for a reason that may pass.
    Soft,
    /// Not delivered, and nothing will be.
    Hard,
    /// The recipient complained.
    Complaint,
}

/// What came back about one recipient, all reports together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecipientFeedback {
    /// The recipient's number in the message.
    pub recipient: u16,
    /// The worst that was said about delivery.
    #[serde(serialize_with = "text::optional")]
    pub bounce: Option<FeedbackKind>,
    /// Its enhanced status code.
    pub status: Option<String>,
    /// Its words.
    pub diagnostic: Option<String>,
    /// When it was said.
    #[serde(serialize_with = "text::optional")]
    pub bounced_at: Option<Timestamp>,
    /// When the recipient first complained.
    #[serde(serialize_with = "text::optional")]
    pub complained_at: Option<Timestamp>,
}

/// Bounces and complaints.
#[async_trait]
pub trait FeedbackLog: Send + Sync {
    /// Records it: an event, and the recipient's state. Twice is once. Of an unknown message nothing is written.
    async fn record_feedback(&self, feedback: Feedback) -> Result<(), StoreError>;

    /// What came back about the recipients of a message, by their numbers.
    async fn feedback_of(&self, message: RelayId) -> Result<Vec<RecipientFeedback>, StoreError>;

    /// The newest messages with this `Message-ID`, without its angle brackets; at most 10, of the newest 100,000.
    async fn messages_called(&self, message_id: &str) -> Result<Vec<RelayId>, StoreError>;
}

impl FeedbackKind {
    const ALL: [Self; 4] = [Self::Delayed, Self::Soft, Self::Hard, Self::Complaint];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Complaint => "complaint",
        }
    }

    /// The kind with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl std::fmt::Display for FeedbackKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
pub(crate) mod conformance;
