//! Brings the objects of a pipeline to their desired state, in a fixed order. I/O; an object that is as desired is not
//! written.

use crds::pipeline::ConfigStatus;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{desired::Desired, observe::Observed, revisions::outdated};
use crate::{
    build::{PIPELINE_LABEL, REVISION_LABEL},
    objects::owned::{self, ApplyError, is_owned},
    validate::Valid,
};

/// Applies the objects that run the pipeline. The Deployment comes last: what it names is there before it.
///
/// # Errors
/// When another owns one of the names, or the API server refuses or fails.
pub(crate) async fn workload(
    client: &Client,
    valid: &Valid,
    desired: Desired,
    observed: &Observed,
) -> Result<Deployment, ApplyError> {
    let (namespace, uid) = (valid.id.namespace.as_str(), valid.owner.uid.as_str());
    let service_accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let network_policies = Api::<NetworkPolicy>::namespaced(client.clone(), namespace);
    let budgets = Api::<PodDisruptionBudget>::namespaced(client.clone(), namespace);
    let services = Api::<Service>::namespaced(client.clone(), namespace);
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);

    let existing = observed.service_account.as_ref();
    owned::apply(&service_accounts, "ServiceAccount", desired.service_account, existing, uid).await?;
    match (desired.network_policy, observed.network_policy.as_ref()) {
        (Some(wanted), existing) => {
            owned::apply(&network_policies, "NetworkPolicy", wanted, existing, uid).await?;
        }
        (None, Some(existing)) if is_owned(existing, uid) => {
            owned::delete(&network_policies, "NetworkPolicy", existing).await?;
        }
        (None, _) => {}
    }
    let existing = observed.pod_disruption_budget.as_ref();
    owned::apply(&budgets, "PodDisruptionBudget", desired.pod_disruption_budget, existing, uid).await?;
    owned::apply(&services, "Service", desired.service, observed.service.as_ref(), uid).await?;
    let existing = observed.config_maps.iter().find(|existing| existing.name_any() == desired.config.config_map);
    owned::apply(&config_maps, "ConfigMap", desired.config_map, existing, uid).await?;
    if existing.is_none() {
        uncontested(&config_maps, valid, &desired.config).await?;
    }
    let existing = observed.deployment.as_ref();
    owned::apply(&deployments, "Deployment", desired.deployment, existing, uid).await
}

/// Fails where a number that was just taken is taken twice. If another operator took it at the same moment, the later of the
/// two sees both here, so at most one of them goes on to use it.
async fn uncontested(config_maps: &Api<ConfigMap>, valid: &Valid, taken: &ConfigStatus) -> Result<(), ApplyError> {
    let number = taken.revision;
    let same = format!("{PIPELINE_LABEL}={},{REVISION_LABEL}={number}", valid.id.name);
    let listed = config_maps.list(&ListParams::default().labels(&same)).await;
    let (kind, name) = ("ConfigMap".to_owned(), taken.config_map.clone());
    let listed = listed.map_err(|source| ApplyError::Api { kind, name, source })?;
    let is_other = |other: &ConfigMap| other.name_any() != taken.config_map && is_owned(other, &valid.owner.uid);
    match listed.items.into_iter().find(is_other) {
        Some(other) => Err(ApplyError::Contested { number, other: other.name_any() }),
        None => Ok(()),
    }
}

/// Deletes the job configs that no pod needs. Only for a pipeline whose pods all run the current one.
///
/// # Errors
/// When the API server refuses or fails.
pub(crate) async fn prune(
    client: &Client,
    valid: &Valid,
    current: &ConfigStatus,
    observed: &Observed,
) -> Result<(), ApplyError> {
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), &valid.id.namespace);
    for config_map in outdated(&observed.config_maps, current) {
        owned::delete(&config_maps, "ConfigMap", config_map).await?;
    }
    Ok(())
}
