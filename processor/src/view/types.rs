//! The JSON that the page shows. Readers ignore fields that they do not know.
//!
//! It holds no personal data: no field holds a `user_id`, an `ip` or a `device_id`, and samples are masked.

use std::collections::BTreeMap;

use crds::{
    pipeline::{self, Dimension},
    records::{
        aggregate::{Cause, Counted},
        dead_letter::Reason,
        state,
    },
    topics::PipelineId,
};
use serde::{Deserialize, Serialize};
use stages::aggregate::fold::{FiredAlert, WindowSummary};

/// The version of this format.
pub const VERSION: u32 = 1;

/// Everything that the page shows, at one moment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct View {
    /// [`VERSION`].
    pub version: u32,
    /// Unix milliseconds.
    pub time: i64,
    /// Whether the view is of one replica or of a whole pipeline.
    pub scope: Scope,
    pub pipeline: Pipeline,
    pub topics: Topics,
    /// One replica, or all replicas of the pipeline.
    pub replicas: Vec<Replica>,
    /// Counts since the replicas started, equal to their metrics.
    pub totals: Totals,
    /// Growth of the counts per second.
    pub rates: Rates,
    pub latency: Latency,
    /// Records of the source that are not processed yet, in the partitions whose lag is known.
    pub lag: u64,
    /// Partitions of the source, ascending.
    pub partitions: Vec<Partition>,
    /// Windows that end at or before this time are closed, Unix seconds; none while no window can close.
    pub frontier: Option<i64>,
    /// Unix seconds; no event so far is later than this time.
    pub latest: Option<i64>,
    /// Windows in memory that are not closed yet.
    pub windows_open: u64,
    /// All windows in memory.
    pub windows_kept: u64,
    /// At most 30 windows of each size: the smallest size first, and within a size the newest first.
    pub windows: Vec<WindowSummary>,
    /// At most 50 alerts that fired since the replicas started, the newest first.
    pub alerts: Vec<Alert>,
    /// One entry per reason.
    pub dead_letters: Vec<DeadLetter>,
    /// The progress of the audit, if one runs alongside.
    pub audit: Option<Audit>,
}

/// What a view covers.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// One replica.
    Replica,
    /// All replicas of a pipeline.
    Pipeline,
}

/// A pipeline, at a revision of its config.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Namespace of the LoginPipeline.
    pub namespace: String,
    /// Name of the LoginPipeline.
    pub name: String,
    /// The revision of the config that the replica runs.
    pub revision: u64,
}

impl Pipeline {
    #[must_use]
    pub fn new(id: &PipelineId, revision: u64) -> Self {
        Self { namespace: id.namespace.clone(), name: id.name.clone(), revision }
    }
}

/// Names of the pipeline's topics.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Login events.
    pub source: String,
    /// Valid events, enriched.
    pub output: String,
    /// Events that failed validation.
    pub dead_letters: String,
    /// Counts by window; none if nothing is aggregated.
    pub aggregates: Option<String>,
    /// One insight per closed window; none if nothing is aggregated.
    pub insights: Option<String>,
    /// Alerts; none if nothing is aggregated.
    pub alerts: Option<String>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub name: String,
    pub state: ReplicaState,
    /// Why the replica is not ready; none if it is ready.
    pub not_ready: Option<String>,
    pub uptime_seconds: u64,
    /// The replica's role in the aggregation; none if nothing is aggregated.
    pub role: Option<Role>,
    /// The threads of stage 1.
    pub threads: Vec<Thread>,
    /// The URL of the replica's own page, if it is known.
    pub page: Option<String>,
}

/// The state of a replica. A replica reports itself as `running` or `stopping`; an observer sets the other states.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    Running,
    /// The process is stopped by a signal, and may continue.
    Paused,
    /// The replica drains.
    Stopping,
    /// The process has ended.
    Gone,
}

/// The role of a replica in the aggregation.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads the snapshot.
    Restoring,
    /// Folds the deltas, and is ready to take over from the emitter.
    Standby,
    /// Commits results.
    Emitter,
}

/// A thread of stage 1.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub name: String,
    /// The partitions that the thread processes, ascending.
    pub partitions: Vec<i32>,
    /// Why the thread is not ready; none if it is ready.
    pub not_ready: Option<String>,
}

/// Counts since the start. Each equals the metric of the same meaning.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Valid events, including those of aborted transactions.
    pub processed: u64,
    /// Valid events before their partition's watermark.
    pub late: u64,
    /// Valid events that are too old for finite windows.
    pub unmerged: u64,
    /// Dead letters by reason; every reason has an entry.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Committed transactions of stage 1.
    pub transactions: u64,
    /// Transactions of stage 1 that were given up.
    pub aborted: u64,
    /// Changes of the assignment of stage 1.
    pub rebalances: u64,
    /// Committed transactions of stage 2.
    pub emissions: u64,
    /// Transactions of stage 2 that were given up.
    pub emissions_aborted: u64,
    /// Closed windows, also on a standby.
    pub windows_closed: u64,
    /// Changes of closed windows, also on a standby.
    pub revisions: u64,
    /// Alerts that fired, also on a standby.
    pub alerts: u64,
}

