use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use envelope::{
    Choice, Credentials, Envelope, EnvelopeRecipient, ForwardPath, MailParameters, Mailbox, RcptParameters,
    Reason, Reply, ReversePath, TrackingMode,
};
use seal::Recipient;
use smtp::{Greeting, Handler};
use store::{ChoiceOrigin, Copies, MessageOutcome, RecipientRecord};
use tokio::time::Instant;
use upstream::{HandoffError, Pool, SizeLimit};

use crate::asked::{Asked, Wish, without_control_fields};
use crate::choosing::{Chosen, Voices, choose};
use crate::door::Relay;
use crate::event;
use crate::fault::Fault;
use crate::identity::Identity;
use crate::in_time::aside;
use crate::provider::Provider;
use crate::recording::{Submission, forget_answers, record_of};
use crate::rewriting::Tracking;
use crate::rewritten::Rewritten;
use crate::senders_own::senders_own;
use crate::settings::{Delivery, OnSuppressed, OnUnavailable, Route, RouteLogin};
use crate::seven_bit::send_content;
use crate::suppressing::MayWrite;
use crate::trace::received_field;
use crate::unsubscribing::takes_fields_on_top;

/// One client's connection: its login, the provider's connection beside it, and the transaction under way.
pub struct Conversation {
    relay: Arc<Relay>,
    client: IpAddr,
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
    /// We answer for the provider, and the content goes into the queue.
    kept: bool,
    /// A recipient was left out who is to get no mail of this sender's.
    suppressed: bool,
}

/// QUIT is a courtesy: it must not hold up the end of a connection.
const GOODBYE: Duration = Duration::from_secs(2);
/// Of From, Subject and Message-ID.
const MAX_STORED_CHARACTERS: usize = 1_000;
/// Longer than this and the store counts as failing for this message.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

