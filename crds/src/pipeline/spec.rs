//! The spec as a whole, and the rules that tie its parts and the resource's name together.

use std::ops::Range;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{
    aggregation::Aggregation,
    kafka::Kafka,
    processor::{NetworkPolicy, Processor},
    results::{Alert, Results},
    rule::{Broken, Rule, in_entry, quoted},
    status::LoginPipelineStatus,
    topics::{DeadLetters, DeletionPolicy, Output, Source, Topics},
    validation::Validation,
};

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
    validation = SHORT_NAME.validation(),
    validation = NAME_WITHOUT_DOT.validation(),
    validation = NO_INTERNAL_TOPIC.validation(),
    validation = NO_INTERNAL_RESULT.validation()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = SIX_TOPICS.validation(),
    validation = ALERT_DIMENSION.validation(),
    validation = ALERT_WINDOW.validation()
)]
pub struct LoginPipelineSpec {
    /// The Kafka cluster that holds the pipeline's topics.
    pub kafka: Kafka,
    /// Settings of all topics that the pipeline creates.
    #[serde(default)]
    pub topics: Topics,
    /// The topic of login events.
    #[serde(default)]
    pub source: Source,
    /// The topic of valid events, enriched.
    #[serde(default)]
    pub output: Output,
    /// The topic of all other events, each unchanged, with the reason in its headers.
    #[serde(default)]
    pub dead_letters: DeadLetters,
    /// Which events are valid.
    #[serde(default)]
    pub validation: Validation,
    /// Which counts the pipeline keeps: by time window, and by the values of fields of the event.
    #[serde(default)]
    pub aggregation: Aggregation,
    /// Anomalies to report, at most 64. Each has a name of its own.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub alerts: Vec<Alert>,
    /// The topics of counts, insights and alerts.
    #[serde(default)]
    pub results: Results,
    /// The processor's Deployment and its pods.
    #[serde(default)]
    pub processor: Processor,
    /// Which connections the processor's pods accept and open.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// What happens to the topics this pipeline created when it is deleted: `Retain` or `Delete`. The source follows
    /// `source.deletionPolicy`. Default: `Retain`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Whether processing is suspended: the pods drain and end, and nothing else changes. When it is false again, the
    /// pipeline continues where it stopped. Default: false.
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

/// The topics that a spec names, each with its path.
fn topics_of(spec: &LoginPipelineSpec) -> [(&'static str, &String); 6] {
    [
        (".source.topic", &spec.source.topic),
        (".output.topic", &spec.output.topic),
        (".deadLetters.topic", &spec.dead_letters.topic),
        (".results.aggregates.topic", &spec.results.aggregates.topic),
        (".results.insights.topic", &spec.results.insights.topic),
        (".results.alerts.topic", &spec.results.alerts.topic),
    ]
}

const EVENTS: [&str; 3] = ["source", "output", "deadLetters"];
const RESULTS: [&str; 3] = ["results.aggregates", "results.insights", "results.alerts"];

/// Topics of a spec, as a list in CEL.
fn list_of<'a>(spec: &str, fields: impl IntoIterator<Item = &'a str>) -> String {
    let topics: Vec<String> = fields.into_iter().map(|field| format!("{spec}.{field}.topic")).collect();
    format!("[{}]", topics.join(", "))
}

pub(super) const SHORT_NAME: Rule<LoginPipeline> = Rule {
    cel: || "size(self.metadata.name) <= 40".to_owned(),
    message: "metadata.name is longer than 40 characters, and the names of topics, groups and pods are built from it: choose a shorter one",
    broken: |pipeline| {
        let name = name_of(pipeline);
        Broken::field_if(name.chars().count() > 40, "metadata.name", quoted(name))
    },
};

pub(super) const NAME_WITHOUT_DOT: Rule<LoginPipeline> = Rule {
    cel: || "!self.metadata.name.contains('.')".to_owned(),
    message: "metadata.name contains a dot, which separates it from the rest in the names of topics and groups: choose another one",
    broken: |pipeline| {
        let name = name_of(pipeline);
        Broken::field_if(name.contains('.'), "metadata.name", quoted(name))
    },
};

const INTERNAL_TOPIC: &str = "no topic may end with the pipeline's name and .deltas, .state or .replays between dots, as its own topics do: choose another one";

// Two rules of three topics each, for the API server bounds what a rule may cost.
pub(super) const NO_INTERNAL_TOPIC: Rule<LoginPipeline> = Rule {
    cel: || no_internal_topic(EVENTS),
    message: INTERNAL_TOPIC,
    broken: |pipeline| internal_topics(pipeline, 0..3),
};

pub(super) const NO_INTERNAL_RESULT: Rule<LoginPipeline> = Rule {
    cel: || no_internal_topic(RESULTS),
    message: INTERNAL_TOPIC,
    broken: |pipeline| internal_topics(pipeline, 3..6),
};

fn no_internal_topic(fields: [&str; 3]) -> String {
    let is_internal = INTERNAL.map(|topic| format!("topic.endsWith('.' + self.metadata.name + '.{topic}')"));
    format!("{}.all(topic, !({}))", list_of("self.spec", fields), is_internal.join(" || "))
}

fn internal_topics(pipeline: &LoginPipeline, topics: Range<usize>) -> Vec<Broken> {
    let ends = INTERNAL.map(|topic| format!(".{}.{topic}", name_of(pipeline)));
    let topics = topics_of(&pipeline.spec).into_iter().skip(topics.start).take(topics.len());
    let internal = topics.filter(|(_, topic)| ends.iter().any(|end| topic.ends_with(end)));
    internal.flat_map(|(field, topic)| Broken::field_if(true, &format!("spec{field}"), quoted(topic))).collect()
}

/// How the names of the pipeline's own topics end, after its name.
const INTERNAL: [&str; 3] = ["deltas", "state", "replays"];

fn name_of(pipeline: &LoginPipeline) -> &str {
    pipeline.metadata.name.as_deref().unwrap_or_default()
}

pub(super) const SIX_TOPICS: Rule<LoginPipelineSpec> = Rule {
    cel: || {
        let topics = list_of("self", EVENTS.into_iter().chain(RESULTS));
        format!("{topics}.all(topic, {topics}.exists_one(other, topic == other))")
    },
    message: "the topics of source, output, deadLetters and results must be six different ones",
    broken: |spec| {
        let topics = topics_of(spec);
        let repeated = |index: usize, topic: &String| topics[..index].iter().any(|(_, other)| *other == topic);
        let broken = topics.iter().enumerate();
        broken
            .flat_map(|(index, (field, topic))| Broken::field_if(repeated(index, topic), field, quoted(topic)))
            .collect()
    },
};

pub(super) const ALERT_DIMENSION: Rule<LoginPipelineSpec> = Rule {
    cel: || "self.alerts.all(a, !has(a.dimension) || a.dimension in self.aggregation.dimensions)".to_owned(),
    message: "the dimension of each of alerts must be one of aggregation.dimensions",
    broken: |spec| {
        let unknown =
            |alert: &Alert| alert.dimension.filter(|dimension| !spec.aggregation.dimensions.contains(dimension));
        let broken = spec.alerts.iter().filter_map(|alert| Some((alert, unknown(alert)?)));
        broken.flat_map(|(alert, dimension)| of_alert(alert, ".alerts[].dimension", dimension.name())).collect()
    },
};

pub(super) const ALERT_WINDOW: Rule<LoginPipelineSpec> = Rule {
    cel: || {
        "self.alerts.all(a, self.aggregation.windows.exists(w, w == a.window || (w != 'all' && a.window != 'all' && \
         duration(w) == duration(a.window))))"
            .to_owned()
    },
    message: "the window of each of alerts must be one of aggregation.windows",
    broken: |spec| {
        let broken = spec.alerts.iter().filter(|alert| !spec.aggregation.windows.contains(&alert.window));
        broken.flat_map(|alert| of_alert(alert, ".alerts[].window", &alert.window.to_string())).collect()
    },
};

fn of_alert(alert: &Alert, field: &str, value: &str) -> Vec<Broken> {
    Broken::field_if(true, field, in_entry(value, &quoted(&alert.name)))
}
