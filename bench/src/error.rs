//! Why a measurement could not be made.

use std::{path::PathBuf, time::Duration};

use rdkafka::error::KafkaError;

/// The time limit for a job.
pub const BOUND: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Testkit(#[from] testkit::Error),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    #[error(transparent)]
    Kubernetes(#[from] kube::Error),
    #[error("not JSON of the expected shape: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Other(String),
}
