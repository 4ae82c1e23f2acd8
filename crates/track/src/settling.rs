//! Judging again: when all that belongs to a hit has arrived, when the rules have changed, when the sender says so.

mod change;
mod correcting;
mod evidence;
mod reclassifying;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use envelope::{Clock, RelayId, Timestamp};
use store::{Event, EventKind, EvidenceRule, Settlement, Store, StoreError, StoredEvent};
use tokio::sync::watch;
use tokio::time::Instant;
use verdict::{Judgement, Kind, Rules, Verdict};

use crate::event;
use crate::surroundings::{Seen, Source, Surroundings};
use change::{clicked_later, may_replace, same};

pub use correcting::{Correction, CorrectionError, correct};
pub(crate) use evidence::KeptEvidence;
pub use reclassifying::{Change, Reclassified, Reclassifier};

/// Settles events: some time after a hit, when what belongs to it has arrived, it is judged again with all of that.
///
/// Whatever changes is appended as an event of its own. Nobody is told of a hit before it is settled. What is not
/// settled is found in the store, so a restart or a crash loses nothing.
pub struct Settler {
    store: Arc<dyn Store>,
    surroundings: Arc<Surroundings>,
    rules: Arc<Rules>,
    clock: Arc<dyn Clock>,
    wait: Duration,
    evidence: EvidenceRule,
    /// Everything up to this number is settled.
    mark: i64,
    /// Everything up to this number is in the surroundings.
    read: i64,
    /// Up to which number was read when, the oldest first.
    read_at: VecDeque<(i64, Instant)>,
    /// When that which was kept long enough was last deleted.
    tidied: Option<Instant>,
}

/// When there is something to settle again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    AtOnce,
    In(Duration),
    Nothing,
}

impl Next {
    fn after(self) -> Option<Duration> {
        match self {
            Self::AtOnce => Some(Duration::ZERO),
            Self::In(left) => Some(left),
            Self::Nothing => None,
        }
    }
}

/// Events settled in one transaction.
const TOGETHER: u32 = 500;
/// Events are read so far ahead of those that settle, and after a restart so far back.
const AHEAD: i64 = 20_000;
const BACK: i64 = 5_000;
/// Events of other processes are found by asking.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const TIDY_EVERY: Duration = Duration::from_mins(1);
const TIDIED_TOGETHER: u32 = 10_000;
const REPLAY: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const MOST_READ_MARKS: usize = 1_000;

impl Settler {
    /// Waits as long as the rules say, and drops evidence when it has served.
    pub fn new(
        store: Arc<dyn Store>,
        surroundings: Arc<Surroundings>,
        rules: Arc<Rules>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let wait = rules.waits().settling;
        let mark = *store.settled().borrow();
        Self {
            store,
            surroundings,
            rules,
            clock,
            wait,
            evidence: EvidenceRule::default(),
            mark,
            read: (mark - BACK).max(0),
            read_at: VecDeque::new(),
            tidied: None,
        }
    }

