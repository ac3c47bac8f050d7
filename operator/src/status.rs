//! Step 5: what to report. Pure; time comes in as text.
//!
//! `Ready` is the first of ConfigValid, TopicsReady and ProcessorAvailable that does not hold, or True when all hold: the
//! spec is valid, the topics are ready now, and as many pods as wanted run what the spec asks for and are available. A
//! pipeline that is scaled to zero or suspended is not Ready: it processes nothing, and the reason says that this is wanted.
//! `Reconciling` and `Stalled` say in kstatus' words what a state that is not Ready means: that it is being worked on, or
//! that nothing but a person helps.

mod reason;

use crds::{
    pipeline::{Condition, ConditionStatus, ConfigStatus, LoginPipelineStatus, TopicStatus},
    topics::Topic,
};
use k8s_openapi::api::apps::v1::Deployment;

use self::reason::Progress;
pub use self::reason::Reason;
use crate::{
    build::selector,
    drain::Drain,
    finalize::FORCE_DELETE,
    kafka_access::{ReadError, SecretsError},
    observe::Observed,
    owned::ApplyError,
    rollout::{Size, config_of, deadline_exceeded},
    topics::{
        Cause, NoListener, Seen, TopicsError,
        conflict::Conflict,
        obstacle::{caveat, gravest, obstacles},
    },
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

/// Condition of kstatus: the operator is at work, or waits for what comes by itself.
pub const RECONCILING: &str = "Reconciling";
/// Condition of kstatus: nothing but a person helps.
pub const STALLED: &str = "Stalled";
/// Condition: it works, but not in every respect as asked.
pub const DEGRADED: &str = "Degraded";
/// Condition: it is suspended and at rest.
pub const PAUSED: &str = "Paused";

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
    /// How many pods there are to be.
    pub size: Size,
    /// The Deployment, and the config that it should run; none before the topics were ready for the first time.
    pub workload: Result<Option<(Deployment, ConfigStatus)>, ApplyError>,
    /// Why the pods run something else than what the spec asks for.
    pub rolled_back: Option<String>,
    /// What pods that are not ready say of it themselves.
    pub words: Option<String>,
    /// How far a suspended pipeline has come to rest.
    pub drain: Option<Drain>,
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
    /// Another pipeline has one of the topics.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The Secrets could not be read.
    #[error(transparent)]
    Secrets(#[from] ReadError),
    /// The Secrets are not as they should be.
    #[error(transparent)]
    Security(#[from] SecretsError),
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
            findings.push(degraded(pass));
            findings.push(paused(pass));
            if let Ok(Some((_, config))) = &pass.workload {
                status.config = Some(config.clone());
                if is_rolled_out(pass) {
                    status.last_healthy = Some(config.clone());
                }
            }
            if !pass.seen.is_empty() {
                status.topics = pass.seen.iter().map(topic_status).collect();
            }
        }
    }
    let ready = ready(&findings);
    let [reconciling, stalled] = kstatus(&ready);
    findings.splice(0..0, [ready, reconciling, stalled]);
    for finding in findings {
        set(&mut status.conditions, finding, generation, now);
    }
    status
}

/// The status of a pipeline whose end waits, for what the message says.
#[must_use]
pub fn ending(observed: &Observed, waiting: &str, now: &str) -> LoginPipelineStatus {
    let generation = observed.resource.metadata.generation;
    let mut status = LoginPipelineStatus { observed_generation: generation, ..observed.status.clone() };
    let message = format!(
        "the pipeline is being deleted, and waits for its topics: {waiting}; to leave them as they are, set the annotation \
         {FORCE_DELETE} to true"
    );
    let ready = (READY, ConditionStatus::False, Reason::Deleting, message);
    let [reconciling, stalled] = kstatus(&ready);
    for finding in [ready, reconciling, stalled] {
        set(&mut status.conditions, finding, generation, now);
    }
    status
}

/// The status of a pipeline that could not be looked at, for this reason: nobody can tell whether it is ready.
#[must_use]
pub fn unknown(observed: &Observed, why: &str, now: &str) -> LoginPipelineStatus {
    let generation = observed.resource.metadata.generation;
    let mut status = observed.status.clone();
    let message = format!("nobody can tell how the pipeline is: {why}; its pods are left as they are (operator check)");
    let finding = |type_| (type_, ConditionStatus::Unknown, Reason::ApiServerFailed, message.clone());
    let [reconciling, stalled] = kstatus(&finding(READY));
    for finding in [finding(READY), finding(PROCESSOR_AVAILABLE), reconciling, stalled] {
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
    let Ok(Some((deployment, config))) = &pass.workload else { return false };
    pass.size.replicas > 0 && Counts::of(deployment, config).is_complete(pass.size.replicas)
}

/// A Deployment's pods, as its controller counted them.
struct Counts {
    /// Whether they were counted since the Deployment last changed, and with the config asked about.
    is_current: bool,
    updated: i32,
    available: i32,
    all: i32,
}

impl Counts {
    fn of(deployment: &Deployment, config: &ConfigStatus) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        Self {
            is_current: deployment.metadata.generation.is_some()
                && status.observed_generation == deployment.metadata.generation
                && config_of(deployment) == Some(config.config_map.as_str()),
            updated: status.updated_replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
            all: status.replicas.unwrap_or_default(),
        }
    }

    const fn is_complete(&self, wanted: i32) -> bool {
        self.is_current && self.updated == wanted && self.available == wanted && self.all == wanted
    }
}

