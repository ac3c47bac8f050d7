//! Events that librdkafka reports between messages, and the inbox in which callbacks put them.

use std::sync::{Mutex, PoisonError, atomic::AtomicBool};

use super::group::GroupMetadata;
use crate::trouble::Trouble;

/// An event that librdkafka reports between messages.
#[derive(Debug)]
pub enum ClientEvent {
    /// Partitions are assigned or revoked. [`consumer::Consumer::assign`] or [`consumer::Consumer::unassign`] must
    /// answer.
    Rebalance(Rebalance),
    /// A problem that librdkafka recovers from by itself, such as an unreachable broker.
    Trouble {
        /// Whether all brokers are unreachable.
        all_brokers_down: bool,
        /// librdkafka's message. If all brokers are unreachable, it is the message of the last connection problem.
        message: String,
    },
    /// Statistics, as JSON.
    Statistics(String),
}

/// A change of the assignment that librdkafka requests.
#[derive(Debug)]
pub enum Rebalance {
    /// Partitions are assigned.
    Assign {
        /// Partition numbers; may be empty.
        partitions: Vec<i32>,
        /// The membership that a transaction proves to the broker.
        group: Option<GroupMetadata>,
    },
    /// Partitions are revoked.
    Revoke {
        /// Partition numbers; may be empty.
        partitions: Vec<i32>,
        /// The membership that a transaction proves to the broker.
        group: Option<GroupMetadata>,
        /// Whether another member may already own the partitions.
        lost: bool,
    },
}

/// The inbox in which callbacks put events.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: Mutex<Vec<ClientEvent>>,
    pub(super) trouble: Trouble,
    /// Set when the owner no longer reads the events.
    pub(super) closing: AtomicBool,
}

impl Inbox {
    pub(super) fn push(&self, event: ClientEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(super) fn take(&self) -> Vec<ClientEvent> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
