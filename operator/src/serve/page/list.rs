//! From a LoginPipeline to its line in the list, and to everything that its status says. Pure.

use crds::pipeline::{
    Condition, ConditionStatus, ConfigStatus, Kafka, LoginPipeline, LoginPipelineStatus, TopicStatus,
};
use kube::Resource;
use serde::Serialize;

use crate::{
    conditions::condition::{DEGRADED, PAUSED, READY, STALLED, condition},
    resource::Guarded,
};

/// The state of a pipeline, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// Not Ready, and only a person can help.
    Stalled,
    /// Ready, but not in every respect as asked.
    Degraded,
    /// Not Ready, and the operator is at work.
    NotReady,
    /// Suspended or scaled to zero, as the spec asks.
    Paused,
    /// Ready, and as asked in every respect.
    Ready,
}

/// A pipeline's line in the list.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    namespace: &'a str,
    name: &'a str,
    /// Changes with the resource: a page that has the pipeline open reads it again then.
    resource_version: &'a str,
    state: Standing,
    /// The reason of the condition that the state comes from.
    reason: &'a str,
    message: &'a str,
    /// When that condition became so, RFC 3339.
    since: Option<&'a str>,
    /// Whether the status speaks of the spec as it is.
    is_current: bool,
    /// None where the spec cannot be read.
    kafka: Option<String>,
    source: Option<&'a str>,
    replicas: Replicas,
    /// Records that wait.
    lag: Option<i64>,
    /// Events in a second.
    rate: Option<i64>,
    revision: Option<u64>,
}

/// Replicas of a pipeline.
#[derive(Serialize)]
struct Replicas {
    /// What the spec asks for; none where it cannot be read.
    wanted: Option<i32>,
    exist: i32,
    ready: i32,
}

/// Everything that a pipeline's status says.
#[derive(Serialize)]
pub(super) struct Pipeline<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    /// RFC 3339.
    created: Option<String>,
    generation: Option<i64>,
    observed_generation: Option<i64>,
    conditions: Vec<ConditionRow<'a>>,
    topics: Vec<Topic<'a>>,
    /// What pods run.
    config: Option<Config<'a>>,
    /// What a rollback returns to.
    last_healthy: Option<Config<'a>>,
}

#[derive(Serialize)]
struct ConditionRow<'a> {
    #[serde(rename = "type")]
    type_: &'a str,
    status: ConditionStatus,
    reason: &'a str,
    message: &'a str,
    since: &'a str,
    observed_generation: Option<i64>,
}

#[derive(Serialize)]
struct Topic<'a> {
    role: String,
    name: &'a str,
    partitions: Option<i32>,
    topic_id: Option<&'a str>,
    /// Whether this pipeline made it.
    is_created: bool,
}

#[derive(Serialize)]
struct Config<'a> {
    revision: u64,
    config_map: &'a str,
    image: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// The line of a pipeline.
    pub(super) fn of(pipeline: &'a Guarded) -> Self {
        let metadata = pipeline.meta();
        let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
        let readable = pipeline.0.as_ref().ok();
        let status = status(pipeline);
        let (state, because) = state(pipeline);
        let (reason, message) = match (because, &pipeline.0) {
            (Some(condition), _) => (condition.reason.as_str(), condition.message.as_str()),
            (None, Err(invalid)) => ("SpecInvalid", invalid.error.as_str()),
            (None, Ok(_)) => ("", "The operator has not looked at it yet."),
        };
        Self {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            resource_version: text(&metadata.resource_version),
            state,
            reason,
            message,
            since: because.map(|condition| condition.last_transition_time.as_str()),
            is_current: status.is_some_and(|status| status.observed_generation == metadata.generation),
            kafka: readable.map(|pipeline| kafka(&pipeline.spec.kafka)),
            source: readable.map(|pipeline| pipeline.spec.source.topic.as_str()),
            replicas: Replicas {
                wanted: readable.map(|pipeline| pipeline.spec.processor.replicas),
                exist: status.map_or(0, |status| status.replicas),
                ready: status.map_or(0, |status| status.ready_replicas),
            },
            lag: status.and_then(|status| status.lag),
            rate: status.and_then(|status| status.rate),
            revision: status.and_then(|status| status.config.as_ref()).map(|config| config.revision),
        }
    }
}

impl<'a> Pipeline<'a> {
    /// The pipeline, as the page shows it.
    pub(super) fn of(pipeline: &'a Guarded) -> Self {
        let metadata = pipeline.meta();
        let status = status(pipeline);
        Self {
            row: Row::of(pipeline),
            created: metadata.creation_timestamp.as_ref().map(|created| created.0.to_string()),
            generation: metadata.generation,
            observed_generation: status.and_then(|status| status.observed_generation),
            conditions: status.iter().flat_map(|status| &status.conditions).map(condition_row).collect(),
            topics: status.iter().flat_map(|status| &status.topics).map(topic).collect(),
            config: status.and_then(|status| status.config.as_ref()).map(config),
            last_healthy: status.and_then(|status| status.last_healthy.as_ref()).map(config),
        }
    }
}

/// The ConfigMap that pods should run.
pub(super) fn config_map(pipeline: &Guarded) -> Option<&str> {
    status(pipeline)?.config.as_ref().map(|config| config.config_map.as_str())
}

fn status(pipeline: &Guarded) -> Option<&LoginPipelineStatus> {
    readable(pipeline)?.status.as_ref()
}

fn readable(pipeline: &Guarded) -> Option<&LoginPipeline> {
    pipeline.0.as_ref().ok()
}

