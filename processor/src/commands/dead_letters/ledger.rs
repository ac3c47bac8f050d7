//! The ledger of replays, as it stands.

use std::collections::HashMap;

use cli::progress::Progress;
use crds::{
    job::JobConfig,
    records::replay::{Entry, EntryError, Identity},
};
use foldhash::fast::FixedState;
use kafka::cluster::{Cluster, ClusterError};

use super::{
    letter::Letter,
    reader::{PATIENCE, ReadError, Reader, Step},
};

/// Why the ledger cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is none.
    #[error(
        "topic {0}, the ledger of what was replayed, does not exist, and without it an event could be replayed twice: an \
         operator of this release makes it; or create it with one partition and cleanup.policy=compact"
    )]
    Missing(String),
    /// Entries may go before their dead letters do.
    #[error(
        "topic {topic}, the ledger of what was replayed, has cleanup.policy {policy}, by which entries are deleted and events \
         replayed again: set it to compact"
    )]
    Policy {
        /// Which topic.
        topic: String,
        /// What it has.
        policy: String,
    },
    /// A record that is no entry.
    #[error("{topic} [0], offset {offset}: {source}")]
    Entry {
        /// The topic of the ledger.
        topic: String,
        /// Where in it.
        offset: i64,
        /// What is wrong with it.
        source: EntryError,
    },
    /// Kafka did not answer a question.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The topic cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// When which dead letters were replayed, Unix milliseconds.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<Identity, i64, FixedState>);

impl Ledger {
    /// When a dead letter was replayed, if it was.
    pub fn replayed(&self, identity: &Identity) -> Option<i64> {
        self.0.get(identity).copied()
    }

    /// Notes that a dead letter is replayed.
    pub fn note(&mut self, identity: Identity, time: i64) {
        self.0.insert(identity, time);
    }

    /// Takes the next record of the topic. Somebody who writes a tombstone lets a dead letter be replayed once more.
    fn take(&mut self, record: &Letter) -> Result<(), EntryError> {
        match Entry::read(record.key, record.value)? {
            (identity, Some(entry)) => self.note(identity, entry.time),
            (identity, None) => drop(self.0.remove(&identity)),
        }
        Ok(())
    }
}

/// Whether entries can be written, and will stay.
///
/// # Errors
/// When there is no ledger, or it forgets.
pub fn check(job: &JobConfig, cluster: &Cluster) -> Result<(), LedgerError> {
    let topic = job.pipeline.replays_topic();
    if !exists(&topic, cluster)? {
        return Err(LedgerError::Missing(topic));
    }
    // The broker inside `processor local` has no configs, and cannot be asked for them.
    if job.kafka.max_message_bytes.is_some() {
        return Ok(());
    }
    let policy = cluster.topics.topic_config(&topic, "cleanup.policy", PATIENCE)?;
    if policy == "compact" { Ok(()) } else { Err(LedgerError::Policy { topic, policy }) }
}

/// Reads the ledger up to its end as it is now, open transactions included: waits until they are settled. Empty where there
/// is no such topic.
///
/// # Errors
/// When the topic cannot be read, or holds what this release does not know.
pub fn read(job: &JobConfig, cluster: &Cluster) -> Result<Ledger, LedgerError> {
    let topic = job.pipeline.replays_topic();
    let mut ledger = Ledger::default();
    if !exists(&topic, cluster)? {
        return Ok(ledger);
    }
    let _reading = Progress::waiting(format!("reading {topic}, the ledger of what was replayed"));
    let end = cluster.topics.high_watermark(&topic, 0, PATIENCE)?;
    let mut reader = Reader::new(job, &topic)?;
    let (start, _) = reader.offsets(0)?;
    let mut each = |record: &Letter| -> Result<Step, LedgerError> {
        let refused = |source| LedgerError::Entry { topic: topic.clone(), offset: record.place.offset, source };
        ledger.take(record).map_err(refused)?;
        Ok(Step::Next)
    };
    reader.read(0, start..end, &mut each)?;
    Ok(ledger)
}

fn exists(topic: &str, cluster: &Cluster) -> Result<bool, ClusterError> {
    match cluster.topics.partitions(topic, PATIENCE) {
        Err(ClusterError::NoTopic(_)) => Ok(false),
        found => found.map(|_| true),
    }
}
