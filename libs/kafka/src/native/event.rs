//! What librdkafka tells between messages, and where callbacks leave it.

use std::sync::{Mutex, PoisonError, atomic::AtomicBool};

use super::group::GroupMetadata;
use crate::trouble::Trouble;

/// What librdkafka tells between messages.
#[derive(Debug)]
pub enum Event {
    /// Partitions come or go. [`consumer::Consumer::assign`] or [`consumer::Consumer::unassign`] must answer.
    Rebalance(Rebalance),
    /// Something went wrong that librdkafka mends by itself, such as a broker that is away.
    Trouble {
        /// Whether no broker at all is reachable.
        all_brokers_down: bool,
        /// librdkafka's words; where no broker is reachable, those that it had for the last one.
        message: String,
    },
    /// Statistics, as JSON.
    Statistics(String),
}

/// A change of the assignment that librdkafka asks for.
#[derive(Debug)]
pub enum Rebalance {
    /// These partitions come.
    Assign {
        /// Partition numbers; it may be none.
        partitions: Vec<i32>,
        /// The membership that a transaction proves.
        group: Option<GroupMetadata>,
    },
    /// These partitions go.
    Revoke {
        /// Partition numbers; it may be none.
        partitions: Vec<i32>,
        /// The membership that a transaction proves.
        group: Option<GroupMetadata>,
        /// Whether somebody else may own them already.
        lost: bool,
    },
}

/// Where callbacks leave what they have seen.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: Mutex<Vec<Event>>,
    pub(super) trouble: Trouble,
    /// Nobody reads the events any more.
    pub(super) closing: AtomicBool,
}

impl Inbox {
    pub(super) fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
