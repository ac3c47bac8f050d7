//! Which rules applied when, from the aggregation's meta: the only input that the batch takes from the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    job::Rules,
    pipeline::{Alert, Dimension, Window},
    records::{
        aggregate::Span,
        state::{Change, Meta, Run},
    },
};

use super::values::Limit;

/// Why a meta cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the rules of config revision {revision} in the aggregation's state cannot be read: {source}")]
    Rules {
        /// The revision of the rules.
        revision: u64,
        source: serde_json::Error,
    },
    /// The rules of this revision are missing.
    #[error("the aggregation's state names config revision {0}, but does not have its rules")]
    Unknown(u64),
}

/// What an event counts toward.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    /// The revision that governs.
    pub governing: u64,
    /// The windows that count it.
    pub windows: Vec<Window>,
    /// The dimensions that are counted.
    pub dimensions: Vec<Dimension>,
    /// Whether its user is counted.
    pub users: bool,
}

/// The rules and their changes.
#[derive(Clone, Debug)]
pub struct History {
    rules: BTreeMap<u64, Rules>,
    /// The governing revisions, oldest first.
    changes: Vec<Change>,
    runs: BTreeMap<i32, Vec<Run>>,
    counting: BTreeMap<(u64, u64), Counting>,
    nothing: Counting,
    /// Windows that end here or earlier must be closed.
    pub frontier: Option<i64>,
}

/// Reads the rules that a meta holds, by revision.
///
/// # Errors
/// When some rules cannot be read.
pub fn rules(meta: &Meta) -> Result<BTreeMap<u64, Rules>, HistoryError> {
    let read = |(revision, text): &(u64, String)| {
        let rules = serde_json::from_str(text).map_err(|source| HistoryError::Rules { revision: *revision, source })?;
        Ok((*revision, rules))
    };
    meta.rules.iter().map(read).collect()
}

impl History {
    pub fn new(meta: &Meta) -> Result<Self, HistoryError> {
        let rules = rules(meta)?;
        let runs: BTreeMap<i32, Vec<Run>> =
            meta.partitions.iter().map(|partition| (partition.partition, partition.runs.clone())).collect();
        let mut counting = BTreeMap::new();
        let governing = meta.changes.last().map(|change| (change.revision, change.revision));
        let pairs = runs.values().flatten().map(|run| (run.revision, run.governing));
        for (processed, governing) in pairs.chain(governing) {
            let of = |revision| rules.get(&revision).ok_or(HistoryError::Unknown(revision));
            counting.insert((processed, governing), Counting::new(of(processed)?, of(governing)?, governing));
        }
        if let Some(unknown) = meta.changes.iter().find(|change| !rules.contains_key(&change.revision)) {
            return Err(HistoryError::Unknown(unknown.revision));
        }
        let (changes, frontier) = (meta.changes.clone(), meta.frontier);
        Ok(Self { rules, changes, runs, counting, nothing: Counting::default(), frontier })
    }

    /// The last governing revision.
    fn governing(&self) -> Option<u64> {
        self.changes.last().map(|change| change.revision)
    }

    /// What an event counts toward, by the place of its source record.
    pub fn counted(&self, partition: i32, offset: i64) -> &Counting {
        let run = self.runs.get(&partition).and_then(|runs| {
            let behind = runs.partition_point(|run| run.from <= offset);
            runs.get(behind.saturating_sub(1))
        });
        let pair = run
            .map(|run| (run.revision, run.governing))
            .or_else(|| self.governing().map(|governing| (governing, governing)));
        pair.and_then(|pair| self.counting.get(&pair)).unwrap_or(&self.nothing)
    }

