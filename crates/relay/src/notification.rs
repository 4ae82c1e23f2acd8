//! What the sender is told about mail that waits, fails, or was handed on without more to come: a delivery status
//! notification (RFC 3464) in a multipart/report (RFC 6522). Nothing of it is ever tracked.

mod report;
mod returned;
mod words;
mod xtext;

use std::sync::Arc;

use envelope::{
    Body, EnhancedStatusCode, ForwardPath, MailParameters, Mailbox, Notify, RcptParameters, RelayId,
    ReversePath, Timestamp,
};
use store::{Copies, NewMessage, QueueState, QueuedMessage, QueuedRecipient, RecipientState};

/// One notification that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Notification<'a> {
    /// Its own id.
    pub(crate) id: RelayId,
    /// Now.
    pub(crate) at: Timestamp,
    /// Our name: who reports.
    pub(crate) hostname: &'a str,
    /// The provider's host: who said it.
    pub(crate) provider: &'a str,
    /// What it is about.
    pub(crate) message: &'a QueuedMessage,
    /// Its octets, if they can be read.
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) news: News,
    /// Those it is about; those who do not want to hear of it are passed over.
    pub(crate) recipients: &'a [Told],
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It was refused, or given up.
    Failed,
    /// It waits, and is tried until then.
    Delayed {
        /// When it is given up.
        until: Timestamp,
    },
    /// The provider has it, and tells nobody what becomes of it (RFC 3461 §5.2.2).
    Relayed,
}

/// One recipient, and what was said of him.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) recipient: QueuedRecipient,
    pub(crate) answer: Answer,
    /// Nobody refused it: the time was over.
    pub(crate) given_up: bool,
}

/// What the provider said, or what kept us from hearing anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0: nobody answered.
    pub(crate) code: u16,
    pub(crate) enhanced: Option<EnhancedStatusCode>,
    /// Without codes; holds no control characters but `\n`.
    pub(crate) text: String,
}

impl Answer {
    /// Nobody answered; what happened.
    pub(crate) fn nobody(what: impl Into<String>) -> Self {
        let text = what.into().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { code: 0, enhanced: None, text }
    }

    /// `5.1.1 No such user`: as the queue keeps it, from which [`Answer::kept`] reads it again.
    pub(crate) fn to_kept(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{enhanced} {}", self.text),
            None => self.text.clone(),
        }
    }

    pub(crate) fn kept(code: u16, text: &str) -> Self {
        let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
        match EnhancedStatusCode::parse(first) {
            Some(enhanced) if code > 0 => Self { code, enhanced: Some(enhanced), text: rest.to_owned() },
            _ => Self { code, enhanced: None, text: text.to_owned() },
        }
    }
}

impl News {
    /// Is the sender to hear this of such a recipient? (RFC 3461 §4.1)
    fn is_wanted(self, notify: Option<Notify>) -> bool {
        match self {
            Self::Failed => Notify::wants_failure(notify),
            Self::Delayed { .. } => Notify::wants_delay(notify),
            Self::Relayed => matches!(notify, Some(Notify::On { success: true, .. })),
        }
    }
}

impl Notification<'_> {
    /// The notification as a message for the queue: from `<>`, to the reverse-path, by the sender's own upstream.
    /// `None`: nobody is to hear of it, or nobody wants to.
    pub(crate) fn compose(self) -> Option<NewMessage> {
        // Never to `<>`: a notification about a notification would go round for ever (RFC 5321 §4.5.5).
        let ReversePath::Mailbox(to) = &self.message.reverse_path else { return None };
        let wanted =
            self.recipients.iter().filter(|told| self.news.is_wanted(told.recipient.parameters.notify));
        let wanted: Vec<Told> = wanted.cloned().collect();
        if wanted.is_empty() {
            return None;
        }
        let content = Arc::new(report::write(&Notification { recipients: &wanted, ..self.clone() }, to));
        Some(NewMessage { message: self.envelope(to, &content), content })
    }

    fn envelope(&self, to: &Mailbox, content: &[u8]) -> QueuedMessage {
        QueuedMessage {
            id: self.id,
            queued_at: self.at,
            sender: self.message.sender.clone(),
            upstream: self.message.upstream.clone(),
            reverse_path: ReversePath::Null,
            parameters: MailParameters {
                smtputf8: !to.is_ascii(),
                body: (!content.is_ascii()).then_some(Body::EightBitMime),
                ..MailParameters::default()
            },
            copies: Copies::Shared,
            octets: content.len() as u64,
            state: QueueState::Waiting,
            delay_told: false,
            recipients: vec![QueuedRecipient {
                index: 0,
                forward_path: ForwardPath::Mailbox(to.clone()),
                parameters: RcptParameters { notify: Some(Notify::Never), orcpt: None },
                state: RecipientState::Waiting,
                attempts: 0,
                due_at: self.at,
                code: 0,
                reply: String::new(),
            }],
        }
    }
}

#[cfg(test)]
mod tests;