/// Growth per second since the previous view.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Valid events per second.
    pub processed: f64,
    /// Dead letters per second.
    pub dead_letters: f64,
    /// Committed transactions of stage 1 per second.
    pub transactions: f64,
    /// Transactions of stage 1 that were given up, per second.
    pub aborted: f64,
    /// Changes of the assignment of stage 1 per second.
    pub rebalances: f64,
}

/// Commit latency of transactions.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Transactions of stage 1.
    pub commit: LatencyOf,
    /// Transactions of stage 2, on the replica that emits.
    pub emission: LatencyOf,
}

/// Commit latency of the transactions that were committed since the previous view.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyOf {
    /// The number of transactions.
    pub count: u64,
    /// The median, in seconds; none if there were no transactions. For several replicas, the mean of their medians,
    /// weighted by count.
    pub p50: Option<f64>,
    /// The 99th percentile, in seconds; none if there were no transactions. For several replicas, the highest.
    pub p99: Option<f64>,
}

/// A partition of the source.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    pub partition: i32,
    /// The replica that processes the partition, if it is known: each replica knows only its own partitions.
    pub replica: Option<String>,
    /// Records that are not processed yet, if that is known.
    pub lag: Option<u64>,
    /// The partition's highest event time minus the allowed lateness, Unix seconds; none before the first event.
    pub watermark: Option<i64>,
    /// The watermark that counts for the frontier, Unix seconds: an idle partition is raised to the others.
    pub effective: Option<i64>,
    /// Whether the partition is known to have had no events for a while.
    pub idle: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Alert {
    /// The alert's name in the spec.
    pub name: String,
    pub window: pipeline::Window,
    /// The window's start, Unix seconds; 0 for the window `all`.
    pub start: i64,
    /// The dimension of the count; none if all events are counted.
    pub dimension: Option<Dimension>,
    /// The dimension's value; none if all events are counted.
    pub value: Option<String>,
    /// The count at the moment of firing.
    pub count: u64,
    /// The threshold that the count exceeded; none for a deviation.
    pub above: Option<u64>,
    /// The allowed number of standard deviations; none for a threshold.
    pub deviation: Option<f64>,
    /// The mean of the preceding windows; none for a threshold.
    pub mean: Option<f64>,
    /// Their standard deviation, at least 1; none for a threshold.
    pub sigma: Option<f64>,
    /// When the replica saw the alert, Unix milliseconds. After a restart, it sees again the alerts that are not in its
    /// snapshot.
    pub seen: i64,
}

impl From<&FiredAlert> for Alert {
    fn from(FiredAlert { alert, seen_ms }: &FiredAlert) -> Self {
        let (dimension, value) = match &alert.of {
            Counted::All => (None, None),
            Counted::Value(dimension, value) => (Some(*dimension), Some(value.clone())),
        };
        let shown = Self {
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
            seen: *seen_ms,
        };
        match alert.cause {
            Cause::Above { threshold } => Self { above: Some(threshold), ..shown },
            Cause::Deviation { mean, sigma, allowed } => {
                Self { deviation: Some(allowed), mean: Some(mean), sigma: Some(sigma), ..shown }
            }
        }
    }
}

impl From<&state::Partition> for Partition {
    /// The part of a partition's state that the deltas hold. Owner and lag are known only to the replica that processes
    /// it.
    fn from(known: &state::Partition) -> Self {
        Self {
            partition: known.partition,
            replica: None,
            lag: None,
            watermark: known.watermark,
            effective: known.effective,
            idle: known.idle.is_some(),
        }
    }
}

/// The dead letters of one reason.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub reason: Reason,
    /// Count since the start.
    pub count: u64,
    /// One of the latest dead letters.
    pub sample: Option<Sample>,
}

/// A masked dead letter.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Partition of the source record.
    pub partition: i32,
    /// Offset of the source record.
    pub offset: i64,
    /// When the record was processed, Unix milliseconds.
    pub seen: i64,
    /// What is wrong with the record, without personal data.
    pub detail: String,
    /// The record's value, masked and cut; none for a tombstone.
    pub value: Option<String>,
}

/// The progress of an audit that runs alongside.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Events sent.
    pub sent: u64,
    /// Sent events whose outcome is audited.
    pub audited: u64,
    /// Events that were overtaken by later events of their partition.
    pub lost: u64,
    /// Records in addition to those that the events should have become.
    pub duplicated: u64,
    /// Records that are out of order, in the wrong place, changed, or without an event.
    pub other: u64,
}
