//! Topics: their number of partitions, record limits and configs; and deleting records that are no longer needed.

use std::{sync::Arc, time::Duration};

use crds::job::JobConfig;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError as BindingError, RDKafkaErrorCode},
};

use super::{
    clients::client_with,
    error::{ClusterError, asked, refused},
};
use crate::{
    settings::{RecordLimits, Settings},
    trouble::Trouble,
};

/// The record limits of the topics that a stage writes, in bytes: their `max.message.bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub output: usize,
    pub dead_letters: usize,
    /// The limits of all topics that are written, the deltas' included.
    pub records: RecordLimits,
}

/// Queries about topics.
pub struct Topics {
    job: Arc<JobConfig>,
    observer: Arc<BaseConsumer<Trouble>>,
    /// For the admin client, which is created when it is needed.
    settings: Settings,
}

impl Topics {
    pub(super) fn new(job: Arc<JobConfig>, observer: Arc<BaseConsumer<Trouble>>, settings: Settings) -> Self {
        Self { job, observer, settings }
    }

    /// Returns a topic's number of partitions.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the topic does not exist.
    pub fn partitions(&self, topic: &str, timeout: Duration) -> Result<i32, ClusterError> {
        let question = || format!("metadata of topic {topic}");
        let metadata = self.observer.fetch_metadata(Some(topic), timeout).map_err(asked(&self.observer, question()))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let missing = || ClusterError::NoTopic(topic.to_owned());
        let found = found.ok_or_else(missing)?;
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(missing()),
            Some(code) => Err(asked(&self.observer, question())(BindingError::MetadataFetch(code))),
            None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
        }
    }

    /// Returns the record limits of the topics that stage 1 writes.
    ///
    /// # Errors
    /// When Kafka does not answer in time, a topic does not exist, or its limit is smaller than a delta.
    pub fn limits(&self, timeout: Duration) -> Result<Limits, ClusterError> {
        let topics = &self.job.topics;
        let [output, dead_letters, deltas] =
            self.limits_of([&topics.output, &topics.dead_letters, &topics.deltas], timeout)?;
        Ok(Limits { output, dead_letters, records: RecordLimits::of(&[output, dead_letters, deltas]) })
    }

    /// Returns the record limits of topics, in bytes.
    ///
    /// # Errors
    /// When Kafka does not answer in time, a topic does not exist, or its limit is smaller than a delta.
    pub fn limits_of<const N: usize>(&self, topics: [&str; N], timeout: Duration) -> Result<[usize; N], ClusterError> {
        const NEEDED: usize = crds::records::delta::MAX_CHUNK_BYTES + 64 * 1024;
        if let Some(known) = self.job.kafka.max_message_bytes {
            return Ok([known; N]);
        }
        let admin = self.admin()?;
        let mut limits = [0; N];
        for (limit, topic) in limits.iter_mut().zip(topics) {
            self.partitions(topic, timeout)?;
            *limit = max_message_bytes(&self.observer, &admin, topic, timeout)?;
            if *limit < NEEDED {
                return Err(ClusterError::SmallTopic { topic: topic.to_owned(), bytes: *limit, needed: NEEDED });
            }
        }
        Ok(limits)
    }

    /// Returns a topic's record limit, in bytes.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn max_message_bytes(&self, topic: &str, timeout: Duration) -> Result<usize, ClusterError> {
        match self.job.kafka.max_message_bytes {
            Some(known) => Ok(known),
            None => max_message_bytes(&self.observer, &self.admin()?, topic, timeout),
        }
    }

    /// Returns the current value of a topic's config.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or has no such config.
    pub fn topic_config(&self, topic: &str, name: &str, timeout: Duration) -> Result<String, ClusterError> {
        topic_config(&self.observer, &self.admin()?, topic, name, timeout)
    }

    /// Deletes the records of a partition before an offset.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or refuses.
    pub fn delete_before(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        timeout: Duration,
    ) -> Result<(), ClusterError> {
        let question = || format!("delete records of {topic} [{partition}] before {offset}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(refused(question()))?;
        let options = AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let deleted = futures::executor::block_on(self.admin()?.delete_records(&list, &options));
        for element in deleted.map_err(asked(&self.observer, question()))?.elements() {
            element.error().map_err(asked(&self.observer, question()))?;
        }
        Ok(())
    }

    /// Returns the high watermark of a partition: its end, including the records of open transactions.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn high_watermark(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, ClusterError> {
        let question = || format!("end of {topic} [{partition}]");
        let (_, high) =
            self.observer.fetch_watermarks(topic, partition, timeout).map_err(asked(&self.observer, question()))?;
        Ok(high)
    }

    fn admin(&self) -> Result<AdminClient<Trouble>, ClusterError> {
        client_with(&self.settings, self.observer.context().as_ref().clone())
    }
}

fn max_message_bytes(
    observer: &BaseConsumer<Trouble>,
    admin: &AdminClient<Trouble>,
    topic: &str,
    timeout: Duration,
) -> Result<usize, ClusterError> {
    let text = topic_config(observer, admin, topic, "max.message.bytes", timeout)?;
    let not_a_number = |_| BindingError::AdminOp(RDKafkaErrorCode::InvalidConfig);
    text.parse().map_err(not_a_number).map_err(refused(format!("configuration of topic {topic}")))
}

fn topic_config(
    observer: &BaseConsumer<Trouble>,
    admin: &AdminClient<Trouble>,
    topic: &str,
    name: &str,
    timeout: Duration,
) -> Result<String, ClusterError> {
    let question = || format!("configuration of topic {topic}");
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let resources = [ResourceSpecifier::Topic(topic)];
    let answers = futures::executor::block_on(admin.describe_configs(&resources, &options))
        .map_err(asked(observer, question()))?;
    let code = match answers.into_iter().next() {
        Some(Ok(resource)) => match resource.get(name).and_then(|entry| entry.value.clone()) {
            Some(value) => return Ok(value),
            None => RDKafkaErrorCode::InvalidConfig,
        },
        Some(Err(code)) => code,
        None => RDKafkaErrorCode::Unknown,
    };
    Err(asked(observer, question())(BindingError::AdminOp(code)))
}
