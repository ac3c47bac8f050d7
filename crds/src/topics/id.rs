//! A pipeline's identity, and the names that are built from it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pipeline's namespace and name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(deny_unknown_fields)]
pub struct PipelineId {
    /// Namespace of the resource.
    pub namespace: String,
    /// Name of the resource.
    pub name: String,
}

impl PipelineId {
    /// The consumer group of stage 1.
    #[must_use]
    pub fn ingest_group(&self) -> String {
        format!("{self}.ingest")
    }

    /// The transactional id, and `client.id`, of one thread of stage 1. A container that restarts in its pod gets the
    /// same one and so fences its predecessor.
    #[must_use]
    pub fn ingest_transactional_id(&self, pod: &str, thread: usize) -> String {
        format!("{self}.ingest.{pod}.{thread}")
    }

    /// The topic of the deltas.
    #[must_use]
    pub fn deltas_topic(&self) -> String {
        format!("{self}.deltas")
    }

    /// The consumer group of stage 2.
    #[must_use]
    pub fn aggregate_group(&self) -> String {
        format!("{self}.aggregate")
    }

    /// The transactional id, and `client.id`, of a replica's stage 2.
    #[must_use]
    pub fn aggregate_transactional_id(&self, pod: &str) -> String {
        format!("{self}.aggregate.{pod}")
    }

    /// The topic of stage 2's snapshots.
    #[must_use]
    pub fn state_topic(&self) -> String {
        format!("{self}.state")
    }

    /// The topic of the ledger: which dead letters were replayed.
    #[must_use]
    pub fn replays_topic(&self) -> String {
        format!("{self}.replays")
    }

    /// The transactional id, and `client.id`, of every run of `dead-letters replay`: a run fences the one before it.
    #[must_use]
    pub fn replay_transactional_id(&self) -> String {
        format!("{self}.replay")
    }
}

/// `<namespace>.<name>`, the prefix of groups and internal topics. Neither part contains a dot: a namespace is a DNS
/// label, and a rule of the resource refuses a name with one.
impl fmt::Display for PipelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}
