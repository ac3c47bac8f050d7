//! One window: its counts, and what is still to be emitted.

use crds::{
    pipeline::Dimension,
    records::{aggregate::Span, delta::Pane},
};
use datasketches::{error::Error, hll::HllSketch};

use super::{
    book::Book,
    sketch::Users,
    values::{Pool, Values},
};

/// One window of event time.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Events; in a finite window, without the unmerged ones.
    pub count: u64,
    /// Late events among them.
    pub late: u64,
    /// Events that arrived too late to be merged.
    pub unmerged: u64,
    /// Unique users; none if they are not estimated.
    pub users: Option<Users>,
    /// By `Dimension as usize`.
    pub values: [Option<Values>; Dimension::ALL.len()],
    pub is_final: bool,
    /// How often the window changed after it closed.
    pub revision: u64,
    /// Events of the previous window if that is not in memory; none if it was evicted before this one began.
    pub previous: Option<u64>,
    /// The offset of the delta that last changed it.
    pub modified: i64,
    pub due: Due,
}

/// What the next emission contains, in addition to the values that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    #[default]
    Nothing,
    /// The count of all events.
    Total,
    /// Everything: the window closed, or a change of the config made it partial.
    Everything,
}

/// How a pane is merged into a window.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    pub span: Span,
    /// The delta's offset.
    pub delta: i64,
    /// The dimensions that are counted in windows of this size.
    pub dimensions: &'a [Dimension],
    /// The pane's users; none if they are not estimated.
    pub users: Option<&'a Option<HllSketch>>,
    pub book: &'a Book,
    /// The revision that governs.
    pub governing: u64,
}

/// The parts of a window that are partial, because a change of the rules began or ended their count within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The total.
    pub all: bool,
    /// The counts of a dimension, by `Dimension as usize`.
    pub values: [bool; Dimension::ALL.len()],
}

impl Window {
    pub fn partial(&self, span: Span, book: &Book) -> Partial {
        let is_counted = |dimension: Dimension| self.values[dimension as usize].is_some();
        let is_partial = |dimension| is_counted(dimension) && book.is_partial(span, Some(dimension));
        Partial { all: book.is_partial(span, None), values: Dimension::ALL.map(is_partial) }
    }

    /// Merges a pane of the window's events. Calls `watch` with the old and the new value of each count that changes.
    ///
    /// # Errors
    /// If a sketch does not have the defined format.
    pub fn merge(
        &mut self,
        pool: &mut Pool,
        pane: &Pane,
        merge: &Merge<'_>,
        mut watch: impl FnMut(Option<(Dimension, &str)>, u64, u64),
    ) -> Result<(), Error> {
        self.touch(merge.delta);
        if pane.unmerged && merge.span.end().is_some() {
            self.unmerged += pane.total.count;
            return Ok(());
        }
        let old = self.count;
        self.count += pane.total.count;
        self.late += pane.total.late;
        watch(None, old, self.count);
        if let Some(sketch) = merge.users {
            let users = self.users.get_or_insert_default();
            if let Some(sketch) = sketch {
                users.merge(sketch)?;
            }
        }
        for (dimension, counts) in &pane.dimensions {
            if !merge.dimensions.contains(dimension) {
                continue;
            }
            let values = self.values[*dimension as usize].get_or_insert_default();
            let limit = merge.book.limit(*dimension, merge.governing, values.truncated);
            for (value, count) in counts {
                if let Some((old, new)) = values.add(pool, value, *count, &limit) {
                    watch(Some((*dimension, value)), old, new);
                }
            }
            values.truncate(pool, &limit, merge.governing);
        }
        Ok(())
    }

    /// Marks the window as changed by a delta. Several calls for the same delta count as one revision.
    pub fn touch(&mut self, delta: i64) {
        if self.is_final && self.modified != delta {
            self.revision += 1;
        }
        self.modified = delta;
        self.due = self.due.max(Due::Total);
    }
}
