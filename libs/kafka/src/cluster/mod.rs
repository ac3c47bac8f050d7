//! Rare queries through the safe binding (topics, groups, parts of logs), off the hot path.

mod topics;

mod group;
mod log;

mod clients;
mod error;

use std::sync::Arc;

use crds::job::JobConfig;

pub use clients::{client, client_with};
pub use error::{ClusterError, explained};
pub use group::{Group, UNSTABLE_BOUND};
pub use log::LogReader;
pub use topics::{Limits, Topics};

use crate::{settings, trouble::Trouble};

/// A Kafka cluster as seen by a pipeline. Its clients belong to no group.
pub struct Cluster {
    pub topics: Topics,
    /// The consumer group of one stage.
    pub group: Group,
    pub log: LogReader,
    bootstrap_servers: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("bootstrap_servers", &self.bootstrap_servers).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Creates clients for the group of stage 1; they connect on the first query.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(job: &JobConfig, client_id: &str) -> Result<Self, ClusterError> {
        Self::of_group(job, job.pipeline.ingest_group(), client_id)
    }

    /// As [`Cluster::new`], with another group.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn of_group(job: &JobConfig, group: String, client_id: &str) -> Result<Self, ClusterError> {
        let job = Arc::new(job.clone());
        let trouble = Trouble::default();
        let observer = Arc::new(client_with(&settings::observer(&job, &group, client_id), trouble.clone())?);
        let reader = client_with(&settings::reader(&job, client_id), trouble)?;
        let admin = settings::observer(&job, &group, "admin");
        Ok(Self {
            bootstrap_servers: job.kafka.bootstrap_servers.clone(),
            topics: Topics::new(Arc::clone(&job), Arc::clone(&observer), admin),
            group: Group::new(job, group, observer),
            log: LogReader::new(reader),
        })
    }
}
