//! How long transactions took since the last view. A Prometheus histogram cannot be read back, so the durations are
//! also recorded here: once per transaction, never per event.

use std::{
    mem,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::types::LatencyOf;

/// How many durations are kept between two views: far more than a replica commits in a second.
const NOTED: usize = 4096;

/// Records how long transactions took.
#[derive(Debug, Default)]
pub struct Latencies(Mutex<Vec<Duration>>);

impl Latencies {
    /// Records a duration; drops it if [`NOTED`] are already kept.
    pub fn note(&self, took: Duration) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < NOTED {
            noted.push(took);
        }
    }

    /// Returns the durations since the last call, and forgets them.
    pub fn take(&self) -> LatencyOf {
        let mut noted = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        noted.sort_unstable();
        LatencyOf { count: noted.len() as u64, p50: percentile(&noted, 50), p99: percentile(&noted, 99) }
    }
}

/// Returns the smallest duration, in seconds, that at least `percent` percent of all do not exceed.
fn percentile(ascending: &[Duration], percent: usize) -> Option<f64> {
    let rank = (ascending.len() * percent).div_ceil(100);
    Some(ascending.get(rank.checked_sub(1)?)?.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(millis: impl IntoIterator<Item = u64>) -> LatencyOf {
        let latencies = Latencies::default();
        millis.into_iter().for_each(|millis| latencies.note(Duration::from_millis(millis)));
        latencies.take()
    }

    #[test]
    fn percentiles_are_of_what_was_noted() {
        assert_eq!(latencies([]), LatencyOf { count: 0, p50: None, p99: None });
        assert_eq!(latencies([7]), LatencyOf { count: 1, p50: Some(0.007), p99: Some(0.007) });
        assert_eq!(latencies([30, 10, 20, 40]), LatencyOf { count: 4, p50: Some(0.02), p99: Some(0.04) });
        assert_eq!(latencies((1..=200).rev()), LatencyOf { count: 200, p50: Some(0.1), p99: Some(0.198) });
    }

    #[test]
    fn each_is_told_once_and_no_more_are_kept_than_said() {
        let latencies = Latencies::default();
        (0..2 * NOTED).for_each(|_| latencies.note(Duration::from_millis(1)));
        assert_eq!(latencies.take().count, NOTED as u64);
        assert_eq!(latencies.take().count, 0);
    }
}
