use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::{Clock, Timestamp};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::event;

/// How many wrong logins are let through before the next is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    /// Of one login from one address. From one address in all, and of one login from all addresses that never
    /// proved it, four times as many; then those are looked at slowly.
    pub failures: u32,
    /// Within this time, from the first of them.
    pub per: Duration,
}

/// Limits guessing before any hash is computed and any provider asked.
///
/// Who guesses at somebody's login from elsewhere does not lock that person out. An address from which a login
/// was right before is only ever limited for that login by its own failures. Others of its network (/24, or /48 of
/// IPv6) have a limit of their own. And from where it never was right, a login that is guessed at is looked at
/// slowly rather than not at all: one at a time, with a few that wait. Addresses of IPv6 count by their /64.
/// Logins and addresses are kept as hashes under a random key, so that their length costs nothing and nobody
/// can choose them to collide.
pub(crate) struct Throttle {
    limits: LoginLimits,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    ledger: Mutex<Ledger>,
    slow: SlowLanes,
    /// An attempt has ended.
    ended: Notify,
}

#[derive(Default)]
struct Ledger {
    by_pair: Table,
    by_address: Table,
    by_login: Table,
    /// Customers with a login, and networks with a login.
    proven: Proven,
}

/// A login that is being looked at. Dropped without a word it was neither right nor wrong.
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    keys: Keys,
}

/// One login from one address.
#[derive(Clone, Copy)]
struct Keys {
    pair: u64,
    /// `None` for this machine: who sits here in front of many people must not be limited as one.
    address: Option<u64>,
    login: u64,
    /// One login from one network. Where that login was right, this takes the place of `login`.
    near: u64,
}

/// Why a login is not looked at now.
enum Refusal {
    Limited(Wait),
    /// Only for what others guess at it.
    Slow,
}

/// Not before this time has passed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

/// Times as many for an address in all, or a login in all.
const IN_ALL: u32 = 4;
/// Of each table. An entry is some 100 octets.
const MOST_ENTRIES: usize = 20_000;
/// How long others of the same address or login that are being looked at just now are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// For an address, and its network, from which a login was right.
const PROVEN_FOR: Duration = Duration::from_hours(24 * 30);

