//! Step 5: what to report. Pure; time comes in as text.
//!
//! `Ready` is the first of the other conditions that does not hold, or True when all hold: the spec is valid, the topics
//! are ready now, and as many pods as wanted run the current config and are available. A pipeline that is scaled to zero
//! is not Ready: it processes nothing, and the reason says that this is wanted.

use crds::{
    pipeline::{Condition, ConditionStatus, ConfigStatus, LoginPipelineStatus, TopicStatus},
    topics::Topic,
};
use k8s_openapi::api::apps::v1::Deployment;

use crate::{
    build::{CONFIG_VOLUME, selector},
    observe::Observed,
    owned::ApplyError,
    topics::{NoListener, Seen, TopicsError, obstacles},
    validate::{Valid, ValidateError},
};

/// Condition: the pipeline does its work as its spec says.
pub const READY: &str = "Ready";
/// Condition: the spec can be run.
pub const CONFIG_VALID: &str = "ConfigValid";
/// Condition: every topic is there as it should be.
pub const TOPICS_READY: &str = "TopicsReady";
/// Condition: as many pods as wanted run the current config and are available.
pub const PROCESSOR_AVAILABLE: &str = "ProcessorAvailable";

/// Why a condition has its status: a word for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Ready: everything holds.
    Running,
    /// ConfigValid: nothing is wrong.
    SpecAccepted,
    /// ConfigValid: the message names fields, values and remedies.
    SpecInvalid,
    /// TopicsReady: all are.
    AllTopicsReady,
    /// TopicsReady: the message says which are not, and why.
    TopicsNotReady,
    /// TopicsReady: the spec asks for Strimzi.
    StrimziNotInstalled,
    /// TopicsReady: no `Kafka` of that name.
    KafkaNotFound,
    /// TopicsReady: the `Kafka` publishes no such listener.
    ListenerNotFound,
    /// TopicsReady: no broker answers, so nobody can tell.
    KafkaUnreachable,
    /// TopicsReady: Kafka refused to make or grow a topic.
    TopicRefused,
    /// The API server failed, so nobody can tell.
    ApiServerFailed,
    /// The API server refused an object.
    ObjectRefused,
    /// Another's object has the name.
    NameTaken,
    /// ProcessorAvailable: the first pods start when the topics are ready.
    WaitingForTopics,
    /// ProcessorAvailable: pods are being started or replaced.
    Progressing,
    /// ProcessorAvailable: pods have not become ready for so long that the Deployment gave up.
    ProgressDeadlineExceeded,
    /// ProcessorAvailable: no pod can be made.
    ReplicaFailure,
    /// ProcessorAvailable: `spec.processor.replicas` is 0.
    ScaledToZero,
    /// ProcessorAvailable: all are.
    AllReplicasAvailable,
}

/// What a pass over a valid pipeline found and did.
#[derive(Debug)]
pub struct Pass {
    /// The pipeline.
    pub valid: Valid,
    /// The topics as they should be.
    pub wanted: Vec<Topic>,
    /// The topics as they are now; empty when that is not known.
    pub seen: Vec<Seen>,
    /// What went wrong with Kafka or the topics.
    pub kafka: Result<(), KafkaProblem>,
    /// The Deployment, and the config that it should run; none before the topics were ready for the first time.
    pub workload: Result<Option<(Deployment, ConfigStatus)>, ApplyError>,
}

