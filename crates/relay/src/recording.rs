use std::time::Duration;

use envelope::{Envelope, ForwardPath, Mailbox, RelayId, Reply, Timestamp};
use seal::Recipient;
use store::{MessageRecord, RecipientRecord};

use crate::AddressPattern;
use crate::choosing::Chosen;
use crate::rewritten::Rewritten;

/// One message as it was submitted: everything about it but its octets.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    /// Our id.
    pub(crate) id: RelayId,
    /// When the client had said all of it.
    pub(crate) at: Timestamp,
    /// Whose message it is.
    pub(crate) sender: String,
    /// Reverse-path and the forward-paths the provider took.
    pub(crate) envelope: Envelope,
    /// Every recipient with the provider's answer, also those it refused.
    pub(crate) recipients: Vec<RecipientRecord>,
    /// It goes into the queue.
    pub(crate) kept: bool,
    /// A recipient was left out who is to get no mail of this sender's.
    pub(crate) suppressed: bool,
    /// The provider's name in the configuration.
    pub(crate) upstream: String,
    pub(crate) route: usize,
    pub(crate) from: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) message_id: Option<String>,
    pub(crate) octets_in: u64,
}

impl Submission {
    /// Mail to oneself alone gets no pixel: its opens would all be one's own.
    pub(crate) fn only_to_oneself(&self) -> bool {
        let is_sender = |mailbox: &Mailbox| mailbox.as_str().eq_ignore_ascii_case(&self.sender);
        self.envelope.forward_paths().all(|path| path.mailbox().is_some_and(is_sender))
    }

    /// The addresses of the recipients the provider, or we for it, took.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.envelope.forward_paths().filter_map(ForwardPath::mailbox).map(Mailbox::as_str)
    }

    /// Does one of the patterns name one of the recipients?
    pub(crate) fn any_recipient(&self, patterns: &[AddressPattern]) -> bool {
        let mailboxes = || self.envelope.forward_paths().filter_map(ForwardPath::mailbox);
        patterns.iter().any(|pattern| mailboxes().any(|mailbox| pattern.matches(mailbox.as_str())))
    }

    /// Whom a token in it names: the one recipient the provider took, or nobody.
    pub(crate) fn token_recipient(&self) -> Recipient {
        match self.envelope.recipients.as_slice() {
            [_] => Recipient::Index(self.indices().next().unwrap_or(0)),
            _ => Recipient::Shared,
        }
    }

    /// The indices of the recipients that the provider, or we for it, took: those of the envelope, in its order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u16> {
        self.recipients.iter().filter(|r| r.code == 0 || r.code / 100 == 2).map(|recipient| recipient.index)
    }

    /// More than `most`?
    pub(crate) fn goes_to_more_than(&self, most: usize) -> bool {
        self.envelope.recipients.len() > most
    }

    /// It goes into the queue after all: what the provider said in the transaction that failed counts no more,
    /// unless it was a refusal.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
        forget_answers(&mut self.recipients);
    }
}

/// The provider will be asked again for those whom it took.
pub(crate) fn forget_answers(recipients: &mut [RecipientRecord]) {
    for recipient in recipients.iter_mut().filter(|recipient| recipient.code / 100 == 2) {
        recipient.code = 0;
        recipient.reply.clear();
    }
}

/// The record of a message: before the handoff without an outcome, and after it with one.
pub(crate) fn record_of(
    submission: &Submission,
    chosen: &Chosen,
    rewritten: &Rewritten,
    outcome: Option<(&Reply, Duration)>,
) -> MessageRecord {
    MessageRecord {
        id: submission.id,
        accepted_at: submission.at,
        sender: submission.sender.clone(),
        reverse_path: submission.envelope.reverse_path.to_string(),
        from: submission.from.clone(),
        subject: submission.subject.clone(),
        message_id: submission.message_id.clone(),
        choice: chosen.choice,
        choice_origin: chosen.origin,
        pixel: rewritten.pixel,
        links_tracked: u16::try_from(rewritten.links_tracked()).unwrap_or(u16::MAX),
        reasons: rewritten.reasons.clone(),
        parts: rewritten.parts.clone(),
        recipients: submission.recipients.clone(),
        links: rewritten.links.clone(),
        upstream: submission.upstream.clone(),
        code: outcome.map_or(0, |(reply, _)| reply.code().get()),
        reply: outcome.map_or_else(String::new, |(reply, _)| reply.text()),
        octets_in: submission.octets_in,
        octets_out: rewritten.content.len() as u64,
        took_ms: outcome.map_or(0, |(_, took)| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    }
}
