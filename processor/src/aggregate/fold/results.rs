//! What the fold has to say to others: the records of the results topics.

use std::collections::BTreeMap;

use crds::{
    pipeline::{Dimension, Window as Size},
    records::{
        aggregate::{
            self, Aggregate, Alert, Counted, DimensionInsight, Frequency, Insight, OTHER, Span, aggregate_key, rounded,
        },
        delta::Pane,
    },
};
use serde::Serialize;

use super::{
    Fold,
    values::Values,
    window::{Due, Window},
};

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Record {
    fn json(key: String, value: &impl Serialize) -> Self {
        // Structs of numbers, texts and lists always serialize.
        Self { key, value: Some(aggregate::encode(value).unwrap_or_default()) }
    }
}

/// What is to be emitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Aggregates; tombstones for those that are not kept any more.
    pub aggregates: Vec<Record>,
    /// Insights.
    pub insights: Vec<Record>,
    /// Alerts.
    pub alerts: Vec<Record>,
}

impl Results {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aggregates.len() + self.insights.len() + self.alerts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn alert(&mut self, alert: &Alert) {
        self.alerts.push(Record::json(alert.key(), alert));
    }
}

impl Fold {
    /// What changed since this was last asked.
    pub fn take_results(&mut self) -> Results {
        for span in std::mem::take(&mut self.dirty) {
            self.emit(span);
        }
        std::mem::take(&mut self.ready)
    }

    /// Somebody else has emitted what changed.
    pub fn forget_results(&mut self) {
        for span in std::mem::take(&mut self.dirty) {
            if let Some(window) = self.windows.get_mut(&span) {
                window.due = Due::Nothing;
                window.values.iter_mut().flatten().for_each(Values::forget);
            }
        }
        self.ready = Results::default();
    }

    /// About how many records [`Fold::take_results`] would give.
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

    /// Makes the records of what changed in a window.
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
            unique_users: window.users.as_ref().map(super::sketch::Users::estimate),
            ..record(Counted::All, window.count, partial.all)
        };
        let mut aggregates = vec![Record::json(total.key(), &total)];
        for dimension in Dimension::ALL {
            let Some(values) = &mut window.values[dimension as usize] else { continue };
            if !values.take_changed() && due != Due::Everything {
                continue;
            }
            for value in values.take_displaced() {
                if values.count(&self.pool, &value) == 0 {
                    let key = aggregate_key(span, &Counted::Value(dimension, value.as_ref().to_owned()), None);
                    aggregates.push(Record { key, value: None });
                }
            }
            let touched = values.take_touched(&self.pool);
            let counts = if due == Due::Everything { values.sorted(&self.pool) } else { touched };
            let other = values.other().map(|count| (OTHER, count));
            for (value, count) in counts.into_iter().chain(other) {
                let of = Counted::Value(dimension, value.to_owned());
                let aggregate = record(of, count, partial.values[dimension as usize]);
                aggregates.push(Record::json(aggregate.key(), &aggregate));
            }
        }
        self.ready.aggregates.append(&mut aggregates);
        let insight = self.insight(span);
        self.ready.insights.extend(insight.map(|insight| Record::json(insight.key(), &insight)));
    }

    /// What is worth knowing of a window; none until it is closed, and of `all`.
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
            unique_users: window.users.as_ref().map(super::sketch::Users::estimate),
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
        // Ascending by value: of equals `max_by_key` would take the last.
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

/// Which count of an evicted window.
type Place = (Span, Option<(Dimension, String)>);

/// Events of one delta whose windows are evicted.
#[derive(Debug, Default)]
pub struct Evicted(BTreeMap<Place, Counts>);

#[derive(Debug, Default)]
struct Counts {
    count: u64,
    late: u64,
    unmerged: u64,
}

impl Evicted {
    /// Adds a pane to an evicted window.
    pub fn add(&mut self, span: Span, pane: &Pane, dimensions: &[Dimension]) {
        let all = self.0.entry((span, None)).or_default();
        if pane.unmerged {
            all.unmerged += pane.total.count;
            return;
        }
        all.count += pane.total.count;
        all.late += pane.total.late;
        for (dimension, values) in pane.dimensions.iter().filter(|(dimension, _)| dimensions.contains(dimension)) {
            for (value, count) in values {
                self.0.entry((span, Some((*dimension, value.clone())))).or_default().count += count;
            }
        }
    }

    /// How many events there are, each counted in its smallest window.
    pub fn events(&self) -> u64 {
        let smallest = self.0.keys().map(|(span, _)| span.window).min();
        let totals = self.0.iter().filter(|((span, of), _)| of.is_none() && Some(span.window) == smallest);
        totals.map(|(_, counts)| counts.count + counts.unmerged).sum()
    }

    /// Their records.
    pub fn records(
        self,
        delta: i64,
        is_partial: impl Fn(Span, Option<Dimension>) -> bool,
    ) -> impl Iterator<Item = Record> {
        self.0.into_iter().map(move |((span, of), counts)| {
            let partial = is_partial(span, of.as_ref().map(|(dimension, _)| *dimension));
            let is_total = of.is_none();
            let aggregate = Aggregate {
                v: aggregate::VERSION,
                span,
                of: of.map_or(Counted::All, |(dimension, value)| Counted::Value(dimension, value)),
                count: counts.count,
                late: is_total.then_some(counts.late),
                unmerged: is_total.then_some(counts.unmerged),
                unique_users: None,
                is_final: true,
                revision: 0,
                partial,
                evicted_at: Some(delta),
            };
            debug_assert!(span.window != Size::All);
            Record::json(aggregate.key(), &aggregate)
        })
    }
}
