//! The seam of both kinds of Kafka: how topics are seen, sized and judged (pure), and the two ways to make them.
//!
//! ```text
//!   conflict   pure  whether another pipeline writes one of the topics
//!   strimzi    I/O   KafkaTopic objects, found by the `catalog`, whose `readiness` is judged apart; the topic operator does
//!                    the work, later
//!   external   I/O   topics of any other Kafka
//!   admin      I/O   Kafka's Admin API, with the two calls of `native` that the safe binding lacks
//!   growth     pure  what the topics should be, sized by what is there, and in which order they come
//!   shape      pure  which differences between a topic and what it should be matter
//!   obstacle   pure  what keeps topics from being usable, with cause and remedy
//! ```
//!
//! Nothing is ever taken away: no partition, no replica, no config that somebody else set, no topic.

pub mod conflict;
pub mod external;
pub mod strimzi;

pub mod admin;
pub mod native;

pub mod catalog;
pub mod grant;
pub mod growth;
pub mod lost;
pub mod obstacle;
pub mod readiness;
pub mod shape;

use std::collections::BTreeMap;

use crds::topics::{Role, Topic};
use kube::Client;

use self::{
    admin::Access,
    external::ExternalTopics,
    lost::Known,
    obstacle::Obstacle,
    strimzi::{Strimzi, StrimziTopics},
};
use crate::{kafka_access::Credentials, owned::ApplyError, validate::Valid};

/// What is known of a pipeline's Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSeen {
    /// How clients reach it, which Strimzi publishes once the listener is up.
    pub listener: Result<Listener, NoListener>,
    /// The pipeline's topics, one of each role, in the order of [`Role::ALL`].
    pub topics: Vec<Seen>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// The certificates by which its brokers are recognized, in PEM, where Strimzi publishes any: then it has TLS.
    pub certificates: Vec<String>,
}

impl Listener {
    /// One of which no certificate is published.
    #[must_use]
    pub fn without_certificates(bootstrap_servers: impl Into<String>) -> Self {
        Self { bootstrap_servers: bootstrap_servers.into(), certificates: Vec::new() }
    }
}

/// The bootstrap servers are not known (yet).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Kafka {cluster} publishes no bootstrap servers for the listener {listener:?} (it has: {found}): wait for it, or correct spec.kafka.strimzi.listener"
)]
pub struct NoListener {
    /// Name of the `Kafka`.
    pub cluster: String,
    /// The listener asked for.
    pub listener: String,
    /// The listeners that it publishes.
    pub found: String,
}

/// A topic as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is for.
    pub role: Role,
    /// Its name in Kafka.
    pub name: String,
    /// Whether it can be used.
    pub state: State,
    /// Its partitions, where they are known.
    pub partitions: Option<i32>,
    /// Its configs: all that apply where Kafka was asked, those that its `KafkaTopic` names otherwise.
    pub config: BTreeMap<String, String>,
    /// Kafka's own identifier, where it is known.
    pub topic_id: Option<String>,
    /// The identifier that it must have: that of the topic that was in use before.
    pub expected_id: Option<String>,
    /// Whether this pipeline made it.
    pub created: bool,
    /// What this pipeline may do to it.
    pub control: Control,
}

impl Seen {
    /// The largest record batch that it takes, in bytes, where that is known.
    #[must_use]
    pub fn max_message_bytes(&self) -> Option<i64> {
        self.config.get(shape::MAX_MESSAGE_BYTES).and_then(|value| shape::integer(value))
    }

    /// Whether a topic that was in use is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.state == State::Missing && self.expected_id.is_some() && self.topic_id.is_none()
    }
}

/// What a pipeline may do to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Keep it as it should be: this pipeline makes it, or describes it by a `KafkaTopic` of its own.
    Own,
    /// Change what the pipeline needs, and nothing else: another's, which `spec.topics.adopt` allows for.
    Adopted,
    /// Nothing, as long as `spec.topics.adopt` does not allow for it.
    Adoptable,
    /// Nothing: a `KafkaTopic` of somebody else's describes it.
    Theirs,
}

/// Whether a topic can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    Missing,
    /// It is there, or will be, but not as it should be.
    Pending(Obstacle),
    /// It is there.
    Ready,
}

