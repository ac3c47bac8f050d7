//! A topic as Strimzi's `KafkaTopic`.
//!
//! It has no owner reference: Kubernetes would delete it with its pipeline, and Strimzi then the topic with all its data.

use crds::{
    strimzi::{CLUSTER_LABEL, KafkaTopic, KafkaTopicSpec, api_resource},
    topics::{PipelineId, Role, Topic},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{OWNER_UID_LABEL, metadata};
use crate::validate::Valid;

/// Name of the object, which is apart from the topic's: that may hold what a Kubernetes name cannot.
#[must_use]
pub fn kafka_topic_name(id: &PipelineId, role: Role) -> String {
    format!("{}-{}-{}", id.namespace, id.name, role.slug())
}

/// The annotation of a `KafkaTopic` whose topic was there before it, or may have been: this pipeline did not make it, and
/// never deletes it.
pub const ADOPTED_ANNOTATION: &str = "loginpipeline.dev/adopted";

/// A topic of the pipeline in the cluster of this name, in one of the API versions that Strimzi serves. It is in the
/// namespace of the `Kafka`, the one that its topic operator watches.
#[must_use]
pub fn kafka_topic(valid: &Valid, cluster: &str, version: &str, topic: &Topic, is_adopted: bool) -> KafkaTopic {
    let number = |text: &str| text.parse::<i64>().map_or_else(|_| text.into(), Into::into);
    let spec = KafkaTopicSpec {
        topic_name: Some(topic.name.clone()),
        partitions: Some(topic.partitions),
        replicas: valid.spec.topics.replication_factor,
        config: topic.config.iter().map(|(key, value)| ((*key).to_owned(), number(value))).collect(),
    };
    let name = kafka_topic_name(&valid.id, topic.role);
    let mut object = KafkaTopic::new(&name, &api_resource(version, "KafkaTopic"), spec);
    let namespace = Some(valid.kafka_namespace().to_owned());
    object.metadata = ObjectMeta { owner_references: None, namespace, ..metadata(valid, name) };
    if is_adopted {
        object.metadata.annotations = Some([(ADOPTED_ANNOTATION.to_owned(), "true".to_owned())].into());
    }
    let labels = [(CLUSTER_LABEL, cluster), (OWNER_UID_LABEL, &valid.owner.uid)];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    object.metadata.labels.get_or_insert_default().extend(labels);
    object
}
