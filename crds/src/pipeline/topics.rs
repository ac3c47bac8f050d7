//! The topics of events: where they come from and where each goes, and what becomes of topics at the end.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    pattern::TOPIC,
    rule::{Broken, Rule, quoted},
};

/// What Kafka asks of a topic's name beside its characters.
pub(super) const KAFKA_NAME: Rule<String> = Rule {
    cel: || "self != '.' && self != '..'".to_owned(),
    message: "must not be . or .., which Kafka refuses as names",
    broken: |topic| Broken::value_if(topic == "." || topic == "..", quoted(topic)),
};

/// Settings of all topics that the pipeline creates.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.replicationFactor) == has(oldSelf.replicationFactor) && (!has(self.replicationFactor) || self.replicationFactor == oldSelf.replicationFactor)")
        .message("topics.replicationFactor cannot change: reassign the topics' replicas in Kafka instead")
)]
pub struct Topics {
    /// Replicas of each partition of a created topic, 1 to 32767; the brokers' own default when it is not set. It
    /// cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32_767))]
    pub replication_factor: Option<i32>,
    /// Whether the configs of topics that this pipeline did not create may be changed to what it needs. Otherwise it
    /// uses such topics as they are, where that is possible. Default: false.
    #[serde(default)]
    pub adopt: bool,
}

/// The topic of login events.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Topic name. It cannot change. Default: `user-login`.
    #[serde(default = "source_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("source.topic cannot change: create another LoginPipeline for another topic"),
        validation = KAFKA_NAME.validation()
    )]
    pub topic: String,
    /// Partitions of the source, the output and the dead letter topic, which correspond one to one: 1 to 1024. The
    /// number can grow but not shrink. Default: 8.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self >= oldSelf").message("source.partitions cannot shrink: Kafka would lose the events of the partitions that go"))]
    pub partitions: i32,
    /// Where a pipeline that has never committed an offset starts: `Earliest` is the oldest event that the source still
    /// holds, `Latest` the first event after the start. Default: `Earliest`.
    #[serde(default)]
    pub start_from: StartFrom,
    /// What happens to the source topic when the pipeline is deleted: `Retain` keeps it, `Delete` deletes it if this
    /// pipeline created it. Default: `Retain`.
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

/// Where a consumer group that has never committed an offset starts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// At the oldest event that the source still holds.
    #[default]
    Earliest,
    /// At the first event after the start.
    Latest,
}

/// The topic of valid events, enriched.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Topic name. It cannot change. Default: `processed-user-login`.
    #[serde(default = "output_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("output.topic cannot change: create another LoginPipeline for another topic"),
        validation = KAFKA_NAME.validation()
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
    /// Topic name. It cannot change. Default: `user-login-dead-letters`.
    #[serde(default = "dead_letters_topic")]
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("deadLetters.topic cannot change: create another LoginPipeline for another topic"),
        validation = KAFKA_NAME.validation()
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

/// What happens to topics when their pipeline is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay, with their data.
    #[default]
    Retain,
    /// Those that this pipeline created are deleted.
    Delete,
}
