//! What the operator reports about a pipeline.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::role::Role;

/// What the operator has seen and done. `kubectl wait --for=condition=Ready` and kstatus read it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoginPipelineStatus {
    /// Generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions, one of each type.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Pods of the processor's Deployment.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that joined the consumer group and restored what they were assigned.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the processor's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The job config that the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
    /// The last job config with which every pod was available. A rollback returns to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_healthy: Option<ConfigStatus>,
    /// Records of the source that wait to be processed, as the pods counted them a short while ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Events processed per second, as the pods counted them a short while ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<i64>,
    /// The pipeline's topics, one for each role.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into()]))]
    pub topics: Vec<TopicStatus>,
}

/// A job config that is or was in use.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Number of the job config, which replicas write into the delta log. The first is the Unix time of the resource's
    /// creation, and each change adds one.
    // Kubernetes knows no unsigned integers.
    #[schemars(with = "i64", range(min = 0))]
    pub revision: u64,
    /// Name of the ConfigMap with the job config and the pod template.
    pub config_map: String,
    /// Image that the pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A topic of the pipeline.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// What the topic is for.
    pub role: Role,
    /// Name of the topic in Kafka.
    pub name: String,
    /// Number of partitions that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Kafka's identifier of the topic. If it changes, the topic was deleted and created again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Whether this pipeline created the topic.
    #[serde(default)]
    pub created: bool,
}

/// A condition, as Kubernetes' `metav1.Condition` defines it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, such as `Ready`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether the condition holds: `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// The reason in one word, for programs.
    pub reason: String,
    /// The reason in a sentence, for people, with the remedy where there is something to do.
    pub message: String,
    /// When `status` last changed, RFC 3339.
    pub last_transition_time: String,
    /// Generation of the spec that this condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// The condition holds.
    True,
    /// The condition does not hold.
    False,
    /// It is not known whether the condition holds.
    Unknown,
}
