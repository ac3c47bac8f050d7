//! The parts of Strimzi's resources that the pipeline writes and reads, in the shape that `kafka.strimzi.io/v1` and
//! `v1beta2` share. Source: the CRDs of Strimzi 0.46 and 1.3, and its documentation of the topic operator.

use std::collections::BTreeMap;

use kube::core::{ApiResource, GroupVersionKind, Object};
use serde::{Deserialize, Serialize};

/// The API group.
pub const GROUP: &str = "kafka.strimzi.io";

/// Versions that serve these shapes, the preferred one first.
pub const VERSIONS: [&str; 2] = ["v1", "v1beta2"];

/// The label by which a topic operator finds the topics of its cluster.
pub const CLUSTER_LABEL: &str = "strimzi.io/cluster";

/// The label of a pod that names the kind of resource it belongs to.
pub const KIND_LABEL: &str = "strimzi.io/kind";

/// A `KafkaTopic`.
pub type KafkaTopic = Object<KafkaTopicSpec, KafkaTopicStatus>;

/// A `Kafka`. Of its spec nothing is read.
pub type Kafka = Object<serde_json::Value, KafkaStatus>;

/// How the API server serves a kind of Strimzi's in a version.
#[must_use]
pub fn api_resource(version: &str, kind: &str) -> ApiResource {
    let gvk = GroupVersionKind::gvk(GROUP, version, kind);
    let plural = match kind {
        "Kafka" => "kafkas".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    ApiResource::from_gvk_with_plural(&gvk, &plural)
}

/// What a topic should be.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicSpec {
    /// The topic's name in Kafka; the object's own name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Number of partitions, which can grow but not shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Replicas of each partition; the broker's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Topic configs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, serde_json::Value>,
}

/// What the topic operator reports.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaTopicStatus {
    /// Conditions, `Ready` above all.
    #[serde(default)]
    pub conditions: Vec<StrimziCondition>,
    /// Generation of the spec that this status describes.
    #[serde(default)]
    pub observed_generation: Option<i64>,
    /// The topic's name in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// Kafka's identifier of the topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
}

/// What the cluster operator reports.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KafkaStatus {
    /// Conditions, `Ready` above all.
    #[serde(default)]
    pub conditions: Vec<StrimziCondition>,
    /// The listeners that can be reached.
    #[serde(default)]
    pub listeners: Vec<ListenerStatus>,
}

/// A listener that can be reached.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// The listener's name.
    #[serde(default)]
    pub name: Option<String>,
    /// `host:port`, several separated by commas.
    #[serde(default)]
    pub bootstrap_servers: Option<String>,
    /// Certificates by which to verify the brokers, in PEM; only for a listener with TLS.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// A condition as Strimzi writes it: every field is optional.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StrimziCondition {
    /// Type of the condition, such as `Ready`.
    #[serde(default, rename = "type")]
    pub type_: Option<String>,
    /// `True`, `False` or `Unknown`.
    #[serde(default)]
    pub status: Option<String>,
    /// The reason in one word, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason in a sentence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
