//! What a topic of a pipeline is for.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a topic is for.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Login events.
    Source,
    /// Valid events, enriched.
    Output,
    /// Events that failed validation.
    DeadLetters,
    /// What each transaction of stage 1 adds to the aggregates.
    Deltas,
    /// Counts by window, dimension and value.
    Aggregates,
    /// A summary of each closed window.
    Insights,
    /// Anomalies.
    Alerts,
    /// Snapshots of the aggregation's state.
    State,
    /// The ledger of replayed dead letters.
    Replays,
}

impl Role {
    /// Every role, outputs before the source: the order in which topics are made and grown.
    pub const ALL: [Self; 9] = [
        Self::Output,
        Self::DeadLetters,
        Self::Deltas,
        Self::Aggregates,
        Self::Insights,
        Self::Alerts,
        Self::State,
        Self::Replays,
        Self::Source,
    ];

    /// Whether the topic has one partition, whatever the source has: the order of its records must be total.
    #[must_use]
    pub const fn is_single(self) -> bool {
        !matches!(self, Self::Source | Self::Output | Self::DeadLetters)
    }

    /// The role's part of a Kubernetes object's name.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Output => "output",
            Self::DeadLetters => "dead-letters",
            Self::Deltas => "deltas",
            Self::Aggregates => "aggregates",
            Self::Insights => "insights",
            Self::Alerts => "alerts",
            Self::State => "state",
            Self::Replays => "replays",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}