/// The state of a pipeline, and the condition that it comes from.
fn state(pipeline: &Guarded) -> (Standing, Option<&Condition>) {
    if readable(pipeline).is_none() {
        return (Standing::Stalled, None);
    }
    let Some(status) = status(pipeline) else { return (Standing::NotReady, None) };
    let holds = |type_: &str| condition(status, type_).filter(|condition| condition.status == ConditionStatus::True);
    let Some(ready) = condition(status, READY) else { return (Standing::NotReady, None) };
    let is_asked_for = matches!(ready.reason.as_str(), "Suspended" | "ScaledToZero");
    if ready.status == ConditionStatus::True {
        holds(DEGRADED).map_or((Standing::Ready, Some(ready)), |degraded| (Standing::Degraded, Some(degraded)))
    } else if is_asked_for {
        // At rest, or on the way there.
        let paused = condition(status, PAUSED).filter(|_| ready.reason == "Suspended");
        (Standing::Paused, paused.or(Some(ready)))
    } else if let Some(stalled) = holds(STALLED) {
        (Standing::Stalled, Some(stalled))
    } else {
        (Standing::NotReady, Some(ready))
    }
}

fn kafka(kafka: &Kafka) -> String {
    match (&kafka.strimzi, &kafka.external) {
        (Some(strimzi), _) => match &strimzi.namespace {
            Some(namespace) => format!("{namespace}/{}", strimzi.cluster),
            None => strimzi.cluster.clone(),
        },
        (None, Some(external)) => external.bootstrap_servers.clone(),
        (None, None) => String::new(),
    }
}

fn condition_row(condition: &Condition) -> ConditionRow<'_> {
    ConditionRow {
        type_: &condition.type_,
        status: condition.status,
        reason: &condition.reason,
        message: &condition.message,
        since: &condition.last_transition_time,
        observed_generation: condition.observed_generation,
    }
}

fn topic(topic: &TopicStatus) -> Topic<'_> {
    Topic {
        role: topic.role.to_string(),
        name: &topic.name,
        partitions: topic.partitions,
        topic_id: topic.topic_id.as_deref(),
        is_created: topic.created,
    }
}

fn config(config: &ConfigStatus) -> Config<'_> {
    Config { revision: config.revision, config_map: &config.config_map, image: config.image.as_deref() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The line of a pipeline with these conditions, each with its status and reason.
    fn row(conditions: &[(&str, &str, &str)]) -> Value {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(type_, status, reason)| {
                json!({
                    "type": type_, "status": status, "reason": reason, "message": format!("{type_} {reason}."),
                    "lastTransitionTime": "2026-05-01T12:00:00Z",
                })
            })
            .collect();
        let pipeline: Guarded = serde_json::from_value(json!({
            "metadata": {"namespace": "streams", "name": "logins", "resourceVersion": "7", "generation": 3},
            "spec": {"kafka": {"strimzi": {"cluster": "my-cluster", "namespace": "kafka"}}},
            "status": {"observedGeneration": 2, "conditions": conditions, "replicas": 2, "readyReplicas": 1, "lag": 5},
        }))
        .unwrap();
        json!(Row::of(&pipeline))
    }

    #[test]
    fn a_line_says_how_a_pipeline_is() {
        let line = row(&[("Ready", "False", "TopicLost"), ("Stalled", "True", "TopicLost"), ("Paused", "False", "x")]);
        let expected = json!({
            "namespace": "streams", "name": "logins", "resource_version": "7", "state": "stalled", "reason": "TopicLost",
            "message": "Stalled TopicLost.", "since": "2026-05-01T12:00:00Z", "is_current": false,
            "kafka": "kafka/my-cluster", "source": "user-login", "replicas": {"wanted": 2, "exist": 2, "ready": 1},
            "lag": 5, "rate": null, "revision": null,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn the_state_is_the_worst_that_a_condition_says() {
        let ready = ("Ready", "True", "Running");
        let cases: [(&[_], _, _); 9] = [
            (&[ready, ("Degraded", "False", "AsAsked")], "ready", "Running"),
            (&[ready, ("Degraded", "True", "ReplicasCapped")], "degraded", "ReplicasCapped"),
            (&[("Ready", "False", "Progressing"), ("Reconciling", "True", "Progressing")], "not-ready", "Progressing"),
            (&[("Ready", "Unknown", "KafkaUnreachable")], "not-ready", "KafkaUnreachable"),
            (&[("Ready", "False", "Conflict"), ("Stalled", "True", "Conflict")], "stalled", "Conflict"),
            (&[("Ready", "False", "Suspended"), ("Paused", "True", "Drained")], "paused", "Drained"),
            (&[("Ready", "False", "Suspended"), ("Paused", "False", "Draining")], "paused", "Draining"),
            (&[("Ready", "False", "ScaledToZero"), ("Paused", "False", "NotSuspended")], "paused", "ScaledToZero"),
            (&[], "not-ready", ""),
        ];

        for (conditions, state, reason) in cases {
            let line = row(conditions);
            assert_eq!(line["state"], state, "{conditions:?}");
            assert_eq!(line["reason"], reason, "{conditions:?}");
        }
    }

    #[test]
    fn one_that_cannot_be_read_is_listed_too() {
        let pipeline: Guarded = serde_json::from_value(json!({
            "metadata": {"namespace": "streams", "name": "odd"}, "spec": {"kafka": 1},
        }))
        .unwrap();
        let line = json!(Pipeline::of(&pipeline));
        assert_eq!(line["name"], "odd");
        assert_eq!(line["state"], "stalled");
        assert_eq!(line["reason"], "SpecInvalid");
        assert!(line["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
    }
}
