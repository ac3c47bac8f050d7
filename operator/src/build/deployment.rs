//! The processor's Deployment: replicas of one consumer group.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{CONFIG_VOLUME, metadata, processor_name, selector};
use crate::validate::Valid;

/// The Deployment with this many pods of this template, which run the job config of this ConfigMap.
#[must_use]
pub fn deployment(valid: &Valid, template: PodTemplateSpec, config_map: &str, replicas: i32) -> Deployment {
    let deadline = i32::try_from(valid.spec.processor.progress_deadline.as_secs()).ok();
    Deployment {
        metadata: metadata(valid, processor_name(&valid.id.name)),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            selector: LabelSelector { match_labels: Some(selector(&valid.id.name)), match_expressions: None },
            strategy: Some(strategy()),
            progress_deadline_seconds: deadline,
            // Older ReplicaSets name ConfigMaps that are pruned: they could not come back.
            revision_history_limit: Some(2),
            template: running(template, config_map),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// The template with the name of its job config.
fn running(mut template: PodTemplateSpec, config_map: &str) -> PodTemplateSpec {
    let volumes = template.spec.iter_mut().flat_map(|pod| pod.volumes.iter_mut().flatten());
    for source in volumes.filter(|volume| volume.name == CONFIG_VOLUME).filter_map(|volume| volume.config_map.as_mut())
    {
        config_map.clone_into(&mut source.name);
    }
    template
}

/// One pod more, then one pod less. A pod that goes first would leave its partitions to the others while the new one
/// starts; several at a time would move more partitions than one at once.
fn strategy() -> DeploymentStrategy {
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}
