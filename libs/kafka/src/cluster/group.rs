//! A consumer group: its committed offsets, its members, and ending the transaction of a dead writer.

use std::{sync::Arc, time::Duration};

use crds::{job::JobConfig, records::offset::OffsetMetadata};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::error::{ClusterError, asked};
use crate::{native::producer::Producer, settings, trouble::Trouble};

/// How long an offset may stay unstable before its writer counts as dead.
pub const UNSTABLE_BOUND: Duration = Duration::from_secs(2);

/// How long fencing a dead writer may take.
const FENCE_BOUND: Duration = Duration::from_secs(5);

/// Queries about a consumer group.
pub struct Group {
    job: Arc<JobConfig>,
    name: String,
    observer: Arc<BaseConsumer<Trouble>>,
}

impl Group {
    pub(super) fn new(job: Arc<JobConfig>, name: String, observer: Arc<BaseConsumer<Trouble>>) -> Self {
        Self { job, name, observer }
    }

    /// Returns the group's committed offset and metadata for a partition, without waiting for open transactions.
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

    /// Ends the transaction that keeps the group's offset of a partition unstable, if its writer has left the group.
    /// `own_id` is the caller's transactional id.
    ///
    /// # Errors
    /// When Kafka does not answer in time, or the metadata was not written by the pipeline.
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

    /// Whether the group has a member with this client id.
    fn is_member(&self, client_id: &str, timeout: Duration) -> Result<bool, ClusterError> {
        let list = self
            .observer
            .fetch_group_list(Some(&self.name), timeout)
            .map_err(asked(&self.observer, "members of the group"))?;
        let members = list.groups().iter().flat_map(rdkafka::groups::GroupInfo::members);
        Ok(members.into_iter().any(|member| member.client_id() == client_id))
    }
}
