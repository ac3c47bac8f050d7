//! Why a replica cannot run, or ends by itself.

use std::net::SocketAddr;

use kafka::{cluster::ClusterError, error::KafkaError};

use crate::config::ConfigError;

/// Why a replica cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The job config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP server cannot listen.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system refuses a signal handler, a thread or a runtime.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
    /// librdkafka refuses a setting.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// librdkafka refuses a setting.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A thread came to an end that nobody foresaw.
    #[error("a thread panicked; the replica ends so that it is started anew")]
    Panicked,
}
