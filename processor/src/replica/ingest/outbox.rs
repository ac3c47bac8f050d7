//! Collects the output of one batch, so that each partition's records are handed to librdkafka in one call.

use std::{collections::BTreeMap, ops::Range};

use kafka::{
    error::KafkaError,
    native::{
        consumer::Message,
        producer::{Outgoing, Producer, TopicId},
    },
};

/// The output of one batch. Memory is reused from batch to batch.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Enriched values, one behind the other.
    pub arena: Vec<u8>,
    /// Per partition: which message of the batch, and where its value is.
    records: BTreeMap<i32, Vec<(usize, Range<usize>)>>,
}

impl Outbox {
    /// Adds the output of a message of the batch.
    pub fn push(&mut self, partition: i32, message: usize, value: Range<usize>) {
        self.records.entry(partition).or_default().push((message, value));
    }

    /// Produces what a partition has so far.
    ///
    /// # Errors
    /// When librdkafka refuses a record.
    pub fn flush_partition(
        &mut self,
        partition: i32,
        topic: TopicId,
        producer: &mut Producer,
        messages: &[Message<'_>],
    ) -> Result<(), KafkaError> {
        let Some(records) = self.records.get_mut(&partition) else { return Ok(()) };
        let outgoing = records
            .iter()
            .map(|(message, value)| Outgoing { key: messages[*message].key(), value: self.arena.get(value.clone()) });
        let result = if records.is_empty() { Ok(()) } else { producer.produce_batch(topic, partition, outgoing) };
        records.clear();
        result
    }

    /// Produces everything, and is empty again.
    ///
    /// # Errors
    /// When librdkafka refuses a record.
    pub fn flush(
        &mut self,
        topic: TopicId,
        producer: &mut Producer,
        messages: &[Message<'_>],
    ) -> Result<(), KafkaError> {
        let partitions: Vec<i32> = self.records.keys().copied().collect();
        let result =
            partitions.into_iter().try_for_each(|partition| self.flush_partition(partition, topic, producer, messages));
        self.clear();
        result
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.records.values_mut().for_each(Vec::clear);
    }
}
