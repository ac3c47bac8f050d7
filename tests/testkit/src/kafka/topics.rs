//! Topics, offsets and groups of a cluster, through the admin client.

use std::collections::BTreeMap;

use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{Cluster, Isolation, REQUEST};
use crate::Error;
use crate::wait::poll;

/// A group's committed offset for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The metadata of the offset; empty when there is none.
    pub metadata: String,
}

impl Cluster {
    /// Creates a topic, replicated on every broker, and returns when each partition has a leader. `configs` are topic
    /// configurations such as `("cleanup.policy", "compact")`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the broker's answer.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<(), Error> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
        let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let what = format!("cannot create topic {name}");
        self.admin(&what, |admin, options| block_on(admin.create_topics([&topic], options)))?;
        self.partitions_led(name, partitions)
    }

    /// Raises the partition count of a topic to `total`, and returns when each has a leader.
    ///
    /// # Errors
    /// [`Error::Refused`] with the broker's answer.
    pub fn add_partitions(&self, name: &str, total: i32) -> Result<(), Error> {
        let partitions = NewPartitions::new(name, usize::try_from(total).unwrap_or_default());
        let what = format!("cannot add partitions to topic {name}");
        self.admin(&what, |admin, options| block_on(admin.create_partitions([&partitions], options)))?;
        self.partitions_led(name, total)
    }

    /// Gives a topic these configurations; every other one returns to its default.
    ///
    /// # Errors
    /// [`Error::Refused`] with the broker's answer.
    pub fn configure_topic(&self, name: &str, configs: &[(&str, &str)]) -> Result<(), Error> {
        let topic = AlterConfig::new(ResourceSpecifier::Topic(name));
        let topic = configs.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let what = format!("cannot configure topic {name}");
        self.admin(&what, |admin, options| {
            let answers = block_on(admin.alter_configs([&topic], options))?;
            let named = |(_, code)| (name.to_owned(), code);
            Ok(answers.into_iter().map(|answer| answer.map(|_| name.to_owned()).map_err(named)).collect())
        })
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// [`Error::Refused`] with the broker's answer.
    pub fn delete_topic(&self, name: &str) -> Result<(), Error> {
        let what = format!("cannot delete topic {name}");
        self.admin(&what, |admin, options| block_on(admin.delete_topics(&[name], options)))
    }

    /// Deletes a group with its committed offsets; it must have no members.
    ///
    /// # Errors
    /// [`Error::Refused`] with the broker's answer.
    pub fn delete_group(&self, group: &str) -> Result<(), Error> {
        let what = format!("cannot delete group {group}");
        self.admin(&what, |admin, options| block_on(admin.delete_groups(&[group], options)))
    }

    /// The number of partitions of a topic, or `None` when the topic does not exist.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the cluster does not answer.
    pub fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        topic_partitions(self.consumer(Isolation::ReadUncommitted)?.client(), topic)
    }

    /// The end of every partition: for [`Isolation::ReadUncommitted`] the offset of the next record, for
    /// [`Isolation::ReadCommitted`] the first offset of an open transaction, if there is one.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the cluster does not answer or has no such topic.
    pub fn end_offsets(&self, topic: &str, isolation: Isolation) -> Result<BTreeMap<i32, i64>, Error> {
        let bounds = self.bounds(&self.consumer(isolation)?, topic)?;
        Ok(bounds.into_iter().map(|(partition, (_, end))| (partition, end)).collect())
    }

    /// The committed offsets of `group` for the partitions of `topic`; partitions without one are absent. With
    /// [`Isolation::ReadCommitted`] it waits up to 30 s for transactions that commit offsets to end.
    ///
    /// # Errors
    /// [`Error::Kafka`] when the cluster does not answer, has no such topic, or the offsets stay unstable.
    pub fn committed(&self, group: &str, topic: &str, isolation: Isolation) -> Result<BTreeMap<i32, Committed>, Error> {
        let what = || Error::kafka(format!("cannot get the committed offsets of group {group} for topic {topic}"));
        let mut config = self.client();
        config.set("group.id", group).set("isolation.level", isolation.name());
        let consumer: BaseConsumer = config.create().map_err(what())?;
        let count = known_partitions(consumer.client(), topic)?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, count - 1);
        let answer = consumer.committed_offsets(asked, REQUEST).map_err(what())?;
        let mut committed = BTreeMap::new();
        for element in answer.elements() {
            element.error().map_err(what())?;
            if let Offset::Offset(offset) = element.offset() {
                committed.insert(element.partition(), Committed { offset, metadata: element.metadata().to_owned() });
            }
        }
        Ok(committed)
    }

    /// The first and the end offset of every partition, as `consumer` sees them.
    pub(super) fn bounds(&self, consumer: &BaseConsumer, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, Error> {
        let ask = |partition| {
            let what = format!("cannot get the offsets of partition {partition} of topic {topic}");
            let bounds = consumer.fetch_watermarks(topic, partition, REQUEST).map_err(Error::kafka(what))?;
            Ok((partition, bounds))
        };
        (0..known_partitions(consumer.client(), topic)?).map(ask).collect()
    }

    /// A consumer without a group.
    pub(super) fn consumer(&self, isolation: Isolation) -> Result<BaseConsumer, Error> {
        let mut config = self.client();
        config
            // The client requires a group even without using it.
            .set("group.id", "testkit")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation.name());
        config.create().map_err(Error::kafka("cannot make a consumer"))
    }

    /// Waits until the topic has `count` partitions and each has a leader.
    fn partitions_led(&self, topic: &str, count: i32) -> Result<(), Error> {
        let consumer = self.consumer(Isolation::ReadUncommitted)?;
        let led = poll(REQUEST, || {
            let metadata = consumer.fetch_metadata(Some(topic), REQUEST).ok()?;
            let partitions = metadata.topics().first()?.partitions();
            let all = i32::try_from(partitions.len()) == Ok(count);
            (all && partitions.iter().all(|partition| partition.leader() >= 0)).then_some(())
        });
        let what = format!("a leader for each partition of topic {topic}");
        led.ok_or(Error::Timeout { what, bound: REQUEST, detail: String::new() })
    }

    /// Runs one admin request about one object.
    fn admin(
        &self,
        what: &str,
        request: impl FnOnce(
            &AdminClient<DefaultClientContext>,
            &AdminOptions,
        ) -> KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>,
    ) -> Result<(), Error> {
        let admin = self.client().create().map_err(Error::kafka("cannot make an admin client"))?;
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        let results = request(&admin, &options).map_err(Error::kafka(what))?;
        match results.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some((_, code)) => Err(Error::Refused { what: what.to_owned(), code }),
        }
    }
}

/// The number of partitions of a topic, which must exist.
pub(super) fn known_partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<i32, Error> {
    let unknown =
        || Error::Refused { what: format!("no topic {topic}"), code: RDKafkaErrorCode::UnknownTopicOrPartition };
    topic_partitions(client, topic)?.ok_or_else(unknown)
}

fn topic_partitions<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<Option<i32>, Error> {
    let what = format!("cannot get the metadata of topic {topic}");
    let metadata = client.fetch_metadata(Some(topic), REQUEST).map_err(Error::kafka(what))?;
    let found = metadata.topics().iter().find(|found| found.error().is_none());
    Ok(found.and_then(|found| i32::try_from(found.partitions().len()).ok()).filter(|count| *count > 0))
}