/// What went wrong with Kafka or the topics.
#[derive(Debug, thiserror::Error)]
pub enum KafkaProblem {
    /// They cannot be observed or made.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The bootstrap servers are not known.
    #[error(transparent)]
    NoListener(#[from] NoListener),
}

type Finding = (&'static str, ConditionStatus, Reason, String);

/// The status of a pipeline after a pass. Where a pass could not look, the last report stays, and the generation on each
/// condition says of which spec it speaks.
#[must_use]
pub fn status(observed: &Observed, outcome: &Result<Pass, ValidateError>, now: &str) -> LoginPipelineStatus {
    let previous = &observed.status;
    let generation = observed.resource.metadata.generation;
    let mut status = LoginPipelineStatus { observed_generation: generation, ..previous.clone() };
    let deployment = match outcome {
        Ok(Pass { workload: Ok(Some((deployment, _))), .. }) => Some(deployment),
        _ => observed.own_deployment(),
    };
    let reported = deployment.and_then(|deployment| deployment.status.as_ref());
    status.replicas = reported.and_then(|status| status.replicas).unwrap_or_default();
    status.ready_replicas = reported.and_then(|status| status.ready_replicas).unwrap_or_default();

    let mut findings = Vec::new();
    match outcome {
        Err(error) => {
            findings.push((CONFIG_VALID, ConditionStatus::False, Reason::SpecInvalid, error.to_string()));
        }
        Ok(pass) => {
            let accepted = "the spec can be run".to_owned();
            findings.push((CONFIG_VALID, ConditionStatus::True, Reason::SpecAccepted, accepted));
            findings.push(topics_ready(pass));
            findings.push(processor_available(pass));
            status.selector = Some(selector_text(&pass.valid));
            if let Ok(Some((_, config))) = &pass.workload {
                status.config = Some(config.clone());
            }
            if !pass.seen.is_empty() {
                status.topics = pass.seen.iter().map(topic_status).collect();
            }
        }
    }
    findings.insert(0, ready(&findings));
    for finding in findings {
        set(&mut status.conditions, finding, generation, now);
    }
    status
}

/// The status of a condition, if it was ever reported.
#[must_use]
pub fn condition<'a>(status: &'a LoginPipelineStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether all pods run the current config, and no others are left.
#[must_use]
pub fn is_rolled_out(pass: &Pass) -> bool {
    let (_, status, _, _) = processor_available(pass);
    status == ConditionStatus::True
}

fn ready(findings: &[Finding]) -> Finding {
    let missing = findings.iter().find(|(_, status, ..)| *status != ConditionStatus::True);
    missing.map_or_else(
        || {
            (
                READY,
                ConditionStatus::True,
                Reason::Running,
                "the topics are ready and every replica is available".to_owned(),
            )
        },
        |(_, status, reason, message)| (READY, *status, *reason, message.clone()),
    )
}

fn topics_ready(pass: &Pass) -> Finding {
    let finding = |status, reason, message| (TOPICS_READY, status, reason, message);
    if let Err(problem) = &pass.kafka {
        let (status, reason) = match problem {
            KafkaProblem::Topics(TopicsError::StrimziNotInstalled) => {
                (ConditionStatus::False, Reason::StrimziNotInstalled)
            }
            KafkaProblem::Topics(TopicsError::KafkaNotFound { .. }) => (ConditionStatus::False, Reason::KafkaNotFound),
            KafkaProblem::Topics(TopicsError::Unreachable { .. }) => {
                (ConditionStatus::Unknown, Reason::KafkaUnreachable)
            }
            KafkaProblem::Topics(TopicsError::Refused { .. }) => (ConditionStatus::False, Reason::TopicRefused),
            KafkaProblem::Topics(TopicsError::Api(_)) => (ConditionStatus::Unknown, Reason::ApiServerFailed),
            KafkaProblem::Topics(TopicsError::Apply(error)) => apply_reason(error),
            KafkaProblem::NoListener(_) => (ConditionStatus::False, Reason::ListenerNotFound),
        };
        return finding(status, reason, problem.to_string());
    }
    let obstacles = obstacles(&pass.wanted, &pass.seen);
    if obstacles.is_empty() {
        let message = format!("{} topics are ready", pass.seen.len());
        finding(ConditionStatus::True, Reason::AllTopicsReady, message)
    } else {
        finding(ConditionStatus::False, Reason::TopicsNotReady, obstacles.join("; "))
    }
}

fn processor_available(pass: &Pass) -> Finding {
    let finding = |status, reason, message| (PROCESSOR_AVAILABLE, status, reason, message);
    let not_yet = |reason, message| finding(ConditionStatus::False, reason, message);
    let (deployment, config) = match &pass.workload {
        Ok(Some(workload)) => workload,
        Ok(None) => {
            return not_yet(Reason::WaitingForTopics, "the first replicas start when the topics are ready".to_owned());
        }
        Err(error) => {
            let (status, reason) = apply_reason(error);
            return finding(status, reason, error.to_string());
        }
    };
    let wanted = pass.valid.spec.processor.replicas;
    let status = deployment.status.clone().unwrap_or_default();
    let is_current = deployment.metadata.generation.is_some()
        && status.observed_generation == deployment.metadata.generation
        && config_of(deployment) == Some(config.config_map.as_str());
    let updated = status.updated_replicas.unwrap_or_default();
    let available = status.available_replicas.unwrap_or_default();
    let all = status.replicas.unwrap_or_default();
    if is_current && updated == wanted && available == wanted && all == wanted {
        return if wanted == 0 {
            not_yet(
                Reason::ScaledToZero,
                "no replica is wanted: raise spec.processor.replicas to process events".to_owned(),
            )
        } else {
            finding(ConditionStatus::True, Reason::AllReplicasAvailable, format!("{wanted} replicas are available"))
        };
    }
    let stated = |type_: &str, value: &str| {
        let mut conditions = status.conditions.iter().flatten().filter(|_| is_current);
        conditions.find(|condition| condition.type_ == type_ && condition.status == value)
    };
    let text =
        |message: &Option<String>| message.clone().unwrap_or_else(|| "the Deployment does not say why".to_owned());
    if let Some(failure) = stated("ReplicaFailure", "True") {
        return not_yet(Reason::ReplicaFailure, format!("no pod can be made: {}", text(&failure.message)));
    }
    if let Some(failure) = stated("Progressing", "False") {
        let advice = "look at the pods' last words with kubectl describe pod";
        return not_yet(Reason::ProgressDeadlineExceeded, format!("{}: {advice}", text(&failure.message)));
    }
    let message =
        format!("{available} of {wanted} replicas are available, {updated} with the current config, {all} in all");
    not_yet(Reason::Progressing, message)
}

fn apply_reason(error: &ApplyError) -> (ConditionStatus, Reason) {
    match error {
        ApplyError::NameTaken { .. } => (ConditionStatus::False, Reason::NameTaken),
        ApplyError::Refused { .. } => (ConditionStatus::False, Reason::ObjectRefused),
        ApplyError::Api { .. } => (ConditionStatus::Unknown, Reason::ApiServerFailed),
    }
}

/// The ConfigMap that a Deployment's pods mount.
fn config_of(deployment: &Deployment) -> Option<&str> {
    let volumes = deployment.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == CONFIG_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.as_str())
}

fn topic_status(seen: &Seen) -> TopicStatus {
    TopicStatus {
        role: seen.role,
        name: seen.name.clone(),
        partitions: seen.partitions,
        topic_id: seen.topic_id.clone(),
        created: seen.created,
    }
}

fn selector_text(valid: &Valid) -> String {
    let pairs: Vec<_> = selector(&valid.id.name).iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

fn set(conditions: &mut Vec<Condition>, finding: Finding, generation: Option<i64>, now: &str) {
    let (type_, status, reason, message) = finding;
    let new = Condition {
        type_: type_.to_owned(),
        status,
        reason: format!("{reason:?}"),
        message,
        last_transition_time: now.to_owned(),
        observed_generation: generation,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) if old.status == status => {
            let last_transition_time = std::mem::take(&mut old.last_transition_time);
            *old = Condition { last_transition_time, ..new };
        }
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests;
