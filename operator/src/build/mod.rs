//! Step 3: the objects of a pipeline as they should be, one file for each Kubernetes kind. Pure: the same pipeline gives
//! the same objects, byte for byte.

mod config_map;
mod deployment;
mod kafka_topic;
mod network_policy;
mod pod_disruption_budget;
mod pod_template;
mod service;
mod service_account;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use config_map::{CONFIG_KEY, Content, REVISION_LABEL, Revision, config_map};
pub use deployment::deployment;
pub use kafka_topic::{ADOPTED_ANNOTATION, kafka_topic, kafka_topic_name};
pub use network_policy::network_policy;
pub use pod_disruption_budget::pod_disruption_budget;
pub use pod_template::{CONFIG_VOLUME, CONTAINER, Shape, pod_template};
pub use service::{service, service_name};
pub use service_account::service_account;

use super::validate::Valid;

/// The label that names an object's pipeline.
pub const PIPELINE_LABEL: &str = "loginpipeline.dev/pipeline";

/// The label that names the UID of an object's pipeline, on objects that outlive it.
pub const OWNER_UID_LABEL: &str = "loginpipeline.dev/owner-uid";

const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
const COMPONENT: &str = "processor";

/// The processor's port: metrics and health.
pub const HTTP_PORT: i32 = 8080;

/// The name of that port.
const HTTP: &str = "http";

/// Name of the processor's Deployment and of what belongs to it, but for the Service.
#[must_use]
pub fn processor_name(pipeline: &str) -> String {
    format!("{pipeline}-processor")
}

/// The labels that select the processor's pods. A Deployment's selector never changes, so neither may these.
#[must_use]
pub fn selector(pipeline: &str) -> BTreeMap<String, String> {
    [(COMPONENT_LABEL, COMPONENT), (PIPELINE_LABEL, pipeline)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Kubernetes' recommended labels, and the pipeline. No label names a version: it would restart every pod when the
/// operator is upgraded.
fn labels(valid: &Valid) -> BTreeMap<String, String> {
    let name = valid.id.name.as_str();
    let labels = [
        ("app.kubernetes.io/name", "login-pipeline"),
        ("app.kubernetes.io/instance", name),
        ("app.kubernetes.io/part-of", "login-pipeline"),
        ("app.kubernetes.io/managed-by", "login-pipeline-operator"),
        (PIPELINE_LABEL, name),
    ];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// Metadata of an object that goes when its pipeline goes.
fn metadata(valid: &Valid, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(valid.id.namespace.clone()),
        labels: Some(labels(valid)),
        owner_references: Some(vec![valid.owner.clone()]),
        ..ObjectMeta::default()
    }
}
