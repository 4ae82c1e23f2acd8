//! Hands on what is in the queue.

mod fairness;
mod gate;
mod handoff;
mod ledger;
mod records;
mod retry;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use envelope::{RelayId, Timestamp};
use store::{Queue, QueuedMessage};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::door::Relay;
use crate::event;
use crate::newly_queued::Fresh;
use crate::settings::{Retry, Route, RouteLogin};
use fairness::Turns;
use gate::{Closed, Gate, Place};
use handoff::Link;
use ledger::Ledger;
use records::Records;

/// Takes what is due out of the queue and hands it on, until it is told to end.
///
/// Each upstream has its own connections, its own rate and its own pause while it is away; senders take turns.
/// What was handed on is written down before anything else happens to the message: a process that is killed
/// repeats at most the handoffs that were under way.
pub struct Dispatcher {
    shared: Arc<Shared>,
    /// Found due, and not yet at work.
    found: Vec<QueuedMessage>,
    found_at: Option<Instant>,
    /// The last look found nothing to do.
    found_nothing: bool,
    /// Of those found, the ones that are in memory still.
    fresh: HashMap<RelayId, Fresh>,
    /// There may be more, and it is too soon to look for so long.
    look_in: Option<Duration>,
    at_work: BTreeSet<RelayId>,
    /// Not to be tried before then: the queue could not give them, or something in here failed.
    resting: BTreeMap<RelayId, Timestamp>,
    /// Upstreams that messages name and the configuration does not.
    unknown: BTreeSet<String>,
    turns: Turns,
    swept_at: Timestamp,
    /// How often the queue had been flushed when that was looked at.
    flushes: u64,
}

/// What the dispatcher and its tasks share.
struct Shared {
    relay: Arc<Relay>,
    queue: Arc<dyn Queue>,
    upstreams: HashMap<String, Outlet>,
    /// Octets of content in memory, in units of [`OCTETS_A_PERMIT`].
    memory: Arc<Semaphore>,
    memory_permits: u32,
    records: Records,
    ledger: Ledger,
    bell: Arc<Notify>,
    counts: Arc<Counts>,
    ending: watch::Receiver<bool>,
}

/// One upstream, as the queue sees it.
struct Outlet {
    route: usize,
    gate: Arc<Gate>,
    link: Link,
    retry: Retry,
}

/// What the dispatcher has done since it began.
#[derive(Debug, Default)]
pub struct Counts {
    /// Recipients whom a provider took.
    pub handed_on: AtomicU64,
    /// Recipients whom a provider refused, or who were given up.
    pub failed: AtomicU64,
    /// Attempts that are to be repeated.
    pub deferred: AtomicU64,
    /// Of these, those where the whole message was sent and nobody answered: it may arrive twice.
    pub perhaps_twice: AtomicU64,
    /// Notifications that were put into the queue.
    pub notified: AtomicU64,
}

/// So many messages are looked at together: enough that senders can take turns.
const LOOKED_AT: u32 = 256;
/// Handoffs and what follows them, of all upstreams together.
const MOST_AT_WORK: usize = 64;
/// What was found is looked up again after this, if the queue has changed: new mail of a sender who had none.
const FOUND_IS_OLD: Duration = Duration::from_millis(100);
/// Under load what came in meanwhile is looked up together: a look costs as much for one as for ten. What comes in
/// here is not found by a look at all ([`crate::newly_queued`]), so one that found nothing is not repeated so soon.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// The clock may be set, or the machine sleep.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
/// While something is at work, what is due next cannot be seen behind it.
const SLEEP_AT_WORK: Duration = Duration::from_secs(1);
/// How often mail that cannot be tried is looked at for its age.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
const REST: Duration = Duration::from_secs(10);
const REST_AFTER_A_BUG: Duration = Duration::from_mins(5);
const MOST_RESTING: usize = 1_000;
const OCTETS_A_PERMIT: u64 = 4096;

