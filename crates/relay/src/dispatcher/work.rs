use std::sync::Arc;
use std::time::Duration;

use envelope::{Choice, ForwardPath, Mailbox, ReversePath, Timestamp, TrackingMode};
use seal::Recipient;
use store::{
    Copies, NewMessage, QueueState, QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientState,
    StoreError,
};
use tokio::time::{Instant, sleep};

use super::gate::Place;
use super::handoff::{Answered, Handoff, Outcome, hand_on};
use super::records::Update;
use super::{Done, OCTETS_A_PERMIT, Outlet, Shared};
use crate::conversation::grew_over;
use crate::event;
use crate::newly_queued::Fresh;
use crate::notification::{Answer, News, Notification, Told};
use crate::rewriting::Tracking;
use crate::rewritten::Rewritten;
use crate::settings::{OnSuppressed, Retry};
use crate::suppressing::MayWrite;

/// After this the sender is told, once, that it takes long.
const LONG: Duration = Duration::from_hours(4);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What of `choice` goes into one recipient's copy.
fn choice_for(choice: Choice, mode: TrackingMode, is_sender: bool) -> Choice {
    match mode {
        TrackingMode::Off => Choice::NONE,
        // One's own copy: its opens would all be one's own.
        mode => {
            Choice { opens: choice.opens && !is_sender, links: choice.links && mode != TrackingMode::Hygiene }
        }
    }
}

/// Whether a sender may write to somebody.
struct NobodyKnows;

/// Is there something to do for it even if its provider takes nothing?
pub(super) fn is_old(message: &QueuedMessage, retry: &Retry, now: Timestamp) -> bool {
    now >= message.queued_at.plus(retry.give_up) || is_late(message, now)
}

fn is_late(message: &QueuedMessage, now: Timestamp) -> bool {
    !message.delay_told && now.since(message.queued_at) >= LONG
}

impl Shared {
    /// One message that is due: handed on, and what came of it written down. `fresh`: it is in memory still.
    pub(super) async fn work(
        self: Arc<Self>,
        id: envelope::RelayId,
        upstream: String,
        fresh: Option<Fresh>,
        place: Place,
    ) -> Done {
        let Some(outlet) = self.upstreams.get(&upstream) else { return Done::NotNow };
        let (message, content) = match fresh.filter(Fresh::is_fresh) {
            Some(fresh) => (fresh.message, Some(fresh.content)),
            None => match self.waiting_message(id).await {
                Ok(Some(message)) => (message, None),
                Ok(None) => return Done::Settled,
                Err(error) => return not_now("reading a message", &error),
            },
        };
        let due = due_recipients(&message, self.now());
        if due.is_empty() {
            return Done::Settled;
        }
        let Ok(_memory) = self.memory.acquire_many(self.permits_for(&message)).await else {
            return Done::NotNow;
        };
        let content = match content {
            Some(content) => content,
            None => match self.queue.content(id).await {
                Ok(content) => Arc::new(content),
                Err(error @ StoreError::Damaged { .. }) => return self.set_aside(&message, &error).await,
                // Somebody deleted it just now.
                Err(StoreError::NotQueued { .. }) => return Done::Settled,
                Err(error) => return not_now("reading a message's content", &error),
            },
        };
        self.hand_on_to(outlet, message, &content, due, place).await
    }

    /// To all of `due` in one transaction, or, if each gets a copy, in one after the other on one connection.
    async fn hand_on_to(
        &self,
        outlet: &Outlet,
        mut message: QueuedMessage,
        content: &Arc<Vec<u8>>,
        due: Vec<QueuedRecipient>,
        place: Place,
    ) -> Done {
        let rounds: Vec<Vec<QueuedRecipient>> = match message.copies {
            Copies::Shared => vec![due],
            Copies::Each { .. } => due.into_iter().map(|recipient| vec![recipient]).collect(),
        };
        let last = rounds.len().saturating_sub(1);
        let (mut line, mut place) = (None, Some(place));
        for (number, round) in rounds.into_iter().enumerate() {
            // The others stay due: for the next time there is room, or the next run.
            let may_go_on = place.as_ref().is_some_and(|place| number == 0 || place.another(self.now()));
            if !may_go_on || (number > 0 && *self.ending.borrow()) {
                break;
            }
            let began = Instant::now();
            // Looked at each time: somebody may have unsubscribed since the message was queued, or since the last copy.
            let Ok((round, left_out)) = self.without_suppressed(&message, round).await else {
                return Done::NotNow;
            };
            let mut handoff = Handoff::default();
            if !round.is_empty() {
                let copy = self.copy_for(outlet, &message, content, &round).await;
                handoff = hand_on(&outlet.link, &mut line, &message, &round, &copy).await;
            }
            handoff.answers.extend(left_out);
            note(outlet, place.as_ref(), &handoff, self.now());
            let away = handoff.away.is_some();
            if number == last || away {
                // Writing it down needs neither connection nor place.
                if let Some(connection) = line.take() {
                    connection.give_back().await;
                }
                place = None;
                self.bell.notify_one();
            }
            if self.settle(outlet, &mut message, Some(content), handoff, began.elapsed()).await
                == Done::NotNow
            {
                return Done::NotNow;
            }
        }
        if let Some(connection) = line.take() {
            connection.give_back().await;
        }
        Done::Settled
    }

