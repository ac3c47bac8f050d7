//! What the pods of a pipeline are to run. Pure.

use super::{inputs::Inputs, observe::Observed, outcome::Kafka, revisions, rollout::failure};
use crate::{build::Revision, pods::PodReason, topics::obstacle::obstacles, validate::Valid};

/// What the pods of a pipeline are to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub revision: Revision,
    /// Why it is not what the spec asks for, after a rollback.
    pub rolled_back: Option<String>,
}

/// What the pods are to run; none before the topics were ready for the first time. While Kafka is not usable, the pods keep
/// what they run, and only their number follows the spec.
#[must_use]
pub(crate) fn plan(valid: &Valid, kafka: &Kafka, words: Option<&PodReason>, observed: &Observed) -> Option<Plan> {
    let usable = match kafka {
        Kafka::Usable { topics, inputs, .. } => Some((obstacles(&topics.wanted, &topics.seen).is_empty(), inputs)),
        Kafka::Unobserved(_) | Kafka::Unchanged { .. } | Kafka::NoListener { .. } => None,
    };
    let are_ready = usable.is_some_and(|(are_ready, _)| are_ready);
    // Pods that start before their topics could make the brokers create them, in another shape.
    if !are_ready && observed.own_deployment().is_none() {
        return None;
    }
    let Some((_, inputs)) = usable else {
        let revision = revisions::newest(&observed.config_maps)?;
        return Some(Plan { revision, rolled_back: None });
    };
    Some(chosen(valid, inputs, are_ready, words, observed))
}

fn chosen(valid: &Valid, inputs: &Inputs, are_ready: bool, words: Option<&PodReason>, observed: &Observed) -> Plan {
    // While topics are not ready, no change is to blame for pods that do not become ready.
    let deployment = observed.own_deployment().filter(|_| are_ready);
    let failure = deployment.and_then(|deployment| failure(valid, deployment, words));
    let reported = (observed.status.config.as_ref(), observed.status.last_healthy.as_ref());
    let revision = revisions::choose(valid, inputs, &observed.config_maps, reported, failure.as_ref());
    let rolled_back = revisions::rolled_back(&revision, valid, inputs).map(str::to_owned);
    Plan { revision, rolled_back }
}
