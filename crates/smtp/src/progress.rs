use std::time::Duration;

use tokio::time::Instant;

use crate::listener_config::Deadlines;

/// How a content comes along: one that is slow in earnest has time, one that is held back has none.
///
/// As many octets as the slowest line brings in [`Deadlines::content_read`] must come in that time, again and again:
/// one octet now and then buys nothing, and no content lasts for ever.
#[derive(Debug)]
pub(crate) struct Progress {
    /// When all of it must be there.
    ends: Instant,
    /// When the next `owed` octets must be there.
    due: Instant,
    owed: u64,
    /// The same, while others wait for room.
    hurried: Option<(Instant, u64)>,
}

impl Progress {
    /// A content of at most `max_octets` begins now.
    pub(crate) fn begin(deadlines: &Deadlines, max_octets: u64) -> Self {
        let now = Instant::now();
        let seconds = max_octets / deadlines.content_rate.max(1);
        let longest = deadlines.content_read.saturating_add(Duration::from_secs(seconds));
        Self {
            ends: now.checked_add(longest).unwrap_or(now + deadlines.content_read),
            due: now + deadlines.content_read,
            owed: octets_in(deadlines, deadlines.content_read),
            hurried: None,
        }
    }

    /// So many octets came.
    pub(crate) fn received(&mut self, deadlines: &Deadlines, octets: usize) {
        let octets = octets as u64;
        self.owed = self.owed.saturating_sub(octets);
        if self.owed == 0 {
            self.due = Instant::now() + deadlines.content_read;
            self.owed = octets_in(deadlines, deadlines.content_read);
        }
        if let Some((_, owed)) = &mut self.hurried {
            *owed = owed.saturating_sub(octets);
            // Whether there still is a hurry is seen anew.
            if *owed == 0 {
                self.hurried = None;
            }
        }
    }

    /// We did not listen for so long.
    pub(crate) fn pause(&mut self, time: Duration) {
        self.ends += time;
        self.due += time;
        if let Some((due, _)) = &mut self.hurried {
            *due += time;
        }
    }

    /// Do others wait for the room that it holds?
    pub(crate) fn hurry(&mut self, deadlines: &Deadlines, others_wait: bool) {
        if !others_wait {
            self.hurried = None;
        } else if self.hurried.is_none() {
            let time = deadlines.content_read_when_full;
            self.hurried = Some((Instant::now() + time, octets_in(deadlines, time)));
        }
    }

    /// When it must have come further.
    pub(crate) fn deadline(&self) -> Instant {
        let deadline = self.ends.min(self.due);
        self.hurried.map_or(deadline, |(due, _)| deadline.min(due))
    }
}

/// One at least: nothing at all is no progress, whatever the rate.
fn octets_in(deadlines: &Deadlines, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    (deadlines.content_rate.saturating_mul(millis) / 1_000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const DEADLINES: Deadlines = Deadlines {
        command: Duration::from_secs(1),
        login: Duration::from_secs(1),
        content_read: Duration::from_mins(1),
        content_read_when_full: Duration::from_secs(10),
        content_rate: 1_000,
        write: Duration::from_secs(1),
        handshake: Duration::from_secs(1),
        room: Duration::from_secs(1),
        grace: Duration::from_secs(1),
    };

    fn left(progress: &Progress) -> u64 {
        progress.deadline().duration_since(Instant::now()).as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_has_time_and_a_dribble_has_none() {
        let mut slow = Progress::begin(&DEADLINES, 35_000_000);
        let mut dribble = Progress::begin(&DEADLINES, 35_000_000);
        // 35 MB at 1 KB a second: nearly ten hours.
        for second in 0..35_000 {
            advance(Duration::from_secs(1)).await;
            slow.received(&DEADLINES, 1_000);
            dribble.received(&DEADLINES, 1);
            assert!(left(&slow) > 0, "cut after {second} s");
            assert_eq!(left(&dribble) > 0, second < 59, "after {second} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_ends_too() {
        let mut progress = Progress::begin(&DEADLINES, 1_000_000);
        let mut seconds = 0;
        while left(&progress) > 0 {
            advance(Duration::from_secs(1)).await;
            progress.received(&DEADLINES, 100_000);
            seconds += 1;
        }
        assert_eq!(seconds, 1_060);
    }

    #[tokio::test(start_paused = true)]
    async fn others_that_wait_make_it_hurry() {
        let mut progress = Progress::begin(&DEADLINES, 1_000_000);
        assert_eq!(left(&progress), 60);
        progress.hurry(&DEADLINES, true);
        assert_eq!(left(&progress), 10);
        advance(Duration::from_secs(5)).await;
        progress.received(&DEADLINES, 9_999);
        progress.hurry(&DEADLINES, true);
        assert_eq!(left(&progress), 5);
        progress.received(&DEADLINES, 1);
        assert_eq!(left(&progress), 55);
        progress.hurry(&DEADLINES, true);
        assert_eq!(left(&progress), 10);
        progress.pause(Duration::from_secs(7));
        assert_eq!(left(&progress), 17);
        progress.hurry(&DEADLINES, false);
        assert_eq!(left(&progress), 62);
    }
}
