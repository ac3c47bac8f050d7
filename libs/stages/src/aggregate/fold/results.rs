//! Builds the records of the results topics.

use crds::{
    pipeline::Dimension,
    records::aggregate::{
        self, Aggregate, Counted, DimensionInsight, Frequency, Insight, OTHER, Span, aggregate_key, rounded,
    },
};

use super::{
    record::{ResultRecord, Results},
    sketch::Users,
    state::Fold,
    values::Values,
    window::{Due, Window},
};

impl Fold {
    /// The results that changed since the last call.
    pub fn take_results(&mut self) -> Results {
        for span in std::mem::take(&mut self.dirty) {
            self.emit(span);
        }
        std::mem::take(&mut self.ready)
    }

    /// Discards what changed, because another replica has emitted it.
    pub fn forget_results(&mut self) {
        for span in std::mem::take(&mut self.dirty) {
            if let Some(window) = self.windows.get_mut(&span) {
                window.due = Due::Nothing;
                window.values.iter_mut().flatten().for_each(Values::forget);
            }
        }
        self.ready = Results::default();
    }

    /// About how many records [`Fold::take_results`] would return.
    #[must_use]
    pub fn pending_results(&self) -> usize {
        let of = |window: &Window| {
            let values = window.values.iter().flatten();
            2 + values
                .map(|values| if window.due == Due::Everything { values.len() } else { values.pending() })
                .sum::<usize>()
        };
        let dirty = self.dirty.iter().filter_map(|span| self.windows.get(span));
        self.ready.len() + dirty.map(of).sum::<usize>()
    }

    /// Adds the records of what changed in a window to the results.
    pub(super) fn emit(&mut self, span: Span) {
        let Some(window) = self.windows.get_mut(&span) else { return };
        let partial = window.partial(span, &self.book);
        let due = std::mem::take(&mut window.due);
        if due == Due::Nothing {
            return;
        }
        let record = |of: Counted, count: u64, partial: bool| Aggregate {
            v: aggregate::VERSION,
            span,
            of,
            count,
            late: None,
            unmerged: None,
            unique_users: None,
            is_final: window.is_final,
            revision: window.revision,
            partial,
            evicted_at: None,
        };
        let total = Aggregate {
            late: Some(window.late),
            unmerged: span.end().map(|_| window.unmerged),
            unique_users: window.users.as_ref().map(Users::estimate),
            ..record(Counted::All, window.count, partial.all)
        };
        let mut aggregates = vec![ResultRecord::json(total.key(), &total)];
        for dimension in Dimension::ALL {
            let Some(values) = &mut window.values[dimension as usize] else { continue };
            if !values.take_changed() && due != Due::Everything {
                continue;
            }
            for value in values.take_displaced() {
                if values.count(&self.pool, &value) == 0 {
                    let key = aggregate_key(span, &Counted::Value(dimension, value.as_ref().to_owned()), None);
                    aggregates.push(ResultRecord { key, value: None });
                }
            }
            let touched = values.take_touched(&self.pool);
            let counts = if due == Due::Everything { values.sorted(&self.pool) } else { touched };
            let other = values.other().map(|count| (OTHER, count));
            for (value, count) in counts.into_iter().chain(other) {
                let of = Counted::Value(dimension, value.to_owned());
                let aggregate = record(of, count, partial.values[dimension as usize]);
                aggregates.push(ResultRecord::json(aggregate.key(), &aggregate));
            }
        }
        self.ready.aggregates.append(&mut aggregates);
        let insight = self.insight(span);
        self.ready.insights.extend(insight.map(|insight| ResultRecord::json(insight.key(), &insight)));
    }

    /// The insight of a window; none while it is open, and always for `all`.
    pub(super) fn insight(&self, span: Span) -> Option<Insight> {
        let window = self.windows.get(&span).filter(|window| window.is_final && span.end().is_some())?;
        let previous = self.previous(span);
        let partial = window.partial(span, &self.book);
        let dimensions = Dimension::ALL.into_iter().filter_map(|dimension| {
            let values = window.values[dimension as usize].as_ref()?;
            Some((dimension, self.frequencies(values, partial.values[dimension as usize])?))
        });
        let change = |previous: u64| rounded((window.count as f64 - previous as f64) / previous as f64);
        Some(Insight {
            v: aggregate::VERSION,
            span,
            count: window.count,
            late: window.late,
            unmerged: window.unmerged,
            unique_users: window.users.as_ref().map(Users::estimate),
            previous,
            change: previous.filter(|previous| *previous > 0).map(change),
            dimensions: dimensions.collect(),
            revision: window.revision,
            partial: partial.all,
        })
    }

    fn frequencies(&self, values: &Values, partial: bool) -> Option<DimensionInsight> {
        let sorted = values.sorted(&self.pool);
        let frequency = |(value, count): (&str, u64)| Frequency {
            value: value.to_owned(),
            count,
            share: rounded(count as f64 / values.total as f64),
        };
        // `max_by_key` returns the last of equal counts, so the reverse order selects the first value.
        let most = sorted.iter().rev().copied().max_by_key(|(_, count)| *count)?;
        let least = sorted.iter().copied().min_by_key(|(_, count)| *count)?;
        Some(DimensionInsight {
            most: frequency(most),
            least: frequency(least),
            values: values.len() as u64,
            truncated: values.truncated.is_some(),
            partial,
        })
    }
}
