//! What the page shows of the fold, computed every second. A window that has not changed since the last time is not
//! computed again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crds::{
    pipeline::{Dimension, Window as Size},
    records::{
        aggregate::{Alert, Insight, Span},
        state,
    },
};

use serde::{Deserialize, Serialize};

use super::{
    sketch::Users,
    state::Fold,
    window::{Partial, Window},
};

/// Maximum number of windows shown per size. The newest are shown.
const WINDOWS: usize = 30;

/// Maximum number of remembered alerts. The newest are remembered.
pub const ALERTS: usize = 50;

/// What the page shows of a fold.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Windows that end at or before this instant are closed, Unix seconds.
    pub frontier: Option<i64>,
    /// An upper bound on the times of the events seen so far, Unix seconds.
    pub latest: Option<i64>,
    /// Windows that are not closed yet.
    pub windows_open: u64,
    /// Windows in memory.
    pub windows_kept: u64,
    /// The partitions that a delta named, ascending.
    pub partitions: Vec<state::Partition>,
    /// Alerts, the newest first.
    pub alerts: VecDeque<FiredAlert>,
    windows: BTreeMap<Span, Arc<Shown>>,
}

/// What the page shows of a window.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct WindowSummary {
    /// The size of the window.
    pub window: Size,
    /// The first second of the window, Unix seconds; 0 for `all`.
    pub start: i64,
    /// The first second after the window, Unix seconds; none for `all`.
    pub end: Option<i64>,
    /// Whether the frontier has passed its end; never for `all`.
    pub closed: bool,
    /// How often the window changed after it closed.
    pub revision: u64,
    /// Whether a change of the config made any of its counts partial.
    pub partial: bool,
    /// Whether a dimension had more values than are kept.
    pub truncated: bool,
    /// Events; in a finite window, without the unmerged ones.
    pub count: u64,
    /// Late events among them.
    pub late: u64,
    /// Events that arrived too late to be merged.
    pub unmerged: u64,
    /// The estimated number of different users; none if it is not estimated.
    pub unique_users: Option<u64>,
    /// The most frequent values of each dimension with their counts, in descending order; `_missing` may be one of
    /// them. At most 64 of `locale`, and 10 of any other dimension.
    pub values: BTreeMap<Dimension, Vec<(String, u64)>>,
    /// The number of further values kept, by dimension.
    pub more: BTreeMap<Dimension, u64>,
    /// The window's record of the insights topic; none while the window is open, and always for `all`.
    pub insight: Option<Insight>,
}

/// An alert, and when this replica came to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct FiredAlert {
    /// The emitted record.
    pub alert: Alert,
    /// When the replica saw the alert, Unix milliseconds. After a restart, it sees alerts again that its snapshot does
    /// not cover.
    pub seen_ms: i64,
}

/// A window with the inputs that its summary depends on: the delta that last changed it, and what of it is partial.
#[derive(Debug)]
struct Shown {
    modified: i64,
    partial: Partial,
    window: WindowSummary,
}

impl Summary {
    /// What remains while the fold is restored: the alerts.
    #[must_use]
    pub fn without_fold(&self) -> Self {
        Self { alerts: self.alerts.clone(), ..Self::default() }
    }

    /// The windows by ascending size, and within a size from newest to oldest.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowSummary> {
        let mut windows: Vec<_> = self.windows.values().map(|shown| shown.window.clone()).collect();
        windows.sort_by_key(|window| (window.window, Reverse(window.start)));
        windows
    }
}

impl Fold {
    /// What the page shows now. `before` is what it showed last, and `now_ms` is in Unix milliseconds.
    #[must_use]
    pub fn summary(&self, before: &Summary, now_ms: i64) -> Summary {
        let stats = self.stats();
        let newest = self.sizes().into_iter().flat_map(|size| self.newest(size));
        Summary {
            frontier: stats.frontier,
            latest: stats.latest,
            windows_open: stats.open_windows as u64,
            windows_kept: stats.windows as u64,
            partitions: self.sources.partitions.values().cloned().collect(),
            alerts: self.fired_alerts(before, now_ms),
            windows: newest.map(|(span, window)| (span, self.shown(span, window, before))).collect(),
        }
    }

    fn newest(&self, size: Size) -> impl Iterator<Item = (Span, &Window)> {
        let all = Span { window: size, start: i64::MIN }..=Span { window: size, start: i64::MAX };
        self.windows.range(all).rev().take(WINDOWS).map(|(span, window)| (*span, window))
    }

    /// The previous summary of a window, unless a delta or a change of the rules has changed the window since. The
    /// counts depend on nothing else.
    fn shown(&self, span: Span, window: &Window, before: &Summary) -> Arc<Shown> {
        let partial = window.partial(span, &self.book);
        let is_same = |shown: &&Arc<Shown>| shown.modified == window.modified && shown.partial == partial;
        before.windows.get(&span).filter(is_same).map_or_else(|| Arc::new(self.show(span, window, partial)), Arc::clone)
    }

    fn show(&self, span: Span, window: &Window, partial: Partial) -> Shown {
        let mut shown = WindowSummary {
            window: span.window,
            start: span.start,
            end: span.end(),
            closed: window.is_final,
            revision: window.revision,
            partial: partial.all || partial.values.contains(&true),
            truncated: window.values.iter().flatten().any(|values| values.truncated.is_some()),
            count: window.count,
            late: window.late,
            unmerged: window.unmerged,
            unique_users: window.users.as_ref().map(Users::estimate),
            values: BTreeMap::new(),
            more: BTreeMap::new(),
            insight: self.insight(span),
        };
        for dimension in Dimension::ALL {
            let Some(values) = &window.values[dimension as usize] else { continue };
            let most = values.most(&self.pool, shown_of(dimension));
            shown.more.insert(dimension, (values.len() - most.len()) as u64);
            shown.values.insert(dimension, most.into_iter().map(|(value, count)| (value.to_owned(), count)).collect());
        }
        Shown { modified: window.modified, partial, window: shown }
    }

    /// The alerts that fired, newest first, ahead of those already shown. An alert fires once, but may fire again after
    /// a restore.
    fn fired_alerts(&self, before: &Summary, now_ms: i64) -> VecDeque<FiredAlert> {
        let mut alerts = before.alerts.clone();
        for alert in &self.fired {
            if !alerts.iter().any(|known| is_same(&known.alert, alert)) {
                alerts.push_front(FiredAlert { alert: alert.clone(), seen_ms: now_ms });
            }
        }
        alerts.truncate(ALERTS);
        alerts
    }
}

/// The number of values shown of a dimension. For `locale` it covers every state of the map.
const fn shown_of(dimension: Dimension) -> usize {
    match dimension {
        Dimension::Locale => 64,
        Dimension::DeviceType | Dimension::AppVersion => 10,
    }
}

fn is_same(a: &Alert, b: &Alert) -> bool {
    (&a.name, a.span, &a.of) == (&b.name, b.span, &b.of)
}
