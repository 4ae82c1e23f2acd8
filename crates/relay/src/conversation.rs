use std::sync::Arc;
use std::time::Duration;

use envelope::{
    Credentials, Envelope, EnvelopeRecipient, ForwardPath, MailParameters, RcptParameters, Reason, Reply,
    ReversePath,
};
use seal::Recipient;
use smtp::{Greeting, Handler};
use store::RecipientRecord;
use tokio::time::Instant;
use upstream::{HandoffError, SizeLimit};

use crate::asked::{Asked, Wish, without_control_fields};
use crate::choosing::{Chosen, Voices, choose};
use crate::door::Relay;
use crate::event;
use crate::identity::Identity;
use crate::provider::Provider;
use crate::recording::{Submission, record_of};
use crate::rewriting::{Tracking, rewrite};
use crate::rewritten::Rewritten;
use crate::settings::{Route, RouteLogin};
use crate::trace::received_field;

/// One client's connection: its login, the provider's connection beside it, and the transaction under way.
pub struct Conversation {
    relay: Arc<Relay>,
    identity: Option<Identity>,
    suffix: Option<Wish>,
    provider: Option<(usize, Provider)>,
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
/// Of From, Subject and Message-ID.
const MAX_STORED_CHARACTERS: usize = 1_000;
/// Longer than this and the store counts as failing for this message.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

impl Handler for Conversation {
    async fn authenticate(&mut self, credentials: Credentials) -> Reply {
        match self.relay.log_in(credentials).await {
            Ok(logged_in) => {
                self.identity = Some(logged_in.identity);
                self.suffix = logged_in.suffix;
                self.provider = logged_in.connection.map(|(route, own)| (route, Provider::Own(own)));
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
        match self.begin(route, &sender, &reverse_path, &parameters).await {
            Ok(reply) if reply.is_positive() => {
                let envelope = Envelope { reverse_path, parameters, recipients: vec![] };
                self.transaction = Some(Transaction { route, sender, envelope, recipients: vec![] });
                reply
            }
            answer => {
                self.rest().await;
                self.answer(route, answer)
            }
        }
    }

    async fn rcpt(&mut self, forward_path: ForwardPath, parameters: RcptParameters) -> Reply {
        let (Some(transaction), Some((_, provider))) = (&mut self.transaction, &mut self.provider) else {
            return out_of_order();
        };
        let answer = provider.rcpt(&forward_path, &parameters).await;
        if let Ok(reply) = &answer {
            let index = u16::try_from(transaction.recipients.len()).unwrap_or(u16::MAX);
            transaction.recipients.push(RecipientRecord {
                index,
                address: forward_path.to_string(),
                code: reply.code().get(),
                reply: reply.text(),
            });
            if reply.is_positive() {
                transaction.envelope.recipients.push(EnvelopeRecipient { forward_path, parameters });
            }
        }
        let route = transaction.route;
        self.answer(route, answer)
    }

    /// One message, from the end of DATA to the reply we owe the client.
    async fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> Reply {
        let Some(transaction) = self.transaction.take() else { return out_of_order() };
        let started = Instant::now();
        let content = Arc::new(content);
        let submission = self.submission(transaction, &content);

        let chosen = self.chosen(&submission, &content).await;
        let Some(content) = self.without_control_fields(content).await else {
            self.reset().await;
            return Reply::of(451, "4.3.0", "The message could not be read; your program will try again");
        };
        let rewritten = self.rewritten(&submission, &chosen, &content).await;
        let rewritten = self.announced(&submission, &chosen, rewritten, &content).await;
        let received = self.received_field(&submission, &rewritten.content, greeting);
        let answer = self.hand_off(&received, &rewritten.content).await;
        self.rest().await;
        let reply = self.answer(submission.route, answer);

        // The provider may have the message now. An error from here on would make the client send
        // it again (RFC 5321 §6.1), so what fails is logged, not returned.
        self.record(&submission, &chosen, &rewritten, &reply, started).await;
        reply
    }

    async fn reset(&mut self) {
        self.transaction = None;
        if let Some((_, provider)) = &mut self.provider
            && provider.reset().await.is_err()
        {
            self.provider = None;
        }
        self.rest().await;
    }

    async fn close(&mut self) {
        self.transaction = None;
        if let Some((_, provider)) = self.provider.take() {
            let _ = tokio::time::timeout(GOODBYE, provider.part()).await;
        }
    }
}

fn out_of_order() -> Reply {
    Reply::of(503, "5.5.1", "There is no transaction; begin with MAIL")
}

impl Conversation {
    pub(crate) fn new(relay: Arc<Relay>, identity: Option<Identity>) -> Self {
        Self { relay, identity, suffix: None, provider: None, transaction: None }
    }

    fn route(&self, number: usize) -> &Route {
        &self.relay.settings.routes[number]
    }

    /// The provider that proved a login goes first: its connection is open and it is that person's own.
    fn route_for(&self, sender: &str) -> Option<usize> {
        if let Some(Identity::Provider { route, .. }) = &self.identity {
            return Some(*route);
        }
        self.relay.settings.routes.iter().position(|route| {
            !matches!(route.login, RouteLogin::PassThrough)
                && route.senders.iter().any(|pattern| pattern.matches(sender))
        })
    }

    /// MAIL, on the connection of the session's last message if it still lives.
    async fn begin(
        &mut self,
        route: usize,
        sender: &str,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<Reply, HandoffError> {
        if let Some((number, mut provider)) = self.provider.take()
            && number == route
            && provider.is_usable()
        {
            // A connection that was idle may have been closed by the other side. Nothing of this
            // message has been said yet, so a new connection is safe.
            let answer = provider.mail(reverse_path, parameters).await;
            if provider.is_usable() {
                self.provider = Some((route, provider));
                return answer;
            }
        }
        let own = match &self.identity {
            Some(Identity::Provider { credentials, .. }) => Some(credentials.clone()),
            _ => None,
        };
        loop {
            let kind = &self.route(route).login;
            let mut provider = Provider::open(&self.relay.pools[route], kind, sender, own.as_ref()).await?;
            let answer = provider.mail(reverse_path, parameters).await;
            // As above. Each that failed is gone from the pool, so this ends.
            if provider.is_reused() && !provider.is_usable() {
                continue;
            }
            self.provider = Some((route, provider));
            return answer;
        }
    }

    /// The transaction is over: others may have the connection, if it is not this client's own.
    async fn rest(&mut self) {
        if let Some((route, provider)) = self.provider.take() {
            self.provider = provider.rest().await.map(|provider| (route, provider));
        }
    }

    fn submission(&self, transaction: Transaction, content: &[u8]) -> Submission {
        // A header field may be as long as the message; what is shown of it need not.
        let field = |name: &str| {
            let body = mime::field_bodies(content, name).into_iter().next();
            body.map(|body| body.chars().take(MAX_STORED_CHARACTERS).collect::<String>())
        };
        Submission {
            id: self.relay.new_id(),
            at: self.relay.clock.now(),
            route: transaction.route,
            sender: transaction.sender,
            envelope: transaction.envelope,
            recipients: transaction.recipients,
            upstream: self.route(transaction.route).upstream.name.clone(),
            from: field("From").map(|body| mime::decode_words(&body)),
            subject: field("Subject").map(|body| mime::decode_words(&body)),
            message_id: field("Message-ID"),
            octets_in: content.len() as u64,
        }
    }

    /// What the sender wants tracked in this message.
    async fn chosen(&self, submission: &Submission, content: &[u8]) -> Chosen {
        let settings = &self.relay.settings;
        let configured = settings.configured_sender(&submission.sender).and_then(|sender| sender.choice);
        let mut voices = Voices {
            asked: Asked::of(content, &settings.track_field),
            suffix: self.suffix,
            saved: None,
            configured,
            never_track: submission.any_recipient(&settings.never_track),
        };
        let saved = self.relay.store.saved_choice(&submission.sender);
        match tokio::time::timeout(STORE_PATIENCE, saved).await {
            Ok(Ok(saved)) => {
                voices.saved = saved.map(|saved| saved.choice);
                choose(settings, &voices)
            }
            failed => {
                event::store_failed("reading a sender's saved choice", &failed);
                Chosen { reasons: vec![Reason::StoreFailed], ..Chosen::nothing() }
            }
        }
    }

    /// Our own header fields go, whatever else happens to the message.
    async fn without_control_fields(&self, content: Arc<Vec<u8>>) -> Option<Arc<Vec<u8>>> {
        let (before, track_field) = (content.clone(), self.relay.settings.track_field.clone());
        let removed =
            tokio::task::spawn_blocking(move || match without_control_fields(&before, &track_field) {
                std::borrow::Cow::Borrowed(_) => None,
                std::borrow::Cow::Owned(without) => Some(without),
            });
        match removed.await {
            Ok(without) => Some(without.map_or(content, Arc::new)),
            Err(panic) => {
                event::rewriting_failed(None, &panic);
                None
            }
        }
    }

    /// The message with pixel and links; as it came if anything about that fails or takes too long.
    async fn rewritten(&self, submission: &Submission, chosen: &Chosen, content: &Arc<Vec<u8>>) -> Rewritten {
        let settings = &self.relay.settings;
        let choice = submission.trackable(chosen.choice);
        let mut rewritten = if settings.tracking_enabled {
            let tracking = Tracking {
                id: submission.id,
                recipient: match submission.envelope.recipients.as_slice() {
                    [_] => Recipient::Index(submission.only_recipient_index()),
                    _ => Recipient::Shared,
                },
                choice,
                keys: self.relay.keys.clone(),
                base_url: settings.base_url.clone(),
                rewriting: settings.rewriting.clone(),
                on_dkim: self.route(submission.route).on_dkim,
            };
            self.rewritten_in_time(submission, content, tracking).await
        } else {
            Rewritten::untouched(content.clone(), None)
        };
        if choice != chosen.choice {
            rewritten.because(Reason::OnlyRecipientIsSender);
        }
        for reason in &chosen.reasons {
            rewritten.because(*reason);
        }
        if self.grew_too_large(content.len(), rewritten.content.len()) {
            return Rewritten::untouched(content.clone(), Some(Reason::TooLarge));
        }
        rewritten
    }

    /// On another thread, so that neither a panic nor a slow message takes the connection with it.
    async fn rewritten_in_time(
        &self,
        submission: &Submission,
        content: &Arc<Vec<u8>>,
        tracking: Tracking,
    ) -> Rewritten {
        let (source, turns) = (content.clone(), self.relay.rewriting_turns.clone());
        let rewriting = async move {
            // Kept by the thread itself: one that runs on after its time still counts.
            let turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let rewritten = rewrite(&source, &tracking);
                drop(turn);
                rewritten
            })
            .await
        };
        match tokio::time::timeout(self.relay.settings.rewrite_time, rewriting).await {
            Ok(Ok(rewritten)) => rewritten,
            Ok(Err(panic)) => {
                event::rewriting_failed(Some(submission.id), &panic);
                Rewritten::untouched(content.clone(), Some(Reason::RewriteFailed))
            }
            Err(_) => {
                event::rewriting_too_slow(submission.id, self.relay.settings.rewrite_time);
                Rewritten::untouched(content.clone(), Some(Reason::TooSlow))
            }
        }
    }

    /// What we add must not take a message over the provider's limit that it would have kept.
    fn grew_too_large(&self, before: usize, after: usize) -> bool {
        let size = self.provider.as_ref().map(|(_, provider)| provider.extensions().size);
        matches!(size, Some(SizeLimit::Octets(limit)) if before as u64 <= limit && after as u64 > limit)
    }

    /// The store knows of a tracked message before it leaves: what cannot be recorded is not tracked.
    async fn announced(
        &self,
        submission: &Submission,
        chosen: &Chosen,
        rewritten: Rewritten,
        content: &Arc<Vec<u8>>,
    ) -> Rewritten {
        if !rewritten.is_tracked() {
            return rewritten;
        }
        let record = record_of(submission, chosen, &rewritten, None);
        match tokio::time::timeout(STORE_PATIENCE, self.relay.store.record_message(record)).await {
            Ok(Ok(())) => rewritten,
            failed => {
                event::sent_untracked(submission.id, &failed);
                Rewritten::untouched(content.clone(), Some(Reason::StoreFailed))
            }
        }
    }

    /// What goes on top. Nothing where there is no header for it to stand on: a text without one, or one that
    /// begins with a continuation line, which would go on with our field.
    fn received_field(&self, submission: &Submission, content: &[u8], greeting: &Greeting) -> Vec<u8> {
        let has_header =
            mime::header_end(content) > 0 && !content.starts_with(b" ") && !content.starts_with(b"\t");
        if !has_header {
            return vec![];
        }
        received_field(&self.relay.settings.hostname, greeting, submission.id, submission.at)
    }

    /// In 7 bits for a provider without 8BITMIME (RFC 6152 §3).
    async fn hand_off(&mut self, received: &[u8], content: &Arc<Vec<u8>>) -> Result<Reply, HandoffError> {
        let Some((_, provider)) = &mut self.provider else { return Ok(out_of_order()) };
        if provider.extensions().eight_bit_mime || content.is_ascii() {
            return provider.content(received, content).await;
        }
        let before = content.clone();
        match tokio::task::spawn_blocking(move || mime::to_seven_bit(&before)).await {
            Ok(Ok(converted)) => provider.content(received, &converted).await,
            // Refused here, before anything is sent: this provider does not take it as it is.
            Ok(Err(why)) => {
                event::not_seven_bit(&why);
                provider.content(received, content).await
            }
            Err(panic) => {
                event::not_seven_bit(&panic);
                provider.content(received, content).await
            }
        }
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
            Ok(reply) if reply.severity().is_some() => {
                reply.with_prefix(&format!("{} said: ", upstream.host))
            }
            Ok(reply) => reply,
            Err(error) => {
                event::upstream_failed(&upstream.name, &error);
                error.reply()
            }
        }
    }
}
