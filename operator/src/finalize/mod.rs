//! The end of a pipeline, and what becomes of its topics.
//!
//! A pipeline that keeps its topics has no finalizer, and its end waits for nobody. One that deletes them stops its pods first,
//! so that none makes a topic anew, and deletes only what the status says it made, if that still has the id it had then.
//! Nothing waits for ever: whoever sets the annotation ends the waiting at once, a namespace that is going ends it in a minute,
//! and time ends it in any case. What is not deleted by then stays, with its data.

mod decide;

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

pub use decide::{End, FINALIZER, FORCE_DELETE, Release, end, is_held, is_needed, left};

use crate::observe::{self, Observed};

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

/// Whether a namespace is being deleted, with everything in it.
///
/// # Errors
/// When the API server refuses or fails.
pub async fn is_going(client: &Client, namespace: &str) -> Result<bool, kube::Error> {
    let namespace = Api::<Namespace>::all(client.clone()).get_opt(namespace).await?;
    Ok(namespace.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}
