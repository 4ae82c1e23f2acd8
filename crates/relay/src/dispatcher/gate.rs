use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::Timestamp;

use crate::settings::{Rate, Retry};

/// What stands before a provider: how many handoffs at once, how many in a time, and, while it is away, one
/// that finds out whether it is back.
///
/// Without the last, a thousand queued mails would knock a thousand times at a closed door, and a provider that
/// comes back would be met by all of them at once.
#[derive(Debug)]
pub(super) struct Gate {
    name: String,
    most: usize,
    rate: Option<Rate>,
    retry: Retry,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    /// When the last ones went through: at most as many as `rate` allows in its time. A bucket that fills
    /// again while it is used would let twice as many through in one such time.
    passed: VecDeque<Timestamp>,
    /// How often in turn the provider was away; 0: it is there.
    failures: u32,
    /// While it is away: when the next one may find out.
    opens_at: Option<Timestamp>,
    /// What kept the last one out.
    words: String,
}

/// Why nobody gets through now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Until one of those inside comes out.
    Full,
    /// Until then.
    Until(Timestamp),
}

/// A place inside; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    gate: Arc<Gate>,
    /// The provider was away, and this one finds out.
    probe: bool,
}

/// A provider that is away is asked at least this often: mail should not wait an hour for one that is back.
const LONGEST_AWAY: Duration = Duration::from_mins(5);

