//! Compares the insights: one for each closed window, which must match its aggregates.

use std::collections::BTreeMap;

use crds::{
    pipeline::Dimension,
    records::aggregate::{Counted, DimensionInsight, Frequency, Insight, Span, VERSION, rounded},
};

use super::{
    Batch, Found, Kind, Mismatches, Unchecked, compare::Expected, counts::Counts, found::Live, mismatch::Differences,
    values::Kept,
};

impl Batch {
    /// Compares the insights with those expected: one for each finite window that the aggregates mark as closed.
    pub(super) fn compare_insights(
        &self,
        expected: &Expected,
        live: &BTreeMap<Span, Live>,
        found: &Found,
        mismatches: &mut Mismatches,
    ) {
        let total = |span: &Span| live.get(span).and_then(|live| live.get(&Counted::All));
        let is_closed = |span: &Span| span.end().is_some() && total(span).is_some_and(|(_, total)| total.is_final);
        for (span, counts) in expected.iter().filter(|(span, _)| !self.lacks_events(**span) && is_closed(span)) {
            if !found.insights.contains_key(&span.key()) {
                mismatches.missing(Kind::Insights, &span.key(), counts.count);
            }
        }
        for (key, insight) in &found.insights {
            let span = insight.span;
            if self.lacks_events(span) {
                mismatches.leave_out(Unchecked::RemovedInput, 1);
                continue;
            }
            match expected.get(&span).filter(|_| is_closed(&span)) {
                Some(counts) => self.compare_insight(expected, counts, key, insight, mismatches),
                None => mismatches.unexpected(Kind::Insights, key, insight.count),
            }
        }
    }

    fn compare_insight(
        &self,
        expected: &Expected,
        counts: &Counts,
        key: &str,
        found: &Insight,
        mismatches: &mut Mismatches,
    ) {
        let mut differences = Differences::default();
        differences.compare("v", VERSION, found.v);
        differences.compare("count", counts.count, found.count);
        differences.compare("late", counts.late, found.late);
        differences.compare("unmerged", counts.unmerged, found.unmerged);
        // If events came after the eviction, the comparison of the aggregate has reported that.
        if counts.newest.is_some() || counts.count == 0 {
            differences.compare("unique_users", counts.unique_users(), found.unique_users);
        }
        match self.is_partial(found.span, &Counted::All, counts.newest) {
            Some(partial) => differences.compare("partial", partial, found.partial),
            None => mismatches.leave_out(Unchecked::Partial, 1),
        }
        self.compare_previous(expected, found, &mut differences, mismatches);
        for dimension in Dimension::ALL {
            self.compare_dimension(dimension, counts, found, &mut differences, mismatches);
        }
        mismatches.add(Kind::Insights, key, differences);
    }

    fn compare_previous(
        &self,
        expected: &Expected,
        found: &Insight,
        differences: &mut Differences,
        mismatches: &mut Mismatches,
    ) {
        let Some(span) = found.span.previous() else { return };
        let change = found.previous.filter(|previous| *previous > 0).map(|previous| {
            let (count, previous) = (found.count as f64, previous as f64);
            rounded((count - previous) / previous)
        });
        differences.compare("change", change, found.change);
        if self.lacks_events(span) {
            mismatches.leave_out(Unchecked::RemovedInput, 1);
        } else if found.previous.is_none() && self.may_be_evicted(span) {
            mismatches.leave_out(Unchecked::EvictedPrevious, 1);
        } else {
            let previous = expected.get(&span).map_or(0, |counts| counts.count);
            differences.compare("previous", Some(previous), found.previous);
        }
    }

    fn compare_dimension(
        &self,
        dimension: Dimension,
        counts: &Counts,
        found: &Insight,
        differences: &mut Differences,
        mismatches: &mut Mismatches,
    ) {
        let found_here = found.dimensions.get(&dimension);
        let Some((values, found_here)) = counts.dimensions.get(&dimension).zip(found_here) else {
            let is_there = counts.dimensions.contains_key(&dimension);
            return differences.compare(dimension.name(), is_there, found_here.is_some());
        };
        match self.is_partial(found.span, &Counted::Value(dimension, String::new()), values.newest) {
            Some(partial) => differences.compare(format!("{}.partial", dimension.name()), partial, found_here.partial),
            None => mismatches.leave_out(Unchecked::Partial, 1),
        }
        let Some(kept) = Kept::of(&values.counts, &self.history.limits(&counts.governed, dimension)) else {
            return mismatches.leave_out(Unchecked::ChangedLimit, 1);
        };
        let Some((most, least)) = most(&kept).zip(least(&kept)) else { return };
        let DimensionInsight { most: found_most, least: found_least, values, truncated, .. } = found_here;
        let field = |name: &str| format!("{}.{name}", dimension.name());
        differences.compare(field("most"), &most, found_most);
        differences.compare(field("least"), &least, found_least);
        differences.compare(field("values"), kept.values.len() as u64, *values);
        differences.compare(field("truncated"), kept.truncated, *truncated);
    }
}

/// The most frequent value; the lexicographically first one of several.
fn most(kept: &Kept) -> Option<Frequency> {
    let count = kept.values.values().max()?;
    first_with(kept, *count)
}

/// The least frequent value; the lexicographically first one of several.
fn least(kept: &Kept) -> Option<Frequency> {
    let count = kept.values.values().min()?;
    first_with(kept, *count)
}

fn first_with(kept: &Kept, count: u64) -> Option<Frequency> {
    let (value, _) = kept.values.iter().find(|(_, other)| **other == count)?;
    let share = rounded(count as f64 / kept.total as f64);
    Some(Frequency { value: (*value).to_owned(), count, share })
}
