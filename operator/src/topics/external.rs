//! Topics through Kafka's Admin API.
//!
//! Existing topics are used as they are, but that they grow. Every wait is bounded, and happens on threads where waiting
//! is allowed: a cluster that does not answer delays no other pipeline.

use std::{collections::BTreeMap, time::Duration};

use crds::topics::Topic;
use futures::executor::block_on;
use rdkafka::{
    ClientConfig,
    admin::{
        AdminClient, AdminOptions, NewPartitions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use super::{KafkaSeen, MAX_MESSAGE_BYTES, Seen, State, TopicsError};

/// How long one request may take. A pass makes four at most: metadata, configs, and a topic's creation or growth.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A Kafka that is known by its bootstrap servers.
#[derive(Clone, Debug)]
pub struct ExternalTopics {
    servers: String,
}

impl ExternalTopics {
    /// A Kafka at these bootstrap servers.
    #[must_use]
    pub const fn new(servers: String) -> Self {
        Self { servers }
    }

    /// Reads which of the topics exist, their partitions and the size of the messages that they take. `is_created` says
    /// of which names it is known that this pipeline made them.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub async fn observe(
        &self,
        topics: Vec<Topic>,
        is_created: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<KafkaSeen, TopicsError> {
        let servers = self.servers.clone();
        let topics = self
            .blocking(move |admin| {
                let found = describe(admin, &topics)?;
                Ok(topics.into_iter().map(|topic| see(topic, &found, &is_created)).collect())
            })
            .await?;
        Ok(KafkaSeen { bootstrap_servers: Ok(servers), topics })
    }

    /// Makes the topic, or grows it. What was changed is pending until it has been observed.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub async fn ensure(&self, topic: &Topic, seen: &Seen) -> Result<Seen, TopicsError> {
        let missing = seen.state == State::Missing;
        if !missing && seen.partitions >= Some(topic.partitions) {
            return Ok(seen.clone());
        }
        let (action, awaited) =
            if missing { ("make", "it was made a moment ago") } else { ("grow", "it was grown a moment ago") };
        let wanted = topic.clone();
        let outcome =
            self.blocking(move |admin| if missing { create(admin, &wanted) } else { grow(admin, &wanted) }).await?;
        let created = match outcome {
            Ok(()) => missing || seen.created,
            // Somebody else was faster.
            Err(RDKafkaErrorCode::TopicAlreadyExists) => seen.created,
            Err(code) => {
                return Err(TopicsError::Refused { action, topic: topic.name.clone(), error: code.to_string() });
            }
        };
        Ok(Seen { state: State::Pending(awaited.to_owned()), created, ..seen.clone() })
    }

    /// Runs `work` with a client where waiting is allowed. The client lives for this alone: between passes there is no
    /// connection and no thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AdminClient<DefaultClientContext>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, TopicsError> {
        let servers = self.servers.clone();
        let done = tokio::task::spawn_blocking(move || {
            let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
                .set("bootstrap.servers", servers)
                .set("client.id", "login-pipeline-operator")
                .set("socket.connection.setup.timeout.ms", TIMEOUT.as_millis().to_string())
                .create()?;
            work(&admin)
        });
        let unreachable = |error: String| TopicsError::Unreachable { servers: self.servers.clone(), error };
        match done.await {
            Ok(result) => result.map_err(|error| unreachable(error.to_string())),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

/// An existing topic: its partitions, and the size of the messages that it takes.
type Found = BTreeMap<String, (i32, Option<i64>)>;

fn describe(admin: &AdminClient<DefaultClientContext>, topics: &[Topic]) -> Result<Found, KafkaError> {
    // All topics are asked for: asking for one by its name would make it, where the brokers make topics by themselves.
    let metadata = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let is_ours = |name: &str| topics.iter().any(|topic| topic.name == name);
    let mut found: Found = metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && is_ours(topic.name()))
        .map(|topic| (topic.name().to_owned(), (i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX), None)))
        .collect();
    let names: Vec<_> = found.keys().cloned().collect();
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    if resources.is_empty() {
        return Ok(found);
    }
    for resource in block_on(admin.describe_configs(&resources, &options()))?.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
        let value = resource.get(MAX_MESSAGE_BYTES).and_then(|entry| entry.value.as_ref()?.parse().ok());
        if let Some((_, bytes)) = found.get_mut(name) {
            *bytes = value;
        }
    }
    Ok(found)
}

fn see(topic: Topic, found: &Found, is_created: &impl Fn(&str) -> bool) -> Seen {
    let existing = found.get(&topic.name);
    Seen {
        role: topic.role,
        state: if existing.is_some() { State::Ready } else { State::Missing },
        partitions: existing.map(|(partitions, _)| *partitions),
        max_message_bytes: existing.and_then(|(_, bytes)| *bytes),
        // The client's safe interface does not give it.
        topic_id: None,
        created: existing.is_some() && is_created(&topic.name),
        can_grow: true,
        name: topic.name,
    }
}

type Answer = Result<(), RDKafkaErrorCode>;

fn create(admin: &AdminClient<DefaultClientContext>, topic: &Topic) -> Result<Answer, KafkaError> {
    // A replication factor of -1 is the brokers' own default.
    let mut new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
    for (key, value) in &topic.config {
        new = new.set(key, value);
    }
    let results = block_on(admin.create_topics([&new], &options()))?;
    Ok(results.into_iter().next().map_or(Ok(()), |result| result.map(drop).map_err(|(_, code)| code)))
}

fn grow(admin: &AdminClient<DefaultClientContext>, topic: &Topic) -> Result<Answer, KafkaError> {
    let new = NewPartitions::new(&topic.name, usize::try_from(topic.partitions).unwrap_or_default());
    let results = block_on(admin.create_partitions([&new], &options()))?;
    Ok(results.into_iter().next().map_or(Ok(()), |result| result.map(drop).map_err(|(_, code)| code)))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}
