//! The seldom questions to Kafka, asked through the safe binding.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crds::{
    job::JobConfig,
    records::offset::{OffsetMetadata, OffsetMetadataError},
};
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::{FromClientConfig, FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError as BindingError, RDKafkaErrorCode},
    message::{BorrowedMessage, Message},
};

use super::{
    error::KafkaError,
    native::producer::Producer,
    settings::{self, Settings, SettingsError},
    trouble::{Told, Trouble},
};

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Kafka did not answer, or with an error.
    #[error("{question}: {source}")]
    Kafka {
        /// What was asked.
        question: String,
        /// What the client says.
        source: Told,
    },
    /// A secret is not there.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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
    /// A call of a client of the hot path failed.
    #[error(transparent)]
    Native(#[from] KafkaError),
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

/// How long an offset stays unstable before its writer is held for dead.
pub const UNSTABLE_BOUND: Duration = Duration::from_secs(2);

/// How long the fencing of a dead writer may take.
const FENCE_BOUND: Duration = Duration::from_secs(5);

/// A client that asks questions, and knows one group.
pub struct Cluster {
    job: JobConfig,
    group: String,
    observer: BaseConsumer<Trouble>,
    /// One question at a time: it reads what it is assigned.
    reader: Mutex<BaseConsumer<Trouble>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap_servers", &self.job.kafka.bootstrap_servers).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Makes a client that knows the group of stage 1; it connects when it is asked.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(job: &JobConfig, client_id: &str) -> Result<Self, ClusterError> {
        Self::of_group(job, job.pipeline.ingest_group(), client_id)
    }

    /// The same with another group.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn of_group(job: &JobConfig, group: String, client_id: &str) -> Result<Self, ClusterError> {
        let trouble = Trouble::default();
        let observer = client_with(&settings::observer(job, &group, client_id), trouble.clone())?;
        let reader = client_with(&settings::reader(job, client_id), trouble)?;
        Ok(Self { job: job.clone(), group, observer, reader: Mutex::new(reader) })
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the topic is not there.
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

    /// What the topics that stage 1 writes take.
    ///
    /// # Errors
    /// When Kafka does not answer in time, a topic is not there, or takes less than a delta.
    pub fn limits(&self, timeout: Duration) -> Result<Limits, ClusterError> {
        let topics = &self.job.topics;
        let [output, dead_letters, deltas] =
            self.limits_of([&topics.output, &topics.dead_letters, &topics.deltas], timeout)?;
        Ok(Limits { output, dead_letters, smallest: output.min(dead_letters).min(deltas) })
    }

    /// What topics take, in bytes of one record.
    ///
    /// # Errors
    /// When Kafka does not answer in time, a topic is not there, or takes less than a delta.
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

    /// What a topic takes, in bytes of one record.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn max_message_bytes(&self, topic: &str, timeout: Duration) -> Result<usize, ClusterError> {
        match self.job.kafka.max_message_bytes {
            Some(known) => Ok(known),
            None => max_message_bytes(&self.observer, &self.admin()?, topic, timeout),
        }
    }

    /// A topic's config, as it holds now.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or knows no such config.
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

    fn admin(&self) -> Result<AdminClient<Trouble>, ClusterError> {
        client_with(&settings::observer(&self.job, &self.group, "admin"), self.observer.context().as_ref().clone())
    }

    /// The end of a partition, records of open transactions included.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn high_watermark(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, ClusterError> {
        let question = || format!("end of {topic} [{partition}]");
        let (_, high) =
            self.observer.fetch_watermarks(topic, partition, timeout).map_err(asked(&self.observer, question()))?;
        Ok(high)
    }

    /// What the group has committed for a partition, whatever transaction is open: offset and metadata.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn committed(
        &self,
        topic: &str,
        partition: i32,
        timeout: Duration,
    ) -> Result<Option<(i64, String)>, ClusterError> {
        let question = || format!("committed offset of {topic} [{partition}]");
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let list = self.observer.committed_offsets(list, timeout).map_err(asked(&self.observer, question()))?;
        let elements = list.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        element.error().map_err(asked(&self.observer, question()))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        })
    }

    /// Ends the transaction that keeps the group's offset of a partition unstable, when its writer is not in the group any
    /// more. `own_id` is the transactional id of who asks.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the metadata is not ours.
    pub fn fence_dead_writer(
        &self,
        topic: &str,
        partition: i32,
        own_id: &str,
        timeout: Duration,
    ) -> Result<(), ClusterError> {
        let Some((_, metadata)) = self.committed(topic, partition, timeout)? else { return Ok(()) };
        let OffsetMetadata { transactional_id, .. } = OffsetMetadata::decode(&metadata)?;
        if transactional_id == own_id || self.is_member(&transactional_id, timeout)? {
            return Ok(());
        }
        tracing::info!(partition, transactional_id, "ending the transaction of an owner that is gone");
        let mut fencer = Producer::new(&settings::fencer(&self.job, &transactional_id))?;
        Ok(fencer.init_transactions(FENCE_BOUND)?)
    }

    /// Whether a client of this name is a member of the group.
    fn is_member(&self, client_id: &str, timeout: Duration) -> Result<bool, ClusterError> {
        let list = self
            .observer
            .fetch_group_list(Some(&self.group), timeout)
            .map_err(asked(&self.observer, "members of the group"))?;
        let members = list.groups().iter().flat_map(rdkafka::groups::GroupInfo::members);
        Ok(members.into_iter().any(|member| member.client_id() == client_id))
    }

    /// Reads a partition backwards in growing steps, and each step forwards, until `seen` says after a step that it has seen
    /// enough, or the partition's start is reached. Committed records only. Returns the last stable offset, where it began.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn backwards(
        &self,
        topic: &str,
        partition: i32,
        mut each: impl FnMut(&BorrowedMessage<'_>),
        seen: impl Fn() -> bool,
    ) -> Result<i64, ClusterError> {
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
        Ok(high)
    }

    /// The last committed value of a key in a partition, none where that is a tombstone or the key is not there; and the last
    /// stable offset.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn last_value(&self, topic: &str, partition: i32, key: &str) -> Result<(Option<Vec<u8>>, i64), ClusterError> {
        let found: RefCell<Option<Option<Vec<u8>>>> = RefCell::default();
        let each = |message: &BorrowedMessage<'_>| {
            if message.key() == Some(key.as_bytes()) {
                found.replace(Some(message.payload().map(<[u8]>::to_vec)));
            }
        };
        let stable = self.backwards(topic, partition, each, || found.borrow().is_some())?;
        Ok((found.into_inner().flatten(), stable))
    }

    /// Reads a partition from an offset on, or from its start, committed records only, to the last stable offset or until `each`
    /// has enough. Returns the offset to go on from; none where records from the given one on are deleted.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn forwards(
        &self,
        topic: &str,
        partition: i32,
        from: Option<i64>,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<Option<i64>, ClusterError> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = bounds(&reader, topic, partition)?;
        let from = match from {
            Some(from) if from < low => return Ok(None),
            from => from.unwrap_or(low),
        };
        let mut next = high.max(from);
        Self::read(&reader, topic, partition, from, high, |message| {
            let goes_on = each(message);
            if !goes_on {
                next = message.offset() + 1;
            }
            goes_on
        })?;
        Ok(Some(next))
    }

    /// Reads [from, to) of a partition while `each` says so.
    fn read(
        reader: &BaseConsumer<Trouble>,
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
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(refused(question()))?;
        reader.assign(&list).map_err(refused(question()))?;
        let result = Self::read_assigned(reader, to, question, each);
        reader.unassign().map_err(refused(question()))?;
        result
    }

    fn read_assigned(
        reader: &BaseConsumer<Trouble>,
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
                    // The last one is the end; asking for the next would take a moment.
                    if !each(&message) || message.offset() + 1 == to {
                        return Ok(());
                    }
                }
                Some(Ok(_) | Err(BindingError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(asked(reader, question())(error)),
                None => {}
            }
        }
        Err(asked(reader, question())(BindingError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)))
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

