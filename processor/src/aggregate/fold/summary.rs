//! What the page shows of the fold, made anew each second: a window that did not change since the last time is not looked at
//! again.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use crds::{
    pipeline::{Dimension, Window as Size},
    records::aggregate::{Alert, Cause, Counted, Span},
};

use super::{
    Fold,
    window::{Partial, Window},
};
use crate::view;

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
    /// The partitions that a delta named, ascending, without owner and lag.
    pub partitions: Vec<view::Partition>,
    /// Alerts, the newest first.
    pub alerts: VecDeque<view::Alert>,
    windows: BTreeMap<Span, Arc<Shown>>,
}

/// A window, and what it follows from: the delta that last changed it, and what changes of the rules have cut.
#[derive(Debug)]
struct Shown {
    modified: i64,
    partial: Partial,
    window: view::Window,
}

impl Summary {
    /// What is left where there is no fold, while it is restored.
    #[must_use]
    pub fn without_fold(&self) -> Self {
        Self { alerts: self.alerts.clone(), ..Self::default() }
    }

    /// The windows, the smallest size first, and of each size the newest first.
    #[must_use]
    pub fn windows(&self) -> Vec<view::Window> {
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
            partitions: self.shown_partitions(),
            alerts: self.shown_alerts(before, now_ms),
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
        let mut shown = view::Window {
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
            unique_users: window.users.as_ref().map(super::sketch::Users::estimate),
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

    fn shown_partitions(&self) -> Vec<view::Partition> {
        let shown = |known: &crds::records::state::Partition| view::Partition {
            partition: known.partition,
            replica: None,
            lag: None,
            watermark: known.watermark,
            effective: known.effective,
            idle: known.idle.is_some(),
        };
        self.sources.partitions.values().map(shown).collect()
    }

    /// What fired, in front of what was shown already. An alert fires once; after a restore it may do so again.
    fn shown_alerts(&self, before: &Summary, now_ms: i64) -> VecDeque<view::Alert> {
        let mut alerts = before.alerts.clone();
        for fired in &self.fired {
            let fired = shown_alert(fired, now_ms);
            if !alerts.iter().any(|shown| is_same(shown, &fired)) {
                alerts.push_front(fired);
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

fn is_same(a: &view::Alert, b: &view::Alert) -> bool {
    (&a.name, a.window, a.start, a.dimension, &a.value) == (&b.name, b.window, b.start, b.dimension, &b.value)
}

fn shown_alert(alert: &Alert, seen: i64) -> view::Alert {
    let (dimension, value) = match &alert.of {
        Counted::All => (None, None),
        Counted::Value(dimension, value) => (Some(*dimension), Some(value.clone())),
    };
    let shown = view::Alert {
        name: alert.name.clone(),
        window: alert.span.window,
        start: alert.span.start,
        dimension,
        value,
        count: alert.count,
        above: None,
        deviation: None,
        mean: None,
        sigma: None,
        seen,
    };
    match alert.cause {
        Cause::Above { threshold } => view::Alert { above: Some(threshold), ..shown },
        Cause::Deviation { mean, sigma, allowed } => {
            view::Alert { deviation: Some(allowed), mean: Some(mean), sigma: Some(sigma), ..shown }
        }
    }
}