impl Throttle {
    pub(crate) fn new(limits: LoginLimits, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            clock,
            hasher: RandomState::new(),
            ledger: Mutex::default(),
            slow: SlowLanes::default(),
            ended: Notify::new(),
        }
    }

    /// May this login be looked at now? Each counts until it has ended: a thousand at once are no way around.
    pub(crate) async fn begin(&self, from: IpAddr, login: &str) -> Result<Attempt<'_>, Wait> {
        let keys = self.keys(from, login);
        let waiting = async {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                match self.try_begin(keys, Pace::Usual) {
                    Some(outcome) => return outcome,
                    None => ended.await,
                }
            }
        };
        let outcome = timeout(PATIENCE, waiting).await.unwrap_or(Err(Refusal::Limited(Wait(PATIENCE))));
        let wait = match outcome {
            Ok(keys) => return Ok(Attempt { throttle: self, keys }),
            Err(Refusal::Limited(wait)) => wait,
            Err(Refusal::Slow) => match self.slowly(keys).await {
                Ok(keys) => return Ok(Attempt { throttle: self, keys }),
                Err(wait) => wait,
            },
        };
        if self.is_first_refusal(keys) {
            event::logins_limited(from, login, wait.0);
        }
        Err(wait)
    }

    /// In turn with the others who come for this login from places it was never right from.
    async fn slowly(&self, keys: Keys) -> Result<Keys, Wait> {
        let pace = self.limits.per / SLOW_SHARE;
        let most = if self.has_guessed(keys) { 1 } else { SLOW_WAITING };
        self.slow.turn(keys.login, pace, most).await?;
        match self.try_begin(keys, Pace::Slow) {
            Some(Ok(keys)) => Ok(keys),
            Some(Err(Refusal::Limited(wait))) => Err(wait),
            // Others of the same address are being looked at.
            Some(Err(Refusal::Slow)) | None => Err(Wait(pace)),
        }
    }

    /// `None`: the answer hangs on those that are being looked at.
    fn try_begin(&self, keys: Keys, pace: Pace) -> Option<Result<Keys, Refusal>> {
        let now = self.clock.now();
        let (limit, in_all) = (self.limits.failures, self.limits.failures.saturating_mul(IN_ALL));
        let per = self.limits.per;
        let mut ledger = self.ledger();
        let keys = ledger.counted(keys, now);
        let proven = ledger.proven.holds(keys.pair, now);
        let ledger = &mut *ledger;
        let mut own = ledger.by_pair.judge(keys.pair, limit, per, now);
        let mut login = Judgement::Free;
        if !proven {
            let by_address = keys.address.map(|key| ledger.by_address.judge(key, in_all, per, now));
            own = own.worse(by_address.unwrap_or(Judgement::Free));
            login = ledger.by_login.judge(keys.login, in_all, per, now);
        }
        match (own, login, pace) {
            (Judgement::Limited(until), ..) => return Some(Err(Refusal::Limited(Wait(until.since(now))))),
            (Judgement::Free, Judgement::Free, _) | (Judgement::Free, _, Pace::Slow) => {}
            (Judgement::Free, Judgement::Limited(_), Pace::Usual) => return Some(Err(Refusal::Slow)),
            (Judgement::Open, ..) | (Judgement::Free, Judgement::Open, Pace::Usual) => return None,
        }
        for (table, key) in ledger.tables(keys) {
            table.entry(key, per, now).under_way += 1;
        }
        Some(Ok(keys))
    }

    /// Who has been wrong lately leaves room for one who has not.
    fn has_guessed(&self, keys: Keys) -> bool {
        let (now, per) = (self.clock.now(), self.limits.per);
        let ledger = self.ledger();
        let pair = ledger.by_pair.has_failed(keys.pair, per, now);
        pair || keys.address.is_some_and(|address| ledger.by_address.has_failed(address, per, now))
    }

    /// Has the log not heard yet of this address or login?
    fn is_first_refusal(&self, keys: Keys) -> bool {
        let mut ledger = self.ledger();
        let keys = ledger.counted(keys, self.clock.now());
        let mut first = false;
        for (table, key) in ledger.tables(keys) {
            let times = if key == keys.pair { 1 } else { IN_ALL };
            let limit = self.limits.failures.saturating_mul(times);
            if let Some(window) = table.windows.get_mut(&key).filter(|window| window.failures >= limit) {
                first |= !std::mem::replace(&mut window.told, true);
            }
        }
        first
    }

    fn end(&self, keys: Keys, outcome: Outcome) {
        let now = self.clock.now();
        let mut ledger = self.ledger();
        let proven = ledger.proven.holds(keys.pair, now);
        for (table, key) in ledger.tables(keys) {
            let window = table.entry(key, self.limits.per, now);
            window.under_way = window.under_way.saturating_sub(1);
            window.failures += u32::from(outcome == Outcome::Wrong && !(proven && key == keys.login));
        }
        if outcome == Outcome::Right {
            ledger.by_pair.forgive(keys.pair);
            ledger.proven.note(keys.pair, now);
            ledger.proven.note(keys.near, now);
        }
        drop(ledger);
        self.ended.notify_waiters();
    }

    fn keys(&self, from: IpAddr, login: &str) -> Keys {
        let (from, network) = (customer(from), network(from));
        let login = self.hash(login.to_ascii_lowercase());
        let address = self.hash(from);
        Keys {
            pair: self.hash((address, login)),
            address: (!from.is_loopback()).then_some(address),
            login,
            near: self.hash(("near", network, login)),
        }
    }

    fn hash(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The password is not that login's.
    pub(crate) fn was_wrong(self) {
        self.over(Outcome::Wrong);
    }

    /// It is.
    pub(crate) fn was_right(self) {
        self.over(Outcome::Right);
    }

    fn over(self, outcome: Outcome) {
        self.throttle.end(self.keys, outcome);
        std::mem::forget(self);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.throttle.end(self.keys, Outcome::Unknown);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Right,
    Wrong,
    Unknown,
}

#[derive(Clone, Copy)]
enum Judgement {
    Free,
    /// It hangs on those under way.
    Open,
    Limited(Timestamp),
}

impl Judgement {
    fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Limited(one), Self::Limited(other)) => Self::Limited(one.max(other)),
            (limited @ Self::Limited(_), _) | (_, limited @ Self::Limited(_)) => limited,
            (Self::Free, Self::Free) => Self::Free,
            _ => Self::Open,
        }
    }
}

