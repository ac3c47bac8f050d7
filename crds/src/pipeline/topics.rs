//! The topics of events: where they come from and where each goes, and what becomes of topics at the end.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What holds for every topic that the pipeline makes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.replicationFactor) == has(oldSelf.replicationFactor) && (!has(self.replicationFactor) || self.replicationFactor == oldSelf.replicationFactor)")
        .message("topics.replicationFactor cannot change: reassign the topics' replicas in Kafka instead")
)]
pub struct Topics {
    /// Replicas of each partition of a topic that is made; the brokers' own default when it is not set. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32_767))]
    pub replication_factor: Option<i32>,
    /// Whether topics that others made may be brought to what the pipeline needs: their configs are changed then. Without
    /// it they are used as they are, where that is possible.
    #[serde(default)]
    pub adopt: bool,
}

/// The topic of login events.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Topic name. It cannot change.
    #[serde(default = "source_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("source.topic cannot change: create another LoginPipeline for another topic"),
        validation = Rule::new("self != '.' && self != '..'").message("source.topic is no name that Kafka takes: choose another")
    )]
    pub topic: String,
    /// Partitions of the source, the output and the dead letter topic, which correspond one to one. They never shrink.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("source.partitions cannot shrink: Kafka would lose the events of the partitions that go"))]
    pub partitions: i32,
    /// Where a pipeline that has never committed an offset begins.
    #[serde(default)]
    pub start_from: StartFrom,
    /// What becomes of the source when the pipeline is deleted, if the pipeline made it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            topic: source_topic(),
            partitions: eight(),
            start_from: StartFrom::default(),
            deletion_policy: DeletionPolicy::default(),
        }
    }
}

fn source_topic() -> String {
    "user-login".to_owned()
}

const fn eight() -> i32 {
    8
}

/// Where a consumer group with no commit at all begins.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the oldest event that the source still holds.
    #[default]
    Earliest,
    /// With the first event after the start.
    Latest,
}

/// The topic of processed events.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Topic name. It cannot change.
    #[serde(default = "output_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("output.topic cannot change: create another LoginPipeline for another topic"),
        validation = Rule::new("self != '.' && self != '..'").message("output.topic is no name that Kafka takes: choose another")
    )]
    pub topic: String,
}

impl Default for Output {
    fn default() -> Self {
        Self { topic: output_topic() }
    }
}

fn output_topic() -> String {
    "processed-user-login".to_owned()
}

/// The topic of events that failed validation.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// Topic name. It cannot change.
    #[serde(default = "dead_letters_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("deadLetters.topic cannot change: create another LoginPipeline for another topic"),
        validation = Rule::new("self != '.' && self != '..'").message("deadLetters.topic is no name that Kafka takes: choose another")
    )]
    pub topic: String,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self { topic: dead_letters_topic() }
    }
}

fn dead_letters_topic() -> String {
    "user-login-dead-letters".to_owned()
}

/// What becomes of topics when their pipeline is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay, with their data.
    #[default]
    Retain,
    /// They are deleted, if this pipeline made them.
    Delete,
}
