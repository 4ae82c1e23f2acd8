use std::sync::Arc;
use std::time::Duration;

use envelope::Timestamp;
use hyper::http::request::Parts;
use store::{LastOpen, Recorder, StoreError};
use tokio::time::timeout;

use crate::client_address::Visitor;
use crate::endpoint::Endpoint;
use crate::event;
use crate::hit::Hit;
use crate::keeping::{Kept, kept, placeless};
use crate::surroundings::MessageFacts;

/// A hit on its way to be remembered.
pub(crate) struct Recording {
    pub(crate) hit: Hit,
    pub(crate) at: Timestamp,
    pub(crate) visitor: Visitor,
    pub(crate) request: Parts,
    /// The client asks not to be tracked, and that counts.
    pub(crate) asked_not_to: bool,
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) recorder: Arc<Recorder>,
}

/// Whose message it is.
enum Whose {
    Known(Option<Arc<MessageFacts>>),
    /// The store does not say.
    Unknown,
}

/// How long the store is waited for when it depends on who it is how much may be kept.
const PATIENCE: Duration = Duration::from_millis(150);

impl Recording {
    /// Judged with all that is known; then as much is kept as may be.
    pub(crate) async fn run(self) {
        let keeping = &self.endpoint.keeping;
        let whose = self.whose().await;
        let message = match &whose {
            Whose::Known(message) => message.as_deref(),
            Whose::Unknown => None,
        };
        let event = match self.hit.judged(self.at, self.visitor, &self.request, &self.endpoint, message) {
            Ok(event) => event,
            Err(error) => return event::no_randomness(error),
        };
        if matches!(whose, Whose::Unknown) && !self.asked_not_to {
            self.recorder.record_later(placeless(event)).await;
            return;
        }
        let mode = keeping.mode(message, event.recipient);
        match kept(event, mode, self.asked_not_to) {
            Kept::Nothing => {}
            Kept::Day(day) => self.record_day(day).await,
            Kept::Event(event) => {
                event::hit(&event);
                // What is lost, the recorder tells the log.
                self.recorder.record(*event).await;
            }
        }
    }

    async fn whose(&self) -> Whose {
        let Some(surroundings) = &self.endpoint.surroundings else { return Whose::Known(None) };
        if !self.endpoint.keeping.depends_on_who() {
            return Whose::Known(surroundings.message_quickly(self.hit.message(), self.at).await);
        }
        match timeout(PATIENCE, surroundings.message(self.hit.message(), self.at)).await {
            Ok(Ok(message)) => Whose::Known(message),
            _ => Whose::Unknown,
        }
    }

    /// A date that is written over is no event: if the store is away it is not kept for later.
    async fn record_day(&self, day: LastOpen) {
        let Some(surroundings) = &self.endpoint.surroundings else { return };
        let recorded = timeout(self.endpoint.deadlines.recording, surroundings.store().record_last_open(day));
        if let Err(error) = recorded.await.unwrap_or(Err(StoreError::TimedOut)) {
            event::day_not_recorded(&error);
        }
    }
}
