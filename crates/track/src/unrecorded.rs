use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::endpoint::{Limits, Quota};
use crate::event;
use crate::meter::Meter;
use crate::place::counted_as;

/// Which hits are answered and not recorded, and how the log hears of it: not of each, but of how many.
pub(crate) struct Unrecorded {
    by_address: Option<(Quota, Meter)>,
    by_url: Option<(Quota, Meter)>,
    pub(crate) beyond_address: Count,
    pub(crate) beyond_url: Count,
    /// Too many waited for the store.
    pub(crate) crowded: Count,
    /// Recorded, but not yet when the answer left.
    pub(crate) answered_first: Count,
    told: Mutex<Option<Instant>>,
}

/// How often something happened since the log heard of it.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

/// The log hears of what is new no more often than this.
const PAUSE: Duration = Duration::from_mins(1);

impl Unrecorded {
    pub(crate) fn new(limits: &Limits) -> Self {
        let meter = |quota: Option<Quota>| quota.map(|quota| (quota, Meter::new(quota)));
        Self {
            by_address: meter(limits.per_address),
            by_url: meter(limits.per_url),
            beyond_address: Count::default(),
            beyond_url: Count::default(),
            crowded: Count::default(),
            answered_first: Count::default(),
            told: Mutex::new(None),
        }
    }

    /// May one more hit be recorded? `address`: whose hits are counted together, if they are.
    pub(crate) fn admits(&self, address: Option<IpAddr>, url: &impl Hash) -> bool {
        let within = |meter: &Option<(Quota, Meter)>, key: &dyn Fn(&Meter) -> bool| match meter {
            Some((_, meter)) => key(meter),
            None => true,
        };
        if let Some(address) = address
            && !within(&self.by_address, &|meter| meter.admits(&counted_as(address)))
        {
            self.beyond_address.one_more();
            return false;
        }
        if !within(&self.by_url, &|meter| meter.admits(url)) {
            self.beyond_url.one_more();
            return false;
        }
        true
    }

    /// Begins new windows when it is time, and tells the log what is new.
    pub(crate) fn turn(&self, now: Instant) {
        for (_, meter) in [&self.by_address, &self.by_url].into_iter().flatten() {
            meter.turn(now);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE) && self.tell() {
            *told = Some(now);
        }
    }

    /// Tells the log what is new. False: there is nothing.
    pub(crate) fn tell(&self) -> bool {
        let mut something = false;
        let mut told = |count: &Count, tell: &dyn Fn(u64)| {
            let new = count.0.swap(0, Ordering::Relaxed);
            if new > 0 {
                something = true;
                tell(new);
            }
        };
        if let Some((quota, _)) = self.by_address {
            told(&self.beyond_address, &|hits| event::beyond_address(hits, quota));
        }
        if let Some((quota, _)) = self.by_url {
            told(&self.beyond_url, &|hits| event::beyond_url(hits, quota));
        }
        told(&self.crowded, &event::crowded);
        told(&self.answered_first, &event::answered_first);
        something
    }
}

impl Count {
    pub(crate) fn one_more(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
