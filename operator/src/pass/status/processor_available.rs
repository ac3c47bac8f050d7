//! ProcessorAvailable: as many pods as wanted run the current config and are available. Pure.

use crds::pipeline::{ConditionStatus, ConfigStatus};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};

use super::finding::Finding;
use crate::{
    conditions::{condition::PROCESSOR_AVAILABLE, reason::Reason},
    pass::{
        outcome::{Applied, Pass, Workload},
        rollout::{config_of, deadline_exceeded},
    },
    text::plural,
};

/// The config that all pods run, and no others are left; none before that, and without pods.
#[must_use]
pub(crate) fn rolled_out(pass: &Pass) -> Option<&ConfigStatus> {
    let Workload::Applied(applied) = &pass.workload else { return None };
    let wanted = pass.size.replicas;
    (wanted > 0 && PodCounts::of(applied).is_complete(wanted)).then_some(&applied.config)
}

/// Whether as many pods as wanted run the current config and are available.
pub(super) fn processor_available(pass: &Pass) -> Finding {
    let applied = match &pass.workload {
        Workload::Applied(applied) => applied,
        Workload::Waiting => {
            let message = "the first replicas start when the topics are ready".to_owned();
            return missing(Reason::WaitingForTopics, message);
        }
        Workload::Failed(error) => return Finding::of_error(PROCESSOR_AVAILABLE, error),
    };
    let (wanted, counts) = (pass.size.replicas, PodCounts::of(applied));
    if !counts.is_complete(wanted) {
        return incomplete(applied, &counts, wanted);
    }
    match &applied.rolled_back {
        _ if wanted == 0 => at_rest(pass.valid.spec.suspend),
        Some(why) => rolled_back(why, wanted, applied.config.revision),
        None => Finding {
            type_: PROCESSOR_AVAILABLE,
            status: ConditionStatus::True,
            reason: Reason::AllReplicasAvailable,
            message: plural(wanted, "replica is available", "replicas are available"),
        },
    }
}

fn missing(reason: Reason, message: String) -> Finding {
    Finding { type_: PROCESSOR_AVAILABLE, status: ConditionStatus::False, reason, message }
}

/// No pod is wanted, and none is left.
fn at_rest(is_suspended: bool) -> Finding {
    let (reason, message) = if is_suspended {
        (Reason::Suspended, "the pipeline is suspended: set spec.suspend to false to go on where it stopped")
    } else {
        (Reason::ScaledToZero, "no replica is wanted: raise spec.processor.replicas to process events")
    };
    missing(reason, message.to_owned())
}

fn rolled_back(why: &str, wanted: i32, revision: u64) -> Finding {
    let replicas = plural(wanted, "replica runs", "replicas run");
    let message = format!(
        "the last change of the spec gave pods that did not become ready ({why}), so {replicas} config revision {revision} \
         of before it: correct the spec"
    );
    missing(Reason::RolledBack, message)
}

fn incomplete(applied: &Applied, counts: &PodCounts, wanted: i32) -> Finding {
    let said = applied.words.as_deref().map(|words| format!("; {words}")).unwrap_or_default();
    if counts.is_current {
        if let Some(failure) = replica_failure(&applied.deployment) {
            return missing(Reason::ReplicaFailure, format!("no pod can be made: {}", message_of(failure)));
        }
        if let Some(exceeded) = deadline_exceeded(&applied.deployment) {
            let advice = "correct the spec, or what the pods miss: kubectl describe pod shows more";
            return missing(Reason::ProgressDeadlineExceeded, format!("{}{said}: {advice}", message_of(exceeded)));
        }
    }
    let PodCounts { updated, available, all, .. } = counts;
    let message = format!(
        "{available} of {wanted} replicas are available, {updated} with the current config, {all} in all{said}"
    );
    missing(Reason::Progressing, message)
}

/// The condition by which a Deployment says that it cannot create pods.
fn replica_failure(deployment: &Deployment) -> Option<&DeploymentCondition> {
    let mut conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
}

fn message_of(condition: &DeploymentCondition) -> &str {
    condition.message.as_deref().unwrap_or("the Deployment does not say why")
}

/// A Deployment's pods, as its controller counted them.
struct PodCounts {
    /// Whether they were counted since the Deployment last changed, and with the config asked about.
    is_current: bool,
    updated: i32,
    available: i32,
    all: i32,
}

impl PodCounts {
    fn of(Applied { deployment, config, .. }: &Applied) -> Self {
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