impl Handler for Conversation {
    async fn authenticate(&mut self, credentials: Credentials) -> Reply {
        match self.relay.log_in(credentials, self.client).await {
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
        let mut kept = self.route(route).delivery == Delivery::Queue;
        let answer =
            if kept { Ok(sender_ok()) } else { self.begin(route, &sender, &reverse_path, &parameters).await };
        let answer = match answer {
            Err(error) if self.may_keep(route, &error) => {
                kept = true;
                Ok(sender_ok())
            }
            answer => answer,
        };
        match answer {
            Ok(reply) if reply.is_positive() => {
                let envelope = Envelope { reverse_path, parameters, recipients: vec![] };
                let (recipients, suppressed) = (vec![], false);
                self.transaction =
                    Some(Transaction { route, sender, envelope, recipients, kept, suppressed });
                reply
            }
            answer => {
                self.rest().await;
                self.answer(route, answer)
            }
        }
    }

    async fn rcpt(&mut self, forward_path: ForwardPath, parameters: RcptParameters) -> Reply {
        let Some(transaction) = &self.transaction else { return out_of_order() };
        let (route, kept) = (transaction.route, transaction.kept);
        let reverse_path = &transaction.envelope.reverse_path;
        match self.relay.may_write(&transaction.sender, reverse_path, &forward_path).await {
            MayWrite::Yes => {}
            MayWrite::No(refusal) => return self.left_out(refusal, forward_path, parameters),
            MayWrite::Unknown(reply) => return reply,
        }
        let answer = match &mut self.provider {
            _ if kept => Ok(recipient_ok()),
            Some((_, provider)) => provider.rcpt(&forward_path, &parameters).await,
            None => return out_of_order(),
        };
        let answer = match answer {
            Err(error) if self.may_keep(route, &error) => {
                self.keep();
                Ok(recipient_ok())
            }
            answer => answer,
        };
        if let (Ok(reply), Some(transaction)) = (&answer, &mut self.transaction) {
            transaction.answered(reply, forward_path, parameters);
        }
        self.answer(route, answer)
    }

    /// One message, from the end of DATA to the reply we owe the client.
    async fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> Reply {
        let Some(transaction) = self.transaction.take() else { return out_of_order() };
        if let Err(refusal) = self.says_who_it_is(transaction.route, &content) {
            // Others may have the provider's connection, without what is left of this transaction.
            self.reset().await;
            return refusal;
        }
        let started = Instant::now();
        let content = Arc::new(content);
        let submission = self.submission(transaction, &content);
        let relay = &self.relay;
        relay.sender_addresses.note(&relay.store, &submission.sender, self.client, submission.at);
        if submission.envelope.recipients.is_empty() {
            return self.nobody_left(&submission, content, started).await;
        }

        let chosen = self.chosen(&submission, &content).await;
        let Some(content) = self.without_control_fields(content).await else {
            self.reset().await;
            return Reply::of(451, "4.3.0", "The message could not be read; your program will try again");
        };
        let rewritten = self.rewritten(&submission, &chosen, &content).await;
        let rewritten = self.unsubscribable(&submission, rewritten);
        let rewritten = self.announced(&submission, &chosen, rewritten, &content).await;
        let received = self.trace(&submission, &rewritten, greeting);
        let Some(reply) = self.hand_off(&submission, &received, &rewritten).await else {
            return self.take_over(submission, &chosen, rewritten, &received, &content, started).await;
        };
        self.rest().await;

        // The provider may have the message now. An error from here on would make the client send
        // it again (RFC 5321 §6.1), so what fails is logged, not returned.
        self.record(&submission, &chosen, &rewritten, &reply, started).await;
        self.save_choice(&submission, &chosen, &reply).await;
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

fn sender_ok() -> Reply {
    Reply::of(250, "2.1.0", "Sender ok")
}

fn recipient_ok() -> Reply {
    Reply::of(250, "2.1.5", "Recipient ok")
}

/// Did it fit before, and does it not now? Our `Received` field comes on top.
pub(crate) fn grew_over(limit: u64, before: usize, after: usize) -> bool {
    const RECEIVED_OCTETS: u64 = 400;
    before as u64 <= limit && before < after && (after as u64).saturating_add(RECEIVED_OCTETS) > limit
}

fn out_of_order() -> Reply {
    Reply::of(503, "5.5.1", "There is no transaction; begin with MAIL")
}

impl Transaction {
    /// A recipient of whom the provider has said nothing yet has code 0.
    fn answered(&mut self, reply: &Reply, forward_path: ForwardPath, parameters: RcptParameters) {
        // One who is named twice gets one mail; so it is with most providers, and with ours.
        let is_same = |other: &EnvelopeRecipient| match (other.forward_path.mailbox(), forward_path.mailbox())
        {
            (Some(one), Some(other)) => one.same_mailbox(other),
            _ => other.forward_path == forward_path,
        };
        if self.kept && self.envelope.recipients.iter().any(is_same) {
            return;
        }
        let unasked = self.kept && reply.is_positive();
        let (code, text) = if unasked { (0, String::new()) } else { (reply.code().get(), reply.text()) };
        let index = u16::try_from(self.recipients.len()).unwrap_or(u16::MAX);
        self.recipients.push(RecipientRecord { index, address: forward_path.to_string(), code, reply: text });
        if reply.is_positive() {
            self.envelope.recipients.push(EnvelopeRecipient { forward_path, parameters });
        }
    }
}

impl Conversation {
    pub(crate) fn new(relay: Arc<Relay>, identity: Option<Identity>, client: IpAddr) -> Self {
        Self { relay, client, identity, suffix: None, provider: None, transaction: None }
    }

    fn route(&self, number: usize) -> &Route {
        &self.relay.settings.routes[number]
    }

    /// What a local sender puts into From and Sender. Of others their provider knows best.
    fn says_who_it_is(&self, route: usize, content: &[u8]) -> Result<(), Reply> {
        match &self.identity {
            Some(Identity::Local { address, aliases }) if self.route(route).from_must_match => {
                let own = |mailbox: &Mailbox| {
                    std::iter::once(address).chain(aliases).any(|own| own.same_mailbox(mailbox))
                };
                senders_own(content, own).map_err(|found| found.reply())
            }
            _ => Ok(()),
        }
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
            kept: transaction.kept,
            suppressed: transaction.suppressed,
            upstream: self.route(transaction.route).upstream.name.clone(),
            from: field("From").map(|body| mime::decode_words(&body)),
            subject: field("Subject")
                .filter(|_| self.relay.settings.keep_subjects)
                .map(|body| mime::decode_words(&body)),
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
            mode: self.mode(submission),
        };
        let saved = self.relay.store.saved_choice(&submission.sender);
        match tokio::time::timeout(STORE_PATIENCE, saved).await {
            Ok(Ok(saved)) => {
                voices.saved = saved.map(|saved| saved.choice);
                self.unless_refused(submission, choose(settings, &voices)).await
            }
            failed => {
                event::store_failed("reading a sender's saved choice", &failed);
                Chosen { reasons: vec![Reason::StoreFailed], ..Chosen::nothing() }
            }
        }
    }

    /// Nothing, if a recipient wants none of it. Where each recipient gets a copy, only theirs goes out untracked.
    async fn unless_refused(&self, submission: &Submission, chosen: Chosen) -> Chosen {
        if chosen.choice.is_none() {
            return chosen;
        }
        let addresses = submission.addresses().map(str::to_owned).collect();
        match tokio::time::timeout(STORE_PATIENCE, self.relay.store.refused(addresses)).await {
            Ok(Ok(refused)) if !refused.contains(&true) => chosen,
            Ok(Ok(refused)) if self.makes_copies(submission) && refused.contains(&false) => {
                let reasons = [Reason::RecipientRefused].into_iter().chain(chosen.reasons).collect();
                Chosen { reasons, ..chosen }
            }
            Ok(Ok(_)) => Chosen {
                origin: ChoiceOrigin::Recipient,
                reasons: vec![Reason::RecipientRefused],
                ..Chosen::nothing()
            },
            failed => {
                event::store_failed("asking whether a recipient refused", &failed);
                Chosen { reasons: vec![Reason::StoreFailed], ..Chosen::nothing() }
            }
        }
    }

    /// How much may be kept of what becomes of it. Where each recipient gets a copy, each copy has a mode of its own.
    fn mode(&self, submission: &Submission) -> TrackingMode {
        let modes = &self.relay.settings.modes;
        if self.makes_copies(submission) {
            let of_each = submission.addresses().map(|address| modes.of(&submission.sender, [address]));
            return of_each.max().unwrap_or(modes.general);
        }
        modes.of(&submission.sender, submission.addresses())
    }

    /// What can be tracked of what was chosen, and why not the rest.
    fn trackable(&self, submission: &Submission, choice: Choice) -> (Choice, Vec<Reason>) {
        let (mut trackable, mut reasons) = (choice, vec![]);
        if choice.opens && submission.only_to_oneself() {
            trackable.opens = false;
            reasons.push(Reason::OnlyRecipientIsSender);
        }
        if choice.links && self.mode(submission) == TrackingMode::Hygiene {
            trackable.links = false;
            reasons.push(Reason::ModeHygiene);
        }
        (trackable, reasons)
    }

    /// Our own header fields go, whatever else happens to the message.
    async fn without_control_fields(&self, content: Arc<Vec<u8>>) -> Option<Arc<Vec<u8>>> {
        let (before, track_field) = (content.clone(), self.relay.settings.track_field.clone());
        let removed = aside(content.len(), move || match without_control_fields(&before, &track_field) {
            Cow::Borrowed(_) => None,
            Cow::Owned(without) => Some(without),
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
        let (choice, reasons) = self.trackable(submission, chosen.choice);
        let mut rewritten = if settings.tracking_enabled {
            let tracking = Tracking {
                id: submission.id,
                recipient: submission.token_recipient(),
                choice,
                keys: self.relay.keys.clone(),
                base_url: settings.base_url_for(&submission.sender).to_owned(),
                rewriting: settings.rewriting.clone(),
                on_dkim: self.route(submission.route).on_dkim,
            };
            self.relay.rewrite_in_time(content, tracking).await
        } else {
            Rewritten::untouched(content.clone(), None)
        };
        for reason in reasons.iter().chain(&chosen.reasons) {
            rewritten.because(*reason);
        }
        if rewritten.is_tracked()
            && self.route(submission.route).fan_out
            && submission.goes_to_more_than(self.most_copies(submission.route))
        {
            rewritten.because(Reason::OneCopyForAll);
        }
        if self.grew_too_large(submission, content.len(), rewritten.content.len()) {
            rewritten = Rewritten::untouched(content.clone(), Some(Reason::TooLarge));
        }
        if submission.suppressed {
            rewritten.because(Reason::RecipientSuppressed);
        }
        rewritten
    }

    /// With the fields that let the recipient unsubscribe, if the route adds them; with the reason if there can be none.
    fn unsubscribable(&self, submission: &Submission, mut rewritten: Rewritten) -> Rewritten {
        if !self.route(submission.route).unsubscribe.is_for(rewritten.is_tracked()) {
            return rewritten;
        }
        let each_gets_a_copy = self.makes_copies(submission);
        // Each copy gets fields of its own, when it is made; here is only seen whether it can.
        let recipient = if each_gets_a_copy { Recipient::Index(0) } else { submission.token_recipient() };
        let octets = rewritten.content.len();
        match self.relay.unsubscribe_fields(submission.id, recipient, &rewritten.content) {
            Ok(fields) if self.grew_too_large(submission, octets, octets + fields.len()) => {
                rewritten.because(Reason::TooLarge);
            }
            Ok(fields) => {
                rewritten.because(Reason::UnsubscribeAdded);
                if !each_gets_a_copy {
                    rewritten.on_top = fields;
                }
            }
            Err(reason) => rewritten.because(reason),
        }
        rewritten
    }

    /// What we add must not take a message over the provider's limit that it would have kept.
    fn grew_too_large(&self, submission: &Submission, before: usize, after: usize) -> bool {
        let limit = match self.provider.as_ref().map(|(_, provider)| provider.extensions().size) {
            Some(SizeLimit::Octets(limit)) => Some(limit),
            Some(SizeLimit::NotOffered | SizeLimit::Unlimited) => None,
            // What goes into the queue is handed on later: as far as is known by now.
            None => self.relay.pools.get(submission.route).and_then(Pool::largest_message),
        };
        limit.is_some_and(|limit| grew_over(limit, before, after))
    }

    /// The store knows of a tracked message before it leaves: what cannot be recorded is not tracked. It knows
    /// of every message that goes into the queue, because the outcome is written down by whoever hands it on.
    async fn announced(
        &self,
        submission: &Submission,
        chosen: &Chosen,
        rewritten: Rewritten,
        content: &Arc<Vec<u8>>,
    ) -> Rewritten {
        if !rewritten.leaves_tokens() && !submission.kept {
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
    fn trace(&self, submission: &Submission, rewritten: &Rewritten, greeting: &Greeting) -> Vec<u8> {
        if !takes_fields_on_top(&rewritten.content) {
            return vec![];
        }
        let mut trace = received_field(&self.relay.settings.hostname, greeting, submission.id, submission.at);
        // Where each recipient gets a copy, each copy gets its own.
        if rewritten.is_tracked() && !self.makes_copies(submission) {
            trace.extend(self.relay.about_field(
                &submission.sender,
                submission.id,
                submission.token_recipient(),
            ));
        }
        trace
    }

    /// `None`: the message is to go into the queue, and the provider does not have it.
    async fn hand_off(
        &mut self,
        submission: &Submission,
        received: &[u8],
        rewritten: &Rewritten,
    ) -> Option<Reply> {
        if submission.kept {
            return None;
        }
        let Some((_, provider)) = &mut self.provider else { return Some(out_of_order()) };
        let on_top = [received, &rewritten.on_top].concat();
        match send_content(provider, &on_top, &rewritten.content).await {
            Err(error) if self.may_keep(submission.route, &error) => None,
            answer => Some(self.answer(submission.route, answer)),
        }
    }

    /// Into the queue: what we answered for ourselves, and what the provider went away from.
    async fn take_over(
        &mut self,
        mut submission: Submission,
        chosen: &Chosen,
        mut rewritten: Rewritten,
        received: &[u8],
        content: &Arc<Vec<u8>>,
        started: Instant,
    ) -> Reply {
        if !submission.kept {
            self.provider = None;
            submission.keep();
            rewritten = self.announced(&submission, chosen, rewritten, content).await;
        }
        let copies = self.copies(&submission, chosen, &rewritten);
        let handed_on = if copies == Copies::Shared { &rewritten.content } else { content };
        let on_top = [received, &rewritten.on_top].concat();
        let reply = self.relay.take_over(&submission, copies, &on_top, handed_on).await;
        if reply.is_positive() {
            event::queued(&submission, &rewritten, started.elapsed());
        } else {
            self.record(&submission, chosen, &rewritten, &reply, started).await;
        }
        self.save_choice(&submission, chosen, &reply).await;
        reply
    }

    /// One copy for each recipient, if the route makes some and there is anything to tell them apart by.
    fn copies(&self, submission: &Submission, chosen: &Chosen, rewritten: &Rewritten) -> Copies {
        if self.makes_copies(submission) && rewritten.leaves_tokens() {
            Copies::Each { choice: self.trackable(submission, chosen.choice).0 }
        } else {
            Copies::Shared
        }
    }

    fn makes_copies(&self, submission: &Submission) -> bool {
        let several = submission.goes_to_more_than(1);
        let too_many = submission.goes_to_more_than(self.most_copies(submission.route));
        self.route(submission.route).fan_out && several && !too_many
    }

    /// More would be counted against the sender by the provider, or stand before everybody else's mail for long.
    fn most_copies(&self, route: usize) -> usize {
        let route = self.route(route);
        let at_once = route.rate.and_then(|rate| usize::try_from(rate.messages).ok()).unwrap_or(usize::MAX);
        route.fan_out_most.min(at_once)
    }

    /// Is it the provider that is away, so that the message may wait for it here?
    fn may_keep(&self, route: usize, error: &HandoffError) -> bool {
        let route = self.route(route);
        let fault = Fault::of(error);
        let may = route.on_unavailable == OnUnavailable::Queue
            && self.relay.queue.is_some()
            && matches!(fault, Fault::Provider | Fault::Operator);
        if may {
            event::kept_for(&route.upstream.name, fault, error);
        }
        may
    }

    /// A recipient who is to get no mail of this sender's: the record of the message says so.
    fn left_out(&mut self, refusal: Reply, forward_path: ForwardPath, parameters: RcptParameters) -> Reply {
        let Some(transaction) = &mut self.transaction else { return out_of_order() };
        event::left_out(&transaction.sender, &forward_path);
        transaction.suppressed = true;
        transaction.answered(&refusal, forward_path, parameters);
        match self.relay.settings.on_suppressed {
            OnSuppressed::Refuse => refusal,
            OnSuppressed::Skip => Reply::of(250, "2.1.5", format!("Left out: {}", refusal.text())),
        }
    }

    /// Everybody was left out. 250 would say that somebody has the message.
    async fn nobody_left(
        &mut self,
        submission: &Submission,
        content: Arc<Vec<u8>>,
        started: Instant,
    ) -> Reply {
        self.reset().await;
        let reply = Reply::of(
            550,
            "5.7.1",
            "Nobody is left to send it to: every recipient is to get no mail of yours",
        );
        let rewritten = Rewritten::untouched(content, Some(Reason::RecipientSuppressed));
        self.record(submission, &Chosen::nothing(), &rewritten, &reply, started).await;
        reply
    }

    /// From here on we answer ourselves.
    fn keep(&mut self) {
        self.provider = None;
        if let Some(transaction) = &mut self.transaction {
            transaction.kept = true;
            forget_answers(&mut transaction.recipients);
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
        let recorded = async {
            // What was announced is known: only the outcome is new.
            if rewritten.leaves_tokens() {
                let last_word = (reply.code().get(), reply.text(), self.relay.clock.now());
                let (id, recipients) = (submission.id, vec![]);
                return store.record_outcome(MessageOutcome { id, recipients, reply: Some(last_word) }).await;
            }
            store.record_message(record_of(submission, chosen, rewritten, Some((reply, took)))).await
        };
        let recorded = tokio::time::timeout(STORE_PATIENCE, recorded).await;
        if !matches!(recorded, Ok(Ok(()))) {
            event::not_recorded(submission.id, &recorded);
        }
    }

    async fn save_choice(&self, submission: &Submission, chosen: &Chosen, reply: &Reply) {
        if chosen.keep && reply.is_positive() {
            let (sender, choice) = (&submission.sender, chosen.choice);
            let saved = self.relay.store.save_choice(sender, choice, Some(submission.id), submission.at);
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
