//! What a pass came to: what the status reports, and what decides when to come again. Pure.

use std::collections::BTreeSet;

use crds::{pipeline::ConfigStatus, topics::Topic};
use k8s_openapi::api::apps::v1::Deployment;

use super::{inputs::Inputs, rollout::Size};
use crate::{
    conditions::{reason::Reason, reported::Reported},
    kafka_access::{ReadError, SecretsError, Settings},
    objects::owned::ApplyError,
    topics::{NoListener, Seen, TopicsError, conflict::Conflict},
    validate::{Valid, ValidateError},
};

/// What a pass over a pipeline came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The spec cannot be run, so nothing was done.
    Invalid(ValidateError),
    /// Several passes in a row could not read the pipeline or its objects, for this reason.
    Unobserved(String),
    /// The pipeline is being deleted, and waits for this.
    Ending(String),
    /// Every step was performed, as far as the steps before allowed.
    Performed(Box<Pass>),
}

/// What a pass over a valid pipeline found and did.
#[derive(Debug)]
pub(crate) struct Pass {
    pub valid: Valid,
    pub kafka: Kafka,
    /// How many pods there are to be.
    pub size: Size,
    /// The objects that run the pipeline.
    pub workload: Workload,
    /// How far a suspended pipeline has come to rest.
    pub drain: Drain,
}

/// What a pass found of Kafka, and did to the topics.
#[derive(Debug)]
pub(crate) enum Kafka {
    /// The topics were not read.
    Unobserved(KafkaProblem),
    /// The topics were read, but one was not made or changed.
    Unchanged {
        /// The topics, those before the failed one as they are after their change.
        topics: KnownTopics,
        /// Why the topic was not made or changed.
        error: TopicsError,
    },
    /// The topics are known and changed as far as possible, but Kafka publishes no address for clients.
    NoListener {
        topics: KnownTopics,
        /// The listener that is missing.
        error: NoListener,
    },
    /// The topics are known and changed as far as possible, and clients can connect.
    Usable {
        topics: KnownTopics,
        /// What pods have to know.
        inputs: Box<Inputs>,
        /// How the operator's own clients connect.
        access: Settings,
    },
}

/// The topics of a pipeline.
#[derive(Debug)]
pub(crate) struct KnownTopics {
    /// The topics as they should be.
    pub wanted: Vec<Topic>,
    /// The topics as they are.
    pub seen: Vec<Seen>,
}

/// Why the topics were not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KafkaProblem {
    /// Kafka or Strimzi did not answer, or refused.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// Another pipeline has one of the topics.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The Secrets could not be read.
    #[error(transparent)]
    Secrets(#[from] ReadError),
    /// The Secrets are not as they should be.
    #[error(transparent)]
    Security(#[from] SecretsError),
}

/// What became of the objects that run a pipeline.
#[derive(Debug)]
pub(crate) enum Workload {
    /// None yet: the first pods wait until the topics are ready.
    Waiting,
    /// One could not be applied.
    Failed(ApplyError),
    /// All are applied.
    Applied(Box<Applied>),
}

/// The objects that run a pipeline, after they were applied.
#[derive(Debug)]
pub(crate) struct Applied {
    pub deployment: Deployment,
    /// The job config that it should run.
    pub config: ConfigStatus,
    /// Why its pods run something else than what the spec asks for, after a rollback.
    pub rolled_back: Option<String>,
    /// Why its pods are not ready, in their own words.
    pub words: Option<String>,
}

/// How far a suspended pipeline has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// The pipeline is not suspended.
    NotSuspended,
    /// The pipeline is suspended, but this was not looked at: it has no objects yet.
    Unchecked,
    /// This many pods are left.
    Pods(usize),
    /// Transactions are open on these topics. Kafka ends them itself, in seconds.
    Transactions(BTreeSet<String>),
    /// Not known, for this reason.
    Unknown(String),
    /// No pod is left, and no transaction is open on any topic that they wrote. What is committed is final.
    Done,
}

impl Kafka {
    /// The topics, where they are known.
    #[must_use]
    pub(crate) const fn topics(&self) -> Option<&KnownTopics> {
        match self {
            Self::Unobserved(_) => None,
            Self::Unchanged { topics, .. } | Self::NoListener { topics, .. } | Self::Usable { topics, .. } => {
                Some(topics)
            }
        }
    }

    /// The topics as they are; none where they are not known.
    #[must_use]
    pub(crate) fn seen(&self) -> &[Seen] {
        self.topics().map_or(&[], |topics| &topics.seen)
    }
}

impl Reported for KafkaProblem {
    fn reason(&self) -> Reason {
        match self {
            Self::Topics(error) => error.reason(),
            Self::Conflict(conflict) => conflict.reason(),
            Self::Secrets(error) => error.reason(),
            Self::Security(error) => error.reason(),
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Self::Topics(error) => error.category(),
            Self::Conflict(conflict) => conflict.category(),
            Self::Secrets(error) => error.category(),
            Self::Security(error) => error.category(),
        }
    }
}

// The modules of topics and Secrets do not know conditions, so their errors are mapped here.

impl Reported for TopicsError {
    fn reason(&self) -> Reason {
        match self {
            Self::StrimziNotInstalled => Reason::StrimziNotInstalled,
            Self::KafkaNotFound { .. } => Reason::KafkaNotFound,
            Self::NamespaceNotAllowed { .. } => Reason::NamespaceNotAllowed,
            Self::Unreachable { .. } => Reason::KafkaUnreachable,
            Self::Refused { .. } => Reason::TopicRefused,
            Self::StrimziUnknown | Self::Api(_) => Reason::ApiServerFailed,
            Self::Apply(error) => error.reason(),
        }
    }

    fn category(&self) -> &'static str {
        Self::category(self)
    }
}

impl Reported for NoListener {
    fn reason(&self) -> Reason {
        Reason::ListenerNotFound
    }

    fn category(&self) -> &'static str {
        "listener-not-found"
    }
}

impl Reported for Conflict {
    fn reason(&self) -> Reason {
        Reason::Conflict
    }

    fn category(&self) -> &'static str {
        "conflict"
    }
}

impl Reported for ReadError {
    fn reason(&self) -> Reason {
        Reason::ApiServerFailed
    }

    fn category(&self) -> &'static str {
        Self::category(self)
    }
}

impl Reported for SecretsError {
    fn reason(&self) -> Reason {
        Reason::SecretUnusable
    }

    fn category(&self) -> &'static str {
        Self::category(self)
    }
}