/// The first offset of a partition, and its last stable one.
fn bounds(reader: &BaseConsumer<Trouble>, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
    let question = || format!("offsets of {topic} [{partition}]");
    reader.fetch_watermarks(topic, partition, Duration::from_secs(2)).map_err(asked(reader, question()))
}

/// A client of the safe binding.
///
/// # Errors
/// When a secret is not there, or librdkafka refuses a setting.
pub fn client<T: FromClientConfig>(settings: &Settings) -> Result<T, ClusterError> {
    client_config(settings)?.create().map_err(refused("connect"))
}

/// The same with a context, such as [`Trouble`].
///
/// # Errors
/// As [`client`].
pub fn client_with<C: ClientContext, T: FromClientConfigAndContext<C>>(
    settings: &Settings,
    context: C,
) -> Result<T, ClusterError> {
    // The context is told of every connection that fails.
    client_config(settings)?
        .set_log_level(RDKafkaLogLevel::Info)
        .create_with_context(context)
        .map_err(refused("connect"))
}

fn client_config(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let mut config = ClientConfig::new();
    for (name, value) in settings.resolve()? {
        config.set(name, value);
    }
    Ok(config)
}

/// An error of the client itself.
fn refused(question: impl Into<String>) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: source.into() }
}

/// A question that the client could not get answered.
fn asked(client: &BaseConsumer<Trouble>, question: impl Into<String>) -> impl FnOnce(BindingError) -> ClusterError {
    let question = question.into();
    move |source| ClusterError::Kafka { question, source: told(client, source) }
}

/// An error of a client, with what it said of its connections meanwhile.
pub fn told(client: &BaseConsumer<Trouble>, source: BindingError) -> Told {
    /// What the client has to say waits for this, in a queue.
    const GLANCE: Duration = Duration::from_millis(10);
    while let Some(Err(_)) = client.poll(GLANCE) {}
    client.context().with(source)
}
