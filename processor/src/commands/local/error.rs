//! Errors of a run.

use std::{io, time::Duration};

use crds::pipeline;
use kafka::cluster::ClusterError;

use super::{broker::BrokerError, follow::FollowError, page::ListenError, replicas::ReplicasError};
use crate::{
    commands::generate::{GenerateError, SharesError},
    config::ConfigError,
    manifest::ManifestError,
};

/// How long it may take until replicas have taken up every partition.
pub const ASSIGNMENT: Duration = Duration::from_secs(60);

/// How long to wait for the next record while outcomes are pending: longer than Kafka keeps the transaction of a
/// producer that died.
pub const STALL: Duration = Duration::from_secs(30);

/// Why a pipeline cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("spec.processor.replicas is 0, so that nothing would be processed: add --replicas 1")]
    NoReplicas,
    /// `--since` is given without a rate or a number of events.
    #[error("--since {0} needs to know how many events happened since: add --rate N, or --events N")]
    Since(pipeline::Duration),
    #[error(transparent)]
    Shares(#[from] SharesError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Replicas(#[from] ReplicasError),
    /// Replicas did not take up every partition in time.
    #[error("not every partition was taken up within {} s:{}", ASSIGNMENT.as_secs(), problems.concat())]
    NotAssigned {
        /// The problem of each replica that is not ready.
        problems: Vec<String>,
    },
    /// The run was stopped before anything was sent.
    #[error("stopped before every partition was taken up")]
    Stopped,
    /// The broker accepted no more events.
    #[error("the broker took no more events for {} s", STALL.as_secs())]
    Stalled,
    #[error(transparent)]
    Feed(#[from] GenerateError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The operating system refuses a request, or the report cannot be written.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}
