//! Which rules held when, as the aggregation's meta tells: all that the batch takes from the pipeline.

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

/// Why a meta cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Rules that cannot be read.
    #[error("the rules of config revision {revision} in the aggregation's state cannot be read: {source}")]
    Rules {
        /// Whose rules.
        revision: u64,
        /// What is wrong with them.
        source: serde_json::Error,
    },
    /// Rules that are not there.
    #[error("the aggregation's state names config revision {0}, but does not have its rules")]
    Unknown(u64),
}

/// What an event counts for.
#[derive(Clone, Debug, Default)]
pub struct Counting {
    /// The revision that governs.
    pub governing: u64,
    /// Windows that take it.
    pub windows: Vec<Window>,
    /// Dimensions of these.
    pub dimensions: Vec<Dimension>,
    /// Whether its user is counted.
    pub users: bool,
}

/// The rules and their changes.
#[derive(Clone, Debug)]
pub struct History {
    rules: BTreeMap<u64, Rules>,
    /// Which revisions governed, oldest first.
    changes: Vec<Change>,
    runs: BTreeMap<i32, Vec<Run>>,
    counting: BTreeMap<(u64, u64), Counting>,
    nothing: Counting,
    /// Windows that end here or before must be closed.
    pub frontier: Option<i64>,
}

/// The rules that a meta holds, by revision.
///
/// # Errors
/// When some cannot be read.
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

    /// The revision that governs at last.
    fn governing(&self) -> Option<u64> {
        self.changes.last().map(|change| change.revision)
    }

    /// What an event counts for, by where its source record stands.
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

    /// Whether a change began or ended a count within a window; `newest` is the newest revision that governed when an event
    /// was counted. None where a closed window may have been marked or not, or was evicted before replicas with older rules
    /// moved the change on to it.
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

    /// Windows that end here or before may have been evicted.
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
        // The first revision of all is no change.
        let pairs = self.changes.iter().zip(self.changes.iter().skip(1)).filter(move |(_, change)| concerned(change));
        pairs.filter_map(|(before, change)| {
            Some((change, self.rules.get(&before.revision)?, self.rules.get(&change.revision)?))
        })
    }

    /// How many values of a dimension a window keeps under each of these revisions, and which before others.
    pub fn limits(&self, governed: &BTreeSet<u64>, dimension: Dimension) -> BTreeSet<Limit<'_>> {
        let limit = |rules| Limit::new(rules, dimension);
        governed.iter().filter_map(|revision| self.rules.get(revision)).map(limit).collect()
    }

    /// The alerts of the rules that govern at last.
    pub fn alerts(&self) -> &[Alert] {
        self.governing().and_then(|revision| self.rules.get(&revision)).map_or(&[], |rules| &rules.alerts)
    }

    /// Whether an alert was another one, or none, when the window may already have had events.
    pub fn alert_has_changed(&self, name: &str, span: Span) -> bool {
        let of = |rules: &Rules| rules.alerts.iter().find(|alert| alert.name == name).cloned();
        self.changes_since(span).any(|(_, before, after)| of(before) != of(after))
    }
}

impl Counting {
    /// What both the rules by which an event was processed and those that governed when it was counted ask for.
    fn new(processed: &Rules, governing: &Rules, revision: u64) -> Self {
        let (processed, governing) = (&processed.aggregation, &governing.aggregation);
        let fits = |window: &Window| match (window, processed.smallest_window()) {
            // Events are counted by the smallest window first: others are multiples of it.
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
