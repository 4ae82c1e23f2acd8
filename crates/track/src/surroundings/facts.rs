use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::{RelayId, Timestamp, TrackingMode, TrackingModes};
use store::{MessageSummary, Store, StoreError, SubmissionAddress};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use verdict::Context;

/// What the store knows of messages and their senders, as far as verdicts need it.
pub(crate) struct Facts {
    store: Arc<dyn Store>,
    known: Mutex<Known>,
    /// Bound what hits ask of the store while their answers wait: at once, and in a second.
    at_once: Semaphore,
    in_second: Mutex<(Instant, u32)>,
    /// Tells recipients apart without being able to name them.
    hasher: RandomState,
}

/// Each with when it was read.
type Known = HashMap<RelayId, (Instant, Arc<MessageFacts>)>;

/// About one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageFacts {
    /// The sender's addresses, the login first, in lower case.
    pub(crate) senders_own: Vec<String>,
    pub(crate) links: u32,
    /// By their numbers, in lower case.
    recipients: HashMap<u16, String>,
    /// When the provider said 250 to the content, in milliseconds since 1970.
    accepted_at: Option<i64>,
    addresses: Vec<SubmissionAddress>,
}

/// A hit waits so long for what the store knows; then it is judged without, and again when it settles.
const PATIENCE: Duration = Duration::from_millis(50);
const AT_ONCE: usize = 2;
const MOST_IN_SECOND: u32 = 100;
/// What is known is asked again after so long: the provider's answer and the sender's addresses come later.
const FRESH: Duration = Duration::from_secs(30);
/// The 250 is noted a moment after it was said.
const NOTED_MS: i64 = 1_000;
/// Messages, a list's counted once for each hundred recipients: some 20 MB at most.
const MOST_KNOWN: usize = 1_000;
const RECIPIENTS_A_MESSAGE: usize = 100;

impl Facts {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let (at_once, in_second) = (Semaphore::new(AT_ONCE), Mutex::new((Instant::now(), 0)));
        Self { store, known: Mutex::default(), at_once, in_second, hasher: RandomState::new() }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// At once or not at all, so to speak: under load only what is in memory.
    pub(crate) async fn quickly(&self, message: RelayId, now: Timestamp) -> Option<Arc<MessageFacts>> {
        if let Some(known) = self.remembered(message) {
            return Some(known);
        }
        let _turn = self.at_once.try_acquire().ok().filter(|_| self.one_more_this_second())?;
        timeout(PATIENCE, self.of(message, now)).await.ok()?.ok()?
    }

    fn one_more_this_second(&self) -> bool {
        let mut in_second = self.in_second.lock().unwrap_or_else(PoisonError::into_inner);
        if in_second.0.elapsed() >= Duration::from_secs(1) {
            *in_second = (Instant::now(), 0);
        }
        in_second.1 += 1;
        in_second.1 <= MOST_IN_SECOND
    }

    /// However long it takes.
    pub(crate) async fn of(
        &self,
        message: RelayId,
        now: Timestamp,
    ) -> Result<Option<Arc<MessageFacts>>, StoreError> {
        if let Some(known) = self.remembered(message) {
            return Ok(Some(known));
        }
        let Some(summary) = self.store.message(message).await? else { return Ok(None) };
        let sender = summary.record.sender.to_ascii_lowercase();
        let addresses = self.store.submissions(&sender, now).await?;
        let mut senders_own = vec![sender.clone()];
        if let Some(record) = self.store.sender(&sender).await? {
            senders_own
                .extend(record.aliases.iter().chain([&record.address]).map(|own| own.to_ascii_lowercase()));
        }
        let facts = Arc::new(MessageFacts::new(&summary, senders_own, addresses));
        self.remember(message, &facts);
        Ok(Some(facts))
    }

    /// Tells a recipient and their domain from others.
    pub(crate) fn reader(&self, address: &str) -> (u64, u64) {
        let address = address.to_ascii_lowercase();
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        (self.hasher.hash_one(&address), self.hasher.hash_one(domain))
    }

    fn remembered(&self, message: RelayId) -> Option<Arc<MessageFacts>> {
        let known = self.known();
        let (since, facts) = known.get(&message)?;
        (since.elapsed() < FRESH).then(|| facts.clone())
    }

