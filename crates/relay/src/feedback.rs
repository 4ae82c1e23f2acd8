//! What came back: a report is matched with the message it is about, and recorded.

mod door;
mod matching;

use std::sync::Arc;

use envelope::{Clock, RelayId, Timestamp};
use feedback::{FeedbackType, ReadError, Report, Severity};
use seal::Keys;
use sha2::{Digest, Sha256};
use store::{Feedback, FeedbackKind, Store, StoreError, Suppression, SuppressionReason, suppression_key};

pub use door::FeedbackDoor;
use matching::{Found, find};

/// Takes bounces and complaints, wherever they come from.
#[derive(Clone)]
pub struct Intake {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    suppress_on: Vec<FeedbackKind>,
}

/// What a report said, and of whom. Empty of items: nothing bad, so nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which message.
    pub message: RelayId,
    /// Whose message it was.
    pub sender: String,
    /// One for each recipient it had something to say about.
    pub items: Vec<TakenItem>,
}

/// What was said of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenItem {
    /// The recipient's number; `None`: it could be any of several.
    pub recipient: Option<u16>,
    /// The recipient's address.
    pub address: Option<String>,
    /// What was said.
    pub kind: FeedbackKind,
    /// The enhanced status code, or the type of the complaint.
    pub status: Option<String>,
}

/// Why a report was not taken. Nothing was recorded then, or it is recorded once when the report comes again.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// It is none.
    #[error(transparent)]
    Unread(#[from] ReadError),
    /// Nothing in what came back leads to a message that is known here.
    #[error(
        "the report is about no message that is known here: it brings back neither our Received field, nor a link of \
         ours, nor a Message-ID that was sent"
    )]
    NotOurs,
    /// The message is known, and nobody the report names was among its recipients.
    #[error("the report is about message {message}, and names nobody it was sent to")]
    Nobody {
        /// Which message.
        message: RelayId,
    },
    /// The store failed; try again.
    #[error("the report could not be recorded: {0}")]
    Store(#[from] StoreError),
}

impl Intake {
    /// Records into `store`; `keys` recognise our own links in what came back.
    pub fn new(store: Arc<dyn Store>, keys: Arc<Keys>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keys, clock, suppress_on: Vec::new() }
    }

    /// The same, and whom such a report is about gets no more mail of that sender's.
    #[must_use]
    pub fn suppressing(self, suppress_on: Vec<FeedbackKind>) -> Self {
        Self { suppress_on, ..self }
    }

    /// Reads a report, finds the message, and records what it says. Returns when that is on disk. The same report
    /// again changes nothing.
    pub async fn take(&self, raw: &[u8]) -> Result<Taken, IntakeError> {
        let report = feedback::read(raw)?;
        let found = find(self, &report).await?.ok_or(IntakeError::NotOurs)?;
        let items = match &report {
            Report::Delivery(delivery) => delivery
                .recipients
                .iter()
                .filter_map(|said| {
                    let named = [said.address.as_deref(), said.final_address.as_deref()];
                    let kind = bounce(said.severity)?;
                    let status = said.status.map(|status| status.to_string());
                    Some((found.who(&named), kind, status, said.diagnostic.clone()))
                })
                .collect::<Vec<_>>(),
            Report::Complaint(complaint) if !is_complaint(complaint.kind) => Vec::new(),
            Report::Complaint(complaint) => {
                let named: Vec<Option<&str>> = complaint.addresses.iter().map(|a| Some(a.as_str())).collect();
                let kind = Some(complaint.kind.code().to_owned());
                vec![(found.who(&named), FeedbackKind::Complaint, kind, complaint.user_agent.clone())]
            }
        };
        let mut taken = Taken { message: found.message, sender: found.sender.clone(), items: Vec::new() };
        let said_something = !items.is_empty();
        for (who, kind, status, diagnostic) in items {
            let Some(recipient) = who else { continue };
            let address = recipient.and_then(|number| found.address_of(number));
            let id = id_of(found.message, recipient, kind, status.as_deref());
            let (at, message) = (self.clock.now(), found.message);
            let record = Feedback { id, at, message, recipient, kind, status: status.clone(), diagnostic };
            self.store.record_feedback(record).await?;
            if let Some(address) = address.as_deref().filter(|_| self.suppress_on.contains(&kind)) {
                self.store.suppress(suppression(&found, address, kind, at)).await?;
            }
            taken.items.push(TakenItem { recipient, address, kind, status });
        }
        if said_something && taken.items.is_empty() {
            return Err(IntakeError::Nobody { message: found.message });
        }
        crate::event::feedback(&taken);
        Ok(taken)
    }
}

fn suppression(found: &Found, address: &str, kind: FeedbackKind, at: Timestamp) -> Suppression {
    Suppression {
        sender: Some(found.sender.clone()),
        address: suppression_key(address.trim_start_matches('<').trim_end_matches('>')),
        reason: match kind {
            FeedbackKind::Complaint => SuppressionReason::Complaint,
            _ => SuppressionReason::Bounced,
        },
        message: Some(found.message),
        at,
    }
}

/// `None`: nothing bad.
fn bounce(severity: Severity) -> Option<FeedbackKind> {
    match severity {
        Severity::None => None,
        Severity::Delayed => Some(FeedbackKind::Delayed),
        Severity::Soft => Some(FeedbackKind::Soft),
        Severity::Hard => Some(FeedbackKind::Hard),
    }
}

/// "Not spam" is the contrary, and a report about authentication is no person's.
fn is_complaint(kind: FeedbackType) -> bool {
    !matches!(kind, FeedbackType::NotSpam | FeedbackType::AuthFailure)
}

/// The same for the same news of the same recipient, however often it is told. It begins as the message's id
/// does, so that it stands near it.
fn id_of(message: RelayId, recipient: Option<u16>, kind: FeedbackKind, status: Option<&str>) -> RelayId {
    let mut hash = Sha256::new_with_prefix(b"waxseal feedback 1\0");
    hash.update(message.as_bytes());
    hash.update(recipient.map_or([0xff, 0xff, 1], |n| [n.to_be_bytes()[0], n.to_be_bytes()[1], 0]));
    hash.update(kind.code());
    hash.update([0]);
    hash.update(status.unwrap_or_default());
    let digest = hash.finalize();
    let mut octets = *message.as_bytes();
    octets[6..].copy_from_slice(&digest[..10]);
    octets[6] = 0x70 | (octets[6] & 0x0f);
    octets[8] = 0x80 | (octets[8] & 0x3f);
    RelayId::from_bytes(octets)
}

#[cfg(test)]
mod tests;