fn ready(findings: &[Finding]) -> Finding {
    let counts = |type_| [CONFIG_VALID, TOPICS_READY, PROCESSOR_AVAILABLE].contains(type_);
    let missing = findings.iter().find(|(type_, status, ..)| counts(type_) && *status != ConditionStatus::True);
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

/// Reconciling and Stalled, from Ready.
fn kstatus((_, _, reason, message): &Finding) -> [Finding; 2] {
    let progress = reason.progress();
    let finding = |type_, is: bool| {
        let status = if is { ConditionStatus::True } else { ConditionStatus::False };
        (type_, status, *reason, message.clone())
    };
    [finding(RECONCILING, progress == Progress::Working), finding(STALLED, progress == Progress::Stuck)]
}

fn topics_ready(pass: &Pass) -> Finding {
    let finding = |status, reason, message| (TOPICS_READY, status, reason, message);
    if let Err(problem) = &pass.kafka {
        let (status, reason) = match problem {
            KafkaProblem::Topics(TopicsError::StrimziNotInstalled) => {
                (ConditionStatus::False, Reason::StrimziNotInstalled)
            }
            KafkaProblem::Topics(TopicsError::KafkaNotFound { .. }) => (ConditionStatus::False, Reason::KafkaNotFound),
            KafkaProblem::Topics(TopicsError::NamespaceNotAllowed { .. }) => {
                (ConditionStatus::False, Reason::NamespaceNotAllowed)
            }
            KafkaProblem::Topics(TopicsError::Unreachable { .. }) => {
                (ConditionStatus::Unknown, Reason::KafkaUnreachable)
            }
            KafkaProblem::Topics(TopicsError::Refused { .. }) => (ConditionStatus::False, Reason::TopicRefused),
            KafkaProblem::Topics(TopicsError::StrimziUnknown | TopicsError::Api(_)) => {
                (ConditionStatus::Unknown, Reason::ApiServerFailed)
            }
            KafkaProblem::Topics(TopicsError::Apply(error)) => apply_reason(error),
            KafkaProblem::NoListener(_) => (ConditionStatus::False, Reason::ListenerNotFound),
            KafkaProblem::Conflict(_) => (ConditionStatus::False, Reason::Conflict),
            KafkaProblem::Secrets(_) => (ConditionStatus::Unknown, Reason::ApiServerFailed),
            KafkaProblem::Security(_) => (ConditionStatus::False, Reason::SecretUnusable),
        };
        return finding(status, reason, problem.to_string());
    }
    let obstacles = obstacles(&pass.wanted, &pass.seen);
    match gravest(&obstacles) {
        None => {
            let message = format!("{} topics are ready", pass.seen.len());
            finding(ConditionStatus::True, Reason::AllTopicsReady, message)
        }
        Some(cause) => {
            let messages: Vec<_> = obstacles.into_iter().map(|obstacle| obstacle.message).collect();
            finding(ConditionStatus::False, topic_reason(cause), messages.join("; "))
        }
    }
}

const fn topic_reason(cause: Cause) -> Reason {
    match cause {
        Cause::Awaited => Reason::TopicsNotReady,
        Cause::Failed => Reason::TopicFailed,
        Cause::Ignored => Reason::TopicIgnored,
        Cause::Paused => Reason::TopicPaused,
        Cause::Unmanaged => Reason::TopicUnmanaged,
        Cause::NotSupported => Reason::TopicNotSupported,
        Cause::Contested => Reason::TopicContested,
        Cause::Unsuitable => Reason::TopicUnsuitable,
        Cause::AdoptionUnknown => Reason::AdoptionUnknown,
        Cause::AdoptionRequired => Reason::AdoptionRequired,
        Cause::Lost => Reason::TopicLost,
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
    let wanted = pass.size.replicas;
    let counts = Counts::of(deployment, config);
    if counts.is_complete(wanted) {
        return match (&pass.rolled_back, wanted) {
            (_, 0) => at_rest(pass),
            (Some(why), _) => not_yet(
                Reason::RolledBack,
                format!(
                    "the last change of the spec gave pods that did not become ready ({why}), so {wanted} replicas run \
                     config revision {} of before it: correct the spec",
                    config.revision
                ),
            ),
            (None, _) => {
                finding(ConditionStatus::True, Reason::AllReplicasAvailable, format!("{wanted} replicas are available"))
            }
        };
    }
    let said = pass.words.as_deref().map(|words| format!("; {words}")).unwrap_or_default();
    let conditions = || deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failed = conditions().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
    if let Some(failure) = failed.filter(|_| counts.is_current) {
        return not_yet(Reason::ReplicaFailure, format!("no pod can be made: {}", text(failure.message.as_deref())));
    }
    if let Some(exceeded) = deadline_exceeded(deployment).filter(|_| counts.is_current) {
        let message = text(exceeded.message.as_deref());
        let advice = "correct the spec, or what the pods miss: kubectl describe pod shows more";
        return not_yet(Reason::ProgressDeadlineExceeded, format!("{message}{said}: {advice}"));
    }
    let Counts { updated, available, all, .. } = counts;
    let message = format!(
        "{available} of {wanted} replicas are available, {updated} with the current config, {all} in all{said}"
    );
    not_yet(Reason::Progressing, message)
}

/// No pod is wanted, and none is left.
fn at_rest(pass: &Pass) -> Finding {
    let (reason, message) = if pass.valid.spec.suspend {
        (Reason::Suspended, "the pipeline is suspended: set spec.suspend to false to go on where it stopped")
    } else {
        (Reason::ScaledToZero, "no replica is wanted: raise spec.processor.replicas to process events")
    };
    (PROCESSOR_AVAILABLE, ConditionStatus::False, reason, message.to_owned())
}

/// Of several reasons the gravest names the condition, and the message has them all.
fn degraded(pass: &Pass) -> Finding {
    let capped = pass.size.capped.map(|partitions| {
        let message = format!(
            "{} replicas are asked for, but the source has {partitions} partitions, and each is read by one: \
             {partitions} run; raise spec.source.partitions or lower spec.processor.replicas",
            pass.valid.spec.processor.replicas
        );
        (Reason::ReplicasCapped, message)
    });
    let create_time = caveat(&pass.wanted, &pass.seen).map(|message| (Reason::SourceCreateTime, message));
    // Windows that close too soon are worse than a pipeline that is slow.
    let (reasons, messages): (Vec<_>, Vec<_>) = create_time.into_iter().chain(capped).unzip();
    match reasons.first() {
        Some(reason) => (DEGRADED, ConditionStatus::True, *reason, messages.join("; ")),
        None => (DEGRADED, ConditionStatus::False, Reason::AsAsked, "everything is as the spec asks for".to_owned()),
    }
}

fn paused(pass: &Pass) -> Finding {
    let finding = |status, reason, message| (PAUSED, status, reason, message);
    let draining = |message| finding(ConditionStatus::False, Reason::Draining, message);
    match &pass.drain {
        None => finding(ConditionStatus::False, Reason::NotSuspended, "the pipeline is not suspended".to_owned()),
        Some(Drain::Pods(count)) => draining(format!("{count} pods are draining, which takes them some ten seconds")),
        Some(Drain::Transactions(topics)) => {
            let topics: Vec<_> = topics.iter().map(String::as_str).collect();
            let topics = topics.join(", ");
            draining(format!("transactions are open on {topics}: Kafka ends them within some twenty seconds"))
        }
        Some(Drain::Unknown(why)) => finding(
            ConditionStatus::Unknown,
            Reason::KafkaUnreachable,
            format!("no pod is left, but whether a transaction is open cannot be told: {why}"),
        ),
        Some(Drain::Done) => finding(
            ConditionStatus::True,
            Reason::Drained,
            "no pod is left, and no transaction is open: what is committed is final".to_owned(),
        ),
    }
}

fn text(message: Option<&str>) -> &str {
    message.unwrap_or("the Deployment does not say why")
}

fn apply_reason(error: &ApplyError) -> (ConditionStatus, Reason) {
    match error {
        ApplyError::NameTaken { .. } => (ConditionStatus::False, Reason::NameTaken),
        ApplyError::Refused { .. } => (ConditionStatus::False, Reason::ObjectRefused),
        ApplyError::Contested { .. } | ApplyError::Api { .. } => (ConditionStatus::Unknown, Reason::ApiServerFailed),
    }
}

fn topic_status(seen: &Seen) -> TopicStatus {
    TopicStatus {
        role: seen.role,
        name: seen.name.clone(),
        partitions: seen.partitions,
        // One that is lost is remembered, until a person has accepted it.
        topic_id: seen.expected_id.clone().or_else(|| seen.topic_id.clone()),
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
