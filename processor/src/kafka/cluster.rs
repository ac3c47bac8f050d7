//! The seldom questions to Kafka, asked through the safe binding.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crds::{
    job::JobConfig,
    records::offset::{OffsetMetadata, OffsetMetadataError},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError as BindingError, RDKafkaErrorCode},
    message::{BorrowedMessage, Message},
};

use super::settings::{self, Settings};

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Kafka did not answer, or with an error.
    #[error("{question}: {source}")]
    Kafka {
        /// What was asked.
        question: String,
        /// The binding's error.
        source: BindingError,
    },
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
}

/// What the topics that are written take, in bytes of one record: their `max.message.bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The output.
    pub output: usize,
    /// The dead letter topic.
    pub dead_letters: usize,
    /// The smallest of all that are written.
    pub smallest: usize,
}

/// A client that asks questions.
pub struct Cluster {
    job: JobConfig,
    observer: BaseConsumer,
    /// One question at a time: it reads what it is assigned.
    reader: Mutex<BaseConsumer>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap_servers", &self.job.kafka.bootstrap_servers).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes the client; it connects when it is asked.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(job: &JobConfig, client_id: &str) -> Result<Self, ClusterError> {
        let observer = client_config(&settings::observer(job, client_id)).create().map_err(asked("connect"))?;
        let reader = client_config(&settings::reader(job, client_id)).create().map_err(asked("connect"))?;
        Ok(Self { job: job.clone(), observer, reader: Mutex::new(reader) })
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the topic is not there.
    pub fn partitions(&self, topic: &str, timeout: Duration) -> Result<i32, ClusterError> {
        let question = || format!("metadata of topic {topic}");
        let metadata = self.observer.fetch_metadata(Some(topic), timeout).map_err(asked(question()))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let missing = || ClusterError::NoTopic(topic.to_owned());
        let found = found.ok_or_else(missing)?;
        match found.error().map(RDKafkaErrorCode::from) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(missing()),
            Some(code) => Err(asked(question())(BindingError::MetadataFetch(code))),
            None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
        }
    }

    /// What the topics that are written take.
    ///
    /// # Errors
    /// When Kafka does not answer in time, a topic is not there, or takes less than a delta.
    pub fn limits(&self, timeout: Duration) -> Result<Limits, ClusterError> {
        const NEEDED: usize = crds::records::delta::MAX_CHUNK_BYTES + 64 * 1024;
        let topics = &self.job.topics;
        let mut limits = Limits { output: 0, dead_letters: 0, smallest: usize::MAX };
        let admin: AdminClient<DefaultClientContext> =
            client_config(&settings::observer(&self.job, "limits")).create().map_err(asked("connect"))?;
        for topic in [&topics.output, &topics.dead_letters, &topics.deltas] {
            self.partitions(topic, timeout)?;
            let bytes = max_message_bytes(&admin, topic, timeout)?;
            if bytes < NEEDED {
                return Err(ClusterError::SmallTopic { topic: topic.clone(), bytes, needed: NEEDED });
            }
            limits.smallest = limits.smallest.min(bytes);
            if topic == &topics.output {
                limits.output = bytes;
            } else if topic == &topics.dead_letters {
                limits.dead_letters = bytes;
            }
        }
        Ok(limits)
    }

    /// The metadata of the committed offsets of the source, whatever transaction is open; none where nothing is committed.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the metadata is not ours.
    pub fn committed(
        &self,
        partitions: impl Iterator<Item = i32>,
        timeout: Duration,
    ) -> Result<Vec<Option<OffsetMetadata>>, ClusterError> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.job.topics.source, partition);
        }
        let list = self.observer.committed_offsets(list, timeout).map_err(asked("committed offsets"))?;
        let metadata = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
            Offset::Offset(_) => OffsetMetadata::decode(element.metadata()).map(Some),
            _ => Ok(None),
        };
        Ok(list.elements().iter().map(metadata).collect::<Result<_, _>>()?)
    }

    /// Whether a client of this name is a member of the pipeline's group.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn is_member(&self, client_id: &str, timeout: Duration) -> Result<bool, ClusterError> {
        let group = self.job.pipeline.ingest_group();
        let list = self.observer.fetch_group_list(Some(&group), timeout).map_err(asked("members of the group"))?;
        let members = list.groups().iter().flat_map(rdkafka::groups::GroupInfo::members);
        Ok(members.into_iter().any(|member| member.client_id() == client_id))
    }

    /// Reads a partition backwards in growing steps, and each step forwards, until `seen` says after a step that it has seen
    /// enough, or the partition's start is reached. Committed records only.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn backwards(
        &self,
        topic: &str,
        partition: i32,
        mut each: impl FnMut(&BorrowedMessage<'_>),
        seen: impl Fn() -> bool,
    ) -> Result<(), ClusterError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = bounds(&reader, topic, partition)?;
        let (mut step, mut to) = (1000, high);
        while to > low && !seen() {
            let from = (to - step).max(low);
            Self::read(&reader, topic, partition, from, to, |message| {
                each(message);
                true
            })?;
            (step, to) = (step * 8, from);
        }
        Ok(())
    }

    /// The first record of a partition of which `pick` makes something, committed.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn first<T>(
        &self,
        topic: &str,
        partition: i32,
        pick: impl Fn(&BorrowedMessage<'_>) -> Option<T>,
    ) -> Result<Option<T>, ClusterError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = bounds(&reader, topic, partition)?;
        let mut first = None;
        Self::read(&reader, topic, partition, low, high, |message| {
            first = pick(message);
            first.is_none()
        })?;
        Ok(first)
    }

    /// Reads [from, to) of a partition while `each` says so.
    fn read(
        reader: &BaseConsumer,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ClusterError> {
        if from >= to {
            return Ok(());
        }
        let question = || format!("read {topic} [{partition}]");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(asked(question()))?;
        reader.assign(&list).map_err(asked(question()))?;
        let result = Self::read_assigned(reader, to, question, each);
        reader.unassign().map_err(asked(question()))?;
        result
    }

    fn read_assigned(
        reader: &BaseConsumer,
        to: i64,
        question: impl Fn() -> String,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ClusterError> {
        /// Longer than a broker takes to answer, shorter than the group waits for a member.
        const SILENCE: Duration = Duration::from_secs(5);
        let mut heard = Instant::now();
        while heard.elapsed() < SILENCE {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() < to => {
                    heard = Instant::now();
                    if !each(&message) {
                        return Ok(());
                    }
                }
                Some(Ok(_) | Err(BindingError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(asked(question())(error)),
                None => {}
            }
        }
        Err(asked(question())(BindingError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)))
    }
}

fn max_message_bytes(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
    timeout: Duration,
) -> Result<usize, ClusterError> {
    let question = || format!("configuration of topic {topic}");
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let resources = [ResourceSpecifier::Topic(topic)];
    let answers =
        futures::executor::block_on(admin.describe_configs(&resources, &options)).map_err(asked(question()))?;
    let code = match answers.into_iter().next() {
        Some(Ok(resource)) => {
            let entry = resource.get("max.message.bytes").and_then(|entry| entry.value.as_ref()?.parse().ok());
            match entry {
                Some(bytes) => return Ok(bytes),
                None => RDKafkaErrorCode::InvalidConfig,
            }
        }
        Some(Err(code)) => code,
        None => RDKafkaErrorCode::Unknown,
    };
    Err(asked(question())(BindingError::AdminOp(code)))
}

/// The first offset of a partition, and its last stable one.
fn bounds(reader: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
    let question = || format!("offsets of {topic} [{partition}]");
    reader.fetch_watermarks(topic, partition, Duration::from_secs(2)).map_err(asked(question()))
}

/// The safe binding's form of settings.
#[must_use]
pub fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(*name, value);
    }
    config
}

fn asked(question: impl Into<String>) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source }
}
