//! How a pipeline's pods are run: the part of a pod's template that is a user's to choose, and nothing of its security.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint},
    networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// The processor's Deployment.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    /// Replicas of the consumer group.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 1024))]
    pub replicas: i32,
    /// Consumers per replica, each a thread of its own.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub threads: i32,
    /// How often a thread commits a transaction. Results become visible at this pace.
    #[serde(default = "hundred_milliseconds")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10ms') && duration(self) <= duration('5s')").message("processor.commitInterval must lie between 10ms and 5s"))]
    pub commit_interval: Duration,
    /// Image of the processor; the operator's own default when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When nodes pull the image; Kubernetes' own default when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with which nodes pull the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Compute resources of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep the pods away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// Which nodes and neighbours the pods prefer or need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods spread; over the nodes, as far as that is possible, when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Name of the pods' PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// More labels for the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('loginpipeline.dev/') && !k.startsWith('app.kubernetes.io/'))").message("processor.podLabels must not have keys of loginpipeline.dev/ and app.kubernetes.io/, which are the operator's own"))]
    pub pod_labels: BTreeMap<String, String>,
    /// More annotations for the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('loginpipeline.dev/') && !k.startsWith('container.apparmor.security.beta.kubernetes.io/'))").message("processor.podAnnotations must not have keys of loginpipeline.dev/ and container.apparmor.security.beta.kubernetes.io/: what they say is the operator's to say"))]
    pub pod_annotations: BTreeMap<String, String>,
    /// Whether an upgrade of the operator may change the image and the pod template of a pipeline whose spec stays.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// What to do when a change of the spec gives pods that do not become ready.
    #[serde(default)]
    pub rollback: Rollback,
    /// How long pods may take to become ready until a change counts as failed.
    #[serde(default = "ten_minutes")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10s') && duration(self) <= duration('24h') && duration(self).getMilliseconds() % 1000 == 0").message("processor.progressDeadline must be whole seconds between 10s and 24h"))]
    pub progress_deadline: Duration,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            replicas: two(),
            threads: one(),
            commit_interval: hundred_milliseconds(),
            image: None,
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: None,
            priority_class_name: None,
            pod_labels: BTreeMap::new(),
            pod_annotations: BTreeMap::new(),
            upgrade_policy: UpgradePolicy::default(),
            rollback: Rollback::default(),
            progress_deadline: ten_minutes(),
        }
    }
}

/// When nodes pull an image.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start.
    Always,
    /// When they have none.
    IfNotPresent,
    /// Never.
    Never,
}

impl ImagePullPolicy {
    /// Kubernetes' word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// Whether an upgrade of the operator changes running pipelines.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// Image and pod template stay as they are until the spec changes: an upgrade restarts nothing.
    #[default]
    Pinned,
    /// The pods follow the operator's defaults, one by one.
    Automatic,
}

/// What to do when a change gives pods that do not become ready.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollback {
    /// Return to the config, image and pod template that were healthy last, once. The spec stays, and the status says so.
    #[default]
    OnFailure,
    /// Leave them for somebody to look at.
    Never,
}

/// Who may reach the processor's pods, and whom they may reach.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether a NetworkPolicy is made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// From where the metrics port may be reached; from everywhere when it is not set. No other port ever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ingress_from: Option<Vec<NetworkPolicyPeer>>,
    /// What the pods may reach beside a Kafka of Strimzi's and DNS. For an external Kafka nothing is limited without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub egress_to: Option<Vec<NetworkPolicyEgressRule>>,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: true, ingress_from: None, egress_to: None }
    }
}

const fn yes() -> bool {
    true
}

const fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

const fn one() -> i32 {
    1
}

const fn two() -> i32 {
    2
}

const fn hundred_milliseconds() -> Duration {
    Duration::from_millis(100)
}
