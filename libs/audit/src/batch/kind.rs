//! The kinds of results.

use serde::Serialize;

/// Which results.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Counts.
    Aggregates,
    /// What is worth knowing of closed windows.
    Insights,
    /// Anomalies.
    Alerts,
}

impl Kind {
    /// All three, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::Aggregates, Self::Insights, Self::Alerts];

    /// The word for one of them.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aggregates => "aggregate",
            Self::Insights => "insight",
            Self::Alerts => "alert",
        }
    }
}
