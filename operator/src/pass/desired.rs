//! The objects that run a pipeline, together. Pure.

use crds::pipeline::{ConfigStatus, LoginPipeline};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};

use super::{inputs::Inputs, revisions, rollout::size};
use crate::{
    build::{Revision, config_map, deployment, network_policy, pod_disruption_budget, service, service_account},
    kafka_access::{Credentials, Secrets, SecretsError},
    topics::Listener,
    validate::{Valid, ValidateError, check_pipeline},
};

/// The objects that run a pipeline, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Under which its pods run.
    pub service_account: ServiceAccount,
    /// Who may reach its pods, and whom they may reach; none where the spec wants none.
    pub network_policy: Option<NetworkPolicy>,
    /// How many of its pods a drained node may take.
    pub pod_disruption_budget: PodDisruptionBudget,
    /// By which Prometheus finds its pods.
    pub service: Service,
    /// What its pods do.
    pub config_map: ConfigMap,
    /// Its pods.
    pub deployment: Deployment,
    /// The job config, as the status names it.
    pub config: ConfigStatus,
}

/// The objects that run a revision, with this many replicas.
#[must_use]
pub fn desired(valid: &Valid, revision: &Revision, replicas: i32) -> Desired {
    let bootstrap_servers =
        revision.content.job.pointer("/kafka/bootstrapServers").and_then(|servers| servers.as_str());
    Desired {
        service_account: service_account(valid),
        network_policy: network_policy(valid, bootstrap_servers.unwrap_or_default()),
        pod_disruption_budget: pod_disruption_budget(valid),
        service: service(valid),
        config_map: config_map(valid, revision),
        deployment: deployment(valid, revision.content.template.clone(), &revision.name, replicas),
        config: revision.status(),
    }
}

/// Why the objects of a manifest cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Its values cannot be used.
    #[error(transparent)]
    Values(#[from] ValidateError),
    /// The Secrets that it names cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
}

/// The objects that would run the pipeline of a manifest in a namespace, whatever is there now: on the Kafka behind a
/// listener, with the Secrets that the manifest names.
///
/// # Errors
/// When the manifest's values or Secrets cannot be used.
pub fn render(
    namespace: &str,
    pipeline: &LoginPipeline,
    listener: &Listener,
    secrets: &Secrets,
    number: u64,
) -> Result<Desired, RenderError> {
    let mut pipeline = pipeline.clone();
    pipeline.metadata.namespace = Some(namespace.to_owned());
    let valid = check_pipeline(&pipeline)?;
    let credentials = Credentials::new(&valid.spec.kafka, secrets)?;
    let inputs = Inputs::new(listener, &credentials, "processor");
    let revision = Revision::new(&valid, number, revisions::render(&valid, &inputs));
    Ok(desired(&valid, &revision, size(&valid, &[], &[]).replicas))
}
