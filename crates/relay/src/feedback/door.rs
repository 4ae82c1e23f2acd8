use std::sync::Arc;

use envelope::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};
use smtp::{Client, Greeting, Handler, Service};

use super::{Intake, IntakeError};

/// A listener's view of the intake: what comes in there is a report, and goes nowhere else.
#[derive(Clone)]
pub struct FeedbackDoor {
    intake: Arc<Intake>,
}

/// One connection of a [`FeedbackDoor`].
pub struct FeedbackConversation {
    intake: Arc<Intake>,
}

impl FeedbackDoor {
    /// A door to `intake`.
    pub fn new(intake: Arc<Intake>) -> Self {
        Self { intake }
    }
}

impl Service for FeedbackDoor {
    type Handler = FeedbackConversation;

    fn open(&self, _client: &Client) -> FeedbackConversation {
        FeedbackConversation { intake: self.intake.clone() }
    }
}

impl Handler for FeedbackConversation {
    async fn authenticate(&mut self, _credentials: Credentials) -> Reply {
        Reply::of(503, "5.5.1", "Nobody logs in here")
    }

    async fn mail(&mut self, _reverse_path: ReversePath, _parameters: MailParameters) -> Reply {
        Reply::of(250, "2.1.0", "Bounces and complaints are read here")
    }

    async fn rcpt(&mut self, _forward_path: ForwardPath, _parameters: RcptParameters) -> Reply {
        Reply::of(250, "2.1.5", "Whoever it is for, it is read here")
    }

    /// What is not taken is refused: then it stays with whoever has it, and somebody sees it.
    async fn content(&mut self, content: Vec<u8>, _greeting: &Greeting) -> Reply {
        match self.intake.take(&content).await {
            Ok(taken) if taken.items.is_empty() => Reply::of(250, "2.6.0", "Read; it says nothing bad"),
            Ok(taken) => Reply::of(250, "2.6.0", format!("Recorded for message {}", taken.message)),
            Err(IntakeError::Store(_)) => {
                Reply::of(451, "4.3.0", "It could not be recorded; try again later")
            }
            Err(refused) => Reply::of(550, "5.6.0", format!("Not taken: {refused}")),
        }
    }

    async fn reset(&mut self) {}

    async fn close(&mut self) {}
}
