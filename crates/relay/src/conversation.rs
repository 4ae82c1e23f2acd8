use std::sync::Arc;
use std::time::Duration;

use envelope::{Choice, Credentials, Envelope, ForwardPath, MailParameters, Reason, Reply, ReversePath};
use seal::Recipient;
use smtp::{Greeting, Handler};
use store::{ChoiceOrigin, RecipientRecord};
use tokio::time::Instant;
use upstream::{Connection, HandoffError};

use crate::choosing::{Chosen, SenderChoice, TrackField, choose};
use crate::door::Relay;
use crate::event;
use crate::identity::Identity;
use crate::recording::{Submission, record_of};
use crate::rewriting::{Rewritten, Tracking, rewrite};
use crate::settings::{Route, RouteLogin};
use crate::trace::received_field;

/// One client's connection: its login, the provider's connection beside it, and the transaction under way.
pub struct Conversation {
    relay: Arc<Relay>,
    identity: Option<Identity>,
    provider: Option<(usize, Connection)>,
    transaction: Option<Transaction>,
}

/// What MAIL and RCPT agreed with the provider.
struct Transaction {
    route: usize,
    sender: String,
    envelope: Envelope,
    recipients: Vec<RecipientRecord>,
}

/// QUIT is a courtesy: it must not hold up the end of a connection.
const GOODBYE: Duration = Duration::from_secs(2);
/// Longer than this and the store counts as failing for this message.
const STORE_PATIENCE: Duration = Duration::from_secs(1);
/// Everything whose name begins so is ours, and is taken out of every message.
const OTHER_CONTROL_FIELDS: [&str; 3] = ["X-Waxseal-Track", "X-Waxseal-Link", "X-Waxseal-Tag"];

impl Handler for Conversation {
    async fn authenticate(&mut self, credentials: Credentials) -> Reply {
        match self.relay.log_in(credentials).await {
            Ok(logged_in) => {
                self.identity = Some(logged_in.identity);
                self.provider = logged_in.connection;
                Reply::of(235, "2.7.0", "Welcome")
            }
            Err(reply) => reply,
        }
    }

    async fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Reply {
        let Some(identity) = &self.identity else {
            return Reply::of(530, "5.7.0", "Please log in first");
        };
        let sender = match identity.sender_of(&reverse_path) {
            Ok(sender) => sender,
            Err(reply) => return reply,
        };
        let Some(route) = self.route_for(&sender) else {
            return Reply::of(550, "5.7.1", format!("No provider is configured for {sender}"));
        };
        match self.begin(route, &reverse_path, &parameters).await {
            Ok(reply) if reply.is_positive() => {
                let envelope = Envelope { reverse_path, parameters, forward_paths: vec![] };
                self.transaction = Some(Transaction { route, sender, envelope, recipients: vec![] });
                reply
            }
            answer => self.answer(route, answer),
        }
    }

    async fn rcpt(&mut self, forward_path: ForwardPath) -> Reply {
        let (Some(transaction), Some((_, provider))) = (&mut self.transaction, &mut self.provider) else {
            return out_of_order();
        };
        let answer = provider.rcpt(&forward_path).await;
        if let Ok(reply) = &answer {
            let index = u16::try_from(transaction.recipients.len()).unwrap_or(u16::MAX);
            transaction.recipients.push(RecipientRecord {
                index,
                address: forward_path.to_string(),
                code: reply.code().get(),
                reply: reply.text(),
            });
            if reply.is_positive() {
                transaction.envelope.forward_paths.push(forward_path);
            }
        }
        let route = transaction.route;
        self.answer(route, answer)
    }

    /// One message, from the end of DATA to the reply we owe the client.
    async fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> Reply {
        let Some(transaction) = self.transaction.take() else { return out_of_order() };
        let started = Instant::now();
        let submission = self.submission(transaction, &content);

        let chosen = self.chosen(&submission, &content).await;
        let content = self.without_control_fields(content).await;
        let rewritten = self.rewritten(&submission, &chosen, content.clone()).await;
        let rewritten = self.announced(&submission, &chosen, rewritten, content).await;
        let received = received_field(&self.relay.settings.hostname, greeting, submission.id, submission.at);
        let answer = self.hand_off(&received, &rewritten.content).await;
        let reply = self.answer(submission.route, answer);

        // The provider may have the message now. An error from here on would make the client send
        // it again (RFC 5321 §6.1), so what fails is logged, not returned.
        self.record(&submission, &chosen, &rewritten, &reply, started).await;
        reply
    }

    async fn reset(&mut self) {
        self.transaction = None;
        if let Some((_, provider)) = &mut self.provider {
            if provider.reset().await.is_err() {
                self.provider = None;
            }
        }
    }

