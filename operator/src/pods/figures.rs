//! Lag and rate: from what each pod counts to what is worth reporting. Pure.

use std::{collections::BTreeMap, time::Duration};

/// What is reported of a pipeline's pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Records of the source that wait; none when the pods do not tell of every partition.
    pub lag: Option<i64>,
    /// Events in a second, valid or not, to two digits; none when a pod does not answer.
    pub rate: Option<i64>,
}

/// What one pod counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Records that wait, by partition of the source.
    pub lag: BTreeMap<i32, i64>,
    /// Events since the pod's container started, valid or not.
    pub events: u64,
}

/// What all pods of a pipeline counted at one time, by their UIDs; none for a pod that does not answer.
pub(crate) type Counts = BTreeMap<String, Option<Counted>>;

/// A pod's metrics. None when they are cut off: every number could be missing then.
#[must_use]
pub(crate) fn counted(metrics: &str) -> Option<Counted> {
    let mut counted = Counted::default();
    for line in metrics.lines() {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<i64>() else { continue };
        let events = u64::try_from(value).unwrap_or_default();
        if let Some(labels) = name.strip_prefix("login_processor_lag_records{") {
            let partition = labels.strip_prefix("partition=\"")?.strip_suffix("\"}")?;
            counted.lag.insert(partition.parse().ok()?, value);
        } else if name == "login_processor_events_processed_total"
            || name.starts_with("login_processor_events_dead_lettered_total{")
        {
            counted.events = counted.events.saturating_add(events);
        }
    }
    metrics.trim_end().ends_with("# EOF").then_some(counted)
}

/// Records that wait in all partitions. None while no pod reports one of them: its share is not known.
#[must_use]
pub(crate) fn lag(now: &Counts, partitions: Option<i32>) -> Option<i64> {
    // While a partition moves, both pods may tell of it.
    let mut all = BTreeMap::<i32, i64>::new();
    for (partition, lag) in now.values().flatten().flat_map(|pod| &pod.lag) {
        let most = all.entry(*partition).or_default();
        *most = (*most).max(*lag);
    }
    all.keys().copied().eq(0..partitions?).then(|| all.values().sum())
}

/// Events in a second between two times, to two digits. None when there is no pod, or one does not answer.
#[must_use]
pub(crate) fn rate(before: &Counts, now: &Counts, took: Duration) -> Option<i64> {
    let mut events = 0_u64;
    for (pod, counted) in now {
        let counted = counted.as_ref()?.events;
        let then = match before.get(pod) {
            // It counted from 0 since.
            None => 0,
            Some(then) => then.as_ref()?.events,
        };
        // One that counts less has started anew.
        events = events.saturating_add(counted.checked_sub(then).unwrap_or(counted));
    }
    let millis = u64::try_from(took.as_millis()).ok().filter(|millis| *millis > 0)?;
    let rate = events.saturating_mul(1000) / millis;
    (!now.is_empty()).then(|| two_digits(i64::try_from(rate).unwrap_or(i64::MAX)))
}

/// A number that is not negative, rounded to its two highest digits.
fn two_digits(number: i64) -> i64 {
    let step = 10_i64.pow(number.max(1).ilog10().saturating_sub(1));
    number.saturating_add(step / 2) / step * step
}

/// What to report: what was reported, unless one of the figures has changed by a tenth, or comes, goes, or is zero now and
/// was not before. Then both are reported as they are.
#[must_use]
pub(crate) fn decide(reported: Figures, measured: Figures) -> Figures {
    if differs(reported.lag, measured.lag) || differs(reported.rate, measured.rate) { measured } else { reported }
}