impl Dispatcher {
    /// One for the queue of `relay`, with at most `octets` of content in memory; `None` if it has no queue. Nothing
    /// happens before [`Dispatcher::run`]. When `ending` becomes true, it finishes what is under way.
    pub fn new(relay: Arc<Relay>, octets: u64, ending: watch::Receiver<bool>) -> Option<Self> {
        let queue = relay.queue.clone()?;
        let upstreams = relay.settings.routes.iter().enumerate().filter_map(|(number, route)| {
            Some((route.upstream.name.clone(), Outlet::new(&relay, number, route)?))
        });
        let upstreams = upstreams.collect();
        let memory_permits = u32::try_from((octets / OCTETS_A_PERMIT).max(1)).unwrap_or(u32::MAX >> 3);
        let records = Records::new(relay.store.clone());
        let beginning = Timestamp::from_unix_millis(i64::MIN);
        Some(Self {
            shared: Arc::new(Shared {
                relay,
                queue,
                upstreams,
                memory: Arc::new(Semaphore::new(memory_permits as usize)),
                memory_permits,
                records,
                ledger: Ledger::new(),
                bell: Arc::default(),
                counts: Arc::default(),
                ending,
            }),
            found: vec![],
            found_at: None,
            found_nothing: false,
            fresh: HashMap::new(),
            look_in: None,
            at_work: BTreeSet::new(),
            resting: BTreeMap::new(),
            unknown: BTreeSet::new(),
            turns: Turns::default(),
            swept_at: beginning,
            flushes: 0,
        })
    }

    /// Whoever rings it makes the dispatcher look at clock and queue now.
    pub fn bell(&self) -> Arc<Notify> {
        self.shared.bell.clone()
    }

    /// What was done so far.
    pub fn counts(&self) -> Arc<Counts> {
        self.shared.counts.clone()
    }

