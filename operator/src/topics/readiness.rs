//! Whether the topic operator has carried out exactly what a `KafkaTopic` says now, and if not, why. Pure; time comes
//! in.
//!
//! The annotations that pause a `KafkaTopic` or make it unmanaged count as soon as they are set, before the topic
//! operator answers: later changes would not be carried out. Older topic operators call an unmanaged topic `Ready`.

use crds::{
    strimzi::{CLUSTER_LABEL, KafkaTopic, KafkaTopicStatus, StrimziCondition},
    topics::Topic,
};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::seen::{Cause, Obstacle, State};

/// How long a topic operator may take for its first answer. One that watches the object takes seconds.
const FIRST_ANSWER: SignedDuration = SignedDuration::from_secs(60);

/// Strimzi's annotation that stops all changes except deletion.
const PAUSE_ANNOTATION: &str = "strimzi.io/pause-reconciliation";
/// Strimzi's annotation that separates a `KafkaTopic` from its topic.
const MANAGED_ANNOTATION: &str = "strimzi.io/managed";

/// Whether the topic that the object describes is as the object says.
pub(super) fn readiness(topic: &Topic, object: &KafkaTopic, now: Timestamp) -> State {
    let name = object.name_any();
    let pending = |cause, why: String| State::Pending(Obstacle::of(topic, cause, why));
    if object.metadata.deletion_timestamp.is_some() {
        return pending(
            Cause::Awaited,
            format!("KafkaTopic {name} is being deleted, and Strimzi deletes the topic with it"),
        );
    }
    let says = |key: &str, value: &str| object.annotations().get(key).is_some_and(|said| said == value);
    let status = object.status.clone().unwrap_or_default();
    if says(MANAGED_ANNOTATION, "false") {
        let why = format!("KafkaTopic {name} is not managed by Strimzi: remove its annotation {MANAGED_ANNOTATION}");
        return pending(Cause::Unmanaged, why);
    }
    if says(PAUSE_ANNOTATION, "true") || holds(&status, "ReconciliationPaused") {
        let why =
            format!("KafkaTopic {name} is paused, so nothing is carried out: remove its annotation {PAUSE_ANNOTATION}");
        return pending(Cause::Paused, why);
    }
    if status.conditions.is_empty() {
        return unanswered(topic, object, now);
    }
    if status.observed_generation != object.metadata.generation {
        let why = format!(
            "the topic operator has not answered for the latest KafkaTopic {name}: if that lasts, check that it runs"
        );
        return pending(Cause::Awaited, why);
    }
    match status.conditions.iter().find(|condition| condition.type_.as_deref() == Some("Ready")) {
        Some(StrimziCondition { status: Some(value), .. }) if value == "True" => match status.topic_id {
            Some(_) => State::Ready,
            None => pending(Cause::Awaited, format!("KafkaTopic {name} has no topicId yet")),
        },
        Some(condition) => failed(topic, &name, condition),
        None => pending(Cause::Awaited, format!("KafkaTopic {name} says nothing about its readiness yet")),
    }
}

fn holds(status: &KafkaTopicStatus, type_: &str) -> bool {
    let is_true = |condition: &StrimziCondition| condition.status.as_deref() == Some("True");
    status.conditions.iter().any(|condition| condition.type_.as_deref() == Some(type_) && is_true(condition))
}

/// The object has no status yet.
fn unanswered(topic: &Topic, object: &KafkaTopic, now: Timestamp) -> State {
    let name = object.name_any();
    let created = object.metadata.creation_timestamp.as_ref().map(|created| created.0);
    let is_ignored = created.is_some_and(|created| now.duration_since(created) >= FIRST_ANSWER);
    let (cause, why) = if is_ignored {
        let namespace = object.namespace().unwrap_or_default();
        let cluster = object.labels().get(CLUSTER_LABEL).cloned().unwrap_or_default();
        (
            Cause::Ignored,
            format!(
                "no topic operator has answered for KafkaTopic {name}, which has the label {CLUSTER_LABEL}: \
                 {cluster}: check that Kafka {cluster} has spec.entityOperator.topicOperator, that it runs, and that \
                 it watches namespace {namespace}"
            ),
        )
    } else {
        (Cause::Awaited, format!("the topic operator has not answered for KafkaTopic {name} yet"))
    };
    State::Pending(Obstacle::of(topic, cause, why))
}

/// The topic operator reports a failure.
fn failed(topic: &Topic, name: &str, condition: &StrimziCondition) -> State {
    let reason = condition.reason.as_deref().unwrap_or("no reason");
    let said = condition.message.as_deref().unwrap_or("it does not say why");
    let (cause, remedy) = match reason {
        "ResourceConflict" => (
            Cause::Contested,
            "another KafkaTopic describes the same topic: delete one of them, after setting its annotation \
             strimzi.io/managed: \"false\", which keeps the topic",
        ),
        "NotSupported" if said.contains("artitions not supported") => (
            Cause::NotSupported,
            "the topic has more partitions than the KafkaTopic, and Kafka never takes any away: raise \
             spec.source.partitions (or spec.partitions of the KafkaTopic, if it is not this pipeline's)",
        ),
        "NotSupported" if said.starts_with("Replication factor") => (
            Cause::NotSupported,
            "the topic has another number of replicas: spec.topics.replicationFactor applies only when a topic is \
             created, so recreate the pipeline without it or with the topic's own value",
        ),
        "NotSupported" => (Cause::NotSupported, "undo what Strimzi does not support"),
        _ => (Cause::Failed, "Strimzi keeps trying: fix what it names"),
    };
    State::Pending(Obstacle::of(topic, cause, format!("KafkaTopic {name} is not ready ({reason}: {said}): {remedy}")))
}

