//! What the rest of the installation knows about a hit: other hits, the message, its sender.

mod context;
mod facts;
mod source;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use envelope::{RelayId, Timestamp};
use store::{Store, StoreError};
use verdict::{Evidence, Rules};

use facts::Facts;
pub(crate) use facts::MessageFacts;
pub(crate) use source::Source;
pub(crate) use window::Seen;
use window::Window;

/// What verdicts are made from beside the request. The endpoint fills it, settling reads it: both share one.
///
/// Nothing here is needed for an answer. After a restart it is empty; settling fills it again from the store.
pub struct Surroundings {
    window: Mutex<Window>,
    facts: Facts,
}

impl Surroundings {
    /// Empty ones.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { window: Mutex::default(), facts: Facts::new(store) })
    }

    /// What they are learnt from.
    pub(crate) fn store(&self) -> &dyn Store {
        self.facts.store()
    }

    /// What is known of a message, if it is known in a moment.
    pub(crate) async fn message_quickly(&self, id: RelayId, now: Timestamp) -> Option<Arc<MessageFacts>> {
        self.facts.quickly(id, now).await
    }

    /// What the store knows of a message.
    pub(crate) async fn message(
        &self,
        id: RelayId,
        now: Timestamp,
    ) -> Result<Option<Arc<MessageFacts>>, StoreError> {
        self.facts.of(id, now).await
    }

    /// Puts into the evidence of `hit` what others say about it by now.
    pub(crate) fn fill(
        &self,
        evidence: &mut Evidence,
        hit: &Seen,
        message: Option<&MessageFacts>,
        rules: &Rules,
    ) {
        if let Some(message) = message {
            message.fill(&mut evidence.context, hit.recipient, hit.address);
            evidence.since_accept_ms = message.since_accept(hit.at).or(evidence.since_accept_ms);
        }
        context::fill(&mut evidence.context, hit, &self.window(), rules);
    }

    /// Who reads this copy, and whether it is known.
    pub(crate) fn reader(&self, address: Option<&str>) -> Option<(u64, u64)> {
        address.map(|address| self.facts.reader(address))
    }

    pub(crate) fn saw(&self, hit: Seen) {
        self.window().insert(hit);
    }

    pub(crate) fn judged(&self, event: RelayId, person: bool) {
        self.window().judged(event, person);
    }

    /// What is remembered of an event.
    pub(crate) fn remembered(&self, event: RelayId) -> Option<Seen> {
        self.window().event(event).cloned()
    }

    /// A person at the same place followed a link of this copy.
    pub(crate) fn person_clicked(&self, hit: &Seen) -> bool {
        context::person_clicked(hit, &self.window())
    }

    /// Opens at the place of a click, by the same program.
    pub(crate) fn opens_like(&self, click: &Seen) -> Vec<RelayId> {
        context::opens_like(click, &self.window())
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
