use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::endpoint::Quota;

/// How often each of very many did something within a window of time, in memory of a fixed size.
///
/// A count-min sketch: a row is a table of counters, a key has one in each, and the smallest of them is its count.
/// Keys that share a counter in every row are counted together: rare, as the rows are hashed with secrets of their
/// own, which also keeps anybody from choosing whom to share with. Nothing of a key is kept.
pub(crate) struct Meter {
    quota: Quota,
    rows: [RandomState; ROWS],
    window: Mutex<Window>,
}

struct Window {
    began: Instant,
    /// Row after row.
    counts: Vec<u32>,
}

const ROWS: usize = 4;
/// Of each row: 128 KB in all.
const COUNTERS: usize = 8_192;

impl Meter {
    pub(crate) fn new(quota: Quota) -> Self {
        let window = Window { began: Instant::now(), counts: vec![0; ROWS * COUNTERS] };
        Self { quota, rows: std::array::from_fn(|_| RandomState::new()), window: Mutex::new(window) }
    }

    /// Once more for `key`: is that within the quota?
    pub(crate) fn admits(&self, key: &impl Hash) -> bool {
        let places = std::array::from_fn::<_, ROWS, _>(|row| {
            // Less than COUNTERS, so it fits.
            let column = usize::try_from(self.rows[row].hash_one(key) % COUNTERS as u64).unwrap_or_default();
            row * COUNTERS + column
        });
        let mut window = self.window();
        let before = places.iter().map(|place| window.counts[*place]).min().unwrap_or_default();
        if before >= self.quota.requests {
            return false;
        }
        for place in places {
            // Only the smallest: the others are greater because of others.
            if window.counts[place] == before {
                window.counts[place] += 1;
            }
        }
        true
    }

    /// If the window is over by now, another begins.
    pub(crate) fn turn(&self, now: Instant) {
        let mut window = self.window();
        if now.saturating_duration_since(window.began) >= self.quota.per {
            window.began = now;
            window.counts.fill(0);
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_has_its_own_count_until_the_window_is_over() {
        let minute = Duration::from_mins(1);
        let meter = Meter::new(Quota { requests: 3, per: minute });
        for round in 0..5 {
            for key in 0..50 {
                assert_eq!(meter.admits(&key), round < 3, "{key} for the {round}th time");
            }
        }
        let began = meter.window().began;
        meter.turn(began + minute / 2);
        assert!(!meter.admits(&1));
        meter.turn(began + minute);
        assert!(meter.admits(&1));
    }

    #[test]
    fn very_many_take_no_more_room_and_hardly_anybody_else_s_turn() {
        let meter = Meter::new(Quota { requests: 100, per: Duration::from_mins(1) });
        for key in 0..20_000_u32 {
            meter.admits(&key);
        }
        let silenced = (20_000..21_000_u32).filter(|key| !meter.admits(key)).count();
        assert_eq!(silenced, 0, "20,000 in 8,192 counters are three each");
        assert_eq!(meter.window().counts.len(), ROWS * COUNTERS);
    }
}
