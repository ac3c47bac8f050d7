//! The pods of a pipeline. What a user may choose is in the spec; what keeps a pod harmless, and the pipeline in charge of
//! it, is chosen here and by nothing else.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction, KeyToPath,
        ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, SeccompProfile, SecurityContext,
        TopologySpreadConstraint, Volume, VolumeMount,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};

use super::{CONFIG_KEY, HTTP, HTTP_PORT, labels, processor_name, selector};
use crate::validate::Valid;

/// Name of the container.
pub const CONTAINER: &str = "processor";

/// Name of the volume that holds the job config.
pub const CONFIG_VOLUME: &str = "config";

const CONFIG_FOLDER: &str = "/etc/login-pipeline";

/// What shapes the pods beside the spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// Image for a spec that names none.
    pub default_image: String,
    /// Volumes of Secrets.
    pub volumes: Vec<Volume>,
    /// Where the container has them.
    pub volume_mounts: Vec<VolumeMount>,
}

/// The pods of a pipeline. Their job config's volume names no ConfigMap yet: [`super::deployment`] fills that in.
#[must_use]
pub fn pod_template(valid: &Valid, shape: &Shape) -> PodTemplateSpec {
    let processor = &valid.spec.processor;
    // Ours come last, so that none of them can be another's.
    let ours = labels(valid).into_iter().chain(selector(&valid.id.name));
    let pod_labels = processor.pod_labels.clone().into_iter().chain(ours).collect();
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: filled_map(&processor.pod_annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod(valid, shape)),
    }
}

fn pod(valid: &Valid, shape: &Shape) -> PodSpec {
    let processor = &valid.spec.processor;
    let spread = processor.topology_spread_constraints.clone();
    PodSpec {
        service_account_name: Some(processor_name(&valid.id.name)),
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
        containers: vec![container(valid, shape)],
        volumes: Some([config_volume()].into_iter().chain(shape.volumes.clone()).collect()),
        image_pull_secrets: filled(&processor.image_pull_secrets),
        node_selector: filled_map(&processor.node_selector),
        tolerations: filled(&processor.tolerations),
        affinity: processor.affinity.clone(),
        topology_spread_constraints: filled(&spread.unwrap_or_else(|| vec![over_nodes(valid)])),
        priority_class_name: processor.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

/// The job config alone: the ConfigMap holds more, which is the operator's.
fn config_volume() -> Volume {
    let job = KeyToPath { key: CONFIG_KEY.to_owned(), path: CONFIG_KEY.to_owned(), mode: None };
    Volume {
        name: CONFIG_VOLUME.to_owned(),
        config_map: Some(ConfigMapVolumeSource { items: Some(vec![job]), ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

/// A node that fails takes as few replicas as can be. One node alone runs them all.
fn over_nodes(valid: &Valid) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        topology_key: "kubernetes.io/hostname".to_owned(),
        max_skew: 1,
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(selector(&valid.id.name)), match_expressions: None }),
        ..TopologySpreadConstraint::default()
    }
}

fn container(valid: &Valid, shape: &Shape) -> Container {
    let processor = &valid.spec.processor;
    let config = VolumeMount {
        name: CONFIG_VOLUME.to_owned(),
        mount_path: CONFIG_FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(processor.image.clone().unwrap_or_else(|| shape.default_image.clone())),
        image_pull_policy: processor.image_pull_policy.map(|policy| policy.name().to_owned()),
        args: Some(vec!["run".to_owned(), "--config".to_owned(), format!("{CONFIG_FOLDER}/{CONFIG_KEY}")]),
        // Part of the transactional id: a restarted container fences its predecessor.
        env: Some(vec![EnvVar {
            name: "POD_NAME".to_owned(),
            value_from: Some(EnvVarSource {
                // With its default, which the API server would fill in: the reference is owned as a whole.
                field_ref: Some(ObjectFieldSelector {
                    api_version: Some("v1".to_owned()),
                    field_path: "metadata.name".to_owned(),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![ContainerPort {
            name: Some(HTTP.to_owned()),
            container_port: HTTP_PORT,
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
        // A crash's last words are then in the pod's status: no right to read logs is needed.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some([config].into_iter().chain(shape.volume_mounts.clone()).collect()),
        ..Container::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(HTTP.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(3),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn filled<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn filled_map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}

#[cfg(test)]
mod tests {
    use crds::pipeline::LoginPipeline;
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::check_pipeline;

    fn template(processor: &Value) -> PodTemplateSpec {
        let spec = json!({"kafka": {"strimzi": {"cluster": "a"}}});
        let pipeline = LoginPipeline::new("logins", serde_json::from_value(spec).unwrap());
        let mut valid = check_pipeline(&pipeline).unwrap();
        // Past the check, which refuses what would be ours.
        valid.spec.processor = serde_json::from_value(processor.clone()).unwrap();
        pod_template(&valid, &Shape { default_image: "processor".to_owned(), ..Shape::default() })
    }

    /// The template without what a user may choose.
    fn ours(template: &PodTemplateSpec) -> Value {
        let mut template = json!(template);
        let chosen = ["imagePullSecrets", "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints"];
        let pod = template["spec"].as_object_mut().unwrap();
        pod.retain(|field, _| !chosen.contains(&field.as_str()) && field != "priorityClassName");
        let container = pod["containers"][0].as_object_mut().unwrap();
        container.retain(|field, _| !["image", "imagePullPolicy", "resources"].contains(&field.as_str()));
        let metadata = template["metadata"].as_object_mut().unwrap();
        metadata.remove("annotations");
        metadata["labels"].as_object_mut().unwrap().remove("team");
        template
    }

    #[test]
    fn what_keeps_a_pod_harmless_is_the_same_whatever_the_spec() {
        let everything = json!({
            "image": "other", "imagePullPolicy": "Never", "imagePullSecrets": [{"name": "a"}],
            "resources": {"limits": {"cpu": "1"}}, "nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}],
            "affinity": {"nodeAffinity": {}}, "topologySpreadConstraints": [], "priorityClassName": "a",
            "podAnnotations": {"a": "b"},
            "podLabels": {
                "team": "a", "loginpipeline.dev/pipeline": "another", "app.kubernetes.io/component": "another",
                "app.kubernetes.io/managed-by": "nobody",
            },
        });

        assert_eq!(ours(&template(&everything)), ours(&template(&json!({}))));
        let pod = template(&everything).spec.unwrap();
        let security = pod.security_context.unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.run_as_user, Some(65532));
        let container = pod.containers[0].security_context.clone().unwrap();
        assert_eq!(container.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(container.allow_privilege_escalation, Some(false));
        assert_eq!(container.privileged, None);
    }
}
