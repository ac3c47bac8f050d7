//! The headers of a dead letter. Its key, value and other headers are the source record's own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why the event is a dead letter: a [`Reason`]'s text.
pub const REASON: &str = "lp-reason";
/// A sentence for people, without personal data.
pub const DETAIL: &str = "lp-detail";
/// Topic of the source record.
pub const SOURCE_TOPIC: &str = "lp-source-topic";
/// Partition of the source record, decimal.
pub const SOURCE_PARTITION: &str = "lp-source-partition";
/// Offset of the source record, decimal.
pub const SOURCE_OFFSET: &str = "lp-source-offset";
/// Kafka timestamp of the source record, Unix milliseconds, decimal; -1 when it has none.
pub const SOURCE_TIMESTAMP: &str = "lp-source-timestamp";
/// Present where the record did not fit: `value`, or `record` when key and headers had to go too.
pub const TRUNCATED: &str = "lp-truncated";

/// How many bytes are kept of a value that does not fit whole.
pub const TRUNCATED_BYTES: usize = 512 * 1024;

/// Why an event is a dead letter. The list is closed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Not a JSON object in UTF-8 with each key once, no deeper than 64 levels; a tombstone.
    Malformed,
    /// A required field is absent or null.
    MissingField,
    /// A known field of the wrong type or out of range.
    InvalidField,
    /// The event's time is too far beyond its record's Kafka timestamp.
    Future,
    /// The enriched record is larger than the output takes.
    TooLarge,
}

impl Reason {
    /// Every reason, in the order of the declaration.
    pub const ALL: [Self; 5] = [Self::Malformed, Self::MissingField, Self::InvalidField, Self::Future, Self::TooLarge];

    /// The header's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::MissingField => "missing-field",
            Self::InvalidField => "invalid-field",
            Self::Future => "future",
            Self::TooLarge => "too-large",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How deep objects and arrays may be nested, the event itself included. A deeper event is malformed.
pub const MAX_DEPTH: usize = 64;

/// How many bytes of JSON text a known text field may have between its quotes.
pub const MAX_FIELD_BYTES: usize = 256;
