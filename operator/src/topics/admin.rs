//! Kafka's Admin API, for topics. I/O only: what to ask and what the answers mean is decided elsewhere.
//!
//! Every wait is bounded and happens on a thread for blocking work: a cluster that does not answer delays no other
//! pipeline.

use std::{collections::BTreeMap, time::Duration};

use crds::topics::Topic;
use futures::executor::block_on;
use kafka::{admin, trouble::diagnose};
use rdkafka::{
    ClientConfig,
    admin::{
        AdminClient, AdminOptions, ConfigSource, NewPartitions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
        TopicReplication, TopicResult,
    },
    client::DefaultClientContext,
    error::{KafkaResult, RDKafkaErrorCode},
};

use super::{error::TopicsError, shape::Existing};
use crate::kafka_access::Settings;

/// How long one request may take. A pass makes few: two to observe, and one for each change.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long the diagnosis may take when Kafka does not answer.
const DIAGNOSIS: Duration = Duration::from_secs(2);

/// How to reach a Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `host:port`, several separated by commas.
    pub servers: String,
    /// Further settings of the client, for TLS and SASL.
    pub settings: Settings,
}

/// Who created a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    ByUs,
    /// It came into being between the observation and this request.
    ByOthers,
}

/// Reads and changes topics of a Kafka.
#[derive(Clone, Debug)]
pub struct Admin {
    access: Access,
}

type Client = AdminClient<DefaultClientContext>;

impl Admin {
    /// Connects nothing yet: each request has its own connection.
    #[must_use]
    pub const fn new(access: Access) -> Self {
        Self { access }
    }

    /// Those of these topics that exist. Asking never creates one, even where brokers create topics automatically.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses to describe one.
    pub(super) async fn existing(&self, names: Vec<String>) -> Result<BTreeMap<String, Existing>, TopicsError> {
        self.blocking(move |client| {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            existing(client, &names)
        })
        .await?
    }

    /// Creates a topic with this many replicas of each partition; -1 is the brokers' default.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn create(&self, topic: &Topic, replicas: i32) -> Result<Made, TopicsError> {
        let wanted = topic.clone();
        let result = self.blocking(move |client| {
            let mut new = NewTopic::new(&wanted.name, wanted.partitions, TopicReplication::Fixed(replicas));
            for (key, value) in &wanted.config {
                new = new.set(key, value);
            }
            Ok(first(block_on(client.create_topics([&new], &options()))?))
        });
        match result.await? {
            Ok(()) => Ok(Made::ByUs),
            Err(RDKafkaErrorCode::TopicAlreadyExists) => Ok(Made::ByOthers),
            Err(code) => Err(refused("create", topic, code.to_string())),
        }
    }

    /// Raises the number of a topic's partitions.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn grow(&self, topic: &Topic) -> Result<(), TopicsError> {
        let wanted = topic.clone();
        let result = self.blocking(move |client| {
            let new = NewPartitions::new(&wanted.name, usize::try_from(wanted.partitions).unwrap_or_default());
            Ok(first(block_on(client.create_partitions([&new], &options()))?))
        });
        result.await?.map_err(|code| refused("add partitions to", topic, code.to_string()))
    }

    /// Sets these configs of a topic and leaves the others alone.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub async fn alter(&self, topic: &Topic, changes: Vec<(String, String)>) -> Result<(), TopicsError> {
        let name = topic.name.clone();
        let result =
            self.blocking(move |client| admin::alter_configs(client.inner(), &name, &changes, TIMEOUT)).await?;
        result.map_err(|refusal| refused("change the configs of", topic, refusal.to_string()))
    }

    /// Deletes a topic with its records. A topic that does not exist is not an error.
    ///
    /// # Errors
    /// When no broker answers in time, or Kafka refuses.
    pub(super) async fn delete(&self, name: &str) -> Result<(), TopicsError> {
        let topic = name.to_owned();
        let result = self.blocking(move |client| Ok(first(block_on(client.delete_topics(&[&topic], &options()))?)));
        match result.await? {
            Ok(()) | Err(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(()),
            Err(code) => {
                Err(TopicsError::Refused { action: "delete", topic: name.to_owned(), error: code.to_string() })
            }
        }
    }

    /// Runs `work` with a client on a thread for blocking work. The client lives only for this call: between passes
    /// there is no connection and no thread.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Client) -> KafkaResult<T> + Send + 'static,
    ) -> Result<T, TopicsError> {
        let access = self.access.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut config = ClientConfig::new();
            config
                .set("bootstrap.servers", access.servers)
                .set("client.id", "login-pipeline-operator")
                .set("socket.connection.setup.timeout.ms", TIMEOUT.as_millis().to_string());
            access.settings.apply(&mut config);
            let outcome = config.create().and_then(|client| work(&client));
            // A bare time-out is not actionable, so the connection is diagnosed.
            outcome.map_err(|error| diagnose(&config, DIAGNOSIS).unwrap_or_else(|| error.to_string()))
        });
        let unreachable = |error: String| TopicsError::Unreachable { servers: self.access.servers.clone(), error };
        match done.await {
            Ok(result) => result.map_err(unreachable),
            Err(error) => Err(unreachable(error.to_string())),
        }
    }
}

fn existing(client: &Client, names: &[&str]) -> KafkaResult<Result<BTreeMap<String, Existing>, TopicsError>> {
    let mut found = BTreeMap::new();
    for (name, described) in admin::describe_topics(client.inner(), names, TIMEOUT)? {
        match described {
            Ok(admin::Described { id, partitions }) => {
                found.insert(name, Existing { id, partitions, ..Existing::default() });
            }
            Err(code) => {
                return Ok(Err(TopicsError::Refused { action: "describe", topic: name, error: code.to_string() }));
            }
        }
    }
    let names: Vec<_> = found.keys().cloned().collect();
    let resources: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    if resources.is_empty() {
        return Ok(Ok(found));
    }
    let answers = block_on(client.describe_configs(&resources, &options()))?;
    for (name, answer) in names.iter().zip(answers) {
        let resource = match answer {
            Ok(resource) => resource,
            // It was deleted in the meantime.
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                found.remove(name);
                continue;
            }
            Err(code) => {
                let (topic, error) = (name.clone(), code.to_string());
                return Ok(Err(TopicsError::Refused { action: "describe the configs of", topic, error }));
            }
        };
        let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
        let Some(topic) = found.get_mut(name) else { continue };
        for entry in resource.entries {
            if entry.source == ConfigSource::DynamicTopic {
                topic.dynamic.insert(entry.name.clone());
            }
            topic.config.extend(entry.value.map(|value| (entry.name, value)));
        }
    }
    Ok(Ok(found))
}

fn first(results: Vec<TopicResult>) -> Result<(), RDKafkaErrorCode> {
    results.into_iter().next().map_or(Ok(()), |result| result.map(drop).map_err(|(_, code)| code))
}

fn refused(action: &'static str, topic: &Topic, error: String) -> TopicsError {
    TopicsError::Refused { action, topic: topic.name.clone(), error }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT))
}