    /// Waits so long instead.
    #[must_use]
    pub fn waiting(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Keeps evidence instead, for rules that are written later.
    #[must_use]
    pub fn keeping(self, evidence: EvidenceRule) -> Self {
        Self { evidence, ..self }
    }

    /// Settles what is due until `shutdown` becomes true. A store that fails is asked again.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut committed = self.store.committed();
        let mut pause = Duration::from_secs(1);
        // What an earlier run left in the journal comes first: the rest of a burst may be in it.
        let told = tokio::time::timeout(self.wait.min(REPLAY), shutdown.wait_for(|stop| *stop)).await.is_ok();
        if told {
            return;
        }
        loop {
            let rest = match self.settle_and_tidy().await {
                Ok(Next::AtOnce) if !*shutdown.borrow() => continue,
                Ok(next) => {
                    pause = Duration::from_secs(1);
                    next.after().unwrap_or(LOOK_AGAIN).clamp(Duration::from_millis(50), LOOK_AGAIN)
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    event::not_settled(&error);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    pause
                }
            };
            let waiting = tokio::time::sleep(rest);
            tokio::pin!(waiting);
            // A new event changes nothing about when the oldest is due, unless there was none.
            let idle = self.mark >= self.read;
            tokio::select! {
                () = &mut waiting => {}
                changed = committed.changed(), if idle => if changed.is_err() { return },
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            if *shutdown.borrow() {
                return;
            }
        }
    }

    async fn settle_and_tidy(&mut self) -> Result<Next, StoreError> {
        let next = self.settle_some().await?;
        if self.tidied.is_none_or(|at| at.elapsed() > TIDY_EVERY) {
            let now = self.clock.now();
            self.store.drop_evidence(now, TIDIED_TOGETHER).await?;
            self.store.forget_submissions(now).await?;
            self.tidied = Some(Instant::now());
        }
        Ok(next)
    }

    /// Settles what is due now. Returns how long it is until the next is; `None`: nothing waits.
    ///
    /// # Errors
    /// When the store fails; what was not settled is tried again.
    pub async fn settle_due(&mut self) -> Result<Option<Duration>, StoreError> {
        loop {
            match self.settle_some().await? {
                Next::AtOnce => {}
                next => return Ok(next.after()),
            }
        }
    }

    async fn settle_some(&mut self) -> Result<Next, StoreError> {
        self.read_ahead().await?;
        let events = self.store.events_after(self.mark, TOGETHER).await?;
        let now = self.clock.now();
        let wait = |(place, stored)| Some((place, self.until_due(stored, now)?));
        let (due, next) = match events.iter().enumerate().find_map(wait) {
            Some((due, left)) => (due, Next::In(left)),
            None if events.is_empty() => (0, Next::Nothing),
            None => (events.len(), Next::AtOnce),
        };
        let Some(last) = events[..due].last() else { return Ok(next) };
        let mut settlement = Settlement { upto: last.seq, evidence: self.evidence, ..Settlement::default() };
        for stored in &events[..due] {
            self.judge_again(stored, now, &mut settlement).await?;
        }
        let (upto, changes) = (settlement.upto, settlement.verdicts.clone());
        self.store.settle(settlement).await?;
        self.mark = upto;
        for change in &changes {
            event::judged_anew(change);
        }
        Ok(next)
    }

    /// What comes after a hit must be known before it settles.
    async fn read_ahead(&mut self) -> Result<(), StoreError> {
        while self.read < self.mark + AHEAD {
            let events = self.store.events_after(self.read, TOGETHER).await?;
            let Some(newest) = events.last().map(|stored| stored.seq) else { return Ok(()) };
            for stored in &events {
                if let Some(seen) = self.seen(stored) {
                    self.surroundings.saw(seen);
                } else if let (Some(about), Some(judged)) = (stored.event.about, &stored.event.judgement) {
                    self.surroundings.judged(about, judged.verdict == Verdict::Human);
                }
            }
            self.read = newest;
            if self.read_at.len() >= MOST_READ_MARKS {
                self.read_at.pop_front();
            }
            self.read_at.push_back((newest, Instant::now()));
        }
        Ok(())
    }

    /// An open or a click as far as the store knows it.
    fn seen(&self, stored: &StoredEvent) -> Option<Seen> {
        let event = &stored.event;
        Some(Seen {
            event: event.id,
            at: event.at.unix_millis(),
            kind: event.kind.hit()?,
            message: event.message,
            recipient: event.recipient,
            link: event.link,
            source: event.address.as_deref().and_then(Source::read),
            address: None,
            agent: KeptEvidence::read(&event.evidence).and_then(|kept| kept.agent()).map(Arc::from),
            reader: self.surroundings.reader(stored.recipient_address.as_deref()),
            person: event.judgement.as_ref().is_some_and(|judged| judged.verdict == Verdict::Human),
            honeypot: false,
        })
    }

    /// `None`: it is due.
    fn until_due(&self, stored: &StoredEvent, now: Timestamp) -> Option<Duration> {
        stored.event.kind.hit()?;
        let age = now.unix_millis().saturating_sub(stored.event.at.unix_millis());
        let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
        // A clock that was set back must not keep everybody waiting until it has caught up.
        let read = self.read_at.iter().find(|(upto, _)| *upto >= stored.seq);
        let known = read.map_or(Duration::ZERO, |(_, at)| at.elapsed());
        self.wait.checked_sub(age.max(known)).filter(|left| !left.is_zero())
    }

    async fn judge_again(
        &self,
        stored: &StoredEvent,
        now: Timestamp,
        settlement: &mut Settlement,
    ) -> Result<(), StoreError> {
        let (Some(seen), Some(kept)) = (self.seen(stored), KeptEvidence::read(&stored.event.evidence)) else {
            return Ok(());
        };
        // What is in memory knows the whole address.
        let seen = self.surroundings.remembered(seen.event).unwrap_or(seen);
        let mut evidence = kept.evidence(seen.kind);
        evidence.address = seen.address.or(evidence.address);
        evidence.user_agent = seen.agent.as_deref().map(str::to_owned).or(evidence.user_agent);
        if evidence.user_agent.is_none() && kept.had_agent() {
            // A machine it would seem, only because nobody remembers what it called itself.
            return Ok(());
        }
        let before = self.rules.judge(&evidence);
        let message = match self.surroundings.message(seen.message, now).await {
            Err(error) if error.store_is_away() => return Err(error),
            message => message.ok().flatten(),
        };
        self.surroundings.fill(&mut evidence, &seen, message.as_deref(), &self.rules);
        let mut after = self.rules.judge(&evidence);
        if self.surroundings.person_clicked(&seen) {
            after = clicked_later(after);
        }
        if self.evidence != EvidenceRule::Drop {
            settlement.learnt.push((stored.seq, kept.with(&evidence).to_json()));
        }
        let current = stored.event.judgement.as_ref();
        // The stored evidence is less than the hit showed. So what is compared is the same evidence with and without
        // what came later: only what was learnt changes a verdict, not what was left out.
        let learnt = !same(&before, &after) && current.is_none_or(|current| !same(current, &after));
        let person = if learnt && !stored.corrected && may_replace(current, &after) {
            let person = after.verdict == Verdict::Human;
            settlement.verdicts.push(verdict(stored, now, after));
            self.surroundings.judged(seen.event, person);
            person
        } else {
            current.is_some_and(|current| current.verdict == Verdict::Human)
        };
        if person && seen.kind == Kind::Click {
            self.tell_opens_before(&seen, now, settlement).await?;
        }
        Ok(())
    }

    /// Opens at the same place that were settled before anybody knew who it was: the click tells.
    async fn tell_opens_before(
        &self,
        click: &Seen,
        now: Timestamp,
        settlement: &mut Settlement,
    ) -> Result<(), StoreError> {
        for open in self.surroundings.opens_like(click) {
            let Some(stored) = self.store.event(open).await? else { continue };
            let Some(current) = stored.event.judgement.clone() else { continue };
            let after = clicked_later(current.clone());
            if stored.settled && !stored.corrected && !same(&current, &after) {
                settlement.verdicts.push(verdict(&stored, now, after));
                self.surroundings.judged(open, true);
            }
        }
        Ok(())
    }
}

/// An event that says that another is judged anew.
fn verdict(stored: &StoredEvent, now: Timestamp, judgement: Judgement) -> Event {
    about(stored, EventKind::Verdict, now, judgement)
}

fn about(stored: &StoredEvent, kind: EventKind, now: Timestamp, judgement: Judgement) -> Event {
    Event {
        id: new_id(now, stored.event.id),
        at: now,
        kind,
        message: stored.event.message,
        recipient: stored.event.recipient,
        link: stored.event.link,
        about: Some(stored.event.id),
        judgement: Some(judgement),
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: "{}".to_owned(),
    }
}

/// Like no other's, and never failing: it keeps no secret, so what hash tables are keyed with is random enough.
fn new_id(now: Timestamp, about: RelayId) -> RelayId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&RandomState::new().hash_one(about).to_be_bytes());
    random[8..].copy_from_slice(&about.as_bytes()[14..]);
    RelayId::new(now, random)
}
