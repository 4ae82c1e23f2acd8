use envelope::RelayId;
use feedback::{Original, Report};
use seal::Recipient;
use store::{MessageSummary, RecipientRecord, StoreError};

use super::Intake;

/// The message a report is about.
pub(super) struct Found {
    pub(super) message: RelayId,
    pub(super) sender: String,
    recipients: Vec<RecipientRecord>,
    /// Whose copy it was, if a token of ours says so.
    of_token: Option<u16>,
    /// Whom the header that came back was addressed to.
    to: Vec<String>,
}

/// By what nobody can guess first: our tokens, then the id in our `Received` field; then by `Message-ID`.
///
/// A stranger who makes a report up knows none of them, unless he was sent the message. And whom it names must be
/// one of the message's recipients: that is seen to by [`Found::who`].
pub(super) async fn find(intake: &Intake, report: &Report) -> Result<Option<Found>, StoreError> {
    let original = match report {
        Report::Delivery(delivery) => &delivery.original,
        Report::Complaint(complaint) => &complaint.original,
    };
    for token in &original.tokens {
        if let Some((message, recipient)) = open(intake, token)
            && let Some(summary) = intake.store.message(message).await?
        {
            let of_token = match recipient {
                Recipient::Index(index) => Some(index),
                Recipient::Shared => None,
            };
            return Ok(Some(Found::new(summary, of_token, original)));
        }
    }
    for id in &original.relay_ids {
        if let Some(summary) = intake.store.message(*id).await? {
            return Ok(Some(Found::new(summary, None, original)));
        }
    }
    let Some(message_id) = &original.message_id else { return Ok(None) };
    let mut matching = Vec::new();
    for id in intake.store.messages_called(message_id).await? {
        let Some(summary) = intake.store.message(id).await? else { continue };
        matching.push(Found::new(summary, None, original));
    }
    // The same Message-ID may have been sent more than once: the newest that went to whom the report names.
    let names: Vec<Option<&str>> = match report {
        Report::Delivery(delivery) => delivery
            .recipients
            .iter()
            .flat_map(|r| [r.address.as_deref(), r.final_address.as_deref()])
            .collect(),
        Report::Complaint(complaint) => complaint.addresses.iter().map(|a| Some(a.as_str())).collect(),
    };
    let best = matching.iter().position(|found| found.is_among(&names)).unwrap_or(0);
    Ok((!matching.is_empty()).then(|| matching.swap_remove(best)))
}

fn open(intake: &Intake, token: &str) -> Option<(RelayId, Recipient)> {
    let pixel = || intake.keys.open_pixel(token).map(|token| (token.message, token.recipient));
    let link = || intake.keys.open_link(token).map(|token| (token.message, token.recipient));
    pixel().or_else(link)
}

impl Found {
    fn new(summary: MessageSummary, of_token: Option<u16>, original: &Original) -> Self {
        let record = summary.record;
        let recipients = record.recipients;
        let of_token = of_token.filter(|index| recipients.iter().any(|known| known.index == *index));
        Self { message: record.id, sender: record.sender, recipients, of_token, to: original.to.clone() }
    }

    /// Which recipient it is: `Some(Some(number))`; `Some(None)`: one of several, and nobody says which; `None`:
    /// somebody else.
    #[allow(clippy::option_option, reason = "whether it is somebody, and whether one knows who")]
    pub(super) fn who(&self, named: &[Option<&str>]) -> Option<Option<u16>> {
        let by_name = |address: &str| self.number_of(address);
        if let Some(number) = named.iter().flatten().find_map(|address| by_name(address)) {
            return Some(Some(number));
        }
        // A forwarded mail fails at an address we never heard of; what came back still says whose copy it was.
        if self.of_token.is_some() {
            return Some(self.of_token);
        }
        if let [only] = &self.recipients[..] {
            return Some(Some(only.index));
        }
        let mut by_header = self.to.iter().filter_map(|address| by_name(address));
        match (by_header.next(), by_header.next()) {
            (Some(number), None) => Some(Some(number)),
            _ if named.iter().flatten().next().is_none() && !self.recipients.is_empty() => Some(None),
            _ => None,
        }
    }

    pub(super) fn address_of(&self, number: u16) -> Option<String> {
        self.recipients.iter().find(|known| known.index == number).map(|known| known.address.clone())
    }

    fn is_among(&self, named: &[Option<&str>]) -> bool {
        named.iter().flatten().any(|address| self.number_of(address).is_some())
    }

    fn number_of(&self, address: &str) -> Option<u16> {
        let known = |record: &&RecipientRecord| plain(&record.address).eq_ignore_ascii_case(plain(address));
        self.recipients.iter().find(known).map(|record| record.index)
    }
}

/// Without angle brackets.
fn plain(address: &str) -> &str {
    address.trim().trim_start_matches('<').trim_end_matches('>')
}
