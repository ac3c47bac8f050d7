//! Every name that Kafka sees: topics, consumer groups, transactional ids.

mod id;

pub use crate::role::Role;
pub use id::PipelineId;

use crate::pipeline::LoginPipelineSpec;

/// A topic that the pipeline needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// What the topic is for.
    pub role: Role,
    /// Its name in Kafka.
    pub name: String,
    /// Number of partitions that it needs at least.
    pub partitions: i32,
    /// Topic configs that the pipeline depends on.
    pub config: Vec<(&'static str, String)>,
}

/// `max.message.bytes` of a source that the operator creates: Kafka's default.
pub const SOURCE_MAX_MESSAGE_BYTES: i32 = 1_048_588;

/// By how much `max.message.bytes` of the outputs exceeds the source's: what enrichment and headers add at most.
pub const MAX_GROWTH_BYTES: i32 = 64 * 1024;

/// An event stays until its retention ends, even if a later event has the same key.
fn kept() -> (&'static str, String) {
    ("cleanup.policy", "delete".to_owned())
}

fn compacted() -> Vec<(&'static str, String)> {
    vec![("cleanup.policy", "compact".to_owned())]
}

/// The topics of a pipeline, in the order in which they are created and grown.
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
                // One partition each: few records, and their order is that of the deltas. Compacted, so that the last
                // revision of each stays.
                Role::Aggregates => (spec.results.aggregates.topic.clone(), 1, compacted()),
                Role::Insights => (spec.results.insights.topic.clone(), 1, compacted()),
                Role::Alerts => (spec.results.alerts.topic.clone(), 1, compacted()),
                Role::State => {
                    // A cold start reads all of it: small segments, compacted often; but nothing that was replaced
                    // while it reads, for it takes the snapshot that stood there when it began.
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
