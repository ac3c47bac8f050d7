//! The metrics of stage 2 of a replica.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use stages::aggregate::{
    fold::{ResultRecord, Stats, Summary},
    machine::Role,
};

use crate::view::{self, Latencies, Totals};

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug)]
pub struct AggregateMetrics {
    role: Gauge,
    halted: Gauge,
    frontier_delay: Seconds,
    windows: Gauge,
    open_windows: Gauge,
    values: Gauge,
    closed: Counter,
    revisions: Counter,
    unmerged: Counter,
    alerts: Counter,
    deltas: Counter,
    fold: Counter<f64, AtomicU64>,
    emissions: Histogram,
    /// The number of observations in `emissions`, which cannot be read back.
    emitted: AtomicU64,
    aborts: Counter,
    snapshots: Counter,
    state_records: Counter,
    state_bytes: Counter,
    restore: Seconds,
    takeover: Seconds,
    /// The fold's statistics that the counters include.
    counted: Mutex<Stats>,
    /// How long emissions took, for the live page.
    pub latencies: Latencies,
    summary: Mutex<Arc<Summary>>,
}

impl AggregateMetrics {
    /// Creates all metrics, at zero.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            role: Gauge::default(),
            halted: Gauge::default(),
            frontier_delay: Seconds::default(),
            windows: Gauge::default(),
            open_windows: Gauge::default(),
            values: Gauge::default(),
            closed: Counter::default(),
            revisions: Counter::default(),
            unmerged: Counter::default(),
            alerts: Counter::default(),
            deltas: Counter::default(),
            fold: Counter::default(),
            emissions: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            emitted: AtomicU64::default(),
            aborts: Counter::default(),
            snapshots: Counter::default(),
            state_records: Counter::default(),
            state_bytes: Counter::default(),
            restore: Seconds::default(),
            takeover: Seconds::default(),
            counted: Mutex::default(),
            latencies: Latencies::default(),
            summary: Mutex::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("aggregate"));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("role", "0: restoring the snapshot, 1: standby, 2: emitting", self.role.clone());
        registry.register("halted", "Whether the aggregation has stopped until a person decides", self.halted.clone());
        registry.register_with_unit(
            "frontier_delay",
            "Latest event time minus the time up to which windows are closed; NaN while none can close",
            Unit::Seconds,
            self.frontier_delay.clone(),
        );
        registry.register("windows", "Windows in memory", self.windows.clone());
        registry.register("windows_open", "Windows in memory that are not closed", self.open_windows.clone());
        registry.register("values", "Different values of dimensions in memory", self.values.clone());
        registry.register("windows_closed", "Windows that were closed, counted on standbys too", self.closed.clone());
        registry.register("revisions", "Changes to closed windows, counted on standbys too", self.revisions.clone());
        registry.register(
            "events_unmerged",
            "Events too late for their window, counted on standbys too",
            self.unmerged.clone(),
        );
        registry.register("alerts_fired", "Alerts that fired, counted on standbys too", self.alerts.clone());
        registry.register("deltas_folded", "Deltas that were folded, counted on standbys too", self.deltas.clone());
        registry.register_with_unit(
            "fold",
            "Time spent folding, counted on standbys too",
            Unit::Seconds,
            self.fold.clone(),
        );
        registry.register_with_unit("emission", "Time to commit results", Unit::Seconds, self.emissions.clone());
        registry.register("emissions_aborted", "Transactions of results that were aborted", self.aborts.clone());
        registry.register("snapshots", "Snapshots that were committed", self.snapshots.clone());
        registry.register("state_records", "Records of committed snapshots", self.state_records.clone());
        registry.register_with_unit("state", "Bytes of committed snapshots", Unit::Bytes, self.state_bytes.clone());
        registry.register_with_unit("restore", "Duration of the last restore", Unit::Seconds, self.restore.clone());
        registry.register_with_unit(
            "takeover",
            "Time from the last assignment until results could be emitted",
            Unit::Seconds,
            self.takeover.clone(),
        );
    }

    /// Sets the replica's role, and whether the aggregation has stopped.
    pub fn is(&self, role: Role, halted: bool) {
        self.role.set(role as i64);
        self.halted.set(i64::from(halted));
    }

    /// Updates the metrics of the fold; `None` while it is not restored.
    pub fn fold_is(&self, stats: Option<Stats>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(stats) = stats else {
            *counted = Stats::default();
            return;
        };
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.windows.set(size(stats.windows));
        self.open_windows.set(size(stats.open_windows));
        self.values.set(size(stats.values));
        let delay = stats.latest.zip(stats.frontier).map(|(latest, frontier)| (latest - frontier).max(0) as f64);
        self.frontier_delay.set(delay.unwrap_or(f64::NAN));
        for (counter, now, before) in [
            (&self.closed, stats.closed, counted.closed),
            (&self.revisions, stats.revisions, counted.revisions),
            (&self.unmerged, stats.evicted_events, counted.evicted_events),
            (&self.alerts, stats.alerts, counted.alerts),
            (&self.deltas, stats.deltas, counted.deltas),
        ] {
            counter.inc_by(now.saturating_sub(before));
        }
        *counted = stats;
    }

    /// Replaces the fold's summary on the live page.
    pub fn shows(&self, summary: Summary) {
        *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(summary);
    }

    /// The fold's summary for the live page.
    #[must_use]
    pub fn summary(&self) -> Arc<Summary> {
        Arc::clone(&self.summary.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The replica's role in the aggregation.
    #[must_use]
    pub fn role(&self) -> view::Role {
        let is = |role: Role| self.role.get() == role as i64;
        if is(Role::Emitter) {
            view::Role::Emitter
        } else if is(Role::Standby) {
            view::Role::Standby
        } else {
            view::Role::Restoring
        }
    }

    /// Adds the counts of stage 2 to those of stage 1.
    #[must_use]
    pub fn totals(&self, ingest: Totals) -> Totals {
        Totals {
            emissions: self.emitted.load(Ordering::Relaxed),
            emissions_aborted: self.aborts.get(),
            windows_closed: self.closed.get(),
            revisions: self.revisions.get(),
            alerts: self.alerts.get(),
            ..ingest
        }
    }

    /// Adds time spent folding.
    pub fn folded(&self, took: Duration) {
        self.fold.inc_by(took.as_secs_f64());
    }

    /// Records a committed transaction, with its records of the state topic if it carried a snapshot.
    pub fn emitted(&self, took: Duration, snapshot: Option<&[ResultRecord]>) {
        self.emissions.observe(took.as_secs_f64());
        self.emitted.fetch_add(1, Ordering::Relaxed);
        self.latencies.note(took);
        let Some(records) = snapshot else { return };
        let bytes = |record: &ResultRecord| record.key.len() + record.value.as_ref().map_or(0, Vec::len);
        self.snapshots.inc();
        self.state_records.inc_by(records.len() as u64);
        self.state_bytes.inc_by(records.iter().map(bytes).sum::<usize>() as u64);
    }

    /// Records a transaction that was given up.
    pub fn aborted(&self) {
        self.aborts.inc();
    }

    /// Records how long reading the snapshot took.
    pub fn restored(&self, took: Duration) {
        self.restore.set(took.as_secs_f64());
    }

    /// Records the time from an assignment until results could be emitted.
    pub fn took_over(&self, took: Duration) {
        self.takeover.set(took.as_secs_f64());
    }
}
