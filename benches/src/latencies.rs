use std::time::Duration;

/// What one round of load took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    pub(crate) each: Vec<Duration>,
    pub(crate) whole: Duration,
}

impl Latencies {
    pub(crate) fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let count = self.each.len() as f64;
        count / self.whole.as_secs_f64()
    }

    /// The value that `share` (0 to 1) of all stay under.
    pub(crate) fn quantile(&mut self, share: f64) -> Duration {
        self.each.sort_unstable();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index"
        )]
        let at = ((self.each.len().saturating_sub(1)) as f64 * share) as usize;
        self.each.get(at).copied().unwrap_or_default()
    }
}

/// The middle one.
pub(crate) fn median<T: PartialOrd + Copy>(values: &mut [T]) -> Option<T> {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}
