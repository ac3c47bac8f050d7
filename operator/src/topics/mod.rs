//! The topics of a pipeline in either kind of Kafka: how they are observed, judged (pure) and changed.
//!
//! ```text
//!   seen       pure  what a pass has seen of topics
//!   error      pure  why topics cannot be observed or changed
//!   shape      pure  which differences between a topic and what it should be matter
//!   lost       pure  whether a topic that was in use is gone
//!   conflict   pure  whether another pipeline writes one of the topics
//!   policy     pure  what the pipeline may do in a Kafka, and to topics of others
//!   growth     pure  what the topics should be, given what exists, and which of them are due
//!   obstacle   pure  what keeps topics from being usable, with cause and remedy
//!   strimzi    both  KafkaTopic objects, found by the `catalog`, whose `readiness` is judged apart; the topic operator
//!                    carries them out later
//!   external   both  topics of any other Kafka
//!   admin      I/O   Kafka's Admin API, with the two calls of `kafka::admin` that the safe binding lacks
//! ```
//!
//! Nothing is ever taken away: no partition, no replica, no config that others set, no topic.

pub mod admin;
pub(crate) mod catalog;
pub(crate) mod conflict;
mod error;
mod external;
pub mod growth;
pub(crate) mod lost;
pub(crate) mod obstacle;
mod policy;
mod readiness;
mod seen;
mod shape;
pub(crate) mod strimzi;

use crds::topics::Topic;
use kube::Client;

pub(crate) use self::seen::find;
use self::{
    admin::Access,
    external::{ExternalTopics, ExternalWriter},
    lost::Known,
    strimzi::{Strimzi, StrimziTopics, StrimziWriter},
};
pub use self::{
    error::TopicsError,
    seen::{Cause, Control, KafkaSeen, Listener, NoListener, Obstacle, Seen, State},
};
use super::{kafka_access::Credentials, validate::Valid};

/// A pipeline's topics, before they are observed.
pub enum Topics<'a> {
    /// As `KafkaTopic` objects.
    Strimzi(StrimziTopics<'a>),
    /// Through Kafka's Admin API.
    External(ExternalTopics<'a>),
}

impl<'a> Topics<'a> {
    /// # Errors
    /// When the pipeline needs Strimzi, and it is not installed or that is not known yet.
    pub(crate) fn of(
        client: &'a Client,
        valid: &'a Valid,
        strimzi: &'a Strimzi,
        credentials: &'a Credentials,
    ) -> Result<Self, TopicsError> {
        match (&valid.spec.kafka.strimzi, &valid.spec.kafka.external) {
            (_, Some(external)) => {
                let access =
                    Access { servers: external.bootstrap_servers.clone(), settings: credentials.settings(&[]) };
                Ok(Self::External(ExternalTopics { access, valid }))
            }
            (Some(kafka), None) => match strimzi {
                Strimzi::Served(api) => Ok(Self::Strimzi(StrimziTopics { client, valid, kafka, api, credentials })),
                Strimzi::NotInstalled => Err(TopicsError::StrimziNotInstalled),
                Strimzi::Unknown => Err(TopicsError::StrimziUnknown),
            },
            (None, None) => Err(TopicsError::StrimziNotInstalled),
        }
    }

    /// Observes the topics. `known` is what earlier passes found. Only the writer that is returned can change topics,
    /// so that nothing is changed unobserved.
    ///
    /// # Errors
    /// When Kafka or the API server does not answer, or the pipeline may not use this Kafka.
    pub(crate) async fn observe(self, known: Known<'a>) -> Result<(KafkaSeen, TopicsWriter<'a>), TopicsError> {
        match self {
            Self::Strimzi(topics) => {
                let (seen, writer) = topics.observe(known).await?;
                Ok((seen, TopicsWriter::Strimzi(writer)))
            }
            Self::External(topics) => {
                let (seen, writer) = topics.observe(known).await?;
                Ok((seen, TopicsWriter::External(writer)))
            }
        }
    }
}

/// Changes topics that have been observed.
pub enum TopicsWriter<'a> {
    Strimzi(StrimziWriter<'a>),
    External(ExternalWriter),
}

impl TopicsWriter<'_> {
    /// Creates or changes a topic if that is needed, and returns how it is now. `source_bytes` is the largest message
    /// of the source.
    ///
    /// # Errors
    /// When Kafka or the API server refuses or does not answer.
    pub(crate) async fn ensure(&self, topic: &Topic, seen: &Seen, source_bytes: i64) -> Result<Seen, TopicsError> {
        match self {
            Self::Strimzi(writer) => Ok(writer.ensure(topic, seen).await?),
            Self::External(writer) => writer.ensure(topic, seen, source_bytes).await,
        }
    }

    /// Deletes a topic that this pipeline created, with its records.
    ///
    /// # Errors
    /// When Kafka or the API server refuses or does not answer.
    pub(crate) async fn delete(&self, seen: &Seen) -> Result<(), TopicsError> {
        match self {
            Self::Strimzi(writer) => Ok(writer.delete(seen.role).await?),
            Self::External(writer) => writer.delete(&seen.name).await,
        }
    }
}

#[cfg(test)]
mod tests;
