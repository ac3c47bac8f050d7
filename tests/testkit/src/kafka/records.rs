//! Writes records to a topic, and reads its records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{Offset, TopicPartitionList};

use super::{Cluster, REQUEST};
use super::{isolation::Isolation, topics::known_partitions};
use crate::Error;

/// A record to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// `None`: by the key's hash, or at random without a key.
    pub partition: Option<i32>,
    /// Milliseconds since 1970, more than 0; `None`: now.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record as it is in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970, set by the producer or the broker, as the topic's configuration says.
    pub timestamp: Option<i64>,
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// Names and values, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Cluster {
    /// Writes records, in order, and returns when every replica has acknowledged all of them.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the first failure; some records may have been written then.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> Result<(), Error> {
        let what = || Error::kafka(format!("cannot write to topic {topic}"));
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "1");
        // The topic, not the client, refuses records that are too large.
        config.set("message.max.bytes", "100000000");
        let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries::default()).map_err(what())?;
        // The client would wait 30 s for the topic to appear.
        known_partitions(producer.client(), topic)?;
        for record in records {
            send(&producer, topic, &record).map_err(what())?;
        }
        producer.flush(REQUEST).map_err(what())?;
        match producer.context().take() {
            None => Ok(()),
            Some(error) => Err(what()(error)),
        }
    }

    /// Every record that the topic has at the time of the call, in order within each partition.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the cluster does not answer or has no such topic; [`Error::Timeout`] when no record comes
    /// for 30 s.
    pub fn read_to_end(&self, topic: &str, isolation: Isolation) -> Result<Vec<Record>, Error> {
        let consumer = self.consumer(isolation)?;
        let bounds = self.bounds(&consumer, topic)?;
        let mut records = Vec::new();
        let mut positions = bounds.iter().map(|(partition, (first, _))| (*partition, *first)).collect();
        // A new leader may report the end of a partition before it knows all records that the old leader had shown. So
        // ask the partitions that are not at their end once more: they give no record when only control records are
        // left.
        for _ in 0..2 {
            drain(&consumer, topic, &mut positions, &mut records)?;
            positions.retain(|partition, position| bounds.get(partition).is_some_and(|(_, end)| *position < *end));
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }
}

/// Reads the partitions from these positions up to their end, and advances the positions.
fn drain(
    consumer: &BaseConsumer,
    topic: &str,
    positions: &mut BTreeMap<i32, i64>,
    records: &mut Vec<Record>,
) -> Result<(), Error> {
    let what = || Error::kafka(format!("cannot read topic {topic}"));
    let mut assignment = TopicPartitionList::new();
    for (partition, position) in &*positions {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*position)).map_err(what())?;
    }
    consumer.assign(&assignment).map_err(what())?;
    let mut open: BTreeSet<_> = positions.keys().copied().collect();
    let mut heard = Instant::now();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                positions.insert(message.partition(), message.offset() + 1);
                records.push(Record::from(&message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // The client recovers by itself from all but fatal errors.
            Some(Err(error)) if is_fatal(&error) => return Err(what()(error)),
            Some(Err(_)) | None if heard.elapsed() < REQUEST => continue,
            Some(Err(error)) => return Err(what()(error)),
            None => {
                let what = format!("the end of partitions {open:?} of topic {topic}");
                return Err(Error::Timeout { what, bound: REQUEST, detail: String::new() });
            }
        }
        heard = Instant::now();
    }
    Ok(())
}

fn is_fatal(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::AutoOffsetReset)
    )
}

impl From<&BorrowedMessage<'_>> for Record {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(|headers| headers.iter().map(owned).collect()).unwrap_or_default(),
        }
    }
}

/// Passes one record to the producer, and waits for room in its queue.
fn send(producer: &BaseProducer<Deliveries>, topic: &str, record: &NewRecord) -> Result<(), KafkaError> {
    let headers = record
        .headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }));
    let mut message = BaseRecord {
        topic,
        partition: record.partition,
        payload: record.payload.as_deref(),
        key: record.key.as_deref(),
        timestamp: record.timestamp,
        headers: Some(headers),
        delivery_opaque: (),
    };
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                message = refused;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Keeps the first failure of a producer.
#[derive(Default)]
struct Deliveries(Mutex<Option<KafkaError>>);

impl Deliveries {
    fn take(&self) -> Option<KafkaError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}
