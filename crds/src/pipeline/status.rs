//! What the operator reports about a pipeline.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::topics::Role;

/// What the operator has seen and done. `kubectl wait --for=condition=Ready` and kstatus read it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoginPipelineStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions, one of each type.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Replicas of the processor's Deployment.
    #[serde(default)]
    pub replicas: i32,
    /// Replicas that joined the group and restored what they were assigned.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the processor's pods, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The job config in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ConfigStatus>,
    /// The job config with which every replica was available last: what a rollback returns to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_healthy: Option<ConfigStatus>,
    /// Records of the source that wait, as the pods counted them a short while ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Events that are processed in a second, as the pods counted them a short while ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<i64>,
    /// The pipeline's topics, one of each role.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into()]))]
    pub topics: Vec<TopicStatus>,
}

/// A job config that is or was in use.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// Numbers the job configs, the first with the Unix time of the resource's creation; replicas write it into the delta
    /// log.
    // Kubernetes knows no unsigned integers.
    #[schemars(with = "i64", range(min = 0))]
    pub revision: u64,
    /// Name of the ConfigMap, which holds the pod template too.
    pub config_map: String,
    /// The image that its pods run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A topic of the pipeline.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// What the topic is for.
    pub role: Role,
    /// Its name in Kafka.
    pub name: String,
    /// Partitions that exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Kafka's own identifier; another one means that the topic was deleted and made again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// Whether this pipeline made the topic.
    #[serde(default)]
    pub created: bool,
}

/// A condition, as Kubernetes' `metav1.Condition` defines it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// A word for programs.
    pub reason: String,
    /// A sentence for people: what is, and the remedy where there is something to do.
    pub message: String,
    /// When `status` last changed, RFC 3339.
    pub last_transition_time: String,
    /// The generation of the spec that this condition speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}
