//! When a pipeline has its next pass if nothing that is watched changes. Pure.

use std::time::Duration;

use super::{
    error::ReconcileError,
    outcome::{Drain, Kafka, KafkaProblem, Pass, Workload},
    rollout::is_settled,
};
use crate::{
    kafka_access,
    topics::obstacle::{gravest, obstacles},
};

/// When to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Never: only a change of the resource can help.
    OnChange,
    /// After this time.
    After(Duration),
}

/// Pods and transactions end in their own time.
const DRAINING: Duration = Duration::from_secs(5);
/// What was just made in an external Kafka is visible in a moment, and no watch reports it.
const TOPIC_MADE: Duration = Duration::from_secs(1);
/// No watch reports what pods that are not ready say.
const ROLLING: Duration = Duration::from_secs(20);
/// No watch reports a change in an external Kafka: what is reported is at most a minute old.
const EXTERNAL: Duration = Duration::from_secs(60);
/// No watch reports that the topic operator is silent.
const STRIMZI_WAITED_FOR: Duration = Duration::from_secs(20);
/// The namespace of the Kafka may not be watched, and Secrets never are.
const UNWATCHED: Duration = Duration::from_secs(60);
/// Everything is watched; this is for what a watch has missed.
const ALL_WATCHED: Duration = Duration::from_secs(600);
/// Secrets are not watched, so a corrected one is looked for.
const SECRET_UNUSABLE: Duration = Duration::from_secs(20);
/// The other pipeline may go.
const CONFLICT: Duration = Duration::from_secs(10);

/// How long to wait after a pass over a valid pipeline.
///
/// # Errors
/// When the pass failed in a way that the next one may not.
pub(crate) fn pause(pass: Pass) -> Result<Duration, ReconcileError> {
    let Pass { valid, kafka, workload, drain, .. } = pass;
    let topics = match kafka {
        Kafka::Unobserved(KafkaProblem::Topics(error)) | Kafka::Unchanged { error, .. } => return Err(error.into()),
        Kafka::Unobserved(KafkaProblem::Secrets(error)) => return Err(error.into()),
        Kafka::Unobserved(KafkaProblem::Security(_)) => return Ok(SECRET_UNUSABLE),
        Kafka::Unobserved(KafkaProblem::Conflict(_)) => return Ok(CONFLICT),
        // The Kafka is watched, so a listener that appears needs no question.
        Kafka::NoListener { topics, .. } | Kafka::Usable { topics, .. } => topics,
    };
    let is_rolling = match workload {
        Workload::Waiting => false,
        Workload::Failed(error) => return Err(error.into()),
        Workload::Applied(applied) => !is_settled(&applied.deployment),
    };
    let is_draining = matches!(drain, Drain::Pods(_) | Drain::Transactions(_) | Drain::Unknown(_));
    let is_external = valid.spec.kafka.external.is_some();
    let is_elsewhere = valid.kafka_namespace() != valid.id.namespace;
    Ok(match (is_external, gravest(&obstacles(&topics.wanted, &topics.seen))) {
        _ if is_draining => DRAINING,
        (true, Some(cause)) if !cause.needs_person() => TOPIC_MADE,
        _ if is_rolling => ROLLING,
        (true, _) => EXTERNAL,
        (false, Some(_)) => STRIMZI_WAITED_FOR,
        (false, None) if is_elsewhere || kafka_access::has_secrets(&valid.spec.kafka) => UNWATCHED,
        (false, None) => ALL_WATCHED,
    })
}
