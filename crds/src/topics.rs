//! Every name that Kafka sees: topics, consumer groups, transactional ids.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::LoginPipelineSpec;

/// Which pipeline: its namespace and name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(deny_unknown_fields)]
pub struct PipelineId {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
}

impl PipelineId {
    /// The consumer group of stage 1.
    #[must_use]
    pub fn ingest_group(&self) -> String {
        format!("{self}.ingest")
    }

    /// The transactional id, and `client.id`, of one thread of stage 1. A container that restarts in its pod gets the
    /// same one and so fences its predecessor.
    #[must_use]
    pub fn ingest_transactional_id(&self, pod: &str, thread: usize) -> String {
        format!("{self}.ingest.{pod}.{thread}")
    }

    /// The topic of the deltas.
    #[must_use]
    pub fn deltas_topic(&self) -> String {
        format!("{self}.deltas")
    }

    /// The consumer group of stage 2.
    #[must_use]
    pub fn aggregate_group(&self) -> String {
        format!("{self}.aggregate")
    }

    /// The transactional id, and `client.id`, of a replica's stage 2.
    #[must_use]
    pub fn aggregate_transactional_id(&self, pod: &str) -> String {
        format!("{self}.aggregate.{pod}")
    }

    /// The topic of stage 2's snapshots.
    #[must_use]
    pub fn state_topic(&self) -> String {
        format!("{self}.state")
    }

    /// The topic of the ledger: which dead letters were replayed.
    #[must_use]
    pub fn replays_topic(&self) -> String {
        format!("{self}.replays")
    }

    /// The transactional id, and `client.id`, of every run of `dead-letters replay`: a run fences the one before it.
    #[must_use]
    pub fn replay_transactional_id(&self) -> String {
        format!("{self}.replay")
    }
}

/// `<namespace>.<name>`, the prefix of groups and internal topics. Neither part contains a dot: a namespace is a DNS label,
/// and a rule of the resource refuses a name with one.
impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

/// What a topic is for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Login events.
    Source,
    /// Valid events, enriched.
    Output,
    /// Events that failed validation.
    DeadLetters,
    /// What each transaction of stage 1 adds to the aggregates.
    Deltas,
    /// Counts by window, dimension and value.
    Aggregates,
    /// What is worth knowing of each closed window.
    Insights,
    /// Anomalies.
    Alerts,
    /// Snapshots of the aggregation.
    State,
    /// Which dead letters were replayed.
    Replays,
}

impl Role {
    /// Every role, outputs before the source: the order in which topics are made and grown.
    pub const ALL: [Self; 9] = [
        Self::Output,
        Self::DeadLetters,
        Self::Deltas,
        Self::Aggregates,
        Self::Insights,
        Self::Alerts,
        Self::State,
        Self::Replays,
        Self::Source,
    ];

    /// Whether the topic has one partition, whatever the source has: the order of its records must be total.
    #[must_use]
    pub const fn is_single(self) -> bool {
        !matches!(self, Self::Source | Self::Output | Self::DeadLetters)
    }

    /// The role's part of a Kubernetes object's name.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Output => "output",
            Self::DeadLetters => "dead-letters",
            Self::Deltas => "deltas",
            Self::Aggregates => "aggregates",
            Self::Insights => "insights",
            Self::Alerts => "alerts",
            Self::State => "state",
            Self::Replays => "replays",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// A topic that the pipeline needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// What it is for.
    pub role: Role,
    /// Its name in Kafka.
    pub name: String,
    /// How many partitions it needs at least.
    pub partitions: i32,
    /// Topic configs that the pipeline depends on.
    pub config: Vec<(&'static str, String)>,
}

/// `max.message.bytes` of a source that the operator makes: Kafka's default.
pub const SOURCE_MAX_MESSAGE_BYTES: i32 = 1_048_588;

/// How much larger than the source's the `max.message.bytes` of the outputs is: what enrichment and headers add at most.
pub const MAX_GROWTH_BYTES: i32 = 64 * 1024;

/// Every event must stay until its retention ends, even where the next one with its key has come.
fn kept() -> (&'static str, String) {
    ("cleanup.policy", "delete".to_owned())
}

fn compacted() -> Vec<(&'static str, String)> {
    vec![("cleanup.policy", "compact".to_owned())]
}

/// The topics of a pipeline, in the order in which they are made and grown.
#[must_use]
pub fn topics(pipeline: &PipelineId, spec: &LoginPipelineSpec) -> Vec<Topic> {
    let partitions = spec.source.partitions;
    let larger = (SOURCE_MAX_MESSAGE_BYTES + MAX_GROWTH_BYTES).to_string();
    Role::ALL
        .into_iter()
        .map(|role| {
            let (name, partitions, config) = match role {
                Role::Source => {
                    // Event times are judged against the record's timestamp: the broker's clock, where we can choose.
                    let config = vec![
                        kept(),
                        ("max.message.bytes", SOURCE_MAX_MESSAGE_BYTES.to_string()),
                        ("message.timestamp.type", "LogAppendTime".to_owned()),
                    ];
                    (spec.source.topic.clone(), partitions, config)
                }
                Role::Output | Role::DeadLetters => {
                    let is_output = role == Role::Output;
                    let name = if is_output { &spec.output.topic } else { &spec.dead_letters.topic };
                    (name.clone(), partitions, vec![kept(), ("max.message.bytes", larger.clone())])
                }
                // Nothing may expire before the aggregates hold it.
                Role::Deltas => {
                    let config = vec![
                        kept(),
                        ("max.message.bytes", larger.clone()),
                        ("retention.bytes", "-1".to_owned()),
                        ("retention.ms", "-1".to_owned()),
                    ];
                    (pipeline.deltas_topic(), 1, config)
                }
                // One partition each: few records, and their order is that of the deltas. Compacted, so that the last revision
                // of each stays.
                Role::Aggregates => (spec.results.aggregates.topic.clone(), 1, compacted()),
                Role::Insights => (spec.results.insights.topic.clone(), 1, compacted()),
                Role::Alerts => (spec.results.alerts.topic.clone(), 1, compacted()),
                Role::State => {
                    // A cold start reads all of it: small segments, compacted often; but nothing that was replaced while it
                    // reads, for it takes the snapshot that stood there when it began.
                    let mut config = compacted();
                    config.extend([
                        ("max.message.bytes", larger.clone()),
                        ("min.cleanable.dirty.ratio", "0.1".to_owned()),
                        ("min.compaction.lag.ms", "600000".to_owned()),
                        ("segment.bytes", (64 << 20).to_string()),
                    ]);
                    (pipeline.state_topic(), 1, config)
                }
                // Each key is written once, and an entry must outlive its dead letter: nothing expires.
                Role::Replays => (pipeline.replays_topic(), 1, compacted()),
            };
            Topic { role, name, partitions, config }
        })
        .collect()
}