    /// Until `ending` is true and what was under way then is finished and written down.
    pub async fn run(mut self) {
        let (mut ending, bell) = (self.shared.ending.clone(), self.shared.bell.clone());
        let relay = self.shared.relay.clone();
        let mut changed = self.shared.queue.changed();
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut by_task = HashMap::new();
        let mut is_new = true;
        self.flushes = self.shared.queue.flushes().await.unwrap_or(0);
        loop {
            for (id, task) in self.what_can_start(is_new).await {
                by_task.insert(tasks.spawn(task).id(), id);
            }
            let sleep = self.until_next().await;
            is_new = false;
            tokio::select! {
                biased;
                _ = ending.wait_for(|ending| *ending) => break,
                Some(ended) = tasks.join_next_with_id() => self.note(ended, &mut by_task),
                () = relay.newly_queued.some_are_there() => {}
                Ok(()) = changed.changed() => is_new = true,
                () = bell.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
            // Whatever else has ended meanwhile, so that the next look sees it too.
            while let Some(ended) = tasks.try_join_next_with_id() {
                self.note(ended, &mut by_task);
            }
        }
        while let Some(ended) = tasks.join_next_with_id().await {
            self.note(ended, &mut by_task);
        }
        self.shared.records.retry().await;
    }

    fn note(
        &mut self,
        ended: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
        by_task: &mut HashMap<tokio::task::Id, RelayId>,
    ) {
        let now = self.shared.now();
        let (task, rest) = match ended {
            Ok((task, Done::Settled)) => (task, None),
            Ok((task, Done::NotNow)) => (task, Some(REST)),
            Err(panic) => {
                event::dispatch_failed(by_task.get(&panic.id()).copied(), &panic);
                (panic.id(), Some(REST_AFTER_A_BUG))
            }
        };
        if let Some(id) = by_task.remove(&task) {
            self.at_work.remove(&id);
            if let Some(rest) = rest {
                if self.resting.len() >= MOST_RESTING {
                    self.resting.clear();
                }
                self.resting.insert(id, now.plus(rest));
            }
        }
    }

    /// What may be handed on now, as tasks.
    async fn what_can_start(&mut self, is_new: bool) -> Vec<(RelayId, Task)> {
        let now = self.shared.now();
        self.resting.retain(|_, until| now < *until);
        if is_new {
            self.heed_flush(now).await;
        }
        let mut tasks = self.sweep(now).await;
        self.take_newly_queued();
        let since = self.found_at.map_or(Duration::MAX, |at| at.elapsed());
        let is_old = since >= FOUND_IS_OLD;
        let mut may_look = true;
        self.look_in = None;
        if is_new && is_old {
            self.look(now).await;
            may_look = false;
        }
        let mut room = None;
        while self.at_work.len() < MOST_AT_WORK {
            // Asked only when there is something to hand on: it may cost a write.
            if self.next_at(now).is_some() {
                let room = match room {
                    Some(room) => room,
                    None => *room.insert(self.room().await),
                };
                if self.at_work.len() >= room {
                    break;
                }
            }
            if let Some((message, place)) = self.next(now) {
                self.at_work.insert(message.id);
                let newly_queued = self.shared.relay.newly_queued.found(message.id);
                let fresh = newly_queued.or(self.fresh.remove(&message.id));
                let task = self.shared.clone().work(message.id, message.upstream, fresh, place);
                tasks.push((message.id, Box::pin(task)));
            } else if may_look && (self.found.is_empty() || is_old) {
                // What was found is at work, or behind closed gates: there may be others behind it.
                may_look = false;
                let pause = if self.found_nothing { FOUND_IS_OLD } else { LOOK_PAUSE };
                self.look_in = pause.checked_sub(since).filter(|left| !left.is_zero());
                if self.look_in.is_some() {
                    break;
                }
                self.look(now).await;
            } else {
                break;
            }
        }
        tasks
    }

    /// Somebody wants everything tried at once: then also providers that were away are asked now.
    async fn heed_flush(&mut self, now: Timestamp) {
        let pausing =
            || self.shared.upstreams.values().map(|outlet| &outlet.gate).filter(|gate| gate.is_pausing(now));
        if pausing().next().is_none() {
            return;
        }
        if let Ok(flushes) = self.shared.queue.flushes().await
            && flushes != std::mem::replace(&mut self.flushes, flushes)
        {
            pausing().for_each(|gate| gate.ask_now());
        }
    }

    /// How many may be at work, as far as writing down what comes of it goes.
    async fn room(&self) -> usize {
        let shared = &self.shared;
        shared.ledger.room(&*shared.queue, self.at_work.len(), MOST_AT_WORK).await
    }

    /// The message whose sender had no turn for longest, of those whose provider takes one.
    fn next_at(&self, now: Timestamp) -> Option<usize> {
        let upstreams = &self.shared.upstreams;
        let is_open = |message: &QueuedMessage| {
            upstreams.get(&message.upstream).is_some_and(|outlet| outlet.gate.closed(now).is_none())
        };
        self.turns.next(&self.found, is_open)
    }

    /// That message, and a place at its provider.
    fn next(&mut self, now: Timestamp) -> Option<(QueuedMessage, Place)> {
        let at = self.next_at(now)?;
        let message = self.found.remove(at);
        let place = self.shared.upstreams.get(&message.upstream)?.gate.enter(now)?;
        self.turns.had(&message.sender);
        Some((message, place))
    }

    /// What is in memory still stands in line with what is found. What has no room there will be found.
    fn take_newly_queued(&mut self) {
        for fresh in self.shared.relay.newly_queued.take() {
            let id = fresh.message.id;
            if self.found.len() < LOOKED_AT as usize && self.found.iter().all(|found| found.id != id) {
                self.found.push(fresh.message.clone());
                self.fresh.insert(id, fresh);
            }
        }
    }

    async fn look(&mut self, now: Timestamp) {
        let closed = self.closed(now);
        self.found = self.due(now, &closed).await;
        self.found_at = Some(Instant::now());
        self.found_nothing = self.found.is_empty();
        self.fresh.retain(|id, _| self.found.iter().any(|found| found.id == *id));
        let upstreams = &self.shared.upstreams;
        for message in self.found.extract_if(.., |message| !upstreams.contains_key(&message.upstream)) {
            if self.unknown.insert(message.upstream.clone()) {
                event::unknown_upstream(&message.upstream);
            }
        }
    }

    async fn due(&self, now: Timestamp, closed: &[String]) -> Vec<QueuedMessage> {
        let mut busy = self.shared.relay.newly_queued.ids();
        busy.extend(self.at_work.iter().chain(self.resting.keys()));
        match self.shared.queue.due_but_for(closed, now, LOOKED_AT, &busy).await {
            Ok(found) => found,
            Err(error) => {
                event::queue_failed("looking for what is due", &error);
                vec![]
            }
        }
    }

    /// Upstreams that take nothing now.
    fn closed(&self, now: Timestamp) -> Vec<String> {
        let gates = self.shared.upstreams.values().map(|outlet| &outlet.gate);
        let closed = gates.filter(|gate| gate.closed(now).is_some()).map(|gate| gate.name().to_owned());
        closed.chain(self.unknown.iter().cloned()).collect()
    }

    /// Mail whose provider takes nothing grows old all the same: it is given up, or its sender told of the delay,
    /// without an attempt that would only fail.
    async fn sweep(&mut self, now: Timestamp) -> Vec<(RelayId, Task)> {
        let mut tasks: Vec<(RelayId, Task)> = vec![];
        let due_again = now.since(self.swept_at) >= SWEEP_EVERY || now < self.swept_at;
        let is_shut = |outlet: &Outlet| matches!(outlet.gate.closed(now), Some(Closed::Until(_)));
        let any_shut = !self.unknown.is_empty() || self.shared.upstreams.values().any(is_shut);
        if !due_again || !any_shut {
            return tasks;
        }
        self.swept_at = now;
        for message in self.due(now, &[]).await {
            let outlet = self.shared.upstreams.get(&message.upstream);
            let retry = outlet.map_or_else(Retry::default, |outlet| outlet.retry);
            if outlet.is_none_or(is_shut)
                && work::is_old(&message, &retry, now)
                && self.at_work.len() < MOST_AT_WORK
                && self.at_work.insert(message.id)
            {
                // There may be more of them.
                self.swept_at = Timestamp::from_unix_millis(i64::MIN);
                self.shared.relay.newly_queued.found(message.id);
                tasks.push((message.id, Box::pin(self.shared.clone().grow_old(message.id))));
            }
        }
        tasks
    }

    /// How long nothing can happen by itself.
    async fn until_next(&self) -> Duration {
        let now = self.shared.now();
        if self.shared.records.are_waiting() {
            self.shared.records.retry_in_turn();
        }
        if let Some(look_in) = self.look_in {
            return look_in;
        }
        if !self.at_work.is_empty() {
            return SLEEP_AT_WORK;
        }
        let mut sleep = LONGEST_SLEEP;
        if !self.resting.is_empty() || self.shared.records.are_waiting() {
            sleep = SLEEP_AT_WORK;
        }
        match self.shared.queue.next_due().await {
            Ok(Some(due)) if due > now => sleep = sleep.min(due.since(now)),
            // It came in just now, or rests, or its provider takes nothing; behind it may be one that is due soon.
            Ok(Some(_)) => sleep = sleep.min(SLEEP_AT_WORK),
            Ok(None) => {}
            Err(error) => {
                event::queue_failed("looking for what is due next", &error);
                sleep = sleep.min(REST);
            }
        }
        for outlet in self.shared.upstreams.values() {
            if let Some(Closed::Until(opens_at)) = outlet.gate.closed(now) {
                sleep = sleep.min(opens_at.since(now));
            }
        }
        sleep.max(Duration::from_millis(1))
    }
}

type Task = std::pin::Pin<Box<dyn Future<Output = Done> + Send>>;

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// All is written down.
    Settled,
    /// The queue did not answer: again a little later.
    NotNow,
}

impl Outlet {
    /// `None`: its login is the clients', so nothing can be handed on without them.
    fn new(relay: &Relay, number: usize, route: &Route) -> Option<Self> {
        if matches!(route.login, RouteLogin::PassThrough) {
            return None;
        }
        let gate = Gate::new(&route.upstream.name, route.pool, route.rate, route.retry);
        Some(Self {
            route: number,
            gate: Arc::new(gate),
            link: Link { pool: relay.pools.get(number)?.clone(), login: route.login.clone() },
            retry: route.retry,
        })
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        self.relay.clock.now()
    }

    fn count(&self, what: impl Fn(&Counts) -> &AtomicU64, by: usize) {
        what(&self.counts).fetch_add(by as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
