use std::time::Duration;

use crate::settings::Retry;

impl Retry {
    /// How long to wait after attempt number `attempt` (from 1): `first`, twice that, and so on up to `longest`;
    /// a fifth more or less, so that what failed together does not come again together. The same for the same
    /// `seed` and number, so that a test can foresee it.
    pub(crate) fn pause(&self, seed: &[u8], attempt: u32) -> Duration {
        self.pause_up_to(self.longest, seed, attempt)
    }

    /// The same with another longest pause.
    pub(crate) fn pause_up_to(&self, longest: Duration, seed: &[u8], attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let pause = self.first.saturating_mul(1 << doublings).min(longest);
        pause * (80 + jitter(seed, attempt)) / 100
    }
}

/// 0 to 40.
fn jitter(seed: &[u8], attempt: u32) -> u32 {
    // FNV-1a: spreads, and is the same on every machine.
    let octets = seed.iter().copied().chain(attempt.to_be_bytes());
    let hash =
        octets.fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) % 41
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_by_a_fifth() {
        let retry = Retry::default();
        for (attempt, minutes) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (u32::MAX, 60)] {
            let mut different = std::collections::BTreeSet::new();
            for seed in 0..200_u8 {
                let pause = retry.pause(&[seed], attempt);
                assert!(pause >= Duration::from_secs(minutes * 48), "{attempt}: {pause:?}");
                assert!(pause <= Duration::from_secs(minutes * 72), "{attempt}: {pause:?}");
                different.insert(pause);
                assert_eq!(pause, retry.pause(&[seed], attempt));
            }
            assert!(different.len() > 20, "{attempt}: {different:?}");
        }
    }
}
