//! The seam of both kinds of Kafka: how topics are seen, sized and judged (pure), and the two ways to make them.
//!
//! ```text
//!   strimzi   KafkaTopic objects; the topic operator does the work, later
//!   external  Kafka's Admin API
//! ```

pub mod external;
pub mod strimzi;

use crds::{
    pipeline::TopicStatus,
    topics::{MAX_GROWTH_BYTES, Role, SOURCE_MAX_MESSAGE_BYTES, Topic},
};
use kube::Client;

use self::{external::ExternalTopics, strimzi::StrimziTopics};
use crate::{owned::ApplyError, validate::Valid};

const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// What is known of a pipeline's Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSeen {
    /// How clients reach it, which Strimzi publishes once the listener is up.
    pub bootstrap_servers: Result<String, NoListener>,
    /// The pipeline's topics, one of each role, in the order of [`Role::ALL`].
    pub topics: Vec<Seen>,
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
    /// The largest record batch that it takes, in bytes, where that is known.
    pub max_message_bytes: Option<i64>,
    /// Kafka's own identifier, where it is known.
    pub topic_id: Option<String>,
    /// Whether this pipeline made it.
    pub created: bool,
    /// Whether this pipeline may grow it: not where another's `KafkaTopic` describes it.
    pub can_grow: bool,
}

/// Whether a topic can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    Missing,
    /// It is there, or will be, but not as it should be; the text says what is awaited.
    Pending(String),
    /// It is there.
    Ready,
}

/// Why topics cannot be observed or made.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
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
            Self::StrimziNotInstalled => "strimzi-not-installed",
            Self::KafkaNotFound { .. } => "kafka-not-found",
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
    /// The topics of a pipeline. `strimzi` is the version of Strimzi's API that the API server serves.
    ///
    /// # Errors
    /// When the pipeline needs Strimzi, and it is not installed.
    pub fn of(client: &'a Client, valid: &'a Valid, strimzi: Option<&'static str>) -> Result<Self, TopicsError> {
        match (&valid.spec.kafka.strimzi, &valid.spec.kafka.external) {
            (_, Some(external)) => Ok(Self::External(ExternalTopics::new(external.bootstrap_servers.clone()))),
            (Some(kafka), None) => match strimzi {
                Some(version) => Ok(Self::Strimzi(StrimziTopics::new(client, valid, kafka, version))),
                None => Err(TopicsError::StrimziNotInstalled),
            },
            (None, None) => Err(TopicsError::StrimziNotInstalled),
        }
    }

    /// Reads the topics as they are now. `reported` is what the last status said of them.
    ///
    /// # Errors
    /// When Kafka, or the API server, does not answer.
    pub async fn observe(&mut self, valid: &Valid, reported: &[TopicStatus]) -> Result<KafkaSeen, TopicsError> {
        match self {
            Self::Strimzi(strimzi) => strimzi.observe().await,
            Self::External(external) => {
                let created: Vec<_> =
                    reported.iter().filter(|topic| topic.created).map(|topic| topic.name.clone()).collect();
                external.observe(valid.topics(), move |name| created.iter().any(|created| created == name)).await
            }
        }
    }

    /// Makes a topic or grows it, if that is needed, and says how it is now.
    ///
    /// # Errors
    /// When Kafka, or the API server, refuses or does not answer.
    pub async fn ensure(&mut self, topic: &Topic, seen: &Seen) -> Result<Seen, TopicsError> {
        match self {
            Self::Strimzi(strimzi) => Ok(strimzi.ensure(topic, seen).await?),
            Self::External(external) => external.ensure(topic, seen).await,
        }
    }
}

