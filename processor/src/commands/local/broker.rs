//! The broker of a run: librdkafka's mock cluster in this process, or a real Kafka. Creates the pipeline's topics in
//! it.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

use cli::progress::Progress;
use crds::{
    job::KafkaConfig,
    topics::{MAX_GROWTH_BYTES, Role, SOURCE_MAX_MESSAGE_BYTES, Topic},
};
use futures::executor::block_on;
use kafka::{
    cluster::{ClusterError, client, client_with, explained},
    settings::{self, Settings},
    trouble::Trouble,
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    mocking::MockCluster,
    producer::DefaultProducerContext,
};

use super::summary::BrokerKind;

/// How long a request to Kafka may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take until new topics have leaders.
const CREATION: Duration = Duration::from_secs(30);

/// Bytes of a partition that may wait for the audit. The embedded broker keeps 5 MiB of a partition and then drops its
/// oldest records, read or not. A Kafka keeps them, and only the report would come later: there the window is large
/// enough never to delay the feed.
const EMBEDDED_WINDOW: usize = 4 << 20;
const KAFKA_WINDOW: usize = 32 << 20;

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the embedded broker does not start: {0}")]
    Embedded(KafkaError),
    /// The client could not be created.
    #[error(transparent)]
    Client(#[from] ClusterError),
    /// Kafka does not answer.
    #[error("--bootstrap {servers}: {problem}; check that a Kafka listens there, and whether it takes --security")]
    Unreachable {
        servers: String,
        /// The request, and the client's error.
        problem: String,
    },
    /// Kafka refuses to create a topic.
    #[error("Kafka refuses to make topic {topic}: {code}; make it by hand, or choose another name in the manifest")]
    Refused {
        topic: String,
        /// Kafka's error code.
        code: RDKafkaErrorCode,
    },
    /// A topic already holds records.
    #[error(
        "topic {0} holds records already, of an earlier run or of a pipeline at work: add --fresh-topics, which gives this run \
         topics of its own, or delete the topic"
    )]
    InUse(String),
    /// A topic has too few partitions, or more than the one that it must have.
    #[error(
        "topic {topic} has {partitions} partitions, and {needed} are needed: add --fresh-topics, or delete the topic"
    )]
    Partitions {
        topic: String,
        /// Partitions that the topic has.
        partitions: usize,
        /// Partitions that it needs.
        needed: usize,
    },
}

pub struct Broker {
    kafka: KafkaConfig,
    embedded: Option<MockCluster<'static, DefaultProducerContext>>,
}

/// The kind of the broker and its address.
impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.embedded.is_some() { "an embedded broker" } else { "the Kafka" };
        write!(f, "{kind} at {}", self.kafka.bootstrap_servers)
    }
}

impl Broker {
    /// Starts an embedded broker, unless a Kafka is given.
    ///
    /// # Errors
    /// When the embedded broker does not start.
    pub fn start(kafka: Option<KafkaConfig>) -> Result<Self, BrokerError> {
        if let Some(kafka) = kafka {
            return Ok(Self { kafka, embedded: None });
        }
        let cluster = MockCluster::new(1).map_err(BrokerError::Embedded)?;
        // The embedded broker has no topic configs.
        let bytes = (SOURCE_MAX_MESSAGE_BYTES + MAX_GROWTH_BYTES).unsigned_abs() as usize;
        let kafka = KafkaConfig {
            bootstrap_servers: cluster.bootstrap_servers(),
            security: None,
            max_message_bytes: Some(bytes),
        };
        Ok(Self { kafka, embedded: Some(cluster) })
    }

    /// How clients connect to it.
    #[must_use]
    pub const fn kafka(&self) -> &KafkaConfig {
        &self.kafka
    }

    #[must_use]
    pub const fn kind(&self) -> BrokerKind {
        if self.embedded.is_some() { BrokerKind::Embedded } else { BrokerKind::Kafka }
    }

    /// How many bytes of a partition may wait for the audit.
    #[must_use]
    pub const fn window(&self) -> usize {
        if self.embedded.is_some() { EMBEDDED_WINDOW } else { KAFKA_WINDOW }
    }

