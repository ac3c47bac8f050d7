//! The Service by which Prometheus finds the processor's pods.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{HTTP, HTTP_PORT, metadata, selector};
use crate::validate::Valid;

/// Name of the Service of a pipeline. A Service's name begins with a letter, which a pipeline's need not.
#[must_use]
pub fn service_name(pipeline: &str) -> String {
    format!("processor-{pipeline}")
}

/// The Service of a pipeline. It is headless: no client asks just any of the pods, Prometheus asks each.
#[must_use]
pub fn service(valid: &Valid) -> Service {
    let pods = selector(&valid.id.name);
    let mut metadata = metadata(valid, service_name(&valid.id.name));
    // What selects the pods selects the Service too: that is what a ServiceMonitor looks for.
    metadata.labels.get_or_insert_default().extend(pods.clone());
    Service {
        metadata,
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            // A pod that restores its state has metrics too, and then they matter.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some(HTTP.to_owned()),
                port: HTTP_PORT,
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(HTTP.to_owned())),
                ..ServicePort::default()
            }]),
            selector: Some(pods),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
