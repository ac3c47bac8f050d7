//! Anomalies: counts that exceed a threshold fire at once, and counts far from those of earlier windows fire when the
//! window closes.

use std::collections::BTreeSet;

use crds::{
    pipeline::{self, Dimension, Window as Size},
    records::aggregate::{self, Alert, Cause, Counted, OTHER, Span, rounded},
};

use super::{state::Fold, window::Window};

/// The number of earlier windows that a closing window is compared with.
pub const HISTORY: i64 = 12;

/// The minimum number of earlier windows for a comparison.
const LEAST_HISTORY: usize = 6;

/// Which alerts fire when a count of a window changes from `old` to `new`.
pub fn above(
    alerts: &[pipeline::Alert],
    span: Span,
    of: Option<(Dimension, &str)>,
    (old, new): (u64, u64),
    fired: &mut Vec<Alert>,
) {
    for alert in alerts {
        let Some(threshold) = alert.above.and_then(|above| u64::try_from(above).ok()) else { continue };
        let passes = old <= threshold && threshold < new;
        if passes && alert.window == span.window && watches(alert, of) {
            fired.push(Alert {
                v: aggregate::VERSION,
                name: alert.name.clone(),
                span,
                of: counted(of),
                count: new,
                cause: Cause::Above { threshold },
            });
        }
    }
}

fn watches(alert: &pipeline::Alert, of: Option<(Dimension, &str)>) -> bool {
    match of {
        None => alert.dimension.is_none(),
        Some((dimension, value)) => {
            alert.dimension == Some(dimension)
                && alert.value.as_deref().is_none_or(|named| named == value)
                && value != OTHER
        }
    }
}

fn counted(of: Option<(Dimension, &str)>) -> Counted {
    of.map_or(Counted::All, |(dimension, value)| Counted::Value(dimension, value.to_owned()))
}

impl Fold {
    /// The alerts that fire when a window closes because a count is far from the counts of earlier windows.
    pub(super) fn deviations(&self, span: Span) -> Vec<Alert> {
        let alerts = self.book.current().map(|rules| &rules.alerts[..]).unwrap_or_default();
        let mut fired = Vec::new();
        for alert in alerts.iter().filter(|alert| alert.window == span.window) {
            let Some(allowed) = alert.deviation else { continue };
            let history = self.history(span);
            if history.len() < LEAST_HISTORY {
                continue;
            }
            for of in self.watched(alert, span, &history) {
                let of = of.as_ref().map(|(dimension, value)| (*dimension, value.as_str()));
                let counts: Vec<u64> = history.iter().map(|window| self.count(*window, of)).collect();
                let count = self.count(self.windows.get(&span), of);
                let (mean, sigma) = mean_and_sigma(&counts);
                if (count as f64 - mean).abs() > allowed * sigma {
                    let cause = Cause::Deviation { mean: rounded(mean), sigma: rounded(sigma), allowed };
                    let name = alert.name.clone();
                    fired.push(Alert { v: aggregate::VERSION, name, span, of: counted(of), count, cause });
                }
            }
        }
        fired
    }

    /// The earlier windows, with none for a window without events. They go back to the pipeline's first window, but
    /// only as far as window state is kept.
    fn history(&self, span: Span) -> Vec<Option<&Window>> {
        let Size::Finite(size) = span.window else { return Vec::new() };
        let first = self.first_windows.get(&span.window).copied().unwrap_or(span.start);
        (1..=HISTORY)
            .map(|steps| Span { start: span.start.saturating_sub(steps.saturating_mul(size.as_secs())), ..span })
            .take_while(|before| {
                before.start >= first && self.horizon.is_none_or(|horizon| before.end() > Some(horizon))
            })
            .map(|before| self.windows.get(&before))
            .collect()
    }

    /// The counts that an alert compares, including those of values that occurred only in earlier windows.
    fn watched(
        &self,
        alert: &pipeline::Alert,
        span: Span,
        history: &[Option<&Window>],
    ) -> BTreeSet<Option<(Dimension, String)>> {
        let Some(dimension) = alert.dimension else { return BTreeSet::from([None]) };
        if let Some(value) = &alert.value {
            return BTreeSet::from([Some((dimension, value.clone()))]);
        }
        let windows = history.iter().copied().flatten().chain(self.windows.get(&span));
        let values = windows.filter_map(|window| window.values[dimension as usize].as_ref());
        let texts = values.flat_map(|values| values.sorted(&self.pool)).map(|(value, _)| value.to_owned());
        texts.filter(|value| value != OTHER).map(|value| Some((dimension, value))).collect()
    }

    fn count(&self, window: Option<&Window>, of: Option<(Dimension, &str)>) -> u64 {
        let Some(window) = window else { return 0 };
        match of {
            None => window.count,
            Some((dimension, value)) => {
                window.values[dimension as usize].as_ref().map_or(0, |values| values.count(&self.pool, value))
            }
        }
    }
}

/// Mean and standard deviation of a whole population. The deviation is at least 1.
fn mean_and_sigma(counts: &[u64]) -> (f64, f64) {
    let number = counts.len() as f64;
    let mean = counts.iter().map(|count| *count as f64).sum::<f64>() / number;
    let variance = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>() / number;
    (mean, variance.sqrt().max(1.0))
}