    fn remember(&self, message: RelayId, facts: &Arc<MessageFacts>) {
        // The provider's answer is still to come.
        if facts.accepted_at.is_none() {
            return;
        }
        let mut known = self.known();
        let weight = |known: &Known| known.values().map(|(_, facts)| facts.weight()).sum::<usize>();
        if weight(&known) + facts.weight() > MOST_KNOWN {
            known.retain(|_, (since, _)| since.elapsed() < FRESH);
        }
        // All of them in use just now: then the store is asked again.
        if weight(&known) + facts.weight() <= MOST_KNOWN {
            known.insert(message, (Instant::now(), facts.clone()));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageFacts {
    fn new(summary: &MessageSummary, senders_own: Vec<String>, addresses: Vec<SubmissionAddress>) -> Self {
        let record = &summary.record;
        let accepted = record.code / 100 == 2;
        let took = i64::try_from(record.took_ms).unwrap_or(i64::MAX);
        Self {
            senders_own,
            links: u32::from(record.links_tracked),
            recipients: record
                .recipients
                .iter()
                .map(|recipient| (recipient.index, recipient.address.to_ascii_lowercase()))
                .collect(),
            accepted_at: accepted.then(|| record.accepted_at.unix_millis().saturating_add(took)),
            addresses,
        }
    }

    /// How much may be kept of what this recipient does; of a copy that several share, what may be of all of them.
    pub(crate) fn mode(&self, modes: &TrackingModes, recipient: Option<u16>) -> TrackingMode {
        let sender = self.senders_own.first().map_or("", String::as_str);
        match recipient {
            Some(_) => modes.of(sender, self.recipient(recipient)),
            None => modes.of(sender, self.recipients.values().map(String::as_str)),
        }
    }

    fn weight(&self) -> usize {
        1 + self.recipients.len() / RECIPIENTS_A_MESSAGE
    }

    /// The recipient's address; `None` for a copy that several share.
    pub(crate) fn recipient(&self, number: Option<u16>) -> Option<&str> {
        self.recipients.get(&number?).map(String::as_str)
    }

    /// Milliseconds from the provider's 250 to the hit; negative before it.
    pub(crate) fn since_accept(&self, at: i64) -> Option<i64> {
        let since = at.saturating_sub(self.accepted_at?);
        let since = if (-NOTED_MS..0).contains(&since) { 0 } else { since };
        // The queue may hand a message on to one recipient after the other, and the record has the last answer
        // only: of several recipients, one may have had it before.
        (since >= 0 || self.recipients.len() == 1).then_some(since)
    }

    /// What the message and its sender say about a hit on the copy of `recipient`.
    pub(crate) fn fill(&self, context: &mut Context, recipient: Option<u16>, address: Option<IpAddr>) {
        context.links_in_message = Some(self.links);
        if !self.addresses.is_empty() {
            context.sender_ips = self.addresses.iter().map(|submission| submission.address).collect();
        }
        let Some(reader) = self.recipient(recipient) else {
            // Several share the copy, and the sender's own address may be an office's: then it may be any of them.
            context.recipient_shares_sender_network = Some(self.shares(address, self.has_colleague()));
            return;
        };
        context.recipient_is_sender = Some(self.is_sender(reader));
        context.recipient_shares_sender_network = Some(self.shares(address, self.is_colleague(reader)));
    }

    /// Is this one of the sender's own addresses? In lower case.
    pub(crate) fn is_sender(&self, address: &str) -> bool {
        self.senders_own.iter().any(|own| own == address)
    }

    /// Nobody but the sender would say where colleagues sit: they may be behind the same address.
    fn is_colleague(&self, address: &str) -> bool {
        let domain = |address: &str| address.rsplit_once('@').map(|(_, domain)| domain.to_owned());
        !self.is_sender(address) && self.senders_own.iter().any(|own| domain(own) == domain(address))
    }

    fn has_colleague(&self) -> bool {
        self.recipients.values().any(|address| self.is_colleague(address))
    }

    fn shares(&self, address: Option<IpAddr>, colleague: bool) -> bool {
        let office = |submission: &SubmissionAddress| {
            submission.shared && address.is_some_and(|address| address.to_canonical() == submission.address)
        };
        colleague || self.addresses.iter().any(office)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(recipients: &[&str], accepted_at: Option<i64>) -> MessageFacts {
        MessageFacts {
            senders_own: vec!["ana@example.com".into(), "a@example.org".into()],
            links: 3,
            recipients: (0..).zip(recipients).map(|(index, address)| (index, (*address).into())).collect(),
            accepted_at,
            addresses: vec![
                SubmissionAddress { address: "203.0.113.7".parse().unwrap(), shared: false },
                SubmissionAddress { address: "203.0.113.8".parse().unwrap(), shared: true },
            ],
        }
    }

    #[test]
    fn the_clock_starts_at_the_250() {
        for (case, recipients, accepted_at, at, expected) in [
            ("after", &["bo@example.net"][..], Some(1_000), 5_000, Some(4_000)),
            ("before", &["bo@example.net"], Some(9_000), 5_000, Some(-4_000)),
            ("in the same moment", &["bo@example.net"], Some(5_900), 5_000, Some(0)),
            ("not accepted yet", &["bo@example.net"], None, 5_000, None),
            ("after, of several", &["bo@example.net", "di@example.net"], Some(1_000), 5_000, Some(4_000)),
            (
                "one of several may have had it before",
                &["bo@example.net", "di@example.net"],
                Some(9_000),
                5_000,
                None,
            ),
        ] {
            assert_eq!(facts(recipients, accepted_at).since_accept(at), expected, "{case}");
        }
    }

    #[test]
    fn who_may_be_the_sender() {
        for (case, recipient, address, is_sender, shares) in [
            ("a stranger", "bo@example.net", "203.0.113.7", false, false),
            ("the sender", "ana@example.com", "203.0.113.7", true, false),
            ("an alias", "a@example.org", "198.51.100.1", true, false),
            ("a colleague", "bo@example.com", "203.0.113.7", false, true),
            ("an office", "bo@example.net", "203.0.113.8", false, true),
            ("an office, in IPv6 clothes", "bo@example.net", "::ffff:203.0.113.8", false, true),
        ] {
            let mut context = Context::default();
            facts(&[recipient], None).fill(&mut context, Some(0), address.parse().ok());
            assert_eq!(context.recipient_is_sender, Some(is_sender), "{case}");
            assert_eq!(context.recipient_shares_sender_network, Some(shares), "{case}");
            assert_eq!((context.links_in_message, context.sender_ips.len()), (Some(3), 2));
        }
        let mut context = Context::default();
        let shared = facts(&["bo@example.net", "di@example.com"], None);
        shared.fill(&mut context, None, "203.0.113.7".parse().ok());
        assert_eq!(context.recipient_is_sender, None);
        assert_eq!(context.recipient_shares_sender_network, Some(true), "a colleague is among them");
    }
}
