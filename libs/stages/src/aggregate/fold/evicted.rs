//! Events of evicted windows. They are emitted as records of their own, because an evicted window is never created
//! again.

use std::collections::BTreeMap;

use crds::{
    pipeline::{Dimension, Window as Size},
    records::{
        aggregate::{self, Aggregate, Counted, Span},
        delta::Pane,
    },
};

use super::record::ResultRecord;

/// Identifies a count of an evicted window.
type Place = (Span, Option<(Dimension, String)>);

/// Events of one delta whose windows are evicted.
#[derive(Debug, Default)]
pub struct Evicted(BTreeMap<Place, EvictedCounts>);

#[derive(Debug, Default)]
struct EvictedCounts {
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

    /// The number of events, each counted in its smallest window.
    pub fn events(&self) -> u64 {
        let smallest = self.0.keys().map(|(span, _)| span.window).min();
        let totals = self.0.iter().filter(|((span, of), _)| of.is_none() && Some(span.window) == smallest);
        totals.map(|(_, counts)| counts.count + counts.unmerged).sum()
    }

    pub fn records(
        self,
        delta: i64,
        is_partial: impl Fn(Span, Option<Dimension>) -> bool,
    ) -> impl Iterator<Item = ResultRecord> {
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
            ResultRecord::json(aggregate.key(), &aggregate)
        })
    }
}