/// How a login is looked at that others guess at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    Usual,
    Slow,
}

impl Ledger {
    /// Near where a login was right it is counted apart from what others guess at it.
    fn counted(&self, keys: Keys, now: Timestamp) -> Keys {
        let login = if self.proven.holds(keys.near, now) { keys.near } else { keys.login };
        Keys { login, ..keys }
    }

    fn tables(&mut self, keys: Keys) -> impl Iterator<Item = (&mut Table, u64)> {
        let by_address = keys.address.map(|key| (&mut self.by_address, key));
        [Some((&mut self.by_pair, keys.pair)), by_address, Some((&mut self.by_login, keys.login))]
            .into_iter()
            .flatten()
    }
}

/// Failures by key, each for a time. The oldest go first when there is no room.
#[derive(Default)]
struct Table {
    windows: HashMap<u64, Window>,
    /// In the order in which they began.
    order: VecDeque<(Timestamp, u64)>,
}

struct Window {
    began: Timestamp,
    failures: u32,
    under_way: u32,
    /// The log has it.
    told: bool,
}

impl Table {
    fn judge(&self, key: u64, limit: u32, per: Duration, now: Timestamp) -> Judgement {
        match self.windows.get(&key) {
            Some(window) if window.is_over(per, now) && window.under_way < limit => Judgement::Free,
            Some(window) if window.failures >= limit && !window.is_over(per, now) => {
                Judgement::Limited(window.began.plus(per))
            }
            Some(window) if window.failures + window.under_way >= limit => Judgement::Open,
            _ => Judgement::Free,
        }
    }

    fn has_failed(&self, key: u64, per: Duration, now: Timestamp) -> bool {
        self.windows.get(&key).is_some_and(|window| window.failures > 0 && !window.is_over(per, now))
    }

    /// The window of this key: the one that is on, or one that begins now.
    fn entry(&mut self, key: u64, per: Duration, now: Timestamp) -> &mut Window {
        let is_over = self.windows.get(&key).is_none_or(|window| window.is_over(per, now));
        if is_over {
            self.make_room(per, now);
            let under_way = self.windows.get(&key).map_or(0, |window| window.under_way);
            self.windows.insert(key, Window { began: now, failures: 0, under_way, told: false });
            self.order.push_back((now, key));
        }
        self.windows.entry(key).or_insert(Window { began: now, failures: 0, under_way: 0, told: false })
    }

    fn make_room(&mut self, per: Duration, now: Timestamp) {
        for _ in 0..self.order.len() {
            let Some(&(began, key)) = self.order.front() else { return };
            let full = self.order.len() >= MOST_ENTRIES;
            if !full && now.since(began) < per {
                return;
            }
            self.order.pop_front();
            // A later window of the same key has its own place in the order.
            match self.windows.get(&key) {
                Some(window) if window.began == began && window.under_way > 0 => {
                    self.order.push_back((began, key));
                }
                Some(window) if window.began == began => {
                    self.windows.remove(&key);
                }
                _ => {}
            }
        }
    }

