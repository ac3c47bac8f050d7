//! The end of a pipeline, and what becomes of its topics.
//!
//! A pipeline that keeps its topics has no finalizer, and its end waits for nobody. One that deletes them stops its pods first,
//! so that none makes a topic anew, and deletes only what the status says it made, if that still has the id it had then.
//! Nothing waits for ever: whoever sets the annotation ends the waiting at once, a namespace that is going ends it in a minute,
//! and time ends it in any case. What is not deleted by then stays, with its data.

mod decide;

use cli::exit::with_causes;
use crds::pipeline::TopicStatus;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

pub use decide::{End, FINALIZER, FORCE_DELETE, Release, end, is_held, is_needed, left};

use crate::{
    kafka_access::{ReadError, SecretsError},
    observe::{self, ObserveError, Observed},
    owned::{self, ApplyError},
    pods,
    topics::{Topics, TopicsError, lost::Known},
    validate::Valid,
};

/// The finalizer's entry in `managedFields`: apart from the operator's other fields, so that neither takes the other away.
const FIELD_MANAGER: &str = "login-pipeline-operator-finalizer";

/// Puts the finalizer on a pipeline, or takes it off. Where it is so already nothing is written.
///
/// # Errors
/// When the API server refuses or fails.
pub async fn hold(client: &Client, observed: &Observed, hold: bool) -> Result<(), kube::Error> {
    let metadata = &observed.resource.metadata;
    if is_held(metadata) == hold {
        return Ok(());
    }
    let resource = observe::resource();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    let finalizers: &[&str] = if hold { &[FINALIZER] } else { &[] };
    // The UID is a precondition: a pipeline of the same name that came after has a finalizer of its own.
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace, "uid": metadata.uid, "finalizers": finalizers},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match observe::resources(client, namespace).patch(name, &params, &Patch::Apply::<Value>(patch)).await {
        Ok(_) => Ok(()),
        // It is gone, which is what taking the finalizer off is for.
        Err(kube::Error::Api(status)) if status.is_not_found() && !hold => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a namespace is being deleted, with everything in it. Where nobody can tell, it counts as one that stays.
pub async fn is_going(client: &Client, namespace: &str) -> bool {
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
pub enum FinalizeError {
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
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.category(),
            Self::Apply(error) => error.category(),
            Self::Secrets(error) => error.category(),
            Self::Security(error) => error.category(),
            Self::Topics(error) => error.category(),
        }
    }
}

/// Goes on deleting the topics: pods first. Gives what is waited for; none when nothing is left.
///
/// # Errors
/// When the API server or Kafka fails, or refuses.
pub async fn delete(
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
        return Ok(Some(format!("{} pods are draining", pods.len())));
    }
    let (seen, writer) = topics.observe(Known::new(&observed.status.topics, None)).await?;
    let left = left(doomed, &seen.topics);
    for topic in &left {
        writer.delete(topic).await?;
    }
    let names: Vec<_> = left.iter().map(|topic| topic.name.as_str()).collect();
    Ok((!names.is_empty()).then(|| format!("{} are being deleted", names.join(", "))))
}