#[cfg(test)]
mod tests {
    use crds::topics::Role;
    use serde_json::{Value, json};

    use super::*;

    fn state(change: impl Fn(&mut Value)) -> State {
        let mut object = json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
            "metadata": {
                "name": "streams-logins-output", "namespace": "streams", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"strimzi.io/cluster": "my-cluster"},
            },
            "spec": {"topicName": "out", "partitions": 8},
            "status": {
                "observedGeneration": 2, "topicId": "abc", "topicName": "out",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        change(&mut object);
        let topic = Topic { role: Role::Output, name: "out".to_owned(), partitions: 8, config: Vec::new() };
        readiness(&topic, &serde_json::from_value(object).unwrap(), "2026-01-01T00:00:59Z".parse().unwrap())
    }

    #[track_caller]
    fn check(expected: Cause, remedy: &str, change: impl Fn(&mut Value)) {
        match state(change) {
            State::Pending(obstacle) => {
                assert_eq!(obstacle.cause, expected, "{}", obstacle.message);
                assert!(obstacle.message.contains(remedy), "{}", obstacle.message);
                assert!(obstacle.message.starts_with("output topic out: "), "{}", obstacle.message);
            }
            other => panic!("{other:?}"),
        }
    }

    fn failing(object: &mut Value, reason: &str, message: &str) {
        object["status"]["conditions"] =
            json!([{"type": "Ready", "status": "False", "reason": reason, "message": message}]);
    }

    #[test]
    fn a_topic_is_ready_once_its_latest_spec_is_reconciled() {
        assert_eq!(state(|_| {}), State::Ready);
        check(Cause::Awaited, "latest", |object| object["metadata"]["generation"] = 3.into());
        check(Cause::Awaited, "latest", |object| object["status"]["observedGeneration"] = 1.into());
        check(Cause::Awaited, "latest", |object| object["status"]["observedGeneration"] = Value::Null);
        check(Cause::Awaited, "topicId", |object| object["status"]["topicId"] = Value::Null);
        check(Cause::Awaited, "says nothing", |object| object["status"]["conditions"][0]["type"] = "Unmanaged".into());
        check(Cause::Awaited, "deleted", |object| {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
    }

    #[test]
    fn a_pause_and_a_refusal_to_manage_count_from_the_annotation_on() {
        check(Cause::Paused, "pause-reconciliation", |object| {
            object["metadata"]["annotations"] = json!({"strimzi.io/pause-reconciliation": "true"});
        });

        // As the topic operator answers to it: of the generation before, or of none.
        for observed in [0, 2] {
            check(Cause::Paused, "pause-reconciliation", |object| {
                object["status"]["conditions"] = json!([{"type": "ReconciliationPaused", "status": "True"}]);
                object["status"]["observedGeneration"] = observed.into();
            });
        }

        check(Cause::Unmanaged, "strimzi.io/managed", |object| {
            object["metadata"]["annotations"] = json!({"strimzi.io/managed": "false"});
        });
        for other in [json!({"strimzi.io/pause-reconciliation": "false"}), json!({"strimzi.io/managed": "true"})] {
            assert_eq!(state(|object| object["metadata"]["annotations"] = other.clone()), State::Ready, "{other}");
        }
    }

    #[test]
    fn an_unanswered_object_is_reported_as_ignored_after_a_minute() {
        let unanswered = |object: &mut Value| object["status"] = Value::Null;
        check(Cause::Awaited, "has not answered", unanswered);
        check(Cause::Ignored, "watches namespace streams", |object| {
            object["metadata"]["creationTimestamp"] = "2025-12-31T23:59:59Z".into();
            unanswered(object);
        });
        check(Cause::Ignored, "strimzi.io/cluster: my-cluster", |object| {
            object["metadata"]["creationTimestamp"] = "2025-12-31T00:00:00Z".into();
            object["status"]["conditions"] = json!([]);
        });
    }

    #[test]
    fn a_failure_says_what_strimzi_says_and_what_helps() {
        check(Cause::Contested, "delete one of them", |object| {
            failing(object, "ResourceConflict", "Managed by Ref{namespace='streams', name='other'}");
        });
        check(Cause::NotSupported, "raise spec.source.partitions", |object| {
            failing(object, "NotSupported", "Decreasing partitions not supported");
        });
        check(Cause::NotSupported, "spec.topics.replicationFactor", |object| {
            let said = "Replication factor change not supported, but required for partitions [0, 1]";
            failing(object, "NotSupported", said);
        });
        check(Cause::NotSupported, "Changing spec.topicName", |object| {
            failing(object, "NotSupported", "Changing spec.topicName is not supported");
        });
        check(Cause::Failed, "KafkaError: no brokers", |object| failing(object, "KafkaError", "no brokers"));
        check(Cause::Failed, "no reason", |object| {
            object["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
        });
    }
}
