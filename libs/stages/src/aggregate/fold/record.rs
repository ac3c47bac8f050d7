//! Records to write, by topic.

use crds::records::aggregate::{self, Alert};
use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultRecord {
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
    pub insights: Vec<ResultRecord>,
    pub alerts: Vec<ResultRecord>,
}

impl Results {
    #[must_use]
    pub fn len(&self) -> usize {
        self.aggregates.len() + self.insights.len() + self.alerts.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn alert(&mut self, alert: &Alert) {
        self.alerts.push(ResultRecord::json(alert.key(), alert));
    }
}
