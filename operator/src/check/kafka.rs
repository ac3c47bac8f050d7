//! What a Kafka says of itself and of a pipeline's topics. Waits, so it runs where waiting is allowed.

use std::{collections::BTreeMap, time::Duration};

use crds::topics::Topic;
use futures::executor::block_on;
use kafka::trouble::diagnose;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::facts::{KafkaFact, TopicFact};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

type Settings = BTreeMap<String, String>;

/// Asks the Kafka that `client` describes. Nothing is made or changed.
///
/// # Errors
/// When no broker answers in time, or none lets the client in: with what to check.
pub(super) fn ask(client: &ClientConfig, topics: Vec<Topic>) -> Result<KafkaFact, String> {
    let mut client = client.clone();
    client.set("socket.connection.setup.timeout.ms", TIMEOUT.as_millis().to_string());
    if let Some(trouble) = diagnose(&client, TIMEOUT) {
        return Err(trouble);
    }
    let text = |error: KafkaError| error.to_string();
    // Unlike a producer's or an admin client's, a consumer's request for a topic never makes it.
    let consumer: BaseConsumer = client.create().map_err(text)?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT).map_err(text)?;
    let brokers: Vec<_> = metadata.brokers().iter().map(rdkafka::metadata::MetadataBroker::id).collect();
    let admin: AdminClient<DefaultClientContext> = client.create().map_err(text)?;
    let settings = match brokers.first() {
        Some(broker) => describe(&admin, &ResourceSpecifier::Broker(*broker)),
        None => Err("it names no broker".to_owned()),
    };
    let topics = topics.into_iter().map(|topic| see(&consumer, &admin, topic)).collect();
    Ok(KafkaFact { brokers: brokers.len(), settings, topics })
}

fn see(consumer: &BaseConsumer, admin: &AdminClient<DefaultClientContext>, topic: Topic) -> TopicFact {
    let found = exists(consumer, &topic.name).map_err(|code| code.to_string()).and_then(|exists| {
        if exists { describe(admin, &ResourceSpecifier::Topic(&topic.name)).map(Some) } else { Ok(None) }
    });
    TopicFact { role: topic.role, name: topic.name, settings: found }
}

fn exists(consumer: &BaseConsumer, name: &str) -> Result<bool, RDKafkaErrorCode> {
    let unknown = RDKafkaErrorCode::Unknown;
    let metadata =
        consumer.fetch_metadata(Some(name), TIMEOUT).map_err(|error| error.rdkafka_error_code().unwrap_or(unknown))?;
    match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error).map(RDKafkaErrorCode::from) {
        None => Ok(true),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(false),
        Some(code) => Err(code),
    }
}

fn describe(admin: &AdminClient<DefaultClientContext>, resource: &ResourceSpecifier<'_>) -> Result<Settings, String> {
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let answer = block_on(admin.describe_configs([resource], &options)).map_err(|error| error.to_string())?;
    let resource = answer.into_iter().next().ok_or("no answer")?.map_err(|code| code.to_string())?;
    let settings: Settings =
        resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
    // The client keeps the error of a single resource to itself.
    if settings.is_empty() { Err("no setting is told: DescribeConfigs is refused".to_owned()) } else { Ok(settings) }
}
