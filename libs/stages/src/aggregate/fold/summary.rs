//! What the page shows of the fold, made anew each second: a window that did not change since the last time is not looked at
//! again.

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

/// How many windows of a size are shown, the newest.
const WINDOWS: usize = 30;

/// How many alerts are remembered, the newest.
pub const ALERTS: usize = 50;

/// What the page shows of a fold.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Windows that end here or before are closed, Unix seconds.
    pub frontier: Option<i64>,
    /// An instant that no event seen so far is behind, Unix seconds.
    pub latest: Option<i64>,
    /// Windows in memory that are not closed.
    pub windows_open: u64,
    /// Windows in memory.
    pub windows_kept: u64,
    /// The partitions that a delta named, ascending.
    pub partitions: Vec<state::Partition>,
    /// Alerts, the newest first.
    pub alerts: VecDeque<FiredAlert>,
    windows: BTreeMap<Span, Arc<Shown>>,
}

/// What is shown of a window.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct WindowSummary {
    /// Its size.
    pub window: Size,
    /// Its first second, Unix seconds; 0 for `all`.
    pub start: i64,
    /// The first second behind it, Unix seconds; none for `all`.
    pub end: Option<i64>,
    /// Whether it is closed.
    pub closed: bool,
    /// How often it was changed after that.
    pub revision: u64,
    /// Whether it was counted in part only, by a change of the config.
    pub partial: bool,
    /// Whether a dimension had more values than are kept.
    pub truncated: bool,
    /// Events.
    pub count: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Events that were too old to be merged.
    pub unmerged: u64,
    /// Estimated number of different users; none where that is not asked for.
    pub unique_users: Option<u64>,
    /// By dimension the most frequent values with their counts, the most frequent first; `_missing` may be one. At most 64 of
    /// `locale`, and 10 of any other.
    pub values: BTreeMap<Dimension, Vec<(String, u64)>>,
    /// By dimension how many further values are kept.
    pub more: BTreeMap<Dimension, u64>,
    /// What is worth knowing of it, as the insights topic has it; none until it is closed, and of `all`.
    pub insight: Option<Insight>,
}

/// An alert that fired.
#[derive(Clone, Debug, PartialEq)]
pub struct FiredAlert {
    /// The record that was emitted.
    pub alert: Alert,
    /// When the replica saw it, Unix milliseconds; after a restart it sees anew what its snapshot has not.
    pub seen_ms: i64,
}

/// A window, and what it follows from: the delta that last changed it, and what changes of the rules have cut.
#[derive(Debug)]
struct Shown {
    modified: i64,
    partial: Partial,
    window: WindowSummary,
}

impl Summary {
    /// What is left where there is no fold, while it is restored.
    #[must_use]
    pub fn without_fold(&self) -> Self {
        Self { alerts: self.alerts.clone(), ..Self::default() }
    }

    /// The windows, the smallest size first, and of each size the newest first.
    #[must_use]
    pub fn windows(&self) -> Vec<WindowSummary> {
        let mut windows: Vec<_> = self.windows.values().map(|shown| shown.window.clone()).collect();
        windows.sort_by_key(|window| (window.window, Reverse(window.start)));
        windows
    }
}

impl Fold {
    /// What the page shows now, Unix milliseconds, where `before` is what it showed last.
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

    /// A window as it was shown, if no delta has changed it since; what it counts depends on nothing else.
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

    /// What fired, in front of what was shown already. An alert fires once; after a restore it may do so again.
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

/// How many values of a dimension are shown: every state has its place on the map.
const fn shown_of(dimension: Dimension) -> usize {
    match dimension {
        Dimension::Locale => 64,
        Dimension::DeviceType | Dimension::AppVersion => 10,
    }
}

fn is_same(a: &Alert, b: &Alert) -> bool {
    (&a.name, a.span, &a.of) == (&b.name, b.span, &b.of)
}
