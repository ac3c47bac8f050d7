//! Records to write, by topic.

use crds::records::aggregate::{self, Alert};
use serde::Serialize;

/// A record to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its value; none for a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Record {
    pub(super) fn json(key: String, value: &impl Serialize) -> Self {
        // Structs of numbers, texts and lists always serialize.
        Self { key, value: Some(aggregate::encode(value).unwrap_or_default()) }
    }
}

/// What is to be emitted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Aggregates; tombstones for those that are not kept any more.
    pub aggregates: Vec<Record>,
    /// Insights.
    pub insights: Vec<Record>,
    /// Alerts.
    pub alerts: Vec<Record>,
}

impl Results {
    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aggregates.len() + self.insights.len() + self.alerts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn alert(&mut self, alert: &Alert) {
        self.alerts.push(Record::json(alert.key(), alert));
    }
}
