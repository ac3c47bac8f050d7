//! The kinds of results.

use serde::Serialize;

#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Counts.
    Aggregates,
    Insights,
    /// Anomalies.
    Alerts,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Aggregates, Self::Insights, Self::Alerts];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggregates => "aggregate",
            Self::Insights => "insight",
            Self::Alerts => "alert",
        }
    }
}
