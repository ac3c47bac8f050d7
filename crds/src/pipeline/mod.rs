//! `LoginPipeline`, the resource: what a user writes and what the operator reports back.

mod kafka;
mod topics;
mod validation;

mod aggregation;
mod results;

mod processor;
mod status;

mod check;
mod duration;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use aggregation::{Aggregation, Dimension};
pub use check::{Problem, check};
pub use duration::{Duration, DurationError, Window};
pub use kafka::{CertificateRef, ExternalKafka, Kafka, KeyRef, Sasl, SaslMechanism, StrimziKafka, Tls};
pub use processor::{ImagePullPolicy, NetworkPolicy, Processor, Rollback, UpgradePolicy};
pub use results::{Alert, ResultTopic, Results};
pub use status::{Condition, ConditionStatus, ConfigStatus, LoginPipelineStatus, TopicStatus};
pub use topics::{DeadLetters, DeletionPolicy, Output, Source, StartFrom, Topics};
pub use validation::{Field, IpRule, Validation};

/// A pipeline of login events on Kafka. Only `kafka` is required.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "loginpipeline.dev",
    version = "v1alpha1",
    kind = "LoginPipeline",
    plural = "loginpipelines",
    shortname = "lp",
    category = "streaming",
    namespaced,
    status = "LoginPipelineStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.processor.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Lag", type_ = "integer", json_path = ".status.lag"),
    printcolumn(name = "Rate", type_ = "integer", json_path = ".status.rate"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Topics",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"TopicsReady\")].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    validation = Rule::new("size(self.metadata.name) <= 40").message(
        "metadata.name is longer than 40 characters, and the names of topics, groups and pods are built from it: choose a shorter one"
    ),
    validation = Rule::new("!self.metadata.name.contains('.')").message(
        "metadata.name contains a dot, which separates it from the rest in the names of topics and groups: choose another one"
    ),
    validation = Rule::new(no_internal_topic_rule(["source", "output", "deadLetters"])).message(INTERNAL_TOPIC),
    validation = Rule::new(no_internal_topic_rule(RESULTS)).message(INTERNAL_TOPIC)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(different_topics_rule())
        .message("the topics of source, output, deadLetters and results must be six different ones"),
    validation = Rule::new("self.alerts.all(a, !has(a.dimension) || a.dimension in self.aggregation.dimensions)")
        .message("the dimension of each of alerts must be one of aggregation.dimensions"),
    validation = Rule::new("self.alerts.all(a, self.aggregation.windows.exists(w, w == a.window || (w != 'all' && a.window != 'all' && duration(w) == duration(a.window))))")
        .message("the window of each of alerts must be one of aggregation.windows")
)]
pub struct LoginPipelineSpec {
    /// The Kafka that holds the pipeline's topics.
    pub kafka: Kafka,
    /// What holds for every topic that the pipeline makes.
    #[serde(default)]
    pub topics: Topics,
    /// Where login events come from.
    #[serde(default)]
    pub source: Source,
    /// Where every valid event goes, enriched.
    #[serde(default)]
    pub output: Output,
    /// Where every other event goes, whole, with its reason in headers.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// Which events are valid.
    #[serde(default)]
    pub validation: Validation,
    /// What is counted, by window and dimension.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Anomalies to report.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub alerts: Vec<Alert>,
    /// Where counts, insights and alerts go.
    #[serde(default)]
    pub results: Results,
    /// The processor's Deployment.
    #[serde(default)]
    pub processor: Processor,
    /// Who may reach the processor's pods, and whom they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// What becomes of the topics that this pipeline made when it is deleted; of the source `source.deletionPolicy` says it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether to stop: pods drain and go, and nothing else does. The pipeline goes on where it stopped.
    #[serde(default)]
    pub suspend: bool,
}

impl LoginPipelineSpec {
    /// The spec that sets nothing but its Kafka.
    #[must_use]
    pub fn on(kafka: Kafka) -> Self {
        Self {
            kafka,
            topics: Topics::default(),
            source: Source::default(),
            output: Output::default(),
            dead_letters: DeadLetters::default(),
            validation: Validation::default(),
            aggregation: Aggregation::default(),
            alerts: Vec::new(),
            results: Results::default(),
            processor: Processor::default(),
            network_policy: NetworkPolicy::default(),
            deletion_policy: DeletionPolicy::default(),
            suspend: false,
        }
    }
}

const RESULTS: [&str; 3] = ["results.aggregates", "results.insights", "results.alerts"];

/// Topics of a spec, as a list in CEL.
fn topics_of<const N: usize>(spec: &str, fields: [&str; N]) -> String {
    format!("[{}]", fields.map(|field| format!("{spec}.{field}.topic")).join(", "))
}

fn different_topics_rule() -> String {
    let [aggregates, insights, alerts] = RESULTS;
    let topics = topics_of("self", ["source", "output", "deadLetters", aggregates, insights, alerts]);
    format!("{topics}.all(topic, {topics}.exists_one(other, topic == other))")
}

const INTERNAL_TOPIC: &str = "no topic may end with the pipeline's name and .deltas, .state or .replays between dots, as its own topics do: choose another one";

/// Three topics at a time, for the API server bounds what a rule may cost.
fn no_internal_topic_rule(fields: [&str; 3]) -> String {
    let is_internal =
        ["deltas", "state", "replays"].map(|topic| format!("topic.endsWith('.' + self.metadata.name + '.{topic}')"));
    format!("{}.all(topic, !({}))", topics_of("self.spec", fields), is_internal.join(" || "))
}
