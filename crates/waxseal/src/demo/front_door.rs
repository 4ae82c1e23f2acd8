//! The relay's door, with somebody in front of it who keeps a copy of each message as it was written.
//!
//! Only here: the relay itself keeps no text, so beside a caught mail of one's own there would be nothing to
//! compare it with.

use std::sync::Arc;

use envelope::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};
use relay::{Conversation, Door};
use smtp::{Client, Greeting, Handler, Service};

use super::office::DemoOffice;

pub(crate) struct FrontDoor {
    door: Door,
    office: Arc<DemoOffice>,
}

impl FrontDoor {
    pub(crate) fn new(door: Door, office: Arc<DemoOffice>) -> Self {
        Self { door, office }
    }
}

impl Service for FrontDoor {
    type Handler = Visit;

    fn open(&self, client: &Client) -> Visit {
        Visit { conversation: self.door.open(client), office: self.office.clone() }
    }
}

pub(crate) struct Visit {
    conversation: Conversation,
    office: Arc<DemoOffice>,
}

impl Handler for Visit {
    async fn authenticate(&mut self, credentials: Credentials) -> Reply {
        self.conversation.authenticate(credentials).await
    }

    async fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Reply {
        self.conversation.mail(reverse_path, parameters).await
    }

    async fn rcpt(&mut self, forward_path: ForwardPath, parameters: RcptParameters) -> Reply {
        self.conversation.rcpt(forward_path, parameters).await
    }

    async fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> Reply {
        let written = content.clone();
        let reply = self.conversation.content(content, greeting).await;
        // A 250 is the mailbox's own: the message is there.
        if reply.is_positive() {
            self.office.remember(written);
        }
        self.office.tell();
        reply
    }

    async fn reset(&mut self) {
        self.conversation.reset().await;
    }

    async fn close(&mut self) {
        self.conversation.close().await;
    }
}
