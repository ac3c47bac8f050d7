//! Why a pipeline could not run here.

use std::{io, time::Duration};

use crds::pipeline;
use kafka::cluster::ClusterError;

use super::{broker::BrokerError, follow::FollowError, page::ListenError, replicas::ReplicasError};
use crate::{
    commands::generate::{GenerateError, SharesError},
    config::ConfigError,
    manifest::ManifestError,
};

/// How long replicas may take until every partition is taken up.
pub const ASSIGNMENT: Duration = Duration::from_secs(60);

/// How long nothing may come while outcomes are awaited; longer than Kafka keeps a transaction whose owner is gone.
pub const STALL: Duration = Duration::from_secs(30);

/// Why a pipeline could not run here.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The manifest cannot be run.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// No replica would run.
    #[error("spec.processor.replicas is 0, so that nothing would be processed: add --replicas 1")]
    NoReplicas,
    /// Nothing says when the next events happen.
    #[error("--since {0} needs to know how many events happened since: add --rate N, or --events N")]
    Since(pipeline::Duration),
    /// Shares that make no sense.
    #[error(transparent)]
    Shares(#[from] SharesError),
    /// The page cannot be served.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The file of --security does not say how to reach a Kafka.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The broker or its topics cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Kafka did not answer a question.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Replicas do not go on.
    #[error(transparent)]
    Replicas(#[from] ReplicasError),
    /// Replicas did not begin.
    #[error("not every partition was taken up within {} s:{}", ASSIGNMENT.as_secs(), problems.concat())]
    NotAssigned {
        /// What each replica lacks.
        problems: Vec<String>,
    },
    /// Stopped before anything was sent.
    #[error("stopped before every partition was taken up")]
    Stopped,
    /// The broker took no more.
    #[error("the broker took no more events for {} s", STALL.as_secs())]
    Stalled,
    /// Events could not be sent.
    #[error(transparent)]
    Feed(#[from] GenerateError),
    /// The audit could not follow.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The operating system refuses, or the report could not be written.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}
