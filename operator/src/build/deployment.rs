//! The processor's Deployment: replicas of one consumer group.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
            ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext,
            Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{CONFIG_KEY, labels, metadata, processor_name, selector};
use crate::validate::Valid;

/// Name of the volume that holds the job config.
pub const CONFIG_VOLUME: &str = "config";

const CONFIG_FOLDER: &str = "/etc/login-pipeline";
const PORT: &str = "http";

/// The Deployment whose pods run the job config of this ConfigMap. `default_image` is for a spec that names none.
#[must_use]
pub fn deployment(valid: &Valid, config_map: &str, default_image: &str) -> Deployment {
    let name = processor_name(&valid.id.name);
    let pod_labels = labels(valid).into_iter().chain(selector(&valid.id.name)).collect();
    Deployment {
        metadata: metadata(valid, name.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(valid.spec.processor.replicas),
            selector: LabelSelector { match_labels: Some(selector(&valid.id.name)), match_expressions: None },
            strategy: Some(strategy()),
            // Older ReplicaSets name ConfigMaps that are pruned: they could not come back.
            revision_history_limit: Some(2),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(pod_labels), ..ObjectMeta::default() }),
                spec: Some(pod(valid, name, config_map, default_image)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
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

fn pod(valid: &Valid, service_account: String, config_map: &str, default_image: &str) -> PodSpec {
    PodSpec {
        service_account_name: Some(service_account),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        // A processor drains within 10 s of SIGTERM; the rest is for a slow node.
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(65532),
            run_as_group: Some(65532),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(valid, default_image)],
        volumes: Some(vec![Volume {
            name: CONFIG_VOLUME.to_owned(),
            config_map: Some(ConfigMapVolumeSource { name: config_map.to_owned(), ..ConfigMapVolumeSource::default() }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    }
}

fn container(valid: &Valid, default_image: &str) -> Container {
    let processor = &valid.spec.processor;
    Container {
        name: "processor".to_owned(),
        image: Some(processor.image.clone().unwrap_or_else(|| default_image.to_owned())),
        args: Some(
            ["run", "--config"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("{CONFIG_FOLDER}/{CONFIG_KEY}")])
                .collect(),
        ),
        // Part of the transactional id: a restarted container fences its predecessor.
        env: Some(vec![EnvVar {
            name: "POD_NAME".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector { field_path: "metadata.name".to_owned(), api_version: None }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![ContainerPort {
            name: Some(PORT.to_owned()),
            container_port: 8080,
            ..ContainerPort::default()
        }]),
        // Red only when a loop stands still, never for the brokers' state: half a minute before a restart.
        liveness_probe: Some(probe("/healthz", 10, 3)),
        readiness_probe: Some(probe("/readyz", 5, 2)),
        resources: processor.resources.clone(),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![VolumeMount {
            name: CONFIG_VOLUME.to_owned(),
            mount_path: CONFIG_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(PORT.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}
