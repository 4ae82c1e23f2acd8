use std::sync::Arc;

use envelope::Reply;
use store::{Copies, NewMessage, QueueState, QueuedMessage, QueuedRecipient, RecipientState};

use crate::door::Relay;
use crate::event;
use crate::recording::Submission;

impl Relay {
    /// Into the queue: 250 only once envelope and content are on disk.
    ///
    /// `received` is our own field; `content` is what is handed on, or what each copy is made from.
    pub(crate) async fn take_over(
        &self,
        submission: &Submission,
        copies: Copies,
        received: &[u8],
        content: &[u8],
    ) -> Reply {
        let Some(queue) = &self.queue else { return not_now() };
        let content = Arc::new([received, content].concat());
        let message = queued(submission, copies, content.len() as u64);
        let new = NewMessage { message: message.clone(), content: content.clone() };
        let expected = self.newly_queued.expect(&new);
        match queue.put(new).await {
            Ok(()) => {
                if let Some(expected) = expected {
                    expected.is_there(message, content);
                }
                Reply::of(250, "2.0.0", format!("Queued as {}", submission.id))
            }
            Err(error) => {
                event::not_queued(submission.id, &error);
                if error.no_room() { no_room() } else { not_now() }
            }
        }
    }
}

fn no_room() -> Reply {
    Reply::of(452, "4.3.1", "There is too little room to keep the message; your program will try again")
}

fn not_now() -> Reply {
    Reply::of(451, "4.3.0", "The message could not be kept; your program will try again")
}

fn queued(submission: &Submission, copies: Copies, octets: u64) -> QueuedMessage {
    let envelope = submission.envelope.clone();
    let recipients =
        submission.indices().zip(envelope.recipients).map(|(index, recipient)| QueuedRecipient {
            index,
            forward_path: recipient.forward_path,
            parameters: recipient.parameters,
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: submission.at,
            code: 0,
            reply: String::new(),
        });
    QueuedMessage {
        id: submission.id,
        queued_at: submission.at,
        sender: submission.sender.clone(),
        upstream: submission.upstream.clone(),
        reverse_path: envelope.reverse_path,
        parameters: envelope.parameters,
        copies,
        octets,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: recipients.collect(),
    }
}
