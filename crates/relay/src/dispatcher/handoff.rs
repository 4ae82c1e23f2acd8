use std::error::Error as _;
use std::sync::Arc;

use envelope::{Body, MailParameters, Reply, Severity};
use store::{QueuedMessage, QueuedRecipient};
use upstream::{Connection, HandoffError, Pool, Pooled};

use crate::fault::Fault;
use crate::notification::Answer;
use crate::provider::pooled;
use crate::settings::RouteLogin;
use crate::seven_bit::send_content;

/// What came of one transaction.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    /// For each recipient it was for.
    pub(super) answers: Vec<Answered>,
    /// The provider could not be reached, or went away before the content: every other message would meet the same.
    pub(super) away: Option<Away>,
    /// The provider was there.
    pub(super) reached: bool,
    /// The provider tells the sender itself what becomes of a message (RFC 3461).
    pub(super) tells: bool,
}

#[derive(Debug)]
pub(super) struct Away {
    /// Somebody has to mend something first.
    pub(super) for_long: bool,
    pub(super) words: String,
}

/// One recipient, and what became of him.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) recipient: QueuedRecipient,
    pub(super) outcome: Outcome,
    pub(super) answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    HandedOn,
    Refused,
    /// He is to get no mail of this sender's, and the sender hears of it.
    RefusedHere,
    /// The same, and the record says so to whoever looks.
    LeftOut,
    /// To be tried again.
    Later,
    /// The whole message was sent and nobody answered. To be tried again all the same: a mail answered 250 must
    /// arrive, and may for that arrive twice (RFC 5321 §6.1).
    Unknown,
}

/// How a provider is reached: its connections, and what they are logged in with.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pool: Pool,
    pub(super) login: RouteLogin,
}

/// One message, to some of its recipients, in one transaction. The connection in `line` is used, or one taken.
pub(super) async fn hand_on(
    link: &Link,
    line: &mut Option<Pooled>,
    message: &QueuedMessage,
    recipients: &[QueuedRecipient],
    content: &Arc<Vec<u8>>,
) -> Handoff {
    let mut transaction = Transaction { recipients: recipients.to_vec(), handoff: Handoff::default() };
    if let Err(error) = transaction.run(link, line, message, content).await {
        transaction.failed(&error);
    }
    if let Some(connection) = line {
        transaction.handoff.tells = connection.extensions().dsn;
        // A refusal may have left the transaction open; a whole one has ended it.
        let clean = transaction.handoff.answers.iter().all(|answered| answered.outcome == Outcome::HandedOn);
        if !clean && connection.is_usable() {
            let _ = connection.reset().await;
        }
        if !connection.is_usable() {
            *line = None;
        }
    }
    transaction.handoff
}

struct Transaction {
    /// Those without an outcome yet.
    recipients: Vec<QueuedRecipient>,
    handoff: Handoff,
}

impl Transaction {
    async fn run(
        &mut self,
        link: &Link,
        line: &mut Option<Pooled>,
        message: &QueuedMessage,
        content: &Arc<Vec<u8>>,
    ) -> Result<(), Trouble> {
        let parameters = parameters(message, content);
        let reply = begin(link, line, message, &parameters, &self.recipients, content)
            .await
            .map_err(|error| Trouble::before_mail(error, link))?;
        let Some(connection) = line else { return Ok(()) };
        self.handoff.reached = true;
        if !reply.is_positive() {
            self.all(&reply);
            return Ok(());
        }
        self.ask_for_each(connection).await?;
        if self.recipients.is_empty() {
            return Ok(());
        }
        let reply = send_content(connection, b"", content).await.map_err(Trouble::at_content)?;
        self.all(&reply);
        Ok(())
    }

    /// RCPT; those whom the provider takes stay in `recipients`.
    async fn ask_for_each(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let mut taken = Vec::new();
        while !self.recipients.is_empty() {
            let recipient = self.recipients.remove(0);
            match connection.rcpt(&recipient.forward_path, &recipient.parameters).await {
                Ok(reply) if reply.is_positive() => taken.push(recipient),
                Ok(reply) => self.put(recipient, outcome_of(&reply), said(&reply)),
                Err(error) if Fault::of(&error) == Fault::Message => {
                    self.put(recipient, Outcome::Refused, answer_of(&error));
                }
                Err(error) => {
                    self.recipients.push(recipient);
                    self.recipients.append(&mut taken);
                    return Err(Trouble::before_content(error));
                }
            }
        }
        self.recipients = taken;
        Ok(())
    }

