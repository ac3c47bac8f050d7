//! What the page shows, as JSON. Readers pass over fields that they do not know.
//!
//! Personal data is in none of it: no field holds a `user_id`, an `ip` or a `device_id`, and samples are masked.

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

/// All that is shown, at one moment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct View {
    /// [`VERSION`].
    pub version: u32,
    /// When, Unix milliseconds.
    pub time: i64,
    /// Of what.
    pub scope: Scope,
    /// Which pipeline.
    pub pipeline: Pipeline,
    /// Its topics.
    pub topics: Topics,
    /// The replicas that it tells of: one, or all of a pipeline.
    pub replicas: Vec<Replica>,
    /// Counts since the replicas started, as in their metrics.
    pub totals: Totals,
    /// How fast they grow.
    pub rates: Rates,
    /// How long transactions take.
    pub latency: Latency,
    /// Records of the source that are not processed yet, in the partitions of which that is known.
    pub lag: u64,
    /// Partitions of the source, ascending.
    pub partitions: Vec<Partition>,
    /// Windows that end here or before are closed, Unix seconds; none before any can be.
    pub frontier: Option<i64>,
    /// An instant that no event seen so far is behind, Unix seconds.
    pub latest: Option<i64>,
    /// Windows in memory that are not closed.
    pub windows_open: u64,
    /// Windows in memory.
    pub windows_kept: u64,
    /// Windows, of each size the newest first, the smallest size first; at most 30 of a size.
    pub windows: Vec<WindowSummary>,
    /// Alerts that fired since the replicas started, the newest first; at most 50.
    pub alerts: Vec<Alert>,
    /// Dead letters, each reason once.
    pub dead_letters: Vec<DeadLetter>,
    /// How far the audit is, where one runs beside.
    pub audit: Option<Audit>,
}

/// Of what a view tells.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Of one replica.
    Replica,
    /// Of all replicas of a pipeline.
    Pipeline,
}

/// Which pipeline.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
    /// Revision of the config that the replica runs.
    pub revision: u64,
}

impl Pipeline {
    /// A pipeline at a revision of its config.
    #[must_use]
    pub fn new(id: &PipelineId, revision: u64) -> Self {
        Self { namespace: id.namespace.clone(), name: id.name.clone(), revision }
    }
}

/// Names of topics.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Login events.
    pub source: String,
    /// Valid events, enriched.
    pub output: String,
    /// Events that failed validation.
    pub dead_letters: String,
    /// Counts by window; none where nothing is aggregated.
    pub aggregates: Option<String>,
    /// An insight for each closed window; none where nothing is aggregated.
    pub insights: Option<String>,
    /// Alerts; none where nothing is aggregated.
    pub alerts: Option<String>,
}

/// A replica.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: ReplicaState,
    /// Why it is not ready; none when it is.
    pub not_ready: Option<String>,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// What it is to the aggregation; none where nothing is aggregated.
    pub role: Option<Role>,
    /// Its threads of stage 1.
    pub threads: Vec<Thread>,
    /// The URL of its own page, where it is known.
    pub page: Option<String>,
}

/// What a replica does. It says `running` or `stopping` of itself; the others are for whoever watches it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaState {
    /// It runs.
    Running,
    /// It was stopped in its tracks, and may go on.
    Paused,
    /// It drains.
    Stopping,
    /// It has ended.
    Gone,
}

/// What a replica is to the aggregation.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It reads the snapshot.
    Restoring,
    /// It follows the emitter.
    Standby,
    /// It commits results.
    Emitter,
}

/// A thread of stage 1.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// The partitions that it processes, ascending.
    pub partitions: Vec<i32>,
    /// Why it is not ready; none when it is.
    pub not_ready: Option<String>,
}

