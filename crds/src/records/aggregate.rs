//! What the aggregation writes for others to read: aggregates, insights and alerts, as JSON. A record's key names what
//! it is about, so that the last record of a key is its last revision.

use std::collections::BTreeMap;

use jiff::{
    SignedDuration,
    civil::{DateTime, datetime},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeOwned},
};

pub use crate::pipeline::OTHER;
use crate::pipeline::{Dimension, Window};

/// The version that this release writes, and reads.
pub const VERSION: u32 = 1;

/// The dimension of a count of all events of a window.
pub const ALL: &str = "_all";

/// Why bytes are not a record that this release reads.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not JSON of the expected shape.
    #[error("not a record of results: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of a version that this release does not read.
    #[error("a record of results has version {0}, this processor reads version {VERSION}")]
    Version(u64),
}

/// The value of a record: of one of [`Aggregate`], [`Insight`] and [`Alert`].
///
/// # Errors
/// Never for a value in memory; the type says so for the sake of the encoder.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, ResultError> {
    Ok(serde_json::to_vec(value)?)
}

/// Reads a record. Unknown fields are ignored, as any reader of results may ignore them.
///
/// # Errors
/// When the bytes are not such a record, or are one of another version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ResultError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u64,
    }
    // The version first: a later format may have another shape.
    match serde_json::from_slice(bytes)? {
        Versioned { v } if v == u64::from(VERSION) => Ok(serde_json::from_slice(bytes)?),
        Versioned { v } => Err(ResultError::Version(v)),
    }
}

/// A window of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Size of the window.
    pub window: Window,
    /// Start of the window in Unix seconds; 0 for [`Window::All`], which has no start.
    pub start: i64,
}

impl Span {
    /// The window of this size that holds an instant.
    #[must_use]
    pub fn of(window: Window, time: i64) -> Self {
        let start = match window {
            Window::Finite(size) => time - time.rem_euclid(size.as_secs().max(1)),
            Window::All => 0,
        };
        Self { window, start }
    }

    /// The first second that is not in it; none for [`Window::All`].
    #[must_use]
    pub fn end(self) -> Option<i64> {
        match self.window {
            Window::Finite(size) => Some(self.start.saturating_add(size.as_secs())),
            Window::All => None,
        }
    }

    /// The window before, of the same size; none for [`Window::All`].
    #[must_use]
    pub fn previous(self) -> Option<Self> {
        match self.window {
            Window::Finite(size) => Some(Self { start: self.start.saturating_sub(size.as_secs()), ..self }),
            Window::All => None,
        }
    }

    /// The window after, of the same size; none for [`Window::All`].
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.end().map(|start| Self { start, ..self })
    }

    /// `1m/2024-07-10T02:00:00Z`, or `all`.
    #[must_use]
    pub fn key(self) -> String {
        match self.window {
            Window::Finite(size) => format!("{size}/{}", utc(self.start)),
            Window::All => "all".to_owned(),
        }
    }
}

const EPOCH: DateTime = datetime(1970, 1, 1, 0, 0, 0, 0);

/// No event is later. Only the end of a window that holds it is, and is written as this second.
const LAST_SECOND: DateTime = datetime(9999, 12, 31, 23, 59, 59, 0);

/// Unix seconds as RFC 3339 in UTC.
fn utc(seconds: i64) -> String {
    let time = EPOCH.saturating_add(SignedDuration::from_secs(seconds)).min(LAST_SECOND);
    format!("{time}Z")
}

fn unix_seconds(text: &str) -> Option<i64> {
    let time: DateTime = text.strip_suffix('Z')?.parse().ok()?;
    Some(time.duration_since(EPOCH).as_secs())
}

/// On the wire `window`, and for a finite one `start` and `end`, RFC 3339 in UTC.
#[derive(Serialize, Deserialize, PartialEq)]
struct SpanWire {
    window: Window,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

impl From<Span> for SpanWire {
    fn from(span: Span) -> Self {
        let end = span.end();
        Self { window: span.window, start: end.map(|_| utc(span.start)), end: end.map(utc) }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SpanWire::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = SpanWire::deserialize(deserializer)?;
        let span = Self::of(wire.window, wire.start.as_deref().and_then(unix_seconds).unwrap_or_default());
        // One way to write a window, so that no two texts mean the same.
        if wire == span.into() { Ok(span) } else { Err(de::Error::custom("start and end do not fit the window")) }
    }
}

/// One count of a window: of all its events, or of those with one value of a dimension.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Version of the format: [`VERSION`].
    pub v: u32,
    /// The window.
    #[serde(flatten)]
    pub span: Span,
    /// What is counted.
    #[serde(flatten)]
    pub of: Counted,
    /// Number of events.
    pub count: u64,
    /// Number of late events among them; only for all events of a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<u64>,
    /// Number of events of the window that came too late to be added to `count`; only for all events of a finite
    /// window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmerged: Option<u64>,
    /// Estimated number of different users, with a standard error of 1.6 %; only for all events of a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_users: Option<u64>,
    /// Whether the window is closed. Events that come later raise the revision.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// How often the window was changed after it had been closed.
    pub revision: u64,
    /// Whether counting began or ended within the window because the config changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
    /// Offset of the delta that brought these events after the state of their window had been evicted. Such a record
    /// adds to the window's other records: its `count`, `late` and `unmerged` are in none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted_at: Option<i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What an aggregate counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// All events of the window.
    All,
    /// Events with this value of the dimension; [`super::delta::MISSING`] stands for events without one, [`OTHER`] for
    /// the values that are not kept.
    Value(Dimension, String),
}

