//! The one error type of the crate: every text says what failed and, where that helps, what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a service is not available or usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, pipe or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation that failed.
        what: String,
        /// The system's error.
        source: io::Error,
    },

    /// `scripts/setup` could not install the services.
    #[error("scripts/setup failed, so the services of the tests are not there; run it by hand and see:\n{output}")]
    Setup {
        /// The script's output.
        output: String,
    },

    /// The cluster that the environment names cannot be used.
    #[error("{0}")]
    Target(String),

    /// A process ended that should still run.
    #[error("{name} ended with exit status {status}:\n{log}")]
    Ended {
        /// Which process.
        name: String,
        /// Its exit status, as a shell counts it: 128 plus the number of the signal that ended it.
        status: i32,
        /// The end of its log.
        log: String,
    },

    /// Something did not happen in time.
    #[error("{what} did not happen within {bound:?}{detail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// The time limit.
        bound: Duration,
        /// The last state that was seen, or nothing.
        detail: String,
    },

    /// The test must not stop this cluster: KAFKA_BOOTSTRAP names it.
    #[error("cannot {what} of the cluster that KAFKA_BOOTSTRAP names; unset it for tests that do")]
    Foreign {
        /// The refused operation.
        what: &'static str,
    },

    /// The cluster has no broker of that number.
    #[error("there is no broker {broker}: the cluster has brokers 0 to {last}")]
    NoSuchBroker {
        /// The number asked for.
        broker: usize,
        /// The highest number.
        last: usize,
    },

    /// A call of the Kafka client failed.
    #[error("{what}: {source}")]
    Kafka {
        /// The operation that failed.
        what: String,
        /// The client's error.
        source: KafkaError,
    },

    /// An admin request was refused by the broker.
    #[error("{what}: {code}")]
    Refused {
        /// The refused request.
        what: String,
        /// The broker's answer.
        code: RDKafkaErrorCode,
    },

    /// The keys of a server could not be created.
    #[error("cannot make the keys of a server: {0}")]
    Keys(#[from] rcgen::Error),

    /// A Kubernetes client could not be created.
    #[error("cannot make a Kubernetes client: {0}")]
    Kubernetes(#[from] kube::Error),

    /// A browser did not do what it was told.
    #[error("a browser fails: {what}: {problem}")]
    Browser {
        /// The command to the browser.
        what: String,
        /// The browser's answer.
        problem: String,
    },

    /// The folder of KUBEBUILDER_ASSETS lacks a program.
    #[error("KUBEBUILDER_ASSETS: {0} is missing; it needs kube-apiserver, etcd and kubectl")]
    Asset(PathBuf),
}

impl Error {
    /// Turns an [`io::Error`] into [`Error::Io`], with the operation that failed.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Turns a [`KafkaError`] into [`Error::Kafka`], with the operation that failed.
    pub(crate) fn kafka(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Kafka { what, source }
    }
}
