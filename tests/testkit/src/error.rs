//! The one error of the crate: every text says what failed and, where that helps, what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a service could not be had or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, pipe or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: io::Error,
    },

    /// `scripts/setup` could not install the services.
    #[error("scripts/setup failed, so the services of the tests are not there; run it by hand and see:\n{output}")]
    Setup {
        /// What it printed.
        output: String,
    },

    /// The cluster that the environment names cannot be used.
    #[error("{0}")]
    Target(String),

    /// A process ended that should have gone on.
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
        /// How long.
        bound: Duration,
        /// What was last seen of it, or nothing.
        detail: String,
    },

    /// The cluster is not ours to stop: it is what KAFKA_BOOTSTRAP names.
    #[error("cannot {what} of the cluster that KAFKA_BOOTSTRAP names; unset it for tests that do")]
    Foreign {
        /// What was asked.
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

    /// A Kafka client call failed.
    #[error("{what}: {source}")]
    Kafka {
        /// What was being done.
        what: String,
        /// What the client said.
        source: KafkaError,
    },

    /// An admin request was refused by the broker.
    #[error("{what}: {code}")]
    Refused {
        /// What was asked.
        what: String,
        /// The broker's answer.
        code: RDKafkaErrorCode,
    },

    /// The keys of a server could not be made.
    #[error("cannot make the keys of a server: {0}")]
    Keys(#[from] rcgen::Error),

    /// A Kubernetes client could not be made.
    #[error("cannot make a Kubernetes client: {0}")]
    Kubernetes(#[from] kube::Error),

    /// A browser did not do what it was told.
    #[error("a browser fails: {what}: {problem}")]
    Browser {
        /// What it was told.
        what: String,
        /// What it says.
        problem: String,
    },

    /// The folder of KUBEBUILDER_ASSETS lacks a program.
    #[error("KUBEBUILDER_ASSETS: {0} is missing; it needs kube-apiserver, etcd and kubectl")]
    Asset(PathBuf),
}

impl Error {
    /// Turns an [`io::Error`] into ours, saying what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Turns a [`KafkaError`] into ours, saying what was being done.
    pub(crate) fn kafka(what: impl Into<String>) -> impl FnOnce(KafkaError) -> Self {
        let what = what.into();
        move |source| Self::Kafka { what, source }
    }
}
