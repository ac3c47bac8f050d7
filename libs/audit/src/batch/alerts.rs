//! Compares the alerts that fire above a threshold, by the final counts, regardless of when these passed the threshold.

use std::collections::BTreeMap;

use crds::{
    pipeline,
    records::aggregate::{Alert, Cause, Counted, OTHER, Span, VERSION},
};

use super::{
    Batch, Found, Kind, Mismatches, Unchecked, compare::Expected, counts::Counts, mismatch::Differences, values::Kept,
};

/// An alert that may have fired.
struct Allowed {
    threshold: u64,
    count: u64,
    /// Whether the alert must have fired.
    must: bool,
}

impl Batch {
    /// Compares the alerts with those that should be there.
    pub(super) fn compare_alerts(&self, expected: &Expected, found: &Found, mismatches: &mut Mismatches) {
        let mut allowed: BTreeMap<String, Allowed> = BTreeMap::new();
        for alert in self.history.alerts() {
            let Some(threshold) = alert.above.and_then(|above| u64::try_from(above).ok()) else { continue };
            for (span, counts) in expected.iter().filter(|(span, _)| span.window == alert.window) {
                if !self.is_unchecked(&alert.name, *span) {
                    self.allow(alert, threshold, *span, counts, &mut allowed);
                }
            }
        }
        for (key, alert) in &found.alerts {
            self.compare_alert(key, alert, allowed.remove(key), mismatches);
        }
        for (key, allowed) in allowed.iter().filter(|(_, allowed)| allowed.must) {
            mismatches.missing(Kind::Alerts, key, allowed.count);
        }
        let not_fired = allowed.values().filter(|allowed| !allowed.must).count();
        mismatches.leave_out(Unchecked::DisplacedValue, not_fired as u64);
    }

    fn is_unchecked(&self, name: &str, span: Span) -> bool {
        self.lacks_events(span) || self.history.alert_has_changed(name, span)
    }

    /// Adds the values for which an alert may have fired in a window.
    fn allow(
        &self,
        alert: &pipeline::Alert,
        threshold: u64,
        span: Span,
        counts: &Counts,
        allowed: &mut BTreeMap<String, Allowed>,
    ) {
        let mut add = |of: Counted, count: u64, must: bool| {
            if count > threshold {
                let cause = Cause::Above { threshold };
                let fired = Alert { v: VERSION, name: alert.name.clone(), span, of, count, cause };
                allowed.insert(fired.key(), Allowed { threshold, count, must });
            }
        };
        let Some(dimension) = alert.dimension else { return add(Counted::All, counts.count, true) };
        let Some(values) = counts.dimensions.get(&dimension) else { return };
        let kept = Kept::of(&values.counts, &self.history.limits(&counts.governed, dimension));
        let is_kept = |value: &str| kept.as_ref().is_some_and(|kept| kept.values.contains_key(value));
        let concerned = |value: &str| value != OTHER && alert.value.as_deref().is_none_or(|wanted| wanted == value);
        for (value, count) in values.counts.iter().filter(|(value, _)| concerned(value)) {
            add(Counted::Value(dimension, value.clone()), *count, is_kept(value));
        }
    }

    fn compare_alert(&self, key: &str, found: &Alert, allowed: Option<Allowed>, mismatches: &mut Mismatches) {
        if self.lacks_events(found.span) {
            return mismatches.leave_out(Unchecked::RemovedInput, 1);
        }
        if self.history.alert_has_changed(&found.name, found.span) {
            return mismatches.leave_out(Unchecked::ChangedAlert, 1);
        }
        let Cause::Above { threshold } = found.cause else {
            return mismatches.leave_out(Unchecked::Deviation, 1);
        };
        let Some(allowed) = allowed else { return mismatches.unexpected(Kind::Alerts, key, found.count) };
        let mut differences = Differences::default();
        differences.compare("v", VERSION, found.v);
        differences.compare("threshold", allowed.threshold, threshold);
        // When the alert fired, the count was above the threshold, and it has only grown since.
        if !(allowed.threshold + 1..=allowed.count).contains(&found.count) {
            differences.compare("count", allowed.count, found.count);
        }
        mismatches.add(Kind::Alerts, key, differences);
    }
}
