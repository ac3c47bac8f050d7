//! What happens to the topics of a pipeline that is deleted.
//!
//! A pipeline that keeps its topics has no finalizer, so its deletion waits for nothing. One that deletes them stops its pods
//! first, so that none creates a topic again, and deletes only the topics that the status says it made and that still have
//! the id of then. The wait is bounded: the annotation ends it at once, the deletion of the namespace within a minute, and
//! time in any case. Topics that are not deleted by then stay, with their data.

mod decide;

use cli::exit::with_causes;
use crds::pipeline::TopicStatus;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

pub(crate) use decide::{End, FINALIZER, Release, end, has_finalizer, is_needed, left};

use super::observe::Observed;
use crate::{
    kafka_access::{ReadError, SecretsError},
    objects::owned::{self, ApplyError},
    pods, resource,
    resource::ObserveError,
    text::plural,
    topics::{Topics, TopicsError, lost::Known},
    validate::Valid,
};

/// The finalizer's entry in `managedFields`: apart from the operator's other fields, so that neither takes the other away.
const FIELD_MANAGER: &str = "login-pipeline-operator-finalizer";

/// Puts the finalizer on a pipeline, or takes it off. Where it is so already nothing is written.
///
/// # Errors
/// When the API server refuses or fails.
pub(crate) async fn set_finalizer(client: &Client, observed: &Observed, is_wanted: bool) -> Result<(), kube::Error> {
    let metadata = &observed.resource.metadata;
    if has_finalizer(metadata) == is_wanted {
        return Ok(());
    }
    let resource = resource::resource();
    let (namespace, name) = observed.key();
    let finalizers: &[&str] = if is_wanted { &[FINALIZER] } else { &[] };
    // The UID is a precondition: a pipeline of the same name that came after has a finalizer of its own.
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace, "uid": metadata.uid, "finalizers": finalizers},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match resource::resources(client, namespace).patch(name, &params, &Patch::Apply::<Value>(patch)).await {
        Ok(_) => Ok(()),
        // The pipeline is gone, which is why the finalizer was taken off.
        Err(kube::Error::Api(status)) if status.is_not_found() && !is_wanted => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a namespace is being deleted, with everything in it. A namespace that cannot be read counts as one that stays.
pub(crate) async fn is_going(client: &Client, namespace: &str) -> bool {
    match Api::<Namespace>::all(client.clone()).get_opt(namespace).await {
        Ok(namespace) => namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()),
        Err(error) => {
            tracing::debug!(namespace, error = with_causes(&error), "the namespace was not read");
            false
        }
    }
}

/// Why topics were not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FinalizeError {
    /// The pods could not be counted.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The Deployment could not be deleted.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A Secret was not read, by which Kafka is reached.
    #[error(transparent)]
    Secrets(#[from] ReadError),
    /// A Secret is missing, by which Kafka is reached.
    #[error(transparent)]
    Security(#[from] SecretsError),
    /// Kafka, or Strimzi, did not do it.
    #[error(transparent)]
    Topics(#[from] TopicsError),
}

impl FinalizeError {
    /// A static label, for metrics.
    #[must_use]
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.category(),
            Self::Apply(error) => error.category(),
            Self::Secrets(error) => error.category(),
            Self::Security(error) => error.category(),
            Self::Topics(error) => error.category(),
        }
    }
}

/// Goes on deleting the topics, after the pods. Returns what is waited for; none when nothing is left.
///
/// # Errors
/// When the API server or Kafka fails, or refuses.
pub(crate) async fn delete(
    client: &Client,
    valid: &Valid,
    topics: Topics<'_>,
    observed: &Observed,
    doomed: &[TopicStatus],
) -> Result<Option<String>, FinalizeError> {
    if let Some(deployment) = observed.own_deployment() {
        let deployments = Api::<Deployment>::namespaced(client.clone(), &valid.id.namespace);
        owned::delete(&deployments, "Deployment", deployment).await?;
        return Ok(Some("its pods are draining".to_owned()));
    }
    let pods = pods::list(client, &valid.id.namespace, &valid.id.name).await?;
    if !pods.is_empty() {
        return Ok(Some(plural(pods.len(), "pod is draining", "pods are draining")));
    }
    let (seen, writer) = topics.observe(Known::new(&observed.status.topics, None)).await?;
    let left = left(doomed, &seen.topics);
    for topic in &left {
        writer.delete(topic).await?;
    }
    let names: Vec<_> = left.iter().map(|topic| topic.name.as_str()).collect();
    Ok((!names.is_empty()).then(|| being_deleted(&names)))
}

fn being_deleted(topics: &[&str]) -> String {
    let are = if topics.len() == 1 { "is" } else { "are" };
    format!("{} {are} being deleted", topics.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_topic_is_being_deleted_and_several_are() {
        assert_eq!(being_deleted(&["a"]), "a is being deleted");
        assert_eq!(being_deleted(&["a", "b"]), "a, b are being deleted");
    }
}
