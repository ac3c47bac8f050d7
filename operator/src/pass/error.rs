//! Why a pass failed. Pure.

use std::time::Duration;

use super::finalize::FinalizeError;
use crate::{kafka_access::ReadError, objects::owned::ApplyError, resource::ObserveError, topics::TopicsError};

/// Why a pass failed. It is tried again, ever more slowly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The pipeline or its objects were not read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// Topics were not observed or made.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// An object was not applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The Secrets that a spec names were not read.
    #[error(transparent)]
    Secrets(#[from] ReadError),
    /// Topics were not deleted at the pipeline's end.
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    /// The finalizer was not set, or not taken off.
    #[error("the API server did not take the finalizer: {0}")]
    Finalizer(#[source] kube::Error),
    /// The status was not written.
    #[error("the API server did not take the status: {0}")]
    Status(#[source] kube::Error),
    /// The API server is so slow that the pass was given up.
    #[error("the pass took longer than {} s and was given up", .0.as_secs())]
    Timeout(Duration),
}

impl ReconcileError {
    /// A static label, for metrics.
    #[must_use]
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Observe(error) => error.category(),
            Self::Topics(error) => error.category(),
            Self::Apply(error) => error.category(),
            Self::Secrets(error) => error.category(),
            Self::Finalize(error) => error.category(),
            Self::Finalizer(_) => "finalizer-api",
            Self::Status(_) => "status-api",
            Self::Timeout(_) => "timeout",
        }
    }
}