fn differs(reported: Option<i64>, measured: Option<i64>) -> bool {
    match (reported, measured) {
        (Some(reported), Some(measured)) => {
            let change = reported.abs_diff(measured);
            (reported == 0) != (measured == 0) || (change > 0 && change.saturating_mul(10) >= reported.unsigned_abs())
        }
        (reported, measured) => reported != measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
# HELP login_processor_events_processed Valid events, aborted transactions included.
# TYPE login_processor_events_processed counter
login_processor_events_processed_total 40
login_processor_events_dead_lettered_total{reason=\"not_json\"} 2
login_processor_events_dead_lettered_total{reason=\"future\"} 3
login_processor_lag_records{partition=\"0\"} 17
login_processor_lag_records{partition=\"11\"} 0
login_processor_aggregate_frontier_delay_seconds NaN
# EOF
";

    /// Partitions, each with its lag.
    type Lag<'a> = &'a [(i32, i64)];

    fn pods<const N: usize>(pods: [(&str, Option<Lag<'_>>); N]) -> Counts {
        let counted = |lag: Lag<'_>| Counted { lag: lag.iter().copied().collect(), events: 0 };
        pods.map(|(name, lag)| (name.to_owned(), lag.map(counted))).into()
    }

    #[test]
    fn a_pod_counts_its_partitions_and_all_of_its_events() {
        let expected = Counted { lag: [(0, 17), (11, 0)].into(), events: 45 };
        assert_eq!(counted(METRICS), Some(expected));
        assert_eq!(counted(METRICS.strip_suffix("# EOF\n").unwrap()), None);
        assert_eq!(counted(""), None);
    }

    #[test]
    fn lag_is_known_when_every_partition_is_told_of() {
        let two = pods([("a", Some(&[(0, 5), (1, 7)])), ("b", Some(&[(1, 9), (2, 0)]))]);
        assert_eq!(lag(&two, Some(3)), Some(14));
        assert_eq!(lag(&two, Some(4)), None);
        assert_eq!(lag(&two, None), None);
        let one = pods([("a", Some(&[(0, 5), (1, 7)])), ("b", None)]);
        assert_eq!(lag(&one, Some(3)), None);
        assert_eq!(lag(&one, Some(2)), Some(12));
        assert_eq!(lag(&pods([]), Some(1)), None);
    }

    #[test]
    fn rate_is_what_every_pod_has_counted_since() {
        let at = |counts: &[(&str, Option<u64>)]| -> Counts {
            let counted = |events: u64| Counted { lag: BTreeMap::new(), events };
            counts.iter().map(|(pod, events)| ((*pod).to_owned(), events.map(counted))).collect()
        };
        let minute = Duration::from_secs(60);
        let before = at(&[("a", Some(1000)), ("b", Some(1000)), ("gone", Some(9))]);

        assert_eq!(rate(&before, &at(&[("a", Some(1600)), ("b", Some(1000))]), minute), Some(10));
        // b started anew, c was not there before.
        let now = at(&[("a", Some(1000)), ("b", Some(120)), ("c", Some(480))]);
        assert_eq!(rate(&before, &now, minute), Some(10));
        assert_eq!(rate(&before, &at(&[("a", Some(1600)), ("b", None)]), minute), None);
        assert_eq!(rate(&at(&[("a", None)]), &at(&[("a", Some(1600))]), minute), None);
        assert_eq!(rate(&before, &at(&[]), minute), None);
        assert_eq!(rate(&before, &before, Duration::ZERO), None);
    }

    #[test]
    fn a_rate_has_two_digits() {
        let rounded = [0, 7, 99, 104, 105, 996, 12_499, 12_500, i64::MAX].map(two_digits);
        assert_eq!(rounded, [0, 7, 99, 100, 110, 1000, 12_000, 13_000, 9_200_000_000_000_000_000]);
    }

    #[test]
    fn only_a_step_is_reported() {
        let figures = |lag, rate| Figures { lag, rate };
        let cases = [
            // The same, and less than a tenth of either.
            ((Some(0), Some(0)), (Some(0), Some(0)), false),
            ((Some(1000), Some(500)), (Some(1099), Some(451)), false),
            // A tenth, up and down.
            ((Some(1000), Some(500)), (Some(1100), Some(500)), true),
            ((Some(1000), Some(500)), (Some(1000), Some(450)), true),
            // To and from zero.
            ((Some(0), Some(500)), (Some(1), Some(500)), true),
            ((Some(1), Some(500)), (Some(0), Some(500)), true),
            // Coming and going.
            ((None, Some(500)), (Some(5), Some(500)), true),
            ((Some(5), Some(500)), (Some(5), None), true),
            ((None, None), (None, None), false),
        ];

        for (reported, measured, is_step) in cases {
            let (reported, measured) = (figures(reported.0, reported.1), figures(measured.0, measured.1));
            let expected = if is_step { measured } else { reported };
            assert_eq!(decide(reported, measured), expected, "{reported:?} {measured:?}");
        }
    }
}