/// Counts since the start: each is the metric of the same meaning.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Valid events, those of aborted transactions included.
    pub processed: u64,
    /// Valid events before their partition's watermark.
    pub late: u64,
    /// Valid events too old for finite windows.
    pub unmerged: u64,
    /// Dead letters by reason; each reason is there.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// Transactions of stage 1 that were committed.
    pub transactions: u64,
    /// Those that were given up.
    pub aborted: u64,
    /// Changes of the assignment of stage 1.
    pub rebalances: u64,
    /// Transactions of stage 2 that were committed.
    pub emissions: u64,
    /// Those that were given up.
    pub emissions_aborted: u64,
    /// Windows that were closed, as standby too.
    pub windows_closed: u64,
    /// Changes of closed windows, as standby too.
    pub revisions: u64,
    /// Alerts that fired, as standby too.
    pub alerts: u64,
}

/// Growth per second, since the view before.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Of valid events.
    pub processed: f64,
    /// Of dead letters.
    pub dead_letters: f64,
    /// Of committed transactions of stage 1.
    pub transactions: f64,
    /// Of those that were given up.
    pub aborted: f64,
    /// Of changes of the assignment.
    pub rebalances: f64,
}

/// How long transactions take to commit.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Those of stage 1.
    pub commit: LatencyOf,
    /// Those of stage 2, on the replica that emits.
    pub emission: LatencyOf,
}

/// How long some transactions took that were committed since the view before.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyOf {
    /// How many.
    pub count: u64,
    /// The median, seconds; none where there were none. Of several replicas, the mean of their medians.
    pub p50: Option<f64>,
    /// The 99th percentile, seconds; none where there were none. Of several replicas, the highest.
    pub p99: Option<f64>,
}

/// A partition of the source.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Which.
    pub partition: i32,
    /// The replica that processes it, where that is known: each knows its own.
    pub replica: Option<String>,
    /// Records that are not processed yet, where that is known.
    pub lag: Option<u64>,
    /// Its highest event time minus the allowed lateness, Unix seconds; none before any.
    pub watermark: Option<i64>,
    /// What it counts with for the frontier, Unix seconds: an idle partition is lifted to the others.
    pub effective: Option<i64>,
    /// Whether it is known to have had no events for a while.
    pub idle: bool,
}

/// An alert that fired.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Alert {
    /// Its name in the spec.
    pub name: String,
    /// Size of the window.
    pub window: pipeline::Window,
    /// Its first second, Unix seconds; 0 for `all`.
    pub start: i64,
    /// The dimension of the count; none where all events are counted.
    pub dimension: Option<Dimension>,
    /// The value; none where all events are counted.
    pub value: Option<String>,
    /// The count when it fired.
    pub count: u64,
    /// The threshold that it passed; none where it is a deviation.
    pub above: Option<u64>,
    /// How many standard deviations are allowed; none where it is a threshold.
    pub deviation: Option<f64>,
    /// The mean of the windows before; none where it is a threshold.
    pub mean: Option<f64>,
    /// Their standard deviation, at least 1; none where it is a threshold.
    pub sigma: Option<f64>,
    /// When the replica saw it, Unix milliseconds; after a restart it sees anew what its snapshot has not.
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
    /// A partition as the deltas tell of it: its owner and its lag are known to the replica alone.
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

/// Dead letters of one reason.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The reason.
    pub reason: Reason,
    /// How many since the start.
    pub count: u64,
    /// One of the last ones.
    pub sample: Option<Sample>,
}

/// A dead letter, masked.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Partition of the source record.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was processed, Unix milliseconds.
    pub seen: i64,
    /// What is wrong with it, without personal data.
    pub detail: String,
    /// Its value, masked and cut; none for a tombstone.
    pub value: Option<String>,
}

/// How far the audit is that runs beside.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Events that were sent.
    pub sent: u64,
    /// Of these, events whose outcome is audited.
    pub audited: u64,
    /// Events that younger ones of their partition have overtaken.
    pub lost: u64,
    /// Records beside those that events should have become.
    pub duplicated: u64,
    /// Records that are out of order, in the wrong place, changed, or from no event.
    pub other: u64,
}