    fn forgive(&mut self, key: u64) {
        if let Some(window) = self.windows.get_mut(&key) {
            window.failures = 0;
        }
    }
}

impl Window {
    /// Also when the clock was set back behind its beginning.
    fn is_over(&self, per: Duration, now: Timestamp) -> bool {
        now.since(self.began) >= per || now < self.began
    }
}

/// From where which login was right.
#[derive(Default)]
struct Proven {
    at: HashMap<u64, Timestamp>,
    order: VecDeque<(Timestamp, u64)>,
}

impl Proven {
    fn holds(&self, pair: u64, now: Timestamp) -> bool {
        self.at.get(&pair).is_some_and(|at| now.since(*at) < PROVEN_FOR)
    }

    fn note(&mut self, pair: u64, now: Timestamp) {
        let known = self.at.insert(pair, now);
        // Not anew for each of the many logins of one program.
        if known.is_some_and(|at| now.since(at) < Duration::from_hours(1)) {
            self.at.extend(known.map(|at| (pair, at)));
            return;
        }
        self.order.push_back((now, pair));
        while self.order.len() > MOST_ENTRIES {
            if let Some((at, oldest)) = self.order.pop_front()
                && self.at.get(&oldest) == Some(&at)
            {
                self.at.remove(&oldest);
            }
        }
    }
}

/// One turn in each such part of the time that failures count.
const SLOW_SHARE: u32 = 60;
/// Of one login.
const SLOW_WAITING: u32 = 3;
/// Of all logins together, and how many logins have a lane.
const SLOW_WAITING_IN_ALL: u32 = 64;
const MOST_LANES: usize = 1_000;

/// Those who wait for their turn, by login.
#[derive(Default)]
struct SlowLanes {
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    by_login: HashMap<u64, Lane>,
    waiting: u32,
}

struct Lane {
    /// Not before then. Whoever has this waits for it, the others behind him; one who leaves takes no turn.
    next: Arc<tokio::sync::Mutex<Instant>>,
    waiting: u32,
}

/// A place in a lane; left when dropped.
struct LanePlace<'a> {
    lanes: &'a SlowLanes,
    login: u64,
    next: Arc<tokio::sync::Mutex<Instant>>,
}

impl SlowLanes {
    /// One of at most `most` who wait.
    async fn turn(&self, login: u64, pace: Duration, most: u32) -> Result<(), Wait> {
        let place = self.enter(login, pace, most)?;
        let mut next = place.next.lock().await;
        tokio::time::sleep_until(*next).await;
        *next = Instant::now() + pace;
        Ok(())
    }

    fn enter(&self, login: u64, pace: Duration, most: u32) -> Result<LanePlace<'_>, Wait> {
        let now = Instant::now();
        let mut lanes = self.lanes();
        if lanes.by_login.len() >= MOST_LANES {
            let is_over = |lane: &Lane| lane.next.try_lock().is_ok_and(|next| *next <= now);
            lanes.by_login.retain(|_, lane| lane.waiting > 0 || !is_over(lane));
        }
        let has_room = lanes.by_login.len() < MOST_LANES || lanes.by_login.contains_key(&login);
        if lanes.waiting >= SLOW_WAITING_IN_ALL || !has_room {
            return Err(Wait(pace));
        }
        // Also the first has to wait: whoever guesses has just been told the limit.
        let fresh = || Lane { next: Arc::new(tokio::sync::Mutex::new(now + pace)), waiting: 0 };
        let lane = lanes.by_login.entry(login).or_insert_with(fresh);
        if lane.waiting >= most {
            return Err(Wait(pace));
        }
        lane.waiting += 1;
        let next = lane.next.clone();
        lanes.waiting += 1;
        Ok(LanePlace { lanes: self, login, next })
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LanePlace<'_> {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes();
        lanes.waiting = lanes.waiting.saturating_sub(1);
        if let Some(lane) = lanes.by_login.get_mut(&self.login) {
            lane.waiting = lane.waiting.saturating_sub(1);
        }
    }
}