impl Gate {
    pub(super) fn new(name: &str, most: usize, rate: Option<Rate>, retry: Retry) -> Self {
        Self { name: name.to_owned(), most: most.max(1), rate, retry, state: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `None`: somebody may go in.
    pub(super) fn closed(&self, now: Timestamp) -> Option<Closed> {
        self.closed_by(&mut self.state(), now)
    }

    /// A place, and one of the rate's messages.
    pub(super) fn enter(self: &Arc<Self>, now: Timestamp) -> Option<Place> {
        let mut state = self.state();
        if self.closed_by(&mut state, now).is_some() {
            return None;
        }
        let probe = state.failures > 0;
        state.inside += 1;
        self.pass(&mut state, now);
        Some(Place { gate: self.clone(), probe })
    }

    /// While the provider is away: one may find out now.
    pub(super) fn ask_now(&self) {
        self.state().opens_at = None;
    }

    /// Is the provider away, and nobody to ask for a while?
    pub(super) fn is_pausing(&self, now: Timestamp) -> bool {
        self.state().opens_at.is_some_and(|opens_at| now < opens_at)
    }

    /// What the provider said, or what happened, when it was found away.
    pub(super) fn words(&self) -> String {
        self.state().words.clone()
    }

    fn closed_by(&self, state: &mut State, now: Timestamp) -> Option<Closed> {
        if let Some(opens_at) = state.opens_at
            && now < opens_at
        {
            return Some(Closed::Until(opens_at));
        }
        if state.inside >= self.most || (state.failures > 0 && state.inside > 0) {
            return Some(Closed::Full);
        }
        self.rate_closed(state, now).map(Closed::Until)
    }

    fn rate_closed(&self, state: &mut State, now: Timestamp) -> Option<Timestamp> {
        let rate = self.rate?;
        while state.passed.front().is_some_and(|at| now.since(*at) >= rate.per) {
            state.passed.pop_front();
        }
        // Noted before the clock was set back.
        while state.passed.back().is_some_and(|at| *at > now) {
            state.passed.pop_back();
        }
        let most = usize::try_from(rate.messages).unwrap_or(usize::MAX);
        (state.passed.len() >= most).then(|| state.passed.front().map(|first| first.plus(rate.per)))?
    }

    fn pass(&self, state: &mut State, now: Timestamp) {
        if self.rate.is_some() {
            state.passed.push_back(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// May another message go through on the same place?
    pub(super) fn another(&self, now: Timestamp) -> bool {
        let gate = &self.gate;
        let mut state = gate.state();
        if state.failures > 0 || gate.rate_closed(&mut state, now).is_some() {
            return false;
        }
        gate.pass(&mut state, now);
        true
    }

    /// The provider is there. True: it was away.
    pub(super) fn reached(&self) -> bool {
        let mut state = self.gate.state();
        // One that went in before the others failed says nothing about now.
        if state.failures > 0 && !self.probe {
            return false;
        }
        state.opens_at = None;
        std::mem::take(&mut state.failures) > 0
    }

    /// The provider is away; `for_long` when somebody has to mend something first. When it is asked again; `None`
    /// if others have found the same before.
    pub(super) fn away(&self, now: Timestamp, for_long: bool, words: &str) -> Option<Timestamp> {
        let gate = &self.gate;
        let mut state = gate.state();
        // Of several that fail together only the first counts.
        if state.failures > 0 && !self.probe {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        words.clone_into(&mut state.words);
        let longest = if for_long { gate.retry.longest } else { gate.retry.longest.min(LONGEST_AWAY) };
        let pause = gate.retry.pause_up_to(longest, gate.name.as_bytes(), state.failures);
        state.opens_at = Some(now.plus(pause));
        state.opens_at
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.inside = state.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000)
    }

    fn gate(most: usize, rate: Option<Rate>) -> Arc<Gate> {
        Arc::new(Gate::new("own", most, rate, Retry::default()))
    }

    #[test]
    fn no_more_at_once_than_allowed() {
        let gate = gate(2, None);
        let one = gate.enter(at(0)).unwrap();
        let _two = gate.enter(at(0)).unwrap();
        assert!(gate.enter(at(0)).is_none());
        assert_eq!(gate.closed(at(9)), Some(Closed::Full));
        drop(one);
        assert!(gate.enter(at(9)).is_some());
    }

    #[test]
    fn no_more_in_any_minute_than_allowed() {
        let gate = gate(9, Some(Rate { messages: 3, per: Duration::from_mins(1) }));
        let place = gate.enter(at(0)).unwrap();
        assert!(place.another(at(30)) && place.another(at(31)));
        assert!(!place.another(at(32)));
        assert_eq!(gate.closed(at(59)), Some(Closed::Until(at(60))));
        assert!(place.another(at(60)));
        assert_eq!(gate.closed(at(60)), Some(Closed::Until(at(90))));
        assert!(gate.enter(at(90)).is_some());
        // The clock was set back: nothing waits for what is in the future.
        assert!(gate.enter(at(1)).is_some());
    }

    #[test]
    fn while_the_provider_is_away_one_at_a_time_finds_out() {
        let gate = gate(4, None);
        let places: Vec<_> = (0..4).map(|_| gate.enter(at(0)).unwrap()).collect();
        for place in &places {
            place.away(at(1), false, "could not connect");
        }
        drop(places);
        let Some(Closed::Until(opens_at)) = gate.closed(at(2)) else { panic!("open") };
        assert!(opens_at > at(48) && opens_at < at(75), "{opens_at}: once, not four times");
        let probe = gate.enter(opens_at).unwrap();
        assert!(gate.enter(opens_at).is_none());
        probe.away(opens_at, false, "still");
        assert!(!probe.another(at(900)));
        drop(probe);
        let Some(Closed::Until(opens_again)) = gate.closed(opens_at) else { panic!("open") };
        assert!(opens_again.since(opens_at) > Duration::from_secs(95), "the pause grows");
        let probe = gate.enter(opens_again).unwrap();
        assert!(probe.reached() && !probe.reached());
        assert!(gate.enter(opens_again).is_some() && gate.enter(opens_again).is_some());
        assert_eq!(gate.words(), "still");
    }

    #[test]
    fn one_may_be_sent_to_find_out_at_once() {
        let gate = gate(4, None);
        gate.enter(at(0)).unwrap().away(at(0), false, "");
        assert!(gate.is_pausing(at(1)) && gate.enter(at(1)).is_none());
        gate.ask_now();
        assert!(!gate.is_pausing(at(1)));
        let probe = gate.enter(at(1)).unwrap();
        assert!(gate.enter(at(1)).is_none(), "one, not four");
        probe.away(at(1), false, "");
        assert!(gate.is_pausing(at(60)), "the pause has grown");
    }

    #[test]
    fn what_went_in_before_says_nothing_about_now() {
        let gate = gate(4, None);
        let (early, late) = (gate.enter(at(0)).unwrap(), gate.enter(at(0)).unwrap());
        late.away(at(1), false, "");
        assert!(!early.reached());
        assert!(gate.closed(at(2)).is_some());
    }

    #[test]
    fn what_nobody_mends_is_not_asked_every_five_minutes() {
        for (for_long, longest) in [(false, 6 * 60), (true, 72 * 60)] {
            let gate = gate(1, None);
            let mut now = at(0);
            let mut pause = Duration::ZERO;
            for _ in 0..20 {
                gate.enter(now).unwrap().away(now, for_long, "");
                let Some(Closed::Until(opens_at)) = gate.closed(now) else { panic!("open") };
                pause = opens_at.since(now);
                now = opens_at;
            }
            assert!(pause.as_secs() <= longest && pause.as_secs() >= longest / 2, "{pause:?}");
        }
    }
}