    /// Creates the missing topics, and returns the number of partitions of each topic.
    ///
    /// # Errors
    /// When Kafka does not answer or refuses, or a topic is in use or has too few partitions.
    pub fn provide(&self, topics: &[Topic]) -> Result<Vec<usize>, BrokerError> {
        if let Some(cluster) = &self.embedded {
            for topic in topics {
                cluster.create_topic(&topic.name, topic.partitions, 1).map_err(BrokerError::Embedded)?;
            }
            return Ok(topics.iter().map(|topic| usize::try_from(topic.partitions).unwrap_or_default()).collect());
        }
        let _asking = Progress::waiting(format!("asking {} for the topics", self.kafka.bootstrap_servers));
        let found = self.partitions(topics)?;
        let missing = topics.iter().zip(&found).filter(|(_, partitions)| **partitions == 0).map(|(topic, _)| topic);
        let admin = self.admin()?;
        for topic in missing {
            self.make(&admin, topic)?;
        }
        let found = self.await_topics(topics)?;
        let source = topics.iter().position(|topic| topic.role == Role::Source);
        let source = source.and_then(|index| found.get(index)).copied().unwrap_or_default();
        let mut settings = self.settings();
        settings.set("group.id", "processor-local");
        let reader: BaseConsumer = client(&settings)?;
        for (topic, partitions) in topics.iter().zip(&found) {
            let is_single = topic.role.is_single();
            let needed = if is_single { 1 } else { source };
            if *partitions < needed || is_single && *partitions != needed {
                return Err(BrokerError::Partitions { topic: topic.name.clone(), partitions: *partitions, needed });
            }
            self.check_unused(&reader, &topic.name, *partitions)?;
        }
        Ok(found)
    }

    /// Deletes topics. A topic that no longer exists is not an error.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn delete(&self, topics: &[Topic]) -> Result<(), BrokerError> {
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let deleted = block_on(self.admin()?.delete_topics(&names, &options));
        deleted.map(drop).map_err(|source| self.unreachable("delete topics", &source))
    }

    /// Number of partitions of each topic; 0 for a topic that does not exist or lacks a leader.
    fn partitions(&self, topics: &[Topic]) -> Result<Vec<usize>, BrokerError> {
        let client: BaseConsumer<Trouble> = client_with(&self.settings(), Trouble::default())?;
        // Asks for all topics: a request for one by name would create it where brokers create topics automatically.
        let metadata = client
            .fetch_metadata(None, PATIENCE)
            .map_err(|source| self.unreachable("metadata of all topics", &explained(&client, source)))?;
        let partitions = |topic: &Topic| {
            let found = metadata.topics().iter().find(|found| found.name() == topic.name)?;
            let led = found.partitions().iter().filter(|partition| partition.leader() >= 0).count();
            (led == found.partitions().len()).then_some(led)
        };
        Ok(topics.iter().map(|topic| partitions(topic).unwrap_or_default()).collect())
    }

    fn make(&self, admin: &AdminClient<DefaultClientContext>, topic: &Topic) -> Result<(), BrokerError> {
        // A replication factor of -1 means the brokers' default.
        let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(-1));
        let new = topic.config.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let made = block_on(admin.create_topics([&new], &options));
        let made = made.map_err(|source| self.unreachable(&format!("make topic {}", topic.name), &source))?;
        match made.into_iter().next() {
            // Another client created it first, or its leader is being elected.
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((topic, code))) => Err(BrokerError::Refused { topic, code }),
        }
    }

    fn await_topics(&self, topics: &[Topic]) -> Result<Vec<usize>, BrokerError> {
        let deadline = Instant::now() + CREATION;
        loop {
            let found = self.partitions(topics)?;
            if !found.contains(&0) {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let late = KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable);
                return Err(self.unreachable("leaders of the new topics", &late));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn check_unused(&self, reader: &BaseConsumer, topic: &str, partitions: usize) -> Result<(), BrokerError> {
        for (partition, _) in (0..).zip(0..partitions) {
            let (low, high) = self.bounds(reader, topic, partition)?;
            if low < high {
                return Err(BrokerError::InUse(topic.to_owned()));
            }
        }
        Ok(())
    }

    /// The first and the end offset of a partition. Retries at first: a leader that the metadata already names may take
    /// a moment to answer as the leader.
    fn bounds(&self, reader: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64), BrokerError> {
        use RDKafkaErrorCode as Code;
        let settles = [Code::LeaderNotAvailable, Code::NotLeaderForPartition, Code::UnknownTopicOrPartition];
        let deadline = Instant::now() + PATIENCE;
        loop {
            match reader.fetch_watermarks(topic, partition, PATIENCE) {
                Ok(bounds) => return Ok(bounds),
                Err(error)
                    if Instant::now() < deadline
                        && error.rdkafka_error_code().is_some_and(|code| settles.contains(&code)) =>
                {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(self.unreachable(&format!("offsets of topic {topic}"), &error)),
            }
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, BrokerError> {
        Ok(client(&self.settings())?)
    }

    fn settings(&self) -> Settings {
        let mut settings = settings::connection(&self.kafka);
        settings.extend(&[("client.id", "processor-local"), ("allow.auto.create.topics", "false")]);
        settings
    }

    fn unreachable(&self, question: &str, error: &dyn fmt::Display) -> BrokerError {
        BrokerError::Unreachable {
            servers: self.kafka.bootstrap_servers.clone(),
            problem: format!("{question}: {error}"),
        }
    }
}
