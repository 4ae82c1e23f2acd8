//! What the relay says in the log: typed functions, so that a log line is an interface.
//!
//! ERROR: the operator must act. WARN: odd, nothing lost. INFO: one line a handoff.

use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use envelope::{RelayId, Reply, Timestamp};
use store::{QueuedMessage, StoreError};
use upstream::HandoffError;

use crate::fault::Fault;
use crate::feedback::Taken;
use crate::notification::Answer;
use crate::recording::Submission;
use crate::rewritten::Rewritten;

/// How addresses appear in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Addresses {
    /// `a…@example.com`.
    Masked,
    /// As they are.
    Full,
    /// `-`.
    None,
}

static ADDRESSES: AtomicU8 = AtomicU8::new(Addresses::Masked as u8);

/// Sets how addresses appear, for the whole program.
pub fn show_addresses(how: Addresses) {
    ADDRESSES.store(how as u8, Ordering::Relaxed);
}

/// An address as the log may show it.
pub fn address(address: &str) -> String {
    let how = ADDRESSES.load(Ordering::Relaxed);
    if how == Addresses::Full as u8 {
        return address.to_owned();
    }
    match (how == Addresses::None as u8, address.rsplit_once('@')) {
        (false, Some((local_part, domain))) => {
            format!("{}…@{domain}", local_part.chars().take(1).collect::<String>())
        }
        (false, None) if address.is_empty() => "<>".to_owned(),
        _ => "-".to_owned(),
    }
}

/// The one INFO line of a message.
pub(crate) fn handed_off(submission: &Submission, rewritten: &Rewritten, reply: &Reply, took: Duration) {
    let reasons: Vec<&str> = rewritten.reasons.iter().map(|reason| reason.code()).collect();
    tracing::info!(
        id = %submission.id,
        sender = %address(&submission.sender),
        recipients = submission.envelope.recipients.len(),
        upstream = %submission.upstream,
        code = reply.code().get(),
        opens = rewritten.pixel,
        links = rewritten.links_tracked(),
        reasons = %reasons.join(","),
        octets = submission.octets_in,
        ms = took.as_millis(),
        "handed off"
    );
}

/// The one INFO line of a message that was taken into the queue.
pub(crate) fn queued(submission: &Submission, rewritten: &Rewritten, took: Duration) {
    let reasons: Vec<&str> = rewritten.reasons.iter().map(|reason| reason.code()).collect();
    tracing::info!(
        id = %submission.id,
        sender = %address(&submission.sender),
        recipients = submission.envelope.recipients.len(),
        upstream = %submission.upstream,
        opens = rewritten.pixel,
        links = rewritten.links_tracked(),
        reasons = %reasons.join(","),
        octets = submission.octets_in,
        ms = took.as_millis(),
        "queued"
    );
}

/// The sender may not write to this recipient, who said so or whom the operator put on the list.
pub(crate) fn left_out(sender: &str, recipient: &impl ToString) {
    tracing::info!(
        sender = %address(sender),
        recipient = %address(&recipient.to_string()),
        "a recipient is left out: he is to get no mail of this sender's"
    );
}

/// The queue did not take a message; the client heard 4yz.
pub(crate) fn not_queued(id: RelayId, error: &StoreError) {
    tracing::error!(%id, %error, hint = error.hint().unwrap_or_default(), "the queue did not take a message");
}

/// The provider is away, and direct mail waits for it in the queue.
pub(crate) fn kept_for(name: &str, fault: Fault, error: &HandoffError) {
    let hint = error.hint().unwrap_or_default();
    if fault == Fault::Operator {
        tracing::error!(upstream = name, %error, hint, "mail goes into the queue until this is mended");
    } else {
        tracing::warn!(upstream = name, %error, hint, "the provider is away: mail goes into the queue");
    }
}

/// The store failed, so a message leaves untracked.
pub(crate) fn sent_untracked(id: RelayId, error: &impl Debug) {
    tracing::error!(%id, ?error, "the store does not take records: message goes out untracked");
}

/// Once for each address or login that is limited. The login is the client's own text: shown as addresses are, and
/// escaped.
pub(crate) fn logins_limited(client: IpAddr, login: &str, wait: Duration) {
    let login = address(login);
    tracing::warn!(%client, ?login, wait_s = wait.as_secs(), "too many wrong logins: more are not looked at");
}

/// The provider has the message and the store does not know.
pub(crate) fn not_recorded(id: RelayId, error: &impl Debug) {
    tracing::error!(%id, ?error, "the outcome of a handoff was not recorded");
}

pub(crate) fn address_not_noted(error: &impl Debug) {
    tracing::warn!(
        ?error,
        "where a sender submits from was not noted: own opens may be taken for a reader's"
    );
}

pub(crate) fn choice_not_saved(id: RelayId) {
    tracing::warn!(%id, "the sender's choice was not saved as his default");
}

