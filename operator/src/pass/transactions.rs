//! On which topics transactions are open. I/O that changes nothing.

use std::{collections::BTreeSet, time::Duration};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

/// How long one question to Kafka may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The topics, of these, on which a transaction is open: behind its beginning nothing can be read that is committed.
///
/// # Errors
/// When no broker answers in time.
pub(crate) async fn open_transactions(
    client: ClientConfig,
    topics: Vec<String>,
) -> Result<BTreeSet<String>, KafkaError> {
    let asked = tokio::task::spawn_blocking(move || {
        let stable = ends(&client, &topics, "read_committed")?;
        let last = ends(&client, &topics, "read_uncommitted")?;
        let is_open = |(stable, last): &(&Element, &Element)| stable.2 != last.2;
        Ok(stable.iter().zip(&last).filter(is_open).map(|((topic, ..), _)| topic.clone()).collect())
    });
    asked.await.unwrap_or_else(|error| Err(KafkaError::AdminOpCreation(error.to_string())))
}

/// Topic, partition, end.
type Element = (String, i32, i64);

/// The ends of all partitions of the topics, as a reader of this isolation sees them. Topics that do not exist have none.
fn ends(client: &ClientConfig, topics: &[String], isolation: &str) -> Result<Vec<Element>, KafkaError> {
    let consumer: BaseConsumer = client.clone().set("isolation.level", isolation).create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let mut list = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        for partition in topic.partitions() {
            // Asked for the offset at the time "end", Kafka answers with the end.
            list.add_partition_offset(topic.name(), partition.id(), Offset::End)?;
        }
    }
    let ends = consumer.offsets_for_times(list, TIMEOUT)?;
    let mut found = Vec::new();
    for element in ends.elements() {
        element.error()?;
        let end = element.offset().to_raw().unwrap_or_default();
        found.push((element.topic().to_owned(), element.partition(), end));
    }
    found.sort();
    Ok(found)
}
