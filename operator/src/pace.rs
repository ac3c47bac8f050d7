//! How often and how much at once the operator asks: pauses after failures, jitter, and the size of a page.

use std::time::Duration;

use rand::Rng;

/// How many objects one request lists. A page of a thousand would take more memory than everything else.
pub(crate) const PAGE: u32 = 100;

/// A factor that keeps many pipelines, or many operators, from coming at once.
#[must_use]
pub(crate) fn jitter() -> f64 {
    rand::rng().random_range(0.8..1.0)
}

/// The pause after this many failures in a row: it doubles from one second to a minute, less some jitter.
#[must_use]
pub(crate) fn backoff(failures: u32) -> Duration {
    let seconds = f64::from(1_u32 << failures.saturating_sub(1).min(6)).min(60.0);
    Duration::from_secs_f64(seconds * jitter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_slow_down_to_a_minute() {
        let mut longest = Duration::ZERO;
        for failures in 1..100 {
            let pause = backoff(failures);
            assert!(pause >= Duration::from_millis(800) && pause <= Duration::from_secs(60), "{failures}: {pause:?}");
            longest = longest.max(pause);
        }
        assert!(backoff(1) <= Duration::from_secs(1) && longest > Duration::from_secs(40));
    }
}