/// The /24 of an IPv4 address, the /48 of one of IPv6: whoever moves within it mostly stays with his provider.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & 0xffff_ff00).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !(u128::MAX >> 48)).into()),
    }
}

/// An IPv4 address, or the /64 that one IPv6 customer has to himself.
fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envelope::ManualClock;

    const PER: Duration = Duration::from_mins(15);

    fn throttle() -> (Throttle, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_800_000_000_000)));
        (Throttle::new(LoginLimits { failures: 5, per: PER }, clock.clone()), clock)
    }

    async fn guess(throttle: &Throttle, from: &str, login: &str, right: bool) -> bool {
        match throttle.begin(from.parse().unwrap(), login).await {
            Ok(attempt) if right => attempt.was_right(),
            Ok(attempt) => attempt.was_wrong(),
            Err(_) => return false,
        }
        true
    }

    /// How many of `times` guesses are looked at.
    async fn looked_at(throttle: &Throttle, from: &str, login: &str, times: usize) -> usize {
        let mut looked_at = 0;
        for _ in 0..times {
            looked_at += usize::from(guess(throttle, from, login, false).await);
        }
        looked_at
    }

    #[tokio::test]
    async fn five_wrong_ones_and_no_more_until_the_time_is_over() {
        let (throttle, clock) = throttle();
        assert_eq!(looked_at(&throttle, "192.0.2.1", "ana", 10).await, 5);
        assert!(!guess(&throttle, "192.0.2.1", "ANA", true).await, "the same login");
        assert!(!guess(&throttle, "::ffff:192.0.2.1", "ana", true).await, "the same address");
        assert!(guess(&throttle, "192.0.2.1", "bo", true).await, "another login");
        assert!(guess(&throttle, "192.0.2.2", "ana", true).await, "another address");
        clock.advance(Duration::from_secs(15 * 60 - 1));
        let wait = throttle.begin("192.0.2.1".parse().unwrap(), "ana").await.err();
        assert_eq!(wait, Some(Wait(Duration::from_secs(1))));
        clock.advance(Duration::from_secs(1));
        assert_eq!(looked_at(&throttle, "192.0.2.1", "ana", 10).await, 5);
    }

    #[tokio::test]
    async fn a_right_one_wipes_the_slate_and_an_answerless_one_leaves_it() {
        let (throttle, _) = throttle();
        for _ in 0..10 {
            assert_eq!(looked_at(&throttle, "192.0.2.1", "ana", 4).await, 4);
            assert!(guess(&throttle, "192.0.2.1", "ana", true).await);
            // A provider that is away.
            drop(throttle.begin("192.0.2.1".parse().unwrap(), "ana").await.ok().unwrap());
        }
    }

    #[tokio::test]
    async fn guesses_at_many_logins_from_one_address_are_limited_in_all() {
        let (throttle, _) = throttle();
        assert!(guess(&throttle, "2001:db8::1", "owner", true).await);
        let mut all = 0;
        for n in 0..100 {
            let from = format!("2001:db8::{n:x}");
            all += looked_at(&throttle, &from, &format!("login{n}"), 1).await;
        }
        assert_eq!(all, 20);
        assert!(guess(&throttle, "2001:db8::5", "owner", true).await, "who was right here before");
        assert!(guess(&throttle, "2001:db8:0:1::1", "login1", true).await, "another customer");
        let mut local = 0;
        for n in 0..100 {
            local += looked_at(&throttle, "127.0.0.1", &format!("other{n}"), 1).await;
        }
        assert_eq!(local, 100, "this machine");
    }

    /// From as many addresses as it takes, without waiting for a turn.
    async fn attacked(throttle: &Throttle, login: &str) -> usize {
        let mut all = 0;
        for n in 0..200 {
            for _ in 0..2 {
                let from = format!("192.0.2.{n}");
                let looked_at = timeout(Duration::from_millis(1), guess(throttle, &from, login, false)).await;
                all += usize::from(looked_at == Ok(true));
            }
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_locked_out_from_elsewhere() {
        let (throttle, clock) = throttle();
        assert!(guess(&throttle, "198.51.100.1", "ana", true).await);
        clock.advance(Duration::from_hours(48));
        assert_eq!(attacked(&throttle, "ana").await, 20, "of one login from everywhere");
        // Those who gave up while they waited took no turn with them.
        let began = Instant::now();
        assert!(guess(&throttle, "203.0.113.9", "ana", true).await, "a new place has to wait");
        assert!(began.elapsed() <= PER / SLOW_SHARE, "{:?}", began.elapsed());
        let began = Instant::now();
        assert!(guess(&throttle, "203.0.113.9", "ana", true).await, "it is no new place any more");
        for _ in 0..10 {
            assert!(guess(&throttle, "198.51.100.1", "ana", true).await, "where she was before");
        }
        assert_eq!(looked_at(&throttle, "198.51.100.1", "ana", 10).await, 5, "not without a limit");
        assert!(guess(&throttle, "192.0.2.1", "bo", true).await);
        assert_eq!(began.elapsed(), Duration::ZERO, "none of these waited");
    }

    #[tokio::test(start_paused = true)]
    async fn near_where_a_login_was_right_nobody_waits_for_what_others_guess() {
        let (throttle, clock) = throttle();
        assert!(guess(&throttle, "198.51.100.1", "ana", true).await);
        assert!(guess(&throttle, "2001:db8:7:1::1", "ana", true).await);
        clock.advance(Duration::from_hours(24 * 29));
        attacked(&throttle, "ana").await;
        let began = Instant::now();
        for near in ["198.51.100.250", "2001:db8:7:ffff::9"] {
            assert!(guess(&throttle, near, "ana", true).await, "{near}");
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        for far in ["198.51.101.1", "2001:db8:8::1"] {
            assert!(guess(&throttle, far, "ana", true).await, "{far}");
        }
        assert!(began.elapsed() >= PER / SLOW_SHARE, "those had to wait");
        // Who guesses from there has a limit too, and counts apart.
        let mut near = 0;
        for n in 100..200 {
            let from = format!("198.51.100.{n}");
            let guess = guess(&throttle, &from, "ana", false);
            near += usize::from(timeout(Duration::from_millis(1), guess).await == Ok(true));
        }
        assert_eq!(near, 20);
        // After a month it is a place like any other.
        clock.advance(Duration::from_hours(24 * 31));
        attacked(&throttle, "ana").await;
        let began = Instant::now();
        assert!(guess(&throttle, "198.51.100.251", "ana", true).await);
        assert!(began.elapsed() > Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_slowly_is_bounded_in_number_and_in_those_who_wait() {
        let (throttle, _) = throttle();
        let throttle = Arc::new(throttle);
        assert_eq!(attacked(&throttle, "ana").await, 20);
        tokio::time::advance(PER).await;
        let began = Instant::now();
        let mut guesses = tokio::task::JoinSet::new();
        for n in 0..500_u32 {
            let throttle = throttle.clone();
            guesses.spawn(async move {
                let from = format!("203.0.{}.{}", n / 250, n % 250);
                guess(&throttle, &from, "ana", false).await
            });
        }
        let looked_at = guesses.join_all().await.into_iter().filter(|looked_at| *looked_at).count();
        // The first had a turn at once, and its place was free again.
        assert!((3..=4).contains(&looked_at), "{looked_at}: the others were told to come again");
        assert!(began.elapsed() <= (PER / SLOW_SHARE) * SLOW_WAITING, "{:?}", began.elapsed());
        // Its own failures limit an address as ever.
        let mut own = 0;
        for _ in 0..20 {
            own += usize::from(guess(&throttle, "203.0.114.1", "ana", false).await);
        }
        assert_eq!(own, 5);
        let lanes = throttle.slow.lanes();
        assert_eq!((lanes.waiting, lanes.by_login.values().map(|lane| lane.waiting).sum::<u32>()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_attacked_gets_in_within_minutes_while_the_attack_goes_on() {
        let (throttle, _) = throttle();
        let throttle = Arc::new(throttle);
        attacked(&throttle, "ana").await;
        // More places than any limit allows, and each tries again as soon as it may.
        let mut attackers = tokio::task::JoinSet::new();
        for n in 0..20_u32 {
            let throttle = throttle.clone();
            attackers.spawn(async move {
                loop {
                    let from = format!("10.0.{n}.1");
                    if !guess(&throttle, &from, "ana", false).await {
                        tokio::time::sleep(Duration::from_millis(u64::from(20_000 + n * 7))).await;
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_mins(6)).await;
        let began = Instant::now();
        let mut tries = 0;
        while !guess(&throttle, "203.0.113.9", "ana", true).await {
            tries += 1;
            // As a mail program does: again, at no particular moment.
            tokio::time::sleep(Duration::from_millis(10_000 + tries * 1_301)).await;
            assert!(began.elapsed() < Duration::from_mins(3), "after {tries} tries");
        }
        println!("in after {tries} tries, {:?}", began.elapsed());
        attackers.abort_all();
    }

    #[tokio::test]
    async fn her_own_mistakes_do_not_limit_her_elsewhere() {
        let (throttle, _) = throttle();
        for n in 0..10 {
            let from = format!("198.51.100.{n}");
            assert!(guess(&throttle, &from, "ana", true).await);
            assert_eq!(looked_at(&throttle, &from, "ana", 10).await, 5);
        }
        assert!(guess(&throttle, "203.0.113.9", "ana", true).await);
    }

    #[tokio::test]
    async fn a_thousand_guesses_at_once_are_no_way_around() {
        let (throttle, _) = throttle();
        let throttle = Arc::new(throttle);
        let mut guesses = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let throttle = throttle.clone();
            guesses.spawn(async move {
                let Ok(attempt) = throttle.begin("192.0.2.1".parse().unwrap(), "ana").await else {
                    return false;
                };
                tokio::task::yield_now().await;
                attempt.was_wrong();
                true
            });
        }
        assert_eq!(guesses.join_all().await.into_iter().filter(|looked_at| *looked_at).count(), 5);
    }

    #[tokio::test]
    async fn a_program_with_many_connections_at_once_gets_in() {
        let (throttle, _) = throttle();
        let throttle = Arc::new(throttle);
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let throttle = throttle.clone();
            logins.spawn(async move {
                let attempt = throttle.begin("192.0.2.1".parse().unwrap(), "ana").await.ok().unwrap();
                tokio::task::yield_now().await;
                attempt.was_right();
            });
        }
        logins.join_all().await;
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let (throttle, _) = throttle();
        for n in 0..u32::try_from(MOST_ENTRIES).unwrap() * 2 {
            let from = IpAddr::V4((0x0a00_0000 + n).into());
            if let Ok(attempt) = throttle.begin(from, &n.to_string()).await {
                if n % 2 == 0 { attempt.was_wrong() } else { attempt.was_right() }
            }
        }
        let ledger = throttle.ledger();
        for table in [&ledger.by_pair, &ledger.by_address, &ledger.by_login] {
            assert!(table.windows.len() <= MOST_ENTRIES && table.order.len() <= MOST_ENTRIES);
        }
        assert!(ledger.proven.at.len() <= MOST_ENTRIES && ledger.proven.order.len() <= MOST_ENTRIES);
    }
}
