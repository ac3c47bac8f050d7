//! One window: what it counts, and what of it is still to be emitted.

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
    /// Events.
    pub count: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Events that were too old to be merged when they came.
    pub unmerged: u64,
    /// Unique users; none where they are not estimated.
    pub users: Option<Users>,
    /// By `Dimension as usize`.
    pub values: [Option<Values>; Dimension::ALL.len()],
    /// Whether it is closed.
    pub is_final: bool,
    /// How often it was changed after that.
    pub revision: u64,
    /// Events of the window before, where that is not live; none where that was evicted before this one began.
    pub previous: Option<u64>,
    /// The offset of the delta that last changed it.
    pub modified: i64,
    /// What the next emission says of it.
    pub due: Due,
}

/// What the next emission says of a window, beside the values that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Nothing.
    #[default]
    Nothing,
    /// The count of all events.
    Total,
    /// Everything: the window was closed, or a change of the config cut it.
    Everything,
}

/// How a pane is merged into a window.
#[derive(Clone, Copy, Debug)]
pub struct Merge<'a> {
    /// Which window.
    pub span: Span,
    /// The delta's offset.
    pub delta: i64,
    /// The dimensions that count in windows of this size.
    pub dimensions: &'a [Dimension],
    /// The pane's users; none where they are not estimated.
    pub users: Option<&'a Option<HllSketch>>,
    /// The rules by revision.
    pub book: &'a Book,
    /// The revision that governs.
    pub governing: u64,
}

/// What of a window a change of the rules has cut, so that it was counted in part only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// All of it.
    pub all: bool,
    /// The counts of a dimension, by `Dimension as usize`.
    pub values: [bool; Dimension::ALL.len()],
}

impl Window {
    /// What of it is partial.
    pub fn partial(&self, span: Span, book: &Book) -> Partial {
        let is_counted = |dimension: Dimension| self.values[dimension as usize].is_some();
        let is_partial = |dimension| is_counted(dimension) && book.is_partial(span, Some(dimension));
        Partial { all: book.is_partial(span, None), values: Dimension::ALL.map(is_partial) }
    }

    /// Merges a pane of the window's events. `watch` is told how counts changed.
    ///
    /// # Errors
    /// When a sketch is not of the format.
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

    /// The window was changed by a delta; it may be so several times.
    pub fn touch(&mut self, delta: i64) {
        if self.is_final && self.modified != delta {
            self.revision += 1;
        }
        self.modified = delta;
        self.due = self.due.max(Due::Total);
    }
}
