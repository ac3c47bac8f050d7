//! The parts of librdkafka's statistics that are used: which brokers are connected, and where partitions end.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
pub struct Statistics {
    brokers: BTreeMap<String, BrokerStatistics>,
    topics: BTreeMap<String, TopicStatistics>,
}

impl Statistics {
    /// Parses a statistics report of librdkafka; `None` if it does not have the expected shape.
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    pub fn brokers_up(&self) -> usize {
        self.brokers.values().filter(|broker| broker.state == "UP").count()
    }

    /// Returns the last stable offset of a partition, if librdkafka knows it.
    pub fn last_stable_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let partition = self.topics.get(topic)?.partitions.get(&partition.to_string())?;
        (partition.ls_offset >= 0).then_some(partition.ls_offset)
    }
}

#[derive(Deserialize)]
struct BrokerStatistics {
    state: String,
}

#[derive(Deserialize)]
struct TopicStatistics {
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    ls_offset: i64,
}