    /// Whether a change began or ended a count within a window; `newest` is the newest revision that governed when an
    /// event was counted. `None` when a closed window may or may not be marked, or was evicted before replicas with
    /// older rules moved the change past it.
    pub fn is_cut(&self, span: Span, newest: Option<u64>, counts: impl Fn(&Rules) -> bool) -> Option<bool> {
        let mut certain = true;
        for (change, before, after) in self.changes_since(span) {
            let (before, begins) = (counts(before), counts(after));
            if before == begins {
                continue;
            }
            let was_closed = span.end().is_some_and(|end| change.frontier.is_some_and(|frontier| frontier >= end));
            let is_evicted = span.end().is_some_and(|end| self.eviction().is_some_and(|horizon| horizon >= end));
            if is_evicted && !was_closed {
                certain = false;
            } else if !was_closed || begins && newest >= Some(change.revision) {
                return Some(true);
            }
            certain &= !begins;
        }
        certain.then_some(false)
    }

    /// Whether a change may have ended the counting of an open window.
    pub fn has_ended(&self, span: Span) -> bool {
        let counts = |rules: &Rules| rules.aggregation.windows.contains(&span.window);
        self.changes_since(span).any(|(_, before, after)| counts(before) && !counts(after))
    }

    /// Windows that end here or earlier may be evicted.
    pub fn eviction(&self) -> Option<i64> {
        let kept = |rules: &Rules| rules.aggregation.retention.as_secs() + rules.aggregation.largest_window();
        Some(self.frontier?.saturating_sub(self.rules.values().map(kept).min()?))
    }

    /// The changes that came when the window may already have had events, with the rules before and after.
    fn changes_since(&self, span: Span) -> impl Iterator<Item = (&Change, &Rules, &Rules)> {
        let concerned = move |change: &Change| match span.window {
            Window::Finite(_) => change.latest.is_some_and(|latest| span.start <= latest),
            Window::All => change.latest.is_some(),
        };
        // The very first revision is not a change.
        let pairs = self.changes.iter().zip(self.changes.iter().skip(1)).filter(move |(_, change)| concerned(change));
        pairs.filter_map(|(before, change)| {
            Some((change, self.rules.get(&before.revision)?, self.rules.get(&change.revision)?))
        })
    }

    /// The number of values of a dimension that a window keeps under each of these revisions, and which ones first.
    pub fn limits(&self, governed: &BTreeSet<u64>, dimension: Dimension) -> BTreeSet<Limit<'_>> {
        let limit = |rules| Limit::new(rules, dimension);
        governed.iter().filter_map(|revision| self.rules.get(revision)).map(limit).collect()
    }

    /// The alerts of the last governing rules.
    pub fn alerts(&self) -> &[Alert] {
        self.governing().and_then(|revision| self.rules.get(&revision)).map_or(&[], |rules| &rules.alerts)
    }

    /// Whether an alert had another definition, or none, when the window may already have had events.
    pub fn alert_has_changed(&self, name: &str, span: Span) -> bool {
        let of = |rules: &Rules| rules.alerts.iter().find(|alert| alert.name == name).cloned();
        self.changes_since(span).any(|(_, before, after)| of(before) != of(after))
    }
}

impl Counting {
    /// Combines what both the rules that processed an event and the rules that governed its counting ask for.
    fn new(processed: &Rules, governing: &Rules, revision: u64) -> Self {
        let (processed, governing) = (&processed.aggregation, &governing.aggregation);
        let fits = |window: &Window| match (window, processed.smallest_window()) {
            // Events are counted in the smallest window first: the others are multiples of it.
            (Window::Finite(size), Some(smallest)) => size.as_secs() % smallest == 0,
            (Window::Finite(_), None) => false,
            (Window::All, _) => true,
        };
        let in_both = |window: &&Window| governing.windows.contains(window) && fits(window);
        Self {
            governing: revision,
            windows: processed.windows.iter().filter(in_both).copied().collect(),
            dimensions: processed
                .dimensions
                .iter()
                .filter(|dimension| governing.dimensions.contains(dimension))
                .copied()
                .collect(),
            users: processed.unique_users && governing.unique_users,
        }
    }
}
