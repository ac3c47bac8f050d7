//! `LoginPipeline`, the resource: what a user writes and what the operator reports back.

mod check;
mod duration;
mod kafka;
mod processor;
mod results;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use check::{Problem, check};
pub use duration::{Duration, DurationError};
pub use kafka::{CertificateRef, ExternalKafka, Kafka, KeyRef, Sasl, SaslMechanism, StrimziKafka, Tls};
pub use processor::{ImagePullPolicy, NetworkPolicy, Processor, Rollback, UpgradePolicy};
pub use results::{Alert, ResultTopic, Results};
pub use status::{Condition, ConditionStatus, ConfigStatus, LoginPipelineStatus, TopicStatus};

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

/// What becomes of topics when their pipeline is deleted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// They stay, with their data.
    #[default]
    Retain,
    /// They are deleted, if this pipeline made them.
    Delete,
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

const INTERNAL_TOPIC: &str = "no topic may end with the pipeline's name and .deltas or .state between dots, as its own topics do: choose another one";

/// Three topics at a time, for the API server bounds what a rule may cost.
fn no_internal_topic_rule(fields: [&str; 3]) -> String {
    let is_internal = ["deltas", "state"].map(|topic| format!("topic.endsWith('.' + self.metadata.name + '.{topic}')"));
    format!("{}.all(topic, !({}))", topics_of("self.spec", fields), is_internal.join(" || "))
}

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

/// Which events are valid; the others become dead letters.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validation {
    /// Fields that an event must have; one that is `null` is missing. Without `timestamp` here, an event that has none
    /// takes the timestamp of its Kafka record.
    #[serde(default = "required")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub required: Vec<Field>,
    /// How far beyond its record's Kafka timestamp an event's time may lie.
    #[serde(default = "five_minutes")]
    pub max_future_skew: Duration,
    /// What a present `ip` must look like.
    #[serde(default)]
    pub ip: IpRule,
}

impl Default for Validation {
    fn default() -> Self {
        Self { required: required(), max_future_skew: five_minutes(), ip: IpRule::default() }
    }
}

fn required() -> Vec<Field> {
    vec![Field::UserId, Field::DeviceType, Field::Locale, Field::Timestamp]
}

const fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

/// The fields of a login event that the pipeline knows.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Who logged in.
    UserId,
    /// Version of the app.
    AppVersion,
    /// Address of the device.
    Ip,
    /// US state.
    Locale,
    /// Which device.
    DeviceId,
    /// Event time, Unix seconds.
    Timestamp,
    /// Kind of device.
    DeviceType,
}

impl Field {
    /// Every field, in the order of the declaration.
    pub const ALL: [Self; 7] =
        [Self::UserId, Self::AppVersion, Self::Ip, Self::Locale, Self::DeviceId, Self::Timestamp, Self::DeviceType];

    /// The field's name in an event.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserId => "user_id",
            Self::AppVersion => "app_version",
            Self::Ip => "ip",
            Self::Locale => "locale",
            Self::DeviceId => "device_id",
            Self::Timestamp => "timestamp",
            Self::DeviceType => "device_type",
        }
    }
}

/// What a present `ip` must look like.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpRule {
    /// Any string.
    #[default]
    Any,
    /// An IPv4 or IPv6 address.
    Valid,
}

/// What is counted, by window and dimension.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aggregation {
    /// Window sizes, the smallest first; the others are multiples of it. `all` is one window without end.
    #[serde(default = "windows")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("self[0] != 'all' && self.all(w, w == 'all' || duration(w) >= duration(self[0]))")
            .message("aggregation.windows must begin with the smallest finite window, such as 1m"),
        validation = Rule::new("self[0] == 'all' || duration(self[0]) < duration('1s') || self.all(w, w == 'all' || duration(w).getMilliseconds() % duration(self[0]).getMilliseconds() == 0)")
            .message("each of aggregation.windows must be a multiple of the first one, for it is rolled up from it"),
        validation = Rule::new("self.all(w, w == 'all' || (duration(w) >= duration('1s') && duration(w).getMilliseconds() % 1000 == 0))")
            .message("each of aggregation.windows must be whole seconds, for event times are"),
        validation = Rule::new("self.all(w, self.exists_one(other, (w == 'all') == (other == 'all') && (w == 'all' || duration(w) == duration(other))))")
            .message("each of aggregation.windows must be there once: 60s and 1m are the same")
    )]
    pub windows: Vec<Window>,
    /// The fields by whose values logins are counted.
    #[serde(default = "dimensions")]
    #[schemars(length(max = 3))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub dimensions: Vec<Dimension>,
    /// How many values of a dimension a window counts. Of more it keeps those that alerts name, then those with the smallest
    /// hash, and sums the rest up as `_other`.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_values: i32,
    /// Whether unique users are estimated.
    #[serde(default = "yes")]
    pub unique_users: bool,
    /// How far behind its partition's newest event an event may be before it counts as late.
    #[serde(default = "thirty_seconds")]
    pub allowed_lateness: Duration,
    /// How long a partition without events holds windows back.
    #[serde(default = "ten_seconds")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("aggregation.idleTimeout must be at least 1s"))]
    pub idle_timeout: Duration,
    /// How much later than allowed an event may be and still be merged into finite windows.
    #[serde(default = "one_day")]
    pub retention: Duration,
}

impl Default for Aggregation {
    fn default() -> Self {
        Self {
            windows: windows(),
            dimensions: dimensions(),
            max_values: ten_thousand(),
            unique_users: yes(),
            allowed_lateness: thirty_seconds(),
            idle_timeout: ten_seconds(),
            retention: one_day(),
        }
    }
}

impl Aggregation {
    /// Size of the smallest window in seconds: what stage 1 counts by. None when the first window is not a finite one of
    /// at least a second, which validation refuses.
    #[must_use]
    pub fn smallest_window(&self) -> Option<i64> {
        match self.windows.first() {
            Some(Window::Finite(size)) if size.as_secs() > 0 => Some(size.as_secs()),
            _ => None,
        }
    }

    /// Size of the largest finite window in seconds.
    #[must_use]
    pub fn largest_window(&self) -> i64 {
        let finite = |window: &Window| match window {
            Window::Finite(size) => Some(size.as_secs()),
            Window::All => None,
        };
        self.windows.iter().filter_map(finite).max().unwrap_or_default()
    }
}

fn windows() -> Vec<Window> {
    vec![Window::Finite(Duration::from_secs(60)), Window::Finite(Duration::from_secs(3600)), Window::All]
}

fn dimensions() -> Vec<Dimension> {
    vec![Dimension::DeviceType, Dimension::Locale, Dimension::AppVersion]
}

const fn ten_thousand() -> i32 {
    10_000
}

const fn yes() -> bool {
    true
}

const fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

const fn one_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

pub use duration::Window;

/// A field by whose values logins are counted. Fields that identify a person or a device cannot be one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Kind of device.
    DeviceType,
    /// US state.
    Locale,
    /// Version of the app.
    AppVersion,
}

impl Dimension {
    /// Every dimension, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::DeviceType, Self::Locale, Self::AppVersion];

    /// The dimension's name in records: that of the event's field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.field().name()
    }

    /// The event's field.
    #[must_use]
    pub const fn field(self) -> Field {
        match self {
            Self::DeviceType => Field::DeviceType,
            Self::Locale => Field::Locale,
            Self::AppVersion => Field::AppVersion,
        }
    }
}
