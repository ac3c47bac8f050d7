//! Why a query failed.

use std::time::Duration;

use crds::records::offset::OffsetMetadataError;
use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError as BindingError,
};

use crate::{
    error::KafkaError,
    settings::SettingsError,
    trouble::{ExplainedError, Trouble},
};

/// A query failed.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Kafka did not answer, or answered with an error.
    #[error("{question}: {source}")]
    Kafka {
        /// The query.
        question: String,
        /// The client's error.
        source: ExplainedError,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A topic does not exist.
    #[error("topic {0} does not exist: create it, or let the operator do so")]
    NoTopic(String),
    /// A topic's record limit is too small for the pipeline.
    #[error("topic {topic} has max.message.bytes {bytes}: raise it to at least {needed}")]
    SmallTopic {
        topic: String,
        /// The topic's limit.
        bytes: usize,
        /// The limit that the pipeline needs.
        needed: usize,
    },
    /// Metadata that this release cannot read.
    #[error(transparent)]
    Metadata(#[from] OffsetMetadataError),
    /// A call of a native client failed.
    #[error(transparent)]
    Native(#[from] KafkaError),
}

/// Wraps an error of the client itself.
pub(crate) fn refused(question: impl Into<String>) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: source.into() }
}

/// Wraps an error of a query, with the client's recent connection problem.
pub(super) fn asked(
    client: &BaseConsumer<Trouble>,
    question: impl Into<String>,
) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: explained(client, source) }
}

/// Adds to an error what the client reported about its connections meanwhile.
pub fn explained(client: &BaseConsumer<Trouble>, source: BindingError) -> ExplainedError {
    /// How long to poll the queue that holds the client's events.
    const GLANCE: Duration = Duration::from_millis(10);
    while let Some(Err(_)) = client.poll(GLANCE) {}
    client.context().with(source)
}
