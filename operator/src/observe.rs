//! Step 1: what is there now. I/O that reads and changes nothing.
//!
//! Everything is read from the API server itself, not from the watches' caches: a pass decides on one recent state.

use crds::pipeline::{LoginPipeline, LoginPipelineStatus};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, ServiceAccount},
};
use kube::{
    Api, Client,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use serde::Deserialize;

use crate::{
    build::{PIPELINE_LABEL, processor_name},
    owned::is_owned,
};

/// A pipeline and the objects that stand in its place, whoever owns them.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The resource, unread: its spec may not have the shape of this release.
    pub resource: DynamicObject,
    /// What was reported last.
    pub status: LoginPipelineStatus,
    /// Its job configs, in no order; only those that belong to it.
    pub config_maps: Vec<ConfigMap>,
    /// What has the name of its ServiceAccount.
    pub service_account: Option<ServiceAccount>,
    /// What has the name of its Deployment.
    pub deployment: Option<Deployment>,
}

impl Observed {
    /// The pipeline's Deployment, if what has its name is the pipeline's.
    #[must_use]
    pub fn own_deployment(&self) -> Option<&Deployment> {
        self.deployment.as_ref().filter(|deployment| is_owned(*deployment, self.uid()))
    }

    fn uid(&self) -> &str {
        self.resource.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// Why the state of a pipeline could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The API server failed, or refused.
    #[error("the API server did not answer for {what}: {source}")]
    Api {
        /// What was asked for.
        what: &'static str,
        /// What failed.
        source: kube::Error,
    },
}

impl ObserveError {
    /// A static label, for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Api { .. } => "observe-api",
        }
    }
}

/// Reads a pipeline and its objects. None when it is gone.
///
/// # Errors
/// When the API server fails or refuses.
pub async fn observe(client: &Client, namespace: &str, name: &str) -> Result<Option<Observed>, ObserveError> {
    let failed = |what| move |source| ObserveError::Api { what, source };
    let Some(resource) = resources(client, namespace).get_opt(name).await.map_err(failed("the LoginPipeline"))? else {
        return Ok(None);
    };
    let processor = processor_name(name);
    let config_maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let service_accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{PIPELINE_LABEL}={name}"));

    let config_maps = config_maps.list(&ours).await.map_err(failed("ConfigMaps"))?.items;
    let service_account = service_accounts.get_opt(&processor).await.map_err(failed("the ServiceAccount"))?;
    let deployment = deployments.get_opt(&processor).await.map_err(failed("the Deployment"))?;

    // A status that this release cannot read says nothing.
    let status = resource.data.get("status").and_then(|status| LoginPipelineStatus::deserialize(status).ok());
    let mut observed =
        Observed { resource, status: status.unwrap_or_default(), config_maps, service_account, deployment };
    let uid = observed.uid().to_owned();
    observed.config_maps.retain(|config_map| is_owned(config_map, &uid));
    Ok(Some(observed))
}

/// LoginPipelines as the API server holds them.
#[must_use]
pub fn resources(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource())
}

/// How the API server serves LoginPipelines.
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource::erase::<LoginPipeline>(&())
}