pub(crate) fn store_failed(doing: &str, error: &impl Debug) {
    tracing::error!(doing, ?error, "the store failed");
}

pub(crate) fn rewriting_failed(id: Option<RelayId>, error: &impl Debug) {
    tracing::error!(?id, ?error, "rewriting failed: message goes out as it came");
}

pub(crate) fn rewriting_too_slow(id: RelayId, limit: Duration) {
    tracing::warn!(%id, ?limit, "rewriting took too long: message goes out as it came");
}

/// The provider takes 7 bits only, and the message cannot be made so.
pub(crate) fn not_seven_bit(why: &impl Debug) {
    tracing::warn!(?why, "the provider has no 8BITMIME and the message was not converted");
}

pub(crate) fn upstream_failed(name: &str, error: &HandoffError) {
    tracing::warn!(upstream = name, %error, hint = error.hint().unwrap_or_default(), "handoff failed");
}

/// One line for each handoff out of the queue, always with the same fields.
pub(crate) fn dispatched(
    message: &QueuedMessage,
    counts: [usize; 3],
    answer: Option<&Answer>,
    took: Duration,
) {
    let [handed_on, failed, waiting] = counts;
    let what = match handed_on + failed {
        0 => "not handed on yet: will be tried again",
        _ => "handed on from the queue",
    };
    tracing::info!(
        id = %message.id,
        sender = %address(&message.sender),
        upstream = %message.upstream,
        handed_on,
        failed,
        waiting,
        code = answer.map_or(0, |answer| answer.code),
        reply = answer.map_or("", |answer| answer.text.as_str()),
        ms = took.as_millis(),
        "{what}"
    );
}

/// The whole message was sent and nobody answered. It is sent again, and may arrive twice.
pub(crate) fn perhaps_twice(id: RelayId, upstream: &str, what: &str) {
    tracing::warn!(%id, upstream, what, "the provider did not confirm: sent again, it may arrive twice");
}

pub(crate) fn upstream_away(name: &str, for_long: bool, words: &str, again: Timestamp) {
    if for_long {
        tracing::error!(upstream = name, words, %again, "the queue cannot hand on until this is mended");
    } else {
        tracing::warn!(upstream = name, words, %again, "the provider is away: its queue waits");
    }
}

pub(crate) fn upstream_back(name: &str) {
    tracing::info!(upstream = name, "the provider is back");
}

/// Messages name an upstream that is not in the configuration, or that needs a client's login.
pub(crate) fn unknown_upstream(name: &str) {
    tracing::error!(upstream = name, "mail waits for an upstream that the queue cannot use any more");
}

pub(crate) fn queue_failed(doing: &str, error: &StoreError) {
    tracing::error!(doing, %error, hint = error.hint().unwrap_or_default(), "the queue failed");
}

/// Nothing is handed on until what comes of it can be written down.
pub(crate) fn cannot_write(error: &StoreError) {
    let hint = error.hint().unwrap_or_default();
    tracing::error!(%error, hint, "the queue cannot be written to: nothing is handed on until it can");
}

pub(crate) fn can_write_again() {
    tracing::info!("the queue can be written to again: mail is handed on");
}

/// What came of a handoff is not on disk: until it is, the message is not touched again.
pub(crate) fn not_settled(id: RelayId, error: &StoreError) {
    tracing::error!(%id, %error, "what came of a handoff could not be written down yet");
}

pub(crate) fn damaged(id: RelayId, error: &StoreError) {
    tracing::error!(%id, %error, "a queued message is damaged and was set aside; its sender is told");
}

/// A notification, or other mail from `<>`, failed: nobody is told, or it would go round for ever.
pub(crate) fn nobody_to_tell(id: RelayId, sender: &str, answer: Option<&Answer>) {
    let reply = answer.map_or("", |answer| answer.text.as_str());
    tracing::warn!(%id, sender = %address(sender), reply, "a notification could not be delivered and is dropped");
}

pub(crate) fn dispatch_failed(id: Option<RelayId>, error: &impl Debug) {
    tracing::error!(?id, ?error, "handing on from the queue failed by a bug; the message is kept");
}

/// What a bounce or a complaint said.
pub(crate) fn feedback(taken: &Taken) {
    for item in &taken.items {
        tracing::info!(
            id = %taken.message,
            sender = %address(&taken.sender),
            recipient = %address(item.address.as_deref().unwrap_or_default()),
            kind = %item.kind,
            status = item.status.as_deref().unwrap_or_default(),
            "feedback"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked_unless_told_otherwise() {
        for (how, shown) in [
            (Addresses::Full, "ana@example.com"),
            (Addresses::None, "-"),
            (Addresses::Masked, "a…@example.com"),
        ] {
            show_addresses(how);
            assert_eq!(address("ana@example.com"), shown);
        }
    }
}