/// On the wire `dimension` and, where it is not `_all`, `value`.
#[derive(Serialize, Deserialize)]
struct CountedWire {
    dimension: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match self {
            Self::All => CountedWire { dimension: ALL.to_owned(), value: None },
            Self::Value(dimension, value) => {
                CountedWire { dimension: dimension.name().to_owned(), value: Some(value.clone()) }
            }
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let CountedWire { dimension, value } = CountedWire::deserialize(deserializer)?;
        match value {
            None if dimension == ALL => Ok(Self::All),
            None => Err(de::Error::missing_field("value")),
            Some(value) => {
                let dimension = Dimension::deserialize(de::value::StrDeserializer::<D::Error>::new(&dimension))?;
                Ok(Self::Value(dimension, value))
            }
        }
    }
}

impl Aggregate {
    /// The record's key: `1m/2024-07-10T02:00:00Z/locale/RI`, `all/_all`; of evicted windows with `evicted/<offset>/`
    /// before.
    #[must_use]
    pub fn key(&self) -> String {
        aggregate_key(self.span, &self.of, self.evicted_at)
    }
}

/// The key of an aggregate, and of the tombstone of one that is no longer kept.
#[must_use]
pub fn aggregate_key(span: Span, of: &Counted, evicted_at: Option<i64>) -> String {
    let prefix = evicted_at.map(|offset| format!("evicted/{offset}/")).unwrap_or_default();
    match of {
        Counted::All => format!("{prefix}{}/{ALL}", span.key()),
        Counted::Value(dimension, value) => format!("{prefix}{}/{}/{value}", span.key(), dimension.name()),
    }
}

/// A summary of a closed window.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Insight {
    /// Version of the format: [`VERSION`].
    pub v: u32,
    /// The window.
    #[serde(flatten)]
    pub span: Span,
    /// Number of events.
    pub count: u64,
    /// Number of late events among them.
    pub late: u64,
    /// Number of events of the window that came too late to be added to `count`.
    pub unmerged: u64,
    /// Estimated number of different users; absent where they are not estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_users: Option<u64>,
    /// Number of events of the window before; absent if that window was evicted before this one began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// (count − previous) / previous, rounded to four places; absent without a previous count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<f64>,
    /// The values of each dimension.
    pub dimensions: BTreeMap<Dimension, DimensionInsight>,
    /// How often the window was changed after it had been closed.
    pub revision: u64,
    /// Whether counting began or ended within the window because the config changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

impl Insight {
    /// The record's key: `1m/2024-07-10T02:00:00Z`.
    #[must_use]
    pub fn key(&self) -> String {
        self.span.key()
    }
}

/// The values of a dimension in a window. `_missing` is one of them; `_other` is none. Ties are resolved by value: the
/// lexicographically first counts as most frequent, and as least frequent.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct DimensionInsight {
    /// The most frequent value.
    pub most: Frequency,
    /// The least frequent value that occurred.
    pub least: Frequency,
    /// How many values are kept.
    pub values: u64,
    /// Whether there are more values than are kept.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
    /// Whether the count began or ended within the window, by a change of the config.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// How frequent a value is.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Frequency {
    /// The value.
    pub value: String,
    /// Events with it.
    pub count: u64,
    /// Its share of the dimension's events, rounded to four places.
    pub share: f64,
}

/// Rounds to four places: shares and changes.
#[must_use]
pub fn rounded(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 10_000.0
}

/// An anomaly.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Alert {
    /// Version of the format: [`VERSION`].
    pub v: u32,
    /// The alert's name in the pipeline's spec.
    pub name: String,
    /// The window.
    #[serde(flatten)]
    pub span: Span,
    /// What is counted.
    #[serde(flatten)]
    pub of: Counted,
    /// The count when it fired.
    pub count: u64,
    /// Why the alert fired.
    #[serde(flatten)]
    pub cause: Cause,
}

/// Why an alert fired.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Cause {
    /// The count became larger than the threshold.
    Above {
        /// The threshold.
        threshold: u64,
    },
    /// The count is far from the mean of the windows before.
    Deviation {
        /// Their mean, rounded to four places.
        mean: f64,
        /// Their standard deviation, at least 1, rounded to four places.
        sigma: f64,
        /// How many standard deviations are allowed.
        allowed: f64,
    },
}

impl Alert {
    /// The record's key: `<name>/` and the key of the aggregate.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.name, aggregate_key(self.span, &self.of, None))
    }
}

#[cfg(test)]
mod tests;
