//! Writes the status where it differs, and publishes what happened. I/O.

use crds::pipeline::LoginPipelineStatus;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    error::ReconcileError, events, observe::Observed, outcome::Outcome, status::status, surroundings::Surroundings,
};
use crate::{
    conditions::condition::{READY, condition},
    objects::owned::FIELD_MANAGER,
    pods::Figures,
    resource::{resource, resources},
};

/// Reports what a pass came to.
///
/// # Errors
/// When the API server does not take the status.
pub(crate) async fn report(
    surroundings: &Surroundings<'_>,
    observed: &Observed,
    outcome: &Outcome,
) -> Result<(), ReconcileError> {
    let mut new = status(observed, outcome, Timestamp::now());
    let is_running = matches!(outcome, Outcome::Performed(_) | Outcome::Invalid(_));
    let (namespace, name) = observed.key();
    if let Some(Figures { lag, rate }) = surroundings.measurements.of(namespace, name).filter(|_| is_running) {
        (new.lag, new.rate) = (lag, rate);
    }
    if new == observed.status {
        return Ok(());
    }
    write(surroundings.client, observed, &new).await.map_err(ReconcileError::Status)?;
    if let Some(ready) = condition(&new, READY) {
        tracing::info!(ready = ?ready.status, reason = ready.reason, message = ready.message, "status changed");
    }
    let regarding: ObjectReference = observed.resource.object_ref(&resource());
    events::publish(surroundings.recorder, &events::transitions(&observed.status, &new), &regarding).await;
    Ok(())
}

async fn write(client: &Client, observed: &Observed, status: &LoginPipelineStatus) -> Result<(), kube::Error> {
    let kind = resource();
    let (namespace, name) = observed.key();
    // The UID is a precondition: this status is not for a pipeline of the same name that came after.
    let patch = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace, "uid": observed.resource.metadata.uid},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match resources(client, namespace).patch_status(name, &params, &Patch::Apply(patch)).await {
        Ok(_) => Ok(()),
        // It was deleted meanwhile.
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}