    /// Those to whom the sender may write, and the answers for the others.
    async fn without_suppressed(
        &self,
        message: &QueuedMessage,
        recipients: Vec<QueuedRecipient>,
    ) -> Result<(Vec<QueuedRecipient>, Vec<Answered>), NobodyKnows> {
        let (mut left, mut left_out) = (vec![], vec![]);
        for recipient in recipients {
            let (sender, from, to) = (&message.sender, &message.reverse_path, &recipient.forward_path);
            let refusal = match self.relay.may_write(sender, from, to).await {
                MayWrite::Yes => {
                    left.push(recipient);
                    continue;
                }
                MayWrite::No(refusal) => refusal,
                MayWrite::Unknown(_) => return Err(NobodyKnows),
            };
            event::left_out(sender, to);
            let outcome = match self.relay.settings.on_suppressed {
                OnSuppressed::Refuse => Outcome::RefusedHere,
                OnSuppressed::Skip => Outcome::LeftOut,
            };
            let (code, enhanced) = (refusal.code().get(), refusal.enhanced());
            let answer = Answer { code, enhanced, text: refusal.text() };
            left_out.push(Answered { recipient, outcome, answer });
        }
        Ok((left, left_out))
    }

    /// What one recipient, or all, get: the content, or a copy of it with tokens of the recipient's own.
    async fn copy_for(
        &self,
        outlet: &Outlet,
        message: &QueuedMessage,
        content: &Arc<Vec<u8>>,
        round: &[QueuedRecipient],
    ) -> Arc<Vec<u8>> {
        let (Copies::Each { choice }, [recipient]) = (message.copies, round) else { return content.clone() };
        let (relay, settings) = (&self.relay, &self.relay.settings);
        let is_sender = match &recipient.forward_path {
            ForwardPath::Mailbox(mailbox) => mailbox.as_str().eq_ignore_ascii_case(&message.sender),
            ForwardPath::Postmaster => false,
        };
        let mailbox = recipient.forward_path.mailbox().map(Mailbox::as_str);
        let mode = match mailbox {
            // He may have refused while the mail waited.
            Some(address) if relay.has_refused(address).await => TrackingMode::Off,
            _ => settings.modes.of(&message.sender, mailbox),
        };
        let tracking = Tracking {
            id: message.id,
            recipient: Recipient::Index(recipient.index),
            choice: choice_for(choice, mode, is_sender),
            keys: relay.keys.clone(),
            base_url: settings.base_url_for(&message.sender).to_owned(),
            rewriting: settings.rewriting.clone(),
            on_dkim: settings.routes[outlet.route].on_dkim,
        };
        let whose = tracking.recipient;
        let copy = if settings.tracking_enabled {
            relay.rewrite_in_time(content, tracking).await
        } else {
            Rewritten::untouched(content.clone(), None)
        };
        let mut on_top =
            relay.unsubscribable(outlet.route, message.id, whose, copy.is_tracked(), &copy.content);
        if copy.is_tracked() {
            on_top.extend(relay.about_field(&message.sender, message.id, whose));
        }
        if on_top.is_empty() && !copy.is_tracked() {
            return copy.content;
        }
        let copy = if on_top.is_empty() {
            copy.content
        } else {
            Arc::new([&on_top, copy.content.as_slice()].concat())
        };
        // What we add must not take it over the provider's limit.
        let limit = outlet.link.pool.largest_message();
        if limit.is_some_and(|limit| grew_over(limit, content.len(), copy.len())) {
            return content.clone();
        }
        copy
    }

