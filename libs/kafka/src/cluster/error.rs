//! Why a question got no answer.

use std::time::Duration;

use crds::records::offset::OffsetMetadataError;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as BindingError,
};

use crate::{
    error::KafkaError,
    settings::SettingsError,
    trouble::{Told, Trouble},
};

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Kafka did not answer, or with an error.
    #[error("{question}: {source}")]
    Kafka {
        /// What was asked.
        question: String,
        /// What the client says.
        source: Told,
    },
    /// A secret is not there.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A topic is not there.
    #[error("topic {0} does not exist: create it, or let the operator do so")]
    NoTopic(String),
    /// A topic takes only records that are too small for the pipeline.
    #[error("topic {topic} has max.message.bytes {bytes}: raise it to at least {needed}")]
    SmallTopic {
        /// Which topic.
        topic: String,
        /// What it takes.
        bytes: usize,
        /// What the pipeline needs.
        needed: usize,
    },
    /// Metadata that this release does not read.
    #[error(transparent)]
    Metadata(#[from] OffsetMetadataError),
    /// A call of a client of the hot path failed.
    #[error(transparent)]
    Native(#[from] KafkaError),
}

/// An error of the client itself.
pub(crate) fn refused(question: impl Into<String>) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: source.into() }
}

/// A question that the client could not get answered.
pub(super) fn asked(
    client: &BaseConsumer<Trouble>,
    question: impl Into<String>,
) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: told(client, source) }
}

/// An error of a client, with what it said of its connections meanwhile.
pub fn told(client: &BaseConsumer<Trouble>, source: BindingError) -> Told {
    /// What the client has to say waits for this, in a queue.
    const GLANCE: Duration = Duration::from_millis(10);
    while let Some(Err(_)) = client.poll(GLANCE) {}
    client.context().with(source)
}