/// The topics as they should be: what the pipeline needs, sized by what is already there. Nothing ever shrinks, the
/// outputs have a partition for each of the source's, and they take what the source takes and enrichment adds.
#[must_use]
pub fn wanted(valid: &Valid, seen: &[Seen]) -> Vec<Topic> {
    let source = find(seen, Role::Source);
    let source_partitions = source.and_then(|source| source.partitions).unwrap_or_default();
    let source_bytes =
        source.filter(|source| source.state != State::Missing).and_then(|source| source.max_message_bytes);
    let mut topics = valid.topics();
    for topic in &mut topics {
        let existing = find(seen, topic.role).and_then(|seen| seen.partitions).unwrap_or_default();
        topic.partitions = topic.partitions.max(existing);
        if matches!(topic.role, Role::Output | Role::DeadLetters) {
            topic.partitions = topic.partitions.max(source_partitions);
            if let Some(bytes) = source_bytes {
                let larger = (bytes + i64::from(MAX_GROWTH_BYTES)).to_string();
                for (_, value) in topic.config.iter_mut().filter(|(key, _)| *key == MAX_MESSAGE_BYTES) {
                    value.clone_from(&larger);
                }
            }
        }
    }
    topics
}

/// Whether a topic may be made or grown now. The source waits until every output is ready at its size: no event may
/// arrive in a partition for which an output has none.
#[must_use]
pub fn is_due(topic: &Topic, wanted: &[Topic], seen: &[Seen]) -> bool {
    topic.role != Role::Source
        || wanted.iter().filter(|other| other.role != Role::Source).all(|other| {
            find(seen, other.role)
                .is_some_and(|seen| seen.state == State::Ready && seen.partitions >= Some(other.partitions))
        })
}

/// What still keeps the topics from being usable, in the order in which they are made; empty when they are ready.
#[must_use]
pub fn obstacles(wanted: &[Topic], seen: &[Seen]) -> Vec<String> {
    let source_bytes = find(seen, Role::Source).and_then(|source| source.max_message_bytes);
    wanted.iter().filter_map(|topic| obstacle(topic, find(seen, topic.role)?, source_bytes)).collect()
}

fn obstacle(topic: &Topic, seen: &Seen, source_bytes: Option<i64>) -> Option<String> {
    let Topic { role, name, partitions: wanted, .. } = topic;
    let bytes = seen.max_message_bytes.unwrap_or(i64::from(SOURCE_MAX_MESSAGE_BYTES));
    let source_bytes = source_bytes.unwrap_or(i64::from(SOURCE_MAX_MESSAGE_BYTES));
    let is_output = matches!(role, Role::Output | Role::DeadLetters);
    match (&seen.state, seen.partitions) {
        (State::Missing, _) if *role == Role::Source => {
            Some(format!("{role} topic {name} does not exist yet: it is made when the others are ready"))
        }
        (State::Missing, _) => Some(format!("{role} topic {name} does not exist yet")),
        (State::Pending(awaited), _) => Some(format!("{role} topic {name}: {awaited}")),
        (State::Ready, partitions) if partitions < Some(*wanted) => Some(format!(
            "{role} topic {name} has {} partitions and needs {wanted}: {}",
            partitions.map_or_else(|| "an unknown number of".to_owned(), |partitions| partitions.to_string()),
            if seen.can_grow { "it grows in its turn, the source last" } else { "set partitions in its KafkaTopic" },
        )),
        (State::Ready, Some(partitions)) if role.is_single() && partitions != 1 => Some(format!(
            "{role} topic {name} has {partitions} partitions, but its order must be total: if nothing needs it, delete it, and it is made with one"
        )),
        (State::Ready, _) if is_output && bytes < source_bytes => Some(format!(
            "{role} topic {name} takes messages of at most {bytes} bytes, the source {source_bytes}: set its \
             {MAX_MESSAGE_BYTES} to {} or more",
            source_bytes + i64::from(MAX_GROWTH_BYTES)
        )),
        (State::Ready, _) => None,
    }
}

/// The topic of a role.
#[must_use]
pub fn find(seen: &[Seen], role: Role) -> Option<&Seen> {
    seen.iter().find(|seen| seen.role == role)
}

#[cfg(test)]
mod tests;
