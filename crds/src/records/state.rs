//! Snapshots of the aggregation: what a replica that starts needs, so that it need not fold all deltas anew.
//!
//! The topic is compacted. Keys are texts: `position`, `meta`, and for each live window `total/<size>/<start>` and
//! `values/<size>/<start>/<dimension>/<chunk>` (size in seconds, or `all`). Values are one byte of version, then the struct
//! in [postcard](https://postcard.jamesmunns.com/wire-format)'s format.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::aggregate::Span;
use crate::pipeline::{Dimension, Window};

/// The version that this release writes, and reads.
pub const VERSION: u8 = 1;

/// Bytes that a record's values do not exceed.
pub const MAX_CHUNK_BYTES: usize = 512 * 1024;

/// Where emission stands; written with every emission, and used where the group's offset is gone.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The next delta to fold.
    pub offset: i64,
}

/// All of a fold but its windows. The last record of a snapshot: what it says holds once it is there.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The next delta to fold.
    pub offset: i64,
    /// Rules by config revision, as JSON, ascending.
    pub rules: Vec<(u64, String)>,
    /// Which revisions governed, oldest first; the first is no change, and the last governs: it is the highest seen.
    pub changes: Vec<Change>,
    /// Partitions of the source.
    pub source_partitions: u32,
    /// Partitions of the source when the first delta was written.
    pub first_partitions: u32,
    /// Every source partition that a delta named, ascending.
    pub partitions: Vec<Partition>,
    /// Every event before it, Unix seconds, counts as seen; windows that end here or before are closed.
    pub frontier: Option<i64>,
    /// Windows that end here or before are evicted, Unix seconds.
    pub horizon: Option<i64>,
    /// The highest effective watermark there was, Unix seconds.
    pub highest: Option<i64>,
    /// While all partitions are idle: the highest watermark when that began, Unix seconds, and the earliest of their idle
    /// instants then, Unix milliseconds.
    pub all_idle: Option<(i64, i64)>,
    /// The latest event time seen, Unix seconds.
    pub latest: Option<i64>,
    /// The start of the first window of each size, seconds.
    pub first_windows: Vec<(i64, i64)>,
    /// Transactions of which chunks are still to come.
    pub pending: Vec<Pending>,
}

/// A revision began to govern.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub revision: u64,
    /// The latest event time seen before, Unix seconds.
    pub latest: Option<i64>,
    /// The frontier then, Unix seconds.
    pub frontier: Option<i64>,
}

/// What is known of a source partition.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Which.
    pub partition: i32,
    /// The first offset that was taken.
    pub first: i64,
    /// The next offset.
    pub to: i64,
    /// Its watermark, Unix seconds.
    pub watermark: Option<i64>,
    /// What counts as its watermark: higher while it is idle.
    pub effective: Option<i64>,
    /// The last time it was found idle, Unix milliseconds; none since it has moved on.
    pub idle: Option<i64>,
    /// By which rules its offsets were processed, oldest first.
    pub runs: Vec<Run>,
}

/// From here on, events of a source partition were processed and counted alike.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The first offset.
    pub from: i64,
    /// The revision by whose rules stage 1 processed them.
    pub revision: u64,
    /// The revision that governed when they were counted.
    pub governing: u64,
}

/// A transaction of which chunks are still to come.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Its producer.
    pub producer: String,
    /// Which transaction of that producer.
    pub sequence: u64,
    /// The chunk that comes next.
    pub next: u32,
    /// How many it has.
    pub chunks: u32,
    /// The revision that governed when it began: all of it is counted by that.
    pub governing: u64,
}

