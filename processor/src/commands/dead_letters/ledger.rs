//! Reads the ledger of replays.

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

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// Its topic does not exist.
    #[error(
        "topic {0}, the ledger of what was replayed, does not exist, and without it an event could be replayed twice: an \
         operator of this release makes it; or create it with one partition and cleanup.policy=compact"
    )]
    Missing(String),
    /// The cleanup policy may delete an entry before its dead letter.
    #[error(
        "topic {topic}, the ledger of what was replayed, has cleanup.policy {policy}, by which entries are deleted and events \
         replayed again: set it to compact"
    )]
    Policy {
        topic: String,
        /// The topic's `cleanup.policy`.
        policy: String,
    },
    /// A record is not a valid entry.
    #[error("{topic} [0], offset {offset}: {source}")]
    Entry {
        /// Topic of the ledger.
        topic: String,
        /// Offset of the record.
        offset: i64,
        source: EntryError,
    },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// When each dead letter was replayed, in Unix milliseconds.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<Identity, i64, FixedState>);

impl Ledger {
    /// When a dead letter was replayed, in Unix milliseconds; `None` when it was not.
    pub fn replayed(&self, identity: &Identity) -> Option<i64> {
        self.0.get(identity).copied()
    }

    /// Records that a dead letter was replayed.
    pub fn note(&mut self, identity: Identity, time: i64) {
        self.0.insert(identity, time);
    }

    /// Applies the next record of the topic. A tombstone removes an entry, so that its dead letter can be replayed
    /// again.
    fn take(&mut self, record: &Letter) -> Result<(), EntryError> {
        match Entry::read(record.key, record.value)? {
            (identity, Some(entry)) => self.note(identity, entry.time),
            (identity, None) => drop(self.0.remove(&identity)),
        }
        Ok(())
    }
}

/// Checks that entries can be written, and are not deleted later.
///
/// # Errors
/// When there is no ledger, or its topic deletes entries.
pub fn check(job: &JobConfig, cluster: &Cluster) -> Result<(), LedgerError> {
    let topic = job.pipeline.replays_topic();
    if !exists(&topic, cluster)? {
        return Err(LedgerError::Missing(topic));
    }
    // The broker inside `processor local` has no topic configs to ask for.
    if job.kafka.max_message_bytes.is_some() {
        return Ok(());
    }
    let policy = cluster.topics.topic_config(&topic, "cleanup.policy", PATIENCE)?;
    if policy == "compact" { Ok(()) } else { Err(LedgerError::Policy { topic, policy }) }
}

/// Reads the ledger up to its current end. The end includes open transactions: waits until they are committed or
/// aborted. Empty when the topic does not exist.
///
/// # Errors
/// When the topic cannot be read, or holds an entry that this release cannot decode.
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
