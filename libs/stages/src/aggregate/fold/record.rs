//! Records to write, by topic.

use crds::records::aggregate::{self, Alert};
use serde::Serialize;

/// A record for a compacted topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultRecord {
    /// The key by which the topic is compacted.
    pub key: String,
    /// None for a tombstone.
    pub value: Option<Vec<u8>>,
}

impl ResultRecord {
    pub(super) fn json(key: String, value: &impl Serialize) -> Self {
        // Structs of numbers, texts and lists always serialize.
        Self { key, value: Some(aggregate::encode(value).unwrap_or_default()) }
    }
}

/// Records to emit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Aggregates, and tombstones for those that are no longer kept.
    pub aggregates: Vec<ResultRecord>,
    /// The insights of windows that closed or changed afterwards.
    pub insights: Vec<ResultRecord>,
    /// The alerts that fired.
    pub alerts: Vec<ResultRecord>,
}

impl Results {
    /// The number of records of all topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aggregates.len() + self.insights.len() + self.alerts.len()
    }

    /// Whether there is no record for any topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn alert(&mut self, alert: &Alert) {
        self.alerts.push(ResultRecord::json(alert.key(), alert));
    }
}
