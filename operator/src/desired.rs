//! The objects that run a pipeline, together, and the revision that numbers their config. Pure.

use crds::pipeline::{ConfigStatus, LoginPipeline};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, ServiceAccount},
};
use kube::ResourceExt;

use crate::{
    build::{config_map, content, deployment, service_account},
    validate::{Valid, ValidateError, check_pipeline},
};

/// The objects that run a pipeline, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Under which its pods run.
    pub service_account: ServiceAccount,
    /// What its pods do.
    pub config_map: ConfigMap,
    /// Its pods.
    pub deployment: Deployment,
    /// The job config, as the status names it.
    pub config: ConfigStatus,
}

/// The objects that run a pipeline with the config of this revision.
#[must_use]
pub fn desired(valid: &Valid, bootstrap_servers: &str, revision: u64, default_image: &str) -> Desired {
    let config_map = config_map(valid, bootstrap_servers, revision);
    let name = config_map.name_any();
    Desired {
        service_account: service_account(valid),
        deployment: deployment(valid, &name, default_image),
        config: ConfigStatus { revision, config_map: name },
        config_map,
    }
}

/// The objects that would run the pipeline of a manifest in a namespace, whatever is there now.
///
/// # Errors
/// When the manifest's values cannot be used.
pub fn render(
    namespace: &str,
    pipeline: &LoginPipeline,
    bootstrap_servers: &str,
    revision: u64,
) -> Result<Desired, ValidateError> {
    let mut pipeline = pipeline.clone();
    pipeline.metadata.namespace = Some(namespace.to_owned());
    Ok(desired(&check_pipeline(&pipeline)?, bootstrap_servers, revision, "processor"))
}

/// The revision of a pipeline's config. A config that is new gets a number that no other ever had, because the number is
/// taken when the ConfigMap that holds it is written, before anything uses it: the newest existing one knows the last
/// number, and the status knows it when that was deleted by hand.
#[must_use]
pub fn revision(
    valid: &Valid,
    bootstrap_servers: &str,
    existing: &[ConfigMap],
    reported: Option<&ConfigStatus>,
) -> u64 {
    let at = |revision| config_map(valid, bootstrap_servers, revision);
    let newest = existing.iter().filter_map(content).max_by_key(|(revision, _)| *revision);
    match (newest, reported) {
        (Some((newest, _)), Some(reported)) if reported.revision > newest => after_loss(reported, at),
        (None, Some(reported)) => after_loss(reported, at),
        (None, None) => 1,
        (Some((newest, held)), _) => {
            let is_same = content(&at(newest)).is_some_and(|(_, wanted)| wanted == held);
            if is_same { newest } else { newest.saturating_add(1) }
        }
    }
}

/// The ConfigMap that the status names is gone. Its name tells whether it held the config that is wanted.
fn after_loss(reported: &ConfigStatus, at: impl Fn(u64) -> ConfigMap) -> u64 {
    if at(reported.revision).name_any() == reported.config_map {
        reported.revision
    } else {
        reported.revision.saturating_add(1)
    }
}

/// The bootstrap servers of the newest config: what running pods use when Strimzi has none to offer at the moment.
#[must_use]
pub fn bootstrap_servers_in_use(existing: &[ConfigMap]) -> Option<String> {
    let (_, newest) = existing.iter().filter_map(content).max_by_key(|(revision, _)| *revision)?;
    Some(newest.pointer("/kafka/bootstrapServers")?.as_str()?.to_owned())
}

/// The ConfigMaps that nothing needs once the pods run the current config: all but that one and its predecessor.
#[must_use]
pub fn outdated<'a>(existing: &'a [ConfigMap], current: &ConfigStatus) -> Vec<&'a ConfigMap> {
    let mut others: Vec<_> = existing
        .iter()
        .filter(|config_map| config_map.name_any() != current.config_map)
        .map(|config_map| (content(config_map).map(|(revision, _)| revision), config_map))
        .collect();
    others.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    others.into_iter().skip(1).map(|(_, config_map)| config_map).collect()
}
