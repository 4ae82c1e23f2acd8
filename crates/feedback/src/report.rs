use envelope::EnhancedStatusCode;

use crate::Original;

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// About delivery: RFC 3464, or the same in a program's own words.
    Delivery(DeliveryReport),
    /// Somebody complained: RFC 5965.
    Complaint(Complaint),
}

/// What became of a message at its recipients. Never empty of recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport {
    /// The host that says so.
    pub reporting_mta: Option<String>,
    /// One for each recipient it speaks of.
    pub recipients: Vec<RecipientReport>,
    /// What came back of the message.
    pub original: Original,
}

/// What became of it at one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientReport {
    /// The address the message was sent to, as the report gives it: `Original-Recipient`, else
    /// `Final-Recipient` (it may have been forwarded). `None`: the report names nobody.
    pub address: Option<String>,
    /// The address where it failed, if it is another one.
    pub final_address: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The enhanced status code (RFC 3463); of several the one that says most.
    pub status: Option<EnhancedStatusCode>,
    /// The words of the server that refused, on one line, at most 1,000 octets.
    pub diagnostic: Option<String>,
}

/// How bad what became of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is: it was delivered, relayed or expanded.
    None,
    /// Not delivered yet; they go on trying.
    Delayed,
    /// Not delivered, for a reason that may pass: a full mailbox, a policy, a loop.
    Soft,
    /// Not delivered, and nothing will be: there is no such mailbox or domain.
    Hard,
}

/// Somebody said what they think of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// What they say.
    pub kind: FeedbackType,
    /// The recipients it names, mostly one; often none, for privacy.
    pub addresses: Vec<String>,
    /// The program that generated the report.
    pub user_agent: Option<String>,
    /// What came back of the message.
    pub original: Original,
}

/// The registered types of feedback (RFC 5965 §7.3, RFC 6430).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FeedbackType {
    /// Unsolicited mail, or any other abuse.
    Abuse,
    /// Fraud or phishing.
    Fraud,
    /// A virus was found.
    Virus,
    /// The recipient wants no more mail (RFC 5965 errata; used by some as unsubscription).
    OptOut,
    /// Something else.
    Other,
    /// The contrary of a complaint.
    NotSpam,
    /// A report about authentication (RFC 6591), not by a person.
    AuthFailure,
}

/// Why a message is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has no header.
    #[error("this is no message: it has no header fields")]
    NoMessage,
    /// A message like any other, or an automatic answer.
    #[error("this is no report of a bounce or a complaint")]
    NoReport,
    /// RFC 8098.
    #[error("this is a read receipt, which says nothing about delivery that could be relied on")]
    ReadReceipt,
    /// A report that names no recipient and no status.
    #[error("the report says nothing about any recipient")]
    NoRecipient,
}

impl Severity {
    const ALL: [Self; 4] = [Self::None, Self::Delayed, Self::Soft, Self::Hard];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Delayed => "delayed",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }

    /// The severity with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.code() == code)
    }
}

impl FeedbackType {
    /// As RFC 5965 spells it; any case. What is not registered is [`FeedbackType::Other`] (§3.5).
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "abuse" | "spam" | "complaint" => Self::Abuse,
            "fraud" => Self::Fraud,
            "virus" => Self::Virus,
            "opt-out" | "opt-out-list" | "unsubscribe" => Self::OptOut,
            "not-spam" => Self::NotSpam,
            "auth-failure" | "dmarc" => Self::AuthFailure,
            _ => Self::Other,
        }
    }

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Abuse => "abuse",
            Self::Fraud => "fraud",
            Self::Virus => "virus",
            Self::OptOut => "opt-out",
            Self::Other => "other",
            Self::NotSpam => "not-spam",
            Self::AuthFailure => "auth-failure",
        }
    }
}
