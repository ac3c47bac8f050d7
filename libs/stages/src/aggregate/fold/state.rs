//! The state of the aggregation, and what is derived from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crds::{
    pipeline::Window as Size,
    records::{
        aggregate::{Alert, Span},
        state::{Key, Meta, Pending},
    },
};

use super::{book::Book, record::Results, sources::Sources, values::Pool, window::Window};

/// The sum of all deltas before an offset: every window that is kept, and how far each partition of the source is counted.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// The next delta to fold.
    pub(super) offset: i64,
    pub(super) book: Book,
    pub(super) sources: Sources,
    pub(super) pending: BTreeMap<String, Pending>,
    pub(super) frontier: Option<i64>,
    pub(super) horizon: Option<i64>,
    /// An upper bound on the times of the events seen so far.
    pub(super) latest: Option<i64>,
    pub(super) first_windows: BTreeMap<Size, i64>,
    pub(super) pool: Pool,
    pub(super) windows: BTreeMap<Span, Window>,
    /// Windows with results to emit.
    pub(super) dirty: BTreeSet<Span>,
    /// Results to emit regardless of what happens to the windows.
    pub(super) ready: Results,
    /// Keys of evicted windows in the state topic, each with the delta that evicted the window.
    pub(super) evicted: VecDeque<(i64, Key)>,
    pub(super) stats: Stats,
    /// The last alerts that fired, from oldest to newest.
    pub(super) fired: VecDeque<Alert>,
}

/// Values of a fold for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Windows that end at or before this instant are closed, Unix seconds.
    pub frontier: Option<i64>,
    /// An upper bound on the times of the events seen so far, Unix seconds.
    pub latest: Option<i64>,
    /// Windows in memory.
    pub windows: usize,
    /// Windows in memory that are not closed.
    pub open_windows: usize,
    /// Different dimension values in memory.
    pub values: usize,
    /// Windows closed since the start.
    pub closed: u64,
    /// Changes to closed windows since the start.
    pub revisions: u64,
    /// Events since the start that arrived too late for their window.
    pub evicted_events: u64,
    /// Alerts fired since the start.
    pub alerts: u64,
    /// Deltas folded since the start.
    pub deltas: u64,
}

impl Fold {
    /// A fold of no deltas.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the offset at which the log begins. Call it only before the first delta.
    pub fn begin(&mut self, offset: i64) {
        self.offset = offset;
    }

    /// The next delta to fold. All deltas before it are folded.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.offset
    }

    /// Events of the previous window; none if that window was evicted before this one began.
    pub(super) fn previous(&self, span: Span) -> Option<u64> {
        match self.windows.get(&span.previous()?) {
            Some(window) => Some(window.count),
            None => self.windows.get(&span)?.previous,
        }
    }

    /// The sizes of the windows in memory.
    pub(super) fn sizes(&self) -> Vec<Size> {
        let mut sizes = Vec::new();
        let mut next = self.windows.keys().next();
        while let Some(Span { window, .. }) = next {
            sizes.push(*window);
            next = self.windows.range(Span { window: *window, start: i64::MAX }..).map(|(span, _)| span).next();
        }
        sizes
    }

    /// Figures for the metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            frontier: self.frontier,
            latest: self.latest,
            windows: self.windows.len(),
            open_windows: self.windows.values().filter(|window| !window.is_final).count(),
            values: self.pool.len(),
            ..self.stats
        }
    }

    /// The state except for the windows.
    #[must_use]
    pub fn meta(&self) -> Meta {
        Meta {
            offset: self.offset,
            rules: self.book.texts(),
            changes: self.book.changes().to_vec(),
            source_partitions: self.sources.count,
            first_partitions: self.sources.first_count,
            partitions: self.sources.partitions.values().cloned().collect(),
            frontier: self.frontier,
            horizon: self.horizon,
            highest: self.sources.highest,
            all_idle: self.sources.all_idle,
            latest: self.latest,
            first_windows: self.first_windows.iter().map(|(size, start)| (seconds(*size), *start)).collect(),
            pending: self.pending.values().cloned().collect(),
        }
    }
}

/// A window's size in seconds; 0 for `all`, which is never evicted.
pub(super) fn seconds(size: Size) -> i64 {
    match size {
        Size::Finite(size) => size.as_secs(),
        Size::All => 0,
    }
}
