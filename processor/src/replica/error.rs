//! Why a replica cannot run, or ends by itself.

use std::net::SocketAddr;

use kafka::{cluster::ClusterError, error::KafkaError};

use crate::config::ConfigError;

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The job config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP server cannot listen.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// The address in `--listen`.
        address: SocketAddr,
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
    /// A thread panicked.
    #[error("a thread panicked; the replica ends so that it is started anew")]
    Panicked,
}