/// Why topics cannot be observed or made.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// Whether Strimzi is there nobody can tell.
    #[error("the API server has not said yet whether it serves Strimzi's resources; it is asked again within 20 s")]
    StrimziUnknown,
    /// The API server serves none of Strimzi's resources.
    #[error(
        "the Strimzi operator is not installed: install it, or set spec.kafka.external; this is noticed within a minute"
    )]
    StrimziNotInstalled,
    /// No such `Kafka`.
    #[error(
        "there is no Kafka named {cluster:?} in namespace {namespace:?}: create it, or correct spec.kafka.strimzi.cluster"
    )]
    KafkaNotFound {
        /// The namespace that was searched.
        namespace: String,
        /// The name that was searched for.
        cluster: String,
    },
    /// The `Kafka` of another namespace does not name the pipeline's.
    #[error(
        "Kafka {kafka} is not for namespace {namespace}: its owner can allow it with the annotation {annotation}: {namespace}; what runs goes on, but is not changed"
    )]
    NamespaceNotAllowed {
        /// The pipeline's namespace.
        namespace: String,
        /// The `Kafka`, as namespace/name.
        kafka: String,
        /// What its owner can annotate it with.
        annotation: &'static str,
    },
    /// No broker answered in time.
    #[error("no broker answers at {servers}: check spec.kafka.external.bootstrapServers and the network ({error})")]
    Unreachable {
        /// The bootstrap servers.
        servers: String,
        /// What the client says.
        error: String,
    },
    /// Kafka answered, and refused.
    #[error("Kafka refused to {action} topic {topic}: {error}; correct the pipeline, or make the topic by hand")]
    Refused {
        /// What was attempted.
        action: &'static str,
        /// Which topic.
        topic: String,
        /// What Kafka says.
        error: String,
    },
    /// Strimzi's resources could not be read.
    #[error("the API server did not serve Strimzi's resources: {0}")]
    Api(#[from] kube::Error),
    /// A `KafkaTopic` could not be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

impl TopicsError {
    /// A static label, for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::StrimziUnknown => "strimzi-unknown",
            Self::StrimziNotInstalled => "strimzi-not-installed",
            Self::KafkaNotFound { .. } => "kafka-not-found",
            Self::NamespaceNotAllowed { .. } => "namespace-not-allowed",
            Self::Unreachable { .. } => "kafka-unreachable",
            Self::Refused { .. } => "kafka-refused",
            Self::Api(_) => "topics-api",
            Self::Apply(error) => error.category(),
        }
    }
}

/// Where a pipeline's topics are, and how they are made.
pub enum Topics<'a> {
    /// As `KafkaTopic` objects.
    Strimzi(StrimziTopics<'a>),
    /// Through Kafka's Admin API.
    External(ExternalTopics),
}

impl<'a> Topics<'a> {
    /// The topics of a pipeline.
    ///
    /// # Errors
    /// When the pipeline needs Strimzi, and it is not installed, or that is not known.
    pub fn of(
        client: &'a Client,
        valid: &'a Valid,
        strimzi: &'a Strimzi,
        credentials: &'a Credentials,
    ) -> Result<Self, TopicsError> {
        match (&valid.spec.kafka.strimzi, &valid.spec.kafka.external) {
            (_, Some(external)) => {
                let access =
                    Access { servers: external.bootstrap_servers.clone(), settings: credentials.settings(&[]) };
                Ok(Self::External(ExternalTopics::new(access, valid.spec.topics.clone())))
            }
            (Some(kafka), None) => match strimzi {
                Strimzi::Served(api) => Ok(Self::Strimzi(StrimziTopics::new(client, valid, kafka, api, credentials))),
                Strimzi::NotInstalled => Err(TopicsError::StrimziNotInstalled),
                Strimzi::Unknown => Err(TopicsError::StrimziUnknown),
            },
            (None, None) => Err(TopicsError::StrimziNotInstalled),
        }
    }

    /// Reads the topics as they are now. `known` is what is known of them from before.
    ///
    /// # Errors
    /// When Kafka, or the API server, does not answer.
    pub async fn observe(&mut self, valid: &Valid, known: Known<'_>) -> Result<KafkaSeen, TopicsError> {
        match self {
            Self::Strimzi(strimzi) => strimzi.observe(known).await,
            Self::External(external) => external.observe(&valid.topics(), known).await,
        }
    }

    /// Deletes a topic that this pipeline made, with what it holds.
    ///
    /// # Errors
    /// When Kafka, or the API server, refuses or does not answer.
    pub async fn delete(&self, seen: &Seen) -> Result<(), TopicsError> {
        match self {
            Self::Strimzi(strimzi) => Ok(strimzi.delete(seen).await?),
            Self::External(external) => external.delete(seen).await,
        }
    }

    /// Makes a topic or changes it, if that is needed, and says how it is now. `source_bytes` is the largest message of the
    /// source.
    ///
    /// # Errors
    /// When Kafka, or the API server, refuses or does not answer.
    pub async fn ensure(&mut self, topic: &Topic, seen: &Seen, source_bytes: i64) -> Result<Seen, TopicsError> {
        match self {
            Self::Strimzi(strimzi) => Ok(strimzi.ensure(topic, seen).await?),
            Self::External(external) => external.ensure(topic, seen, source_bytes).await,
        }
    }
}

/// The topic of a role.
#[must_use]
pub fn find(seen: &[Seen], role: Role) -> Option<&Seen> {
    seen.iter().find(|seen| seen.role == role)
}

#[cfg(test)]
mod tests;