/// All events of a window.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// The offset of the delta that last changed the window.
    pub modified: i64,
    /// Events.
    pub count: u64,
    /// Of these, late ones.
    pub late: u64,
    /// Events that were too old to be merged.
    pub unmerged: u64,
    /// HyperLogLog sketch of the users, in Apache DataSketches' binary format.
    pub sketch: Option<Vec<u8>>,
    /// Whether it is closed.
    pub is_final: bool,
    /// How often it was changed after that.
    pub revision: u64,
    /// Events of the window before, where that is not live any more; none where it was evicted before this one began.
    pub previous: Option<u64>,
}

/// A part of the values of a dimension in a window.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// How many chunks there are; others are of an older, larger state.
    pub chunks: u32,
    /// Events with any value.
    pub total: u64,
    /// The revision that governed when there were first more values than are kept.
    pub truncated: Option<u64>,
    /// Values and counts of this chunk.
    pub values: Vec<(String, u64)>,
}

/// Which record of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// [`Position`].
    Position,
    /// [`Meta`].
    Meta,
    /// [`Total`].
    Total(Span),
    /// [`Values`], and which chunk.
    Values(Span, Dimension, u32),
}

impl Key {
    /// The record's key.
    #[must_use]
    pub fn encode(self) -> String {
        let span = |span: Span| match span.window {
            Window::Finite(size) => format!("{}/{}", size.as_secs(), span.start),
            Window::All => "all/0".to_owned(),
        };
        match self {
            Self::Position => "position".to_owned(),
            Self::Meta => "meta".to_owned(),
            Self::Total(of) => format!("total/{}", span(of)),
            Self::Values(of, dimension, chunk) => format!("values/{}/{}/{chunk}", span(of), dimension.name()),
        }
    }

    /// Reads a record's key.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn decode(key: &[u8]) -> Result<Self, StateError> {
        let foreign = || StateError::Key(String::from_utf8_lossy(key).into_owned());
        let text = std::str::from_utf8(key).map_err(|_| foreign())?;
        let span = |size: &str, start: &str| {
            let window = match size {
                "all" => Window::All,
                size => Window::Finite(crate::pipeline::Duration::from_secs(size.parse().ok()?)),
            };
            Some(Span { window, start: start.parse().ok()? })
        };
        let dimension = |name: &str| Dimension::ALL.into_iter().find(|dimension| dimension.name() == name);
        let parts: Vec<&str> = text.split('/').collect();
        let decoded = match parts[..] {
            ["position"] => Some(Self::Position),
            ["meta"] => Some(Self::Meta),
            ["total", size, start] => span(size, start).map(Self::Total),
            ["values", size, start, name, chunk] => span(size, start)
                .zip(dimension(name))
                .and_then(|(span, dimension)| Some(Self::Values(span, dimension, chunk.parse().ok()?))),
            _ => None,
        };
        decoded.ok_or_else(foreign)
    }
}

/// Why a record is not of a snapshot that this release reads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StateError {
    /// A key that no release wrote.
    #[error("{0:?} is no key of a snapshot")]
    Key(String),
    /// No bytes at all.
    #[error("a record without bytes")]
    Empty,
    /// Of a version that this release does not read.
    #[error("a record of version {0}, this processor reads version {VERSION}")]
    Version(u8),
    /// Bytes that are no record.
    #[error("not a record of a snapshot: {0}")]
    Shape(#[from] postcard::Error),
    /// Bytes behind the end.
    #[error("a record with {0} bytes behind its end")]
    Trailing(usize),
}

/// The bytes to write.
///
/// # Errors
/// Never for a value in memory; the type says so for the sake of the encoder.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StateError> {
    Ok(postcard::to_extend(value, vec![VERSION])?)
}

/// Reads what was written.
///
/// # Errors
/// When the bytes are something else, or of a later release.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StateError> {
    match bytes {
        [] => Err(StateError::Empty),
        [VERSION, rest @ ..] => match postcard::take_from_bytes(rest)? {
            (value, []) => Ok(value),
            (_, trailing) => Err(StateError::Trailing(trailing.len())),
        },
        [version, ..] => Err(StateError::Version(*version)),
    }
}
