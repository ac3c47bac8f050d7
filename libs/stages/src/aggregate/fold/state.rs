//! The state of the aggregation, and what can be read off it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crds::{
    pipeline::Window as Size,
    records::{
        aggregate::{Alert, Span},
        state::{Key, Meta, Pending},
    },
};

use super::{book::Book, record::Results, sources::Sources, values::Pool, window::Window};

/// The state of the aggregation.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    /// The next delta.
    pub(super) offset: i64,
    pub(super) book: Book,
    pub(super) sources: Sources,
    pub(super) pending: BTreeMap<String, Pending>,
    pub(super) frontier: Option<i64>,
    pub(super) horizon: Option<i64>,
    /// An instant that no event seen so far is behind.
    pub(super) latest: Option<i64>,
    pub(super) first_windows: BTreeMap<Size, i64>,
    pub(super) pool: Pool,
    pub(super) windows: BTreeMap<Span, Window>,
    /// Windows of which something is to be emitted.
    pub(super) dirty: BTreeSet<Span>,
    /// What is to be emitted whatever becomes of the windows.
    pub(super) ready: Results,
    /// Keys of evicted windows in the state topic, with the delta that evicted them.
    pub(super) evicted: VecDeque<(i64, Key)>,
    pub(super) stats: Stats,
    /// The last alerts that fired, oldest first.
    pub(super) fired: VecDeque<Alert>,
}

/// What the metrics show of a fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Windows that end here or before are closed, Unix seconds.
    pub frontier: Option<i64>,
    /// An instant that no event seen so far is behind, Unix seconds.
    pub latest: Option<i64>,
    /// Windows in memory.
    pub windows: usize,
    /// Of these, those that are not closed.
    pub open_windows: usize,
    /// Different values in memory.
    pub values: usize,
    /// Windows that were closed since the start.
    pub closed: u64,
    /// How often a closed window was changed since the start.
    pub revisions: u64,
    /// Events that came too late for their window since the start.
    pub unmerged: u64,
    /// Alerts that fired since the start.
    pub alerts: u64,
    /// Deltas that were folded since the start.
    pub deltas: u64,
}

impl Fold {
    /// Nothing folded yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The log begins at this offset. Only before the first delta.
    pub fn begin(&mut self, offset: i64) {
        self.offset = offset;
    }

    /// The next delta to fold: each before it is.
    #[must_use]
    pub const fn next_offset(&self) -> i64 {
        self.offset
    }

    /// Events of the window before; none where that was evicted before this one began.
    pub(super) fn previous(&self, span: Span) -> Option<u64> {
        match self.windows.get(&span.previous()?) {
            Some(window) => Some(window.count),
            None => self.windows.get(&span)?.previous,
        }
    }

    /// The sizes of which there are windows.
    pub(super) fn sizes(&self) -> Vec<Size> {
        let mut sizes = Vec::new();
        let mut next = self.windows.keys().next();
        while let Some(Span { window, .. }) = next {
            sizes.push(*window);
            next = self.windows.range(Span { window: *window, start: i64::MAX }..).map(|(span, _)| span).next();
        }
        sizes
    }

    /// What the metrics show.
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

    /// All but the windows.
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

/// A window's size; 0 for `all`, which is evicted never.
pub(super) fn seconds(size: Size) -> i64 {
    match size {
        Size::Finite(size) => size.as_secs(),
        Size::All => 0,
    }
}
