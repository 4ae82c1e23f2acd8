//! What the relay says in the log: typed functions, so that a log line is an interface.
//!
//! ERROR: the operator must act. WARN: odd, nothing lost. INFO: one line a handoff.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use envelope::{RelayId, Reply};
use upstream::HandoffError;

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

/// The store failed, so a message leaves untracked.
pub(crate) fn sent_untracked(id: RelayId, error: &impl Debug) {
    tracing::error!(%id, ?error, "the store does not take records: message goes out untracked");
}

/// The provider has the message and the store does not know.
pub(crate) fn not_recorded(id: RelayId, error: &impl Debug) {
    tracing::error!(%id, ?error, "the outcome of a handoff was not recorded");
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
