//! Decides when each event is sent, and the event time that it gets. Pure.

use std::time::Duration;

/// How long before the start the first event happened, by default, when a limited number of events is sent without a
/// rate: long enough that windows close during the run.
pub const SPAN: Duration = Duration::from_secs(600);

/// The pace at which events happen and are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Events per second; 0 is as fast as possible.
    pub rate: u64,
    /// How long before the start the first event happened.
    pub since: Duration,
    /// Number of events; `None` for no limit.
    pub total: Option<u64>,
}

impl Pace {
    /// Number of events to send up to `elapsed` after the start. With a rate, the events from before the start are due
    /// at once.
    #[must_use]
    pub fn due(&self, elapsed: Duration) -> u64 {
        let happened = match self.rate {
            0 => u64::MAX,
            rate => ((elapsed + self.since).as_secs_f64() * rate as f64) as u64 + 1,
        };
        self.total.map_or(happened, |total| happened.min(total))
    }

    /// How long ago event `number`, counted from 0, happened, as seen `elapsed` after the start. With a rate, events
    /// happen at that rate; without one, they are spread evenly from the first to now.
    #[must_use]
    pub fn ago(&self, number: u64, elapsed: Duration) -> Duration {
        match (self.rate, self.total) {
            (0, None) => Duration::ZERO,
            (0, Some(total)) => {
                let left = total.saturating_sub(number) as f64 / total.max(1) as f64;
                self.since.mul_f64(left)
            }
            (rate, _) => (elapsed + self.since).saturating_sub(Duration::from_secs_f64(number as f64 / rate as f64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_overdue_is_due_at_once_and_then_the_rate_holds() {
        let pace = Pace { rate: 500, since: SPAN, total: None };
        assert_eq!(pace.due(Duration::ZERO), 300_001, "ten minutes, and the first of now");
        assert_eq!(pace.due(SECOND) - pace.due(Duration::ZERO), 500);
        assert_eq!(Pace { total: Some(400), ..pace }.due(SECOND), 400);
        assert_eq!(Pace { since: Duration::ZERO, ..pace }.due(Duration::ZERO), 1);
        assert_eq!(Pace { rate: 0, ..pace }.due(Duration::ZERO), u64::MAX);
    }

    #[test]
    fn events_happen_one_after_the_other_whenever_they_are_sent() {
        let pace = Pace { rate: 4, since: SPAN, total: None };
        for elapsed in [Duration::ZERO, SECOND, SECOND * 30] {
            let happened = |number| SPAN + elapsed - pace.ago(number, elapsed);
            assert_eq!(happened(0), Duration::ZERO, "the first so long before the start");
            for number in 0..2400 {
                assert_eq!(happened(number + 1) - happened(number), SECOND / 4, "{number}");
            }
            let last = pace.due(elapsed) - 1;
            assert!(pace.ago(last, elapsed) < SECOND / 4, "the last one just now");
        }
        assert_eq!(pace.ago(1_000_000, SECOND), Duration::ZERO, "none in the future");
    }

    #[test]
    fn a_number_without_a_rate_is_spread_over_the_time() {
        let pace = Pace { rate: 0, since: SPAN, total: Some(1000) };
        assert_eq!(pace.ago(0, SECOND), SPAN);
        assert_eq!(pace.ago(500, SECOND), SPAN / 2);
        assert_eq!(pace.ago(1000, SECOND), Duration::ZERO);
        assert_eq!(Pace { total: None, ..pace }.ago(500, SECOND), Duration::ZERO);
    }
}
