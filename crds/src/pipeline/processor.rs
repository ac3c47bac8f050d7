//! How a pipeline's pods are run: the part of a pod's template that is a user's to choose, and nothing of its security.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    core::v1::{Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint},
    networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer},
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    duration::Duration,
    rule::{Broken, Rule, quoted},
};

/// The processor's Deployment and its pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    /// Number of pods, 0 to 1024. They share the partitions of the source as one consumer group. Default: 2.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 1024))]
    pub replicas: i32,
    /// Consumers per pod, each in a thread of its own: 1 to 64. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub threads: i32,
    /// How often a thread commits a transaction; results become visible at this pace. A duration from `10ms` to `5s`.
    /// Default: `100ms`.
    #[serde(default = "hundred_milliseconds")]
    #[x_kube(validation = COMMIT_INTERVAL.validation())]
    pub commit_interval: Duration,
    /// Image of the processor; the operator's own default when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When nodes pull the image: `Always`, `IfNotPresent` or `Never`; Kubernetes' own default when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets with which nodes pull the image. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Compute resources of the processor's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have to run the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pods tolerate. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub tolerations: Vec<Toleration>,
    /// Affinity and anti-affinity of the pods to nodes and to other pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods spread over the cluster, at most 16 constraints; over the nodes, as far as that is possible, when
    /// it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// PriorityClass of the pods; the cluster's own default when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Additional labels of the pods, at most 64. Keys of `loginpipeline.dev/` and `app.kubernetes.io/` are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = POD_LABELS.validation())]
    pub pod_labels: BTreeMap<String, String>,
    /// Additional annotations of the pods, at most 64. Keys of `loginpipeline.dev/` are reserved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = POD_ANNOTATIONS.validation())]
    pub pod_annotations: BTreeMap<String, String>,
    /// What an upgrade of the operator does to the pods: with `Pinned`, image and pod template stay until the spec
    /// changes; with `Automatic`, they follow the new operator's defaults, one pod at a time. Default: `Pinned`.
    #[serde(default)]
    pub upgrade_policy: UpgradePolicy,
    /// What happens when a change of the spec leads to pods that do not become ready: `OnFailure` returns, once, to the
    /// config, image and pod template that were healthy last; `Never` leaves the pods as they are. The spec stays as it
    /// is. Default: `OnFailure`.
    #[serde(default)]
    pub rollback: Rollback,
    /// How long pods may take to become ready before a change counts as failed. A duration in whole seconds from `10s`
    /// to `24h`. Default: `10m`.
    #[serde(default = "ten_minutes")]
    #[x_kube(validation = PROGRESS_DEADLINE.validation())]
    pub progress_deadline: Duration,
}

pub(super) const COMMIT_INTERVAL: Rule<Duration> = Rule {
    cel: || "duration(self) >= duration('10ms') && duration(self) <= duration('5s')".to_owned(),
    message: "must lie between 10ms and 5s",
    broken: |interval| Broken::value_if(!(10..=5000).contains(&interval.as_millis()), interval),
};

pub(super) const POD_LABELS: Rule<BTreeMap<String, String>> = Rule {
    cel: || "self.all(k, !k.startsWith('loginpipeline.dev/') && !k.startsWith('app.kubernetes.io/'))".to_owned(),
    message: "must not have keys of loginpipeline.dev/ and app.kubernetes.io/, which are the operator's own",
    broken: |labels| reserved(labels, &["loginpipeline.dev/", "app.kubernetes.io/"]),
};

// The second prefix is an old way to remove the container's AppArmor profile.
pub(super) const POD_ANNOTATIONS: Rule<BTreeMap<String, String>> = Rule {
    cel: || {
        "self.all(k, !k.startsWith('loginpipeline.dev/') && !k.startsWith('container.apparmor.security.beta.kubernetes.io/'))"
            .to_owned()
    },
    message: "must not have keys of loginpipeline.dev/ and container.apparmor.security.beta.kubernetes.io/, which the operator alone sets",
    broken: |annotations| {
        reserved(annotations, &["loginpipeline.dev/", "container.apparmor.security.beta.kubernetes.io/"])
    },
};

pub(super) const PROGRESS_DEADLINE: Rule<Duration> = Rule {
    cel: || {
        "duration(self) >= duration('10s') && duration(self) <= duration('24h') && duration(self).getMilliseconds() % 1000 == 0"
            .to_owned()
    },
    message: "must be whole seconds between 10s and 24h",
    broken: |deadline| {
        let milliseconds = deadline.as_millis();
        Broken::value_if(!(10_000..=86_400_000).contains(&milliseconds) || milliseconds % 1000 != 0, deadline)
    },
};

fn reserved(keys: &BTreeMap<String, String>, prefixes: &[&str]) -> Vec<Broken> {
    let is_reserved = |key: &&String| prefixes.iter().any(|prefix| key.starts_with(prefix));
    Broken::each(keys.keys().filter(is_reserved).map(|key| quoted(key)))
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

/// When nodes pull the image: `Always`, `IfNotPresent` or `Never`; Kubernetes' own default when it is not set.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// Before each start.
    Always,
    /// When the node does not have it.
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

/// What an upgrade of the operator does to the pods.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// Image and pod template stay until the spec changes: an upgrade restarts nothing.
    #[default]
    Pinned,
    /// The pods follow the new operator's defaults, one at a time.
    Automatic,
}

/// What happens when a change of the spec leads to pods that do not become ready.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rollback {
    /// Return, once, to the config, image and pod template that were healthy last. The spec stays, and the status says
    /// so.
    #[default]
    OnFailure,
    /// Leave the pods as they are.
    Never,
}

/// Which connections the processor's pods accept and open.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether a NetworkPolicy is created. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Peers that may reach the metrics port, at most 64; any peer may when it is not set. No other port accepts
    /// connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ingress_from: Option<Vec<NetworkPolicyPeer>>,
    /// Additional egress rules, at most 64. With Strimzi, brokers and DNS are always allowed; with an external Kafka,
    /// egress is unrestricted unless this is set.
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