    async fn close(&mut self) {
        self.transaction = None;
        if let Some((_, mut provider)) = self.provider.take() {
            let _ = tokio::time::timeout(GOODBYE, provider.quit()).await;
        }
    }
}

fn out_of_order() -> Reply {
    Reply::of(503, "5.5.1", "There is no transaction; begin with MAIL")
}

impl Conversation {
    pub(crate) fn new(relay: Arc<Relay>, identity: Option<Identity>) -> Self {
        Self { relay, identity, provider: None, transaction: None }
    }

    fn route(&self, number: usize) -> &Route {
        &self.relay.settings.routes[number]
    }

    /// The provider that proved a login goes first: its connection is open and it is that person's own.
    fn route_for(&self, sender: &str) -> Option<usize> {
        let routes = &self.relay.settings.routes;
        if let (Some(Identity::Provider { .. }), Some((number, _))) = (&self.identity, &self.provider) {
            return Some(*number);
        }
        let may_pass = matches!(self.identity, Some(Identity::Provider { .. }));
        routes.iter().position(|route| {
            (may_pass || !matches!(route.login, RouteLogin::PassThrough))
                && route.senders.iter().any(|pattern| pattern.matches(sender))
        })
    }

    /// MAIL, on the connection of the session's last message if it still lives.
    async fn begin(
        &mut self,
        route: usize,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<Reply, HandoffError> {
        const SERVICE_NOT_AVAILABLE: u16 = 421;
        if let Some((number, mut provider)) = self.provider.take() {
            if number == route && provider.is_usable() {
                // A connection that was idle may have been closed by the other side. Nothing of this
                // message has been said yet, so a new connection is safe.
                match provider.mail(reverse_path, parameters).await {
                    Ok(reply) if reply.code().get() != SERVICE_NOT_AVAILABLE => {
                        self.provider = Some((route, provider));
                        return Ok(reply);
                    }
                    Err(error) if error.severity() == envelope::Severity::Permanent => return Err(error),
                    _ => {}
                }
            }
        }
        let login = match (&self.route(route).login, &self.identity) {
            (RouteLogin::Account(credentials), _) => Some(credentials.clone()),
            (RouteLogin::PassThrough, Some(Identity::Provider { credentials })) => Some(credentials.clone()),
            _ => None,
        };
        let mut provider = Connection::open(&self.route(route).upstream, login.as_ref()).await?;
        let reply = provider.mail(reverse_path, parameters).await;
        self.provider = Some((route, provider));
        reply
    }

    fn submission(&self, transaction: Transaction, content: &[u8]) -> Submission {
        Submission {
            id: self.relay.new_id(),
            at: self.relay.clock.now(),
            route: transaction.route,
            sender: transaction.sender,
            envelope: transaction.envelope,
            recipients: transaction.recipients,
            upstream: self.route(transaction.route).upstream.name.clone(),
            from: mime::field_bodies(content, "From").first().map(|body| mime::decode_words(body)),
            subject: mime::field_bodies(content, "Subject").first().map(|body| mime::decode_words(body)),
            message_id: mime::field_bodies(content, "Message-ID").first().cloned(),
            octets_in: content.len() as u64,
        }
    }

    /// What the sender wants tracked in this message.
    async fn chosen(&self, submission: &Submission, content: &[u8]) -> Chosen {
        let settings = &self.relay.settings;
        let field = TrackField::read(&mime::field_bodies(content, &settings.track_field));
        let configured = settings.configured_sender(&submission.sender).and_then(|sender| sender.choice);
        let saved = self.relay.store.saved_choice(&submission.sender);
        match tokio::time::timeout(STORE_PATIENCE, saved).await {
            Ok(Ok(saved)) => {
                let sender = SenderChoice { saved: saved.map(|saved| saved.choice), configured };
                choose(settings, field, sender)
            }
            failed => {
                event::store_failed("reading a sender's saved choice", &failed);
                let origin = ChoiceOrigin::Defaults;
                Chosen { choice: Choice::NONE, origin, keep: false, reason: Some(Reason::StoreFailed) }
            }
        }
    }

    /// Our own header fields go, whatever else happens to the message.
    async fn without_control_fields(&self, content: Vec<u8>) -> Arc<Vec<u8>> {
        let content = Arc::new(content);
        let (before, track_field) = (content.clone(), self.relay.settings.track_field.clone());
        let names = move || {
            let mut names = OTHER_CONTROL_FIELDS.to_vec();
            names.push(&track_field);
            mime::remove_fields(&before, &names).into_owned()
        };
        match tokio::task::spawn_blocking(names).await {
            Ok(content) => Arc::new(content),
            Err(panic) => {
                event::rewriting_failed(None, &panic);
                content
            }
        }
    }

    /// The message with pixel and links; as it came if anything about that fails or takes too long.
    async fn rewritten(&self, submission: &Submission, chosen: &Chosen, content: Arc<Vec<u8>>) -> Rewritten {
        let choice = submission.trackable(chosen.choice);
        if choice.is_none() {
            let reason = chosen.reason.or(Some(Reason::OnlyRecipientIsSender));
            return Rewritten::untouched(content.to_vec(), reason);
        }
        let tracking = Tracking {
            id: submission.id,
            recipient: match submission.envelope.forward_paths.as_slice() {
                [_] => Recipient::Index(submission.only_recipient_index()),
                _ => Recipient::Shared,
            },
            choice,
            keys: self.relay.keys.clone(),
            base_url: self.relay.settings.base_url.clone(),
        };
        let source = content.clone();
        // On another thread, so that neither a panic nor a slow message takes the connection with it.
        let rewriting = tokio::task::spawn_blocking(move || rewrite(&source, &tracking));
        let mut rewritten = match tokio::time::timeout(self.relay.settings.rewrite_time, rewriting).await {
            Ok(Ok(rewritten)) => rewritten,
            Ok(Err(panic)) => {
                event::rewriting_failed(Some(submission.id), &panic);
                Rewritten::untouched(content.to_vec(), Some(Reason::RewriteFailed))
            }
            Err(_) => {
                event::rewriting_too_slow(submission.id, self.relay.settings.rewrite_time);
                Rewritten::untouched(content.to_vec(), Some(Reason::TooSlow))
            }
        };
        if choice != chosen.choice {
            rewritten.reasons.push(Reason::OnlyRecipientIsSender);
        }
        rewritten.reasons.extend(chosen.reason);
        if self.grew_too_large(content.len(), rewritten.content.len()) {
            return Rewritten::untouched(content.to_vec(), Some(Reason::TooLarge));
        }
        rewritten
    }

    /// What we add must not take a message over the provider's limit that it would have kept.
    fn grew_too_large(&self, before: usize, after: usize) -> bool {
        let limit = self.provider.as_ref().and_then(|(_, provider)| provider.extensions().size);
        limit.is_some_and(|limit| limit > 0 && before as u64 <= limit && after as u64 > limit)
    }

    /// The store knows of a tracked message before it leaves: what cannot be recorded is not tracked.
    async fn announced(
        &self,
        submission: &Submission,
        chosen: &Chosen,
        rewritten: Rewritten,
        content: Arc<Vec<u8>>,
    ) -> Rewritten {
        if !rewritten.is_tracked() {
            return rewritten;
        }
        let record = record_of(submission, chosen, &rewritten, None);
        match tokio::time::timeout(STORE_PATIENCE, self.relay.store.record_message(record)).await {
            Ok(Ok(())) => rewritten,
            failed => {
                event::sent_untracked(submission.id, &failed);
                Rewritten::untouched(content.to_vec(), Some(Reason::StoreFailed))
            }
        }
    }

    async fn hand_off(&mut self, received: &[u8], content: &[u8]) -> Result<Reply, HandoffError> {
        let Some((_, provider)) = &mut self.provider else { return Ok(out_of_order()) };
        provider.content(&[received, content].concat()).await
    }

    async fn record(
        &self,
        submission: &Submission,
        chosen: &Chosen,
        rewritten: &Rewritten,
        reply: &Reply,
        started: Instant,
    ) {
        let store = &self.relay.store;
        let took = started.elapsed();
        event::handed_off(submission, rewritten, reply, took);
        let record = record_of(submission, chosen, rewritten, Some((reply, took)));
        let recorded = tokio::time::timeout(STORE_PATIENCE, store.record_message(record)).await;
        if !matches!(recorded, Ok(Ok(()))) {
            event::not_recorded(submission.id, &recorded);
        }
        if chosen.keep && reply.is_positive() {
            let (sender, choice) = (&submission.sender, chosen.choice);
            let saved = store.save_choice(sender, choice, Some(submission.id), submission.at);
            if !matches!(tokio::time::timeout(STORE_PATIENCE, saved).await, Ok(Ok(()))) {
                event::choice_not_saved(submission.id);
            }
        }
    }

    /// The provider's own words for a refusal, with who spoke; what became of the connection otherwise.
    fn answer(&self, route: usize, answer: Result<Reply, HandoffError>) -> Reply {
        let upstream = &self.route(route).upstream;
        match answer {
            Ok(reply) if reply.severity().is_some() => reply.with_prefix(&format!("{} said: ", upstream.host)),
            Ok(reply) => reply,
            Err(error) => {
                event::upstream_failed(&upstream.name, &error);
                error.reply()
            }
        }
    }
}