    /// A message that is given up, or late, and whose provider takes nothing.
    pub(super) async fn grow_old(self: Arc<Self>, id: envelope::RelayId) -> Done {
        let mut message = match self.waiting_message(id).await {
            Ok(Some(message)) => message,
            Ok(None) => return Done::Settled,
            Err(error) => return not_now("reading a message", &error),
        };
        let Ok(_memory) = self.memory.acquire_many(self.permits_for(&message)).await else {
            return Done::NotNow;
        };
        let content = match self.queue.content(id).await {
            Ok(content) => Arc::new(content),
            Err(error @ StoreError::Damaged { .. }) => return self.set_aside(&message, &error).await,
            // Somebody deleted it just now.
            Err(StoreError::NotQueued { .. }) => return Done::Settled,
            Err(error) => return not_now("reading a message's content", &error),
        };
        let outlet = self.upstreams.get(&message.upstream);
        let retry = outlet.map_or_else(Retry::default, |outlet| outlet.retry);
        if self.now() < message.queued_at.plus(retry.give_up) {
            self.tell_delay(outlet, &mut message, Some(&content)).await;
            return Done::Settled;
        }
        let words = outlet.map_or_else(
            || "this relay has no way to that provider any more".to_owned(),
            |outlet| outlet.gate.words(),
        );
        let waiting =
            message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
        let answers = waiting.map(|recipient| Answered {
            recipient: recipient.clone(),
            outcome: Outcome::Later,
            answer: match (recipient.code, recipient.reply.as_str()) {
                (0, "") => Answer::nobody(words.clone()),
                (code, reply) => Answer::kept(code, reply),
            },
        });
        let handoff = Handoff { answers: answers.collect(), ..Handoff::default() };
        let provider = outlet.map_or("", |outlet| outlet.host());
        self.settle_with(&retry, provider, &mut message, Some(&content), handoff, Duration::ZERO).await
    }

    async fn settle(
        &self,
        outlet: &Outlet,
        message: &mut QueuedMessage,
        content: Option<&Arc<Vec<u8>>>,
        handoff: Handoff,
        took: Duration,
    ) -> Done {
        let done = self.settle_with(&outlet.retry, outlet.host(), message, content, handoff, took).await;
        if done == Done::Settled && is_late(message, self.now()) {
            self.tell_delay(Some(outlet), message, content).await;
        }
        done
    }

    /// What came of an attempt: on disk, with the notifications that follow from it, before anything else happens
    /// to the message.
    async fn settle_with(
        &self,
        retry: &Retry,
        provider: &str,
        message: &mut QueuedMessage,
        content: Option<&Arc<Vec<u8>>>,
        handoff: Handoff,
        took: Duration,
    ) -> Done {
        let now = self.now();
        let deadline = message.queued_at.plus(retry.give_up);
        let tells = handoff.tells;
        let (mut outcomes, mut failed, mut relayed) = (vec![], vec![], vec![]);
        let mut update = Update::default();
        for Answered { mut recipient, outcome, answer } in handoff.answers {
            if outcome == Outcome::Unknown {
                self.count(|counts| &counts.perhaps_twice, 1);
                event::perhaps_twice(message.id, &message.upstream, &answer.text);
            }
            recipient.attempts = recipient.attempts.saturating_add(1);
            let again = now.plus(retry.pause(message.id.as_bytes(), recipient.attempts)).min(deadline);
            let given_up = matches!(outcome, Outcome::Later | Outcome::Unknown) && now >= deadline;
            (recipient.state, recipient.due_at) = match outcome {
                Outcome::HandedOn => (RecipientState::HandedOn, now),
                Outcome::Refused | Outcome::RefusedHere | Outcome::LeftOut => (RecipientState::Failed, now),
                Outcome::Later | Outcome::Unknown if given_up => (RecipientState::Failed, now),
                Outcome::Later | Outcome::Unknown => (RecipientState::Waiting, again),
            };
            (recipient.code, recipient.reply) = (answer.code, answer.to_kept());
            outcomes.push(RecipientOutcome {
                index: recipient.index,
                state: recipient.state,
                due_at: recipient.due_at,
                code: recipient.code,
                reply: recipient.reply.clone(),
            });
            update.recipients.insert(recipient.index, answer.clone());
            if let Some(known) = message.recipients.iter_mut().find(|known| known.index == recipient.index) {
                known.clone_from(&recipient);
            }
            match recipient.state {
                // As the operator wants it: the record says so, and no notification.
                RecipientState::Failed if outcome == Outcome::LeftOut => {}
                // The provider said nothing of the kind: with code 0 the words are ours.
                RecipientState::Failed if outcome == Outcome::RefusedHere => {
                    failed.push(Told { recipient, answer: Answer { code: 0, ..answer }, given_up });
                }
                RecipientState::Failed => failed.push(Told { recipient, answer, given_up }),
                RecipientState::HandedOn if !tells => relayed.push(Told { recipient, answer, given_up }),
                _ => {}
            }
        }
        let mut notifications = vec![];
        for (news, told) in [(News::Failed, &failed), (News::Relayed, &relayed)] {
            notifications.extend(self.notification(provider, message, content, news, told));
        }
        if !failed.is_empty() && message.reverse_path == ReversePath::Null {
            event::nobody_to_tell(message.id, &message.sender, failed.first().map(|told| &told.answer));
        }
        if !self.written_down(message, &outcomes, &notifications).await {
            return Done::NotNow;
        }
        self.told_of(message, &outcomes, notifications.len(), &update, took);
        update.outcome = final_answer(message, &update).map(|answer| (answer, now));
        self.records.update(message.id, update).await;
        Done::Settled
    }

