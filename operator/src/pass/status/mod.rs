//! What to report. Pure; time comes in.
//!
//! `Ready` is the first of ConfigValid, TopicsReady and ProcessorAvailable that does not hold, or True when all hold: the
//! spec is valid, the topics are ready now, and as many pods as wanted run what the spec asks for and are available. A
//! pipeline that is scaled to zero or suspended is not Ready: it processes nothing, and the reason says that this is wanted.
//! `Reconciling` and `Stalled` say in kstatus' words what a state that is not Ready means: that it is being worked on, or
//! that only a person can help.

mod degraded;
mod finding;
mod paused;
mod processor_available;
mod ready;
mod topics_ready;

use crds::pipeline::{ConditionStatus, LoginPipelineStatus, TopicStatus};
use jiff::Timestamp;

pub(crate) use self::processor_available::rolled_out;
use self::{
    degraded::degraded,
    finding::{Finding, set},
    paused::paused,
    processor_available::processor_available,
    ready::{kstatus, ready},
    topics_ready::topics_ready,
};
use super::{
    observe::Observed,
    outcome::{Outcome, Pass, Workload},
};
use crate::{build::selector, resource::FORCE_DELETE, topics::Seen};
use crate::{
    conditions::{
        condition::{CONFIG_VALID, PROCESSOR_AVAILABLE, READY},
        reason::Reason,
    },
    validate::Valid,
};

/// The status of a pipeline after a pass. What a pass did not find out stays as it was reported last, and the generation of
/// each condition names the spec that it speaks of.
#[must_use]
pub(crate) fn status(observed: &Observed, outcome: &Outcome, now: Timestamp) -> LoginPipelineStatus {
    let mut status = observed.status.clone();
    let generation = observed.resource.metadata.generation;
    let findings = match outcome {
        Outcome::Performed(pass) => {
            take_over(&mut status, pass);
            count(&mut status, observed, Some(&pass.workload));
            findings(pass)
        }
        Outcome::Invalid(error) => {
            count(&mut status, observed, None);
            with_ready(vec![Finding::of_error(CONFIG_VALID, error)])
        }
        Outcome::Ending(waiting) => ending(waiting),
        Outcome::Unobserved(why) => unobserved(why),
    };
    // A pass that did not read the spec says nothing about its generation.
    if !matches!(outcome, Outcome::Unobserved(_)) {
        status.observed_generation = generation;
    }
    for finding in findings {
        set(&mut status.conditions, finding, generation, now);
    }
    status
}

/// Takes over what a pass found beside the conditions.
fn take_over(status: &mut LoginPipelineStatus, pass: &Pass) {
    status.selector = Some(selector_text(&pass.valid));
    if let Workload::Applied(applied) = &pass.workload {
        status.config = Some(applied.config.clone());
    }
    if let Some(config) = rolled_out(pass) {
        status.last_healthy = Some(config.clone());
    }
    let seen = pass.kafka.seen();
    if !seen.is_empty() {
        status.topics = seen.iter().map(topic_status).collect();
    }
}

/// The replicas, as the Deployment counts them: the one that was just applied, else the one that was observed.
fn count(status: &mut LoginPipelineStatus, observed: &Observed, workload: Option<&Workload>) {
    let deployment = match workload {
        Some(Workload::Applied(applied)) => Some(&applied.deployment),
        Some(Workload::Waiting | Workload::Failed(_)) | None => observed.own_deployment(),
    };
    let reported = deployment.and_then(|deployment| deployment.status.as_ref());
    status.replicas = reported.and_then(|status| status.replicas).unwrap_or_default();
    status.ready_replicas = reported.and_then(|status| status.ready_replicas).unwrap_or_default();
}

fn findings(pass: &Pass) -> Vec<Finding> {
    let accepted = Finding {
        type_: CONFIG_VALID,
        status: ConditionStatus::True,
        reason: Reason::SpecAccepted,
        message: "the spec can be run".to_owned(),
    };
    with_ready(vec![accepted, topics_ready(pass), processor_available(pass), degraded(pass), paused(pass)])
}

/// Ready and what follows from it, before the conditions that it comes from.
fn with_ready(findings: Vec<Finding>) -> Vec<Finding> {
    let ready = ready(&findings);
    let [reconciling, stalled] = kstatus(&ready);
    [ready, reconciling, stalled].into_iter().chain(findings).collect()
}

/// The end of a pipeline waits.
fn ending(waiting: &str) -> Vec<Finding> {
    let message = format!(
        "the pipeline is being deleted, and waits for its topics: {waiting}; to leave them as they are, set the annotation \
         {FORCE_DELETE} to true"
    );
    let ready = Finding { type_: READY, status: ConditionStatus::False, reason: Reason::Deleting, message };
    let [reconciling, stalled] = kstatus(&ready);
    vec![ready, reconciling, stalled]
}

/// The pipeline or its objects could not be read.
fn unobserved(why: &str) -> Vec<Finding> {
    let message =
        format!("the state of the pipeline is not known: {why}; its pods are left as they are (operator check)");
    let unknown = |type_| Finding {
        type_,
        status: ConditionStatus::Unknown,
        reason: Reason::ApiServerFailed,
        message: message.clone(),
    };
    let [reconciling, stalled] = kstatus(&unknown(READY));
    vec![unknown(READY), unknown(PROCESSOR_AVAILABLE), reconciling, stalled]
}

fn topic_status(seen: &Seen) -> TopicStatus {
    TopicStatus {
        role: seen.role,
        name: seen.name.clone(),
        partitions: seen.partitions,
        // The id of a lost topic is remembered until a person has accepted the loss.
        topic_id: seen.expected_id.clone().or_else(|| seen.topic_id.clone()),
        created: seen.created,
    }
}

fn selector_text(valid: &Valid) -> String {
    let pairs: Vec<_> = selector(&valid.id.name).iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
