//! The pipeline and its objects as they are now. I/O that reads and changes nothing.
//!
//! Everything is read from the API server itself, not from the watches' caches: a pass decides on one recent state.

use std::fmt::Debug;

use crds::pipeline::LoginPipelineStatus;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::{DynamicObject, NamespaceResourceScope},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    build::{PIPELINE_LABEL, processor_name, service_name},
    objects::owned::is_owned,
    resource::ObserveError,
    resource::resources,
};

/// A pipeline, and the objects that have the names of its children, whether or not it owns them.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// The resource, unread: its spec may not have the shape of this release.
    pub resource: DynamicObject,
    /// What was reported last.
    pub status: LoginPipelineStatus,
    /// Its job configs, in no order; only those that belong to it.
    pub config_maps: Vec<ConfigMap>,
    /// What has the name of its ServiceAccount.
    pub service_account: Option<ServiceAccount>,
    /// What has the name of its NetworkPolicy.
    pub network_policy: Option<NetworkPolicy>,
    /// What has the name of its PodDisruptionBudget.
    pub pod_disruption_budget: Option<PodDisruptionBudget>,
    /// What has the name of its Service.
    pub service: Option<Service>,
    /// What has the name of its Deployment.
    pub deployment: Option<Deployment>,
}

impl Observed {
    /// The pipeline's Deployment, if what has its name is the pipeline's.
    #[must_use]
    pub(crate) fn own_deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref().filter(|deployment| is_owned(*deployment, self.uid()))
    }

    /// The namespace and the name of the pipeline.
    #[must_use]
    pub(crate) fn key(&self) -> (&str, &str) {
        let metadata = &self.resource.metadata;
        (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
    }

    fn uid(&self) -> &str {
        self.resource.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// Reads a pipeline, and nothing of its objects yet. None when it is gone.
///
/// # Errors
/// When the API server fails or refuses.
pub(crate) async fn pipeline(client: &Client, namespace: &str, name: &str) -> Result<Option<Observed>, ObserveError> {
    let resource = resources(client, namespace).get_opt(name).await;
    let resource = resource.map_err(|source| ObserveError::Api { what: "the LoginPipeline", source })?;
    Ok(resource.map(|resource| {
        // A status that this release cannot read counts as none.
        let status = resource.data.get("status").and_then(|status| LoginPipelineStatus::deserialize(status).ok());
        Observed {
            resource,
            status: status.unwrap_or_default(),
            config_maps: Vec::new(),
            service_account: None,
            network_policy: None,
            pod_disruption_budget: None,
            service: None,
            deployment: None,
        }
    }))
}

/// Reads a pipeline's objects.
///
/// # Errors
/// When the API server fails or refuses. Nothing is known of any of them then.
pub(crate) async fn children(client: &Client, observed: &mut Observed) -> Result<(), ObserveError> {
    let failed = |what| move |source| ObserveError::Api { what, source };
    let (namespace, name) = observed.key();
    let (processor, service) = (processor_name(name), service_name(name));
    let ours = ListParams::default().labels(&format!("{PIPELINE_LABEL}={name}"));
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let (config_maps, service_account, network_policy, pod_disruption_budget, service, deployment) = tokio::try_join!(
        async { config_maps.list(&ours).await.map_err(failed("ConfigMaps")) },
        get(client, namespace, &processor, "the ServiceAccount"),
        get(client, namespace, &processor, "the NetworkPolicy"),
        get(client, namespace, &processor, "the PodDisruptionBudget"),
        get(client, namespace, &service, "the Service"),
        get(client, namespace, &processor, "the Deployment"),
    )?;
    let uid = observed.uid().to_owned();
    observed.config_maps = config_maps.items;
    observed.config_maps.retain(|config_map| is_owned(config_map, &uid));
    observed.service_account = service_account;
    observed.network_policy = network_policy;
    observed.pod_disruption_budget = pod_disruption_budget;
    observed.service = service;
    observed.deployment = deployment;
    Ok(())
}

async fn get<K>(client: &Client, namespace: &str, name: &str, what: &'static str) -> Result<Option<K>, ObserveError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    api.get_opt(name).await.map_err(|source| ObserveError::Api { what, source })
}