    /// Until it is on disk: given back before that, the message would be handed on once more. False: it never will
    /// be, and the message is out of the way.
    async fn written_down(
        &self,
        message: &QueuedMessage,
        outcomes: &[RecipientOutcome],
        notifications: &[NewMessage],
    ) -> bool {
        let (mut pause, mut notifications) = (FIRST_PAUSE, notifications.to_vec());
        let mut until_it_is = None;
        loop {
            let settled = self.queue.settle(message.id, outcomes.to_vec(), notifications.clone());
            let Err(error) = settled.await else { return true };
            event::not_settled(message.id, &error);
            if !error.store_is_away() {
                // It is this write that is refused. Better nobody is told than that it is sent again and again.
                if notifications.is_empty() {
                    if self.queue.set_aside(message.id, "its outcome could not be written down").await.is_ok()
                    {
                        return false;
                    }
                } else {
                    notifications.clear();
                    continue;
                }
            }
            until_it_is.get_or_insert_with(|| self.ledger.unwritten());
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn told_of(
        &self,
        message: &QueuedMessage,
        outcomes: &[RecipientOutcome],
        notified: usize,
        update: &Update,
        took: Duration,
    ) {
        let count = |state| outcomes.iter().filter(|outcome| outcome.state == state).count();
        let (handed_on, failed, waiting) =
            (count(RecipientState::HandedOn), count(RecipientState::Failed), count(RecipientState::Waiting));
        self.count(|counts| &counts.handed_on, handed_on);
        self.count(|counts| &counts.failed, failed);
        self.count(|counts| &counts.deferred, waiting);
        self.count(|counts| &counts.notified, notified);
        let answer = outcomes.first().and_then(|outcome| update.recipients.get(&outcome.index));
        event::dispatched(message, [handed_on, failed, waiting], answer, took);
    }

    /// The sender hears, once, that it takes long.
    async fn tell_delay(
        &self,
        outlet: Option<&Outlet>,
        message: &mut QueuedMessage,
        content: Option<&Arc<Vec<u8>>>,
    ) {
        let waiting =
            message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
        let told: Vec<Told> = waiting
            .map(|recipient| Told {
                answer: Answer::kept(recipient.code, &recipient.reply),
                recipient: recipient.clone(),
                given_up: false,
            })
            .collect();
        if told.is_empty() {
            return;
        }
        let retry = outlet.map_or_else(Retry::default, |outlet| outlet.retry);
        let news = News::Delayed { until: message.queued_at.plus(retry.give_up) };
        let provider = outlet.map_or("", |outlet| outlet.host());
        let notifications: Vec<_> =
            self.notification(provider, message, content, news, &told).into_iter().collect();
        self.count(|counts| &counts.notified, notifications.len());
        match self.queue.delay_told(message.id, notifications).await {
            Ok(()) => message.delay_told = true,
            // The next attempt comes by here again.
            Err(error) => event::queue_failed("telling a sender of a delay", &error),
        }
    }

    /// Out of the way, so that the rest is delivered; its sender hears that it was lost.
    async fn set_aside(&self, message: &QueuedMessage, error: &StoreError) -> Done {
        event::damaged(message.id, error);
        let answer =
            Answer::nobody("The message was damaged on this relay's disk and could not be handed on");
        let waiting =
            message.recipients.iter().filter(|recipient| recipient.state == RecipientState::Waiting);
        let told: Vec<Told> = waiting
            .map(|recipient| Told { recipient: recipient.clone(), answer: answer.clone(), given_up: false })
            .collect();
        // First the sender, so that no message goes silently; a crash in between tells him twice.
        if let Some(notification) = self.notification("", message, None, News::Failed, &told) {
            self.count(|counts| &counts.notified, 1);
            if let Err(error) = self.queue.put(notification).await {
                event::queue_failed("telling a sender of a damaged message", &error);
            }
        }
        if let Err(error) = self.queue.set_aside(message.id, &error.to_string()).await {
            return not_now("setting a damaged message aside", &error);
        }
        let recipients = told.iter().map(|told| (told.recipient.index, told.answer.clone())).collect();
        let outcome = Some((Answer { code: 554, ..answer }, self.now()));
        self.records.update(message.id, Update { recipients, outcome }).await;
        Done::Settled
    }

    fn notification(
        &self,
        provider: &str,
        message: &QueuedMessage,
        content: Option<&Arc<Vec<u8>>>,
        news: News,
        recipients: &[Told],
    ) -> Option<NewMessage> {
        let notification = Notification {
            id: self.relay.new_id(),
            at: self.now(),
            hostname: &self.relay.settings.hostname,
            provider,
            message,
            content: content.map(|content| content.as_slice()),
            news,
            recipients,
        };
        notification.compose()
    }

    async fn waiting_message(&self, id: envelope::RelayId) -> Result<Option<QueuedMessage>, StoreError> {
        let message = self.queue.message(id).await?;
        Ok(message.filter(|message| message.state == QueueState::Waiting))
    }

    /// A copy is made beside the content; one message larger than all there is gets all there is.
    fn permits_for(&self, message: &QueuedMessage) -> u32 {
        let copies = if message.copies == Copies::Shared { 1 } else { 3 };
        let permits = (message.octets.saturating_mul(copies) / OCTETS_A_PERMIT).saturating_add(1);
        u32::try_from(permits).unwrap_or(u32::MAX).min(self.memory_permits)
    }
}

impl Outlet {
    fn host(&self) -> &str {
        &self.link.pool.upstream().host
    }
}

fn note(outlet: &Outlet, place: Option<&Place>, handoff: &Handoff, now: Timestamp) {
    let (Some(place), name) = (place, outlet.gate.name()) else { return };
    if let Some(away) = &handoff.away {
        if let Some(again) = place.away(now, away.for_long, &away.words) {
            event::upstream_away(name, away.for_long, &away.words, again);
        }
    } else if handoff.reached && place.reached() {
        event::upstream_back(name);
    }
}

fn due_recipients(message: &QueuedMessage, now: Timestamp) -> Vec<QueuedRecipient> {
    let is_due =
        |recipient: &&QueuedRecipient| recipient.state == RecipientState::Waiting && recipient.due_at <= now;
    message.recipients.iter().filter(is_due).cloned().collect()
}

/// The answer that stands for the whole message once nobody waits any more: a provider that took it, if one did.
fn final_answer(message: &QueuedMessage, update: &Update) -> Option<Answer> {
    let is_over = message.recipients.iter().all(|recipient| recipient.state != RecipientState::Waiting);
    let with = |state| message.recipients.iter().find(move |recipient| recipient.state == state);
    let stands = with(RecipientState::HandedOn).or(with(RecipientState::Failed)).filter(|_| is_over)?;
    let said_now = update.recipients.get(&stands.index).cloned();
    Some(said_now.unwrap_or_else(|| Answer::kept(stands.code, &stands.reply)))
}

fn not_now(doing: &str, error: &StoreError) -> Done {
    event::queue_failed(doing, error);
    Done::NotNow
}
