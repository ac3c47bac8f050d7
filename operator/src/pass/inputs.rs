//! What a revision is made from, beside the spec. Pure.

use crds::job::KafkaConfig;
use serde_json::Value;

use crate::{build::Shape, kafka_access::Credentials, topics::Listener};

/// What a revision is made from, beside the spec.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inputs {
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// What shapes the pods.
    pub shape: Shape,
    /// Names the state of each Secret that the pods use, without what is in it; null when they use none.
    pub secrets: Value,
}

impl Inputs {
    /// What pods have to know that reach Kafka by a listener, with credentials. Where the spec names no image, they run
    /// `default_image`.
    #[must_use]
    pub(crate) fn new(listener: &Listener, credentials: &Credentials, default_image: &str) -> Self {
        Self {
            kafka: KafkaConfig {
                bootstrap_servers: listener.bootstrap_servers.clone(),
                security: credentials.job(&listener.certificates),
                max_message_bytes: None,
            },
            shape: Shape {
                default_image: default_image.to_owned(),
                volumes: credentials.volumes(),
                volume_mounts: credentials.volume_mounts(),
            },
            secrets: credentials.fingerprint(),
        }
    }
}
