//! Compares results window by window, each record with the expected one.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use crds::{
    pipeline::{Dimension, Window},
    records::aggregate::{Aggregate, Counted, OTHER, Span, VERSION, aggregate_key},
};

use super::{
    Batch, Found, Kind, Mismatches, Unchecked,
    counts::Counts,
    found::{Evicted, Live},
    mismatch::Differences,
    values::Kept,
};

/// The counts that the records of windows should have.
pub(super) type Expected<'a> = BTreeMap<Span, Cow<'a, Counts>>;

impl Batch {
    /// Compares the expected results with those found.
    #[must_use]
    pub fn compare(&self, found: &Found) -> Mismatches {
        let mut mismatches = found.unreadable();
        found.misplaced(&mut mismatches);
        let (live, evicted) = (found.live(), found.evicted());
        let expected = self.expected(&evicted, &mut mismatches);
        let (none, nothing) = (Live::new(), Counts::default());
        let spans: BTreeSet<Span> = expected.keys().chain(live.keys()).copied().collect();
        for span in spans {
            let live = live.get(&span).unwrap_or(&none);
            if self.lacks_events(span) {
                mismatches.leave_out(Unchecked::RemovedInput, live.len() as u64);
                continue;
            }
            let counts = expected.get(&span).map_or(&nothing, |counts| counts);
            let unknown_users = evicted.get(&span).is_some_and(|evicted| evicted.count > 0);
            self.compare_total(span, counts, live, unknown_users, &mut mismatches);
            for dimension in Dimension::ALL {
                self.compare_values(span, dimension, counts, live, &mut mismatches);
            }
        }
        self.compare_insights(&expected, &live, found, &mut mismatches);
        self.compare_alerts(&expected, found, &mut mismatches);
        mismatches
    }

    /// What the records of windows should count: all events except those that came after their window's eviction.
    fn expected(&self, evicted: &BTreeMap<Span, Evicted>, mismatches: &mut Mismatches) -> Expected<'_> {
        let mut expected: Expected = self.windows.iter().map(|(span, counts)| (*span, Cow::Borrowed(counts))).collect();
        for (span, evicted) in evicted {
            if self.lacks_events(*span) {
                mismatches.leave_out(Unchecked::RemovedInput, evicted.keys.len() as u64);
                continue;
            }
            let rest = self.windows.get(span).cloned().and_then(|counts| counts.without(evicted));
            match rest.filter(|_| self.may_be_evicted(*span)) {
                Some(counts) => {
                    mismatches.checked += evicted.keys.len() as u64;
                    expected.insert(*span, Cow::Owned(counts));
                }
                None => evicted.keys.iter().for_each(|(key, count)| {
                    mismatches.unexpected(Kind::Aggregates, key, *count);
                }),
            }
        }
        expected.retain(|_, counts| !counts.is_empty());
        expected
    }

    fn compare_total(
        &self,
        span: Span,
        counts: &Counts,
        live: &Live,
        unknown_users: bool,
        mismatches: &mut Mismatches,
    ) {
        let Some((key, found)) = live.get(&Counted::All) else {
            if !counts.is_empty() {
                let key = aggregate_key(span, &Counted::All, None);
                mismatches.missing(Kind::Aggregates, &key, counts.count);
            }
            return;
        };
        if counts.is_empty() {
            return mismatches.unexpected(Kind::Aggregates, key, found.count);
        }
        let mut differences = Differences::default();
        differences.compare("v", VERSION, found.v);
        differences.compare("count", counts.count, found.count);
        differences.compare("late", Some(counts.late), found.late);
        let unmerged = (span.window != Window::All).then_some(counts.unmerged);
        differences.compare("unmerged", unmerged, found.unmerged);
        if unknown_users {
            mismatches.leave_out(Unchecked::EvictedUsers, 1);
        } else {
            differences.compare("unique_users", counts.unique_users(), found.unique_users);
        }
        if let Some(is_final) = self.must_be_final(span) {
            differences.compare("final", is_final, found.is_final);
        }
        self.compare_partial(span, found, counts.newest, &mut differences, mismatches);
        mismatches.add(Kind::Aggregates, key, differences);
    }

    fn compare_values(
        &self,
        span: Span,
        dimension: Dimension,
        counts: &Counts,
        live: &Live,
        mismatches: &mut Mismatches,
    ) {
        let mut found: BTreeMap<&str, (&str, &Aggregate)> = BTreeMap::new();
        for (of, record) in live {
            if let Counted::Value(other, value) = of
                && *other == dimension
            {
                found.insert(value, *record);
            }
        }
        let Some(values) = counts.dimensions.get(&dimension) else {
            return found.values().for_each(|(key, found)| {
                mismatches.unexpected(Kind::Aggregates, key, found.count);
            });
        };
        let Some(kept) = Kept::of(&values.counts, &self.history.limits(&counts.governed, dimension)) else {
            // It is not known which values are kept, but together they count all events.
            let total: u64 = values.counts.values().sum();
            let mut differences = Differences::default();
            differences.compare("count", total, found.values().map(|(_, found)| found.count).sum());
            let key = aggregate_key(span, &Counted::Value(dimension, "*".to_owned()), None);
            mismatches.add(Kind::Aggregates, &key, differences);
            return mismatches.leave_out(Unchecked::ChangedLimit, found.len() as u64);
        };
        let other = kept.truncated.then(|| (OTHER, kept.other()));
        for (value, count) in kept.values.iter().map(|(value, count)| (*value, *count)).chain(other) {
            let Some((key, record)) = found.remove(value) else {
                let key = aggregate_key(span, &Counted::Value(dimension, value.to_owned()), None);
                mismatches.missing(Kind::Aggregates, &key, count);
                continue;
            };
            let mut differences = Differences::default();
            differences.compare("v", VERSION, record.v);
            differences.compare("count", count, record.count);
            differences.compare("late", None, record.late);
            differences.compare("unmerged", None, record.unmerged);
            differences.compare("unique_users", None, record.unique_users);
            self.compare_partial(span, record, values.newest, &mut differences, mismatches);
            mismatches.add(Kind::Aggregates, key, differences);
        }
        found.values().for_each(|(key, found)| mismatches.unexpected(Kind::Aggregates, key, found.count));
    }

    fn compare_partial(
        &self,
        span: Span,
        found: &Aggregate,
        newest: Option<u64>,
        differences: &mut Differences,
        mismatches: &mut Mismatches,
    ) {
        match self.is_partial(span, &found.of, newest) {
            Some(partial) => differences.compare("partial", partial, found.partial),
            None => mismatches.leave_out(Unchecked::Partial, 1),
        }
    }

    /// Whether a window must be closed or must be open; `None` when that is not known.
    fn must_be_final(&self, span: Span) -> Option<bool> {
        let reached = span.end().is_some_and(|end| self.history.frontier.is_some_and(|frontier| frontier >= end));
        let may_be_open = || self.is_current && !self.history.has_ended(span);
        if reached { Some(true) } else { may_be_open().then_some(false) }
    }

    /// Whether the state of a window may have been evicted.
    pub(super) fn may_be_evicted(&self, span: Span) -> bool {
        let evicted = |end: i64| self.history.eviction().is_some_and(|horizon| end <= horizon);
        span.end().is_some_and(|end| !self.is_current || evicted(end))
    }
}
