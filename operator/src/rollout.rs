//! How many pods run, and whether a change of theirs has failed. Pure.

use crds::{pipeline::Rollback, topics::Role};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};

use crate::{
    build::CONFIG_VOLUME,
    revisions::Failure,
    topics::{Seen, find},
    validate::Valid,
};

/// How many pods there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// So many.
    pub replicas: i32,
    /// The partitions of the source, where there are fewer than the spec asks for replicas: one more would have nothing to do.
    pub capped: Option<i32>,
}

/// How many pods a pipeline is to have. A suspended one has none, and its spec keeps the number that it had.
#[must_use]
pub fn size(valid: &Valid, seen: &[Seen]) -> Size {
    let asked = valid.spec.processor.replicas;
    let existing = find(seen, Role::Source).and_then(|source| source.partitions).unwrap_or_default();
    let partitions = valid.spec.source.partitions.max(existing);
    let replicas = if valid.spec.suspend { 0 } else { asked.min(partitions) };
    Size { replicas, capped: (asked > partitions).then_some(partitions) }
}

/// What pods that cannot start have to say, where it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Their own words.
    pub text: String,
    /// Whether no Kafka can be the cause: an image that cannot be pulled, a Secret that is missing.
    pub is_definite: bool,
}

/// The change that has failed, if one has: its pods did not become ready in time, and the pods of before it are all
/// available still, so that nothing else can be to blame; or its pods say why themselves. Only where the spec wants a rollback.
#[must_use]
pub fn failure(valid: &Valid, deployment: &Deployment, words: Option<&Words>) -> Option<Failure> {
    if valid.spec.processor.rollback == Rollback::Never {
        return None;
    }
    let condition = deadline_exceeded(deployment)?;
    let wanted = deployment.spec.as_ref()?.replicas.unwrap_or_default();
    let available = deployment.status.as_ref()?.available_replicas.unwrap_or_default();
    let others_are_well = wanted > 0 && available >= wanted;
    if !others_are_well && !words.is_some_and(|words| words.is_definite) {
        return None;
    }
    let why = words.map(|words| words.text.clone()).or_else(|| condition.message.clone());
    let why = why.unwrap_or_else(|| "its pods did not become ready in time".to_owned());
    Some(Failure { config_map: config_of(deployment)?.to_owned(), why })
}

/// The condition by which a Deployment says that the pods of its present template did not become ready in time.
#[must_use]
pub fn deadline_exceeded(deployment: &Deployment) -> Option<&DeploymentCondition> {
    let status = deployment.status.as_ref()?;
    if status.observed_generation != deployment.metadata.generation {
        return None;
    }
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Progressing" && condition.status == "False")
}

/// The ConfigMap that a Deployment's pods mount.
#[must_use]
pub fn config_of(deployment: &Deployment) -> Option<&str> {
    let volumes = deployment.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == CONFIG_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.as_str())
}
