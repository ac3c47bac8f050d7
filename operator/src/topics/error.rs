//! Why topics cannot be observed or changed. Pure.

use crate::objects::owned::ApplyError;

#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Whether Strimzi is installed is not known yet.
    #[error("the API server has not said yet whether it serves Strimzi's resources; it is asked again within 20 s")]
    StrimziUnknown,
    /// The API server serves none of Strimzi's resources.
    #[error(
        "the Strimzi operator is not installed: install it, or set spec.kafka.external; this is noticed within a minute"
    )]
    StrimziNotInstalled,
    #[error(
        "there is no Kafka named {cluster:?} in namespace {namespace:?}: create it, or correct \
         spec.kafka.strimzi.cluster"
    )]
    KafkaNotFound { namespace: String, cluster: String },
    /// The annotation of the `Kafka` does not name the pipeline's namespace.
    #[error(
        "Kafka {kafka} is not for namespace {namespace}: its owner can allow it with the annotation {annotation}: \
         {namespace}; running pods go on, but are not changed"
    )]
    NamespaceNotAllowed {
        /// The pipeline's namespace.
        namespace: String,
        /// The `Kafka`, as namespace/name.
        kafka: String,
        annotation: &'static str,
    },
    /// No broker answered in time.
    #[error("no broker answers at {servers}: check spec.kafka.external.bootstrapServers and the network ({error})")]
    Unreachable { servers: String, error: String },
    /// Kafka answered, and refused.
    #[error("Kafka refused to {action} topic {topic}: {error}; correct the pipeline, or create the topic by hand")]
    Refused { action: &'static str, topic: String, error: String },
    /// Strimzi's resources could not be read.
    #[error("the API server did not serve Strimzi's resources: {0}")]
    Api(#[from] kube::Error),
    /// A `KafkaTopic` could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl TopicsError {
    /// A static label, for metrics.
    pub(crate) const fn category(&self) -> &'static str {
        match self {
            Self::StrimziUnknown => "strimzi-unknown",
            Self::StrimziNotInstalled => "strimzi-not-installed",
            Self::KafkaNotFound { .. } => "kafka-not-found",
            Self::NamespaceNotAllowed { .. } => "namespace-not-allowed",
            Self::Unreachable { .. } => "kafka-unreachable",
            Self::Refused { .. } => "kafka-refused",
            Self::Api(_) => "topics-api",
            Self::Apply(error) => error.category(),
        }
    }
}