    fn failed(&mut self, trouble: &Trouble) {
        let fault = Fault::of(&trouble.error);
        let outcome = match fault {
            Fault::Message => Outcome::Refused,
            Fault::Unknown => Outcome::Unknown,
            Fault::Provider | Fault::Operator => Outcome::Later,
        };
        let answer = answer_of(&trouble.error);
        if outcome == Outcome::Later && trouble.concerns_all {
            let words = if answer.code > 0 {
                format!("{} {}", answer.code, answer.to_kept())
            } else {
                answer.text.clone()
            };
            self.handoff.away = Some(Away { for_long: fault == Fault::Operator, words });
            self.handoff.reached = false;
        }
        for recipient in std::mem::take(&mut self.recipients) {
            self.put(recipient, outcome, answer.clone());
        }
    }

    fn all(&mut self, reply: &Reply) {
        for recipient in std::mem::take(&mut self.recipients) {
            self.put(recipient, outcome_of(reply), said(reply));
        }
    }

    fn put(&mut self, recipient: QueuedRecipient, outcome: Outcome, answer: Answer) {
        self.handoff.answers.push(Answered { recipient, outcome, answer });
    }
}

/// Why a transaction did not come to its end.
struct Trouble {
    error: HandoffError,
    /// What fails before the content would fail for every other message too. A connection that breaks within
    /// the content may break because of it: that must not keep the others.
    concerns_all: bool,
}

impl Trouble {
    /// That all connections are in use says nothing of the provider; that a sender's own token is missing or refused,
    /// nothing of the others'.
    fn before_mail(error: HandoffError, link: &Link) -> Self {
        let of_one = match &error {
            HandoffError::Busy { .. } | HandoffError::NoToken { .. } => true,
            HandoffError::LoginRefused { .. } => matches!(link.login, RouteLogin::Tokens(_)),
            _ => false,
        };
        Self { error, concerns_all: !of_one }
    }

    fn before_content(error: HandoffError) -> Self {
        Self { error, concerns_all: true }
    }

    fn at_content(error: HandoffError) -> Self {
        Self { error, concerns_all: false }
    }
}

/// MAIL, on the connection at hand if it still lives; with it goes what follows, where the provider takes that.
async fn begin(
    link: &Link,
    line: &mut Option<Pooled>,
    message: &QueuedMessage,
    parameters: &MailParameters,
    recipients: &[QueuedRecipient],
    content: &[u8],
) -> Result<Reply, HandoffError> {
    let asked: Vec<_> = recipients.iter().map(|one| (&one.forward_path, &one.parameters)).collect();
    let mut at_hand = line.take();
    loop {
        let was_at_hand = at_hand.is_some();
        let mut connection = match at_hand.take() {
            Some(connection) => connection,
            None => pooled(&link.pool, &link.login, &message.sender).await?,
        };
        let answer = connection.mail_ahead(&message.reverse_path, parameters, &asked, content).await;
        // One that was used before may have been closed by the other side just now. Nothing of this message has
        // been said yet. Each that failed is gone from the pool, so this ends.
        if !connection.is_usable() && (was_at_hand || connection.is_reused()) {
            continue;
        }
        *line = Some(connection);
        return answer;
    }
}

/// The size is that of what goes out, which is not what the client declared.
fn parameters(message: &QueuedMessage, content: &[u8]) -> MailParameters {
    let mut parameters = message.parameters.clone();
    parameters.size = Some(content.len() as u64);
    if !content.is_ascii() {
        parameters.body = Some(Body::EightBitMime);
    }
    parameters
}

fn outcome_of(reply: &Reply) -> Outcome {
    match reply.severity() {
        None => Outcome::HandedOn,
        Some(Severity::Transient) => Outcome::Later,
        Some(Severity::Permanent) => Outcome::Refused,
    }
}

pub(super) fn said(reply: &Reply) -> Answer {
    Answer { code: reply.code().get(), enhanced: reply.enhanced(), text: reply.text() }
}

/// The provider's words if it said any; what happened otherwise.
fn answer_of(error: &HandoffError) -> Answer {
    match error {
        HandoffError::ShutDown { reply, .. }
        | HandoffError::Refused { reply, .. }
        | HandoffError::LoginRefused { reply, .. } => said(reply),
        // Ours, in words for a person: what the message has that the provider does not take.
        error if Fault::of(error) == Fault::Message => {
            let reply = error.reply();
            Answer { enhanced: reply.enhanced(), ..Answer::nobody(reply.text()) }
        }
        error => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text += &format!(": {cause}");
                source = cause.source();
            }
            Answer::nobody(text)
        }
    }
}
