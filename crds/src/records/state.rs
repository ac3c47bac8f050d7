//! Snapshots of the aggregation, from which a replica starts instead of folding all deltas again.
//!
//! The topic is compacted. Keys are texts: `position`, `meta` with its parts `meta/<part>`, and for each live window
//! `total/<size>/<start>` and `values/<size>/<start>/<dimension>/<chunk>` (size in seconds, or `all`). Values are one byte
//! of version, then the struct in [postcard](https://postcard.jamesmunns.com/wire-format)'s format.

mod parts;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::parts::{Head, MetaRecords, Part};
use super::aggregate::Span;
use crate::pipeline::{Dimension, Duration, Window};

/// The version that this release writes, and reads.
pub const VERSION: u8 = 1;

/// Largest size of the values in a record, in bytes.
pub const MAX_CHUNK_BYTES: usize = 512 * 1024;

/// Where emission stands. It is written with every emission, and used if the group's offset is gone.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Offset of the next delta to fold.
    pub offset: i64,
}

/// All of a fold but its windows. Its records are the last of a snapshot: what they say holds once they are there.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Offset of the next delta to fold.
    pub offset: i64,
    /// Rules by config revision, as JSON, ascending.
    pub rules: Vec<(u64, String)>,
    /// The revisions that governed, oldest first. The first entry is no change; the last one governs, and is the
    /// highest revision seen.
    pub changes: Vec<Change>,
    /// Number of partitions of the source.
    pub source_partitions: u32,
    /// Number of partitions of the source when the first delta was written.
    pub first_partitions: u32,
    /// Every source partition that a delta named, ascending.
    pub partitions: Vec<Partition>,
    /// Every event before this instant, in Unix seconds, counts as seen. Windows that end at it or before it are
    /// closed.
    pub frontier: Option<i64>,
    /// Windows that end at this instant or before it, in Unix seconds, are evicted.
    pub horizon: Option<i64>,
    /// The highest effective watermark so far, in Unix seconds.
    pub highest: Option<i64>,
    /// While all partitions are idle: the highest watermark when that began, in Unix seconds, and the earliest instant
    /// at which one of them was found idle then, in Unix milliseconds.
    pub all_idle: Option<(i64, i64)>,
    /// No event seen so far is later than this instant, in Unix seconds.
    pub latest: Option<i64>,
    /// The start of the first window of each size, seconds.
    pub first_windows: Vec<(i64, i64)>,
    /// Transactions with chunks that have not come yet.
    pub pending: Vec<Pending>,
}

/// The moment from which a revision governs.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The revision.
    pub revision: u64,
    /// No event that was seen before, or that replicas with an older revision process afterwards, is later than this
    /// instant, in Unix seconds.
    pub latest: Option<i64>,
    /// The frontier at that moment, in Unix seconds.
    pub frontier: Option<i64>,
}

/// State of a source partition.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// Number of the partition.
    pub partition: i32,
    /// The first offset that was processed.
    pub first: i64,
    /// The next offset.
    pub to: i64,
    /// Watermark in Unix seconds.
    pub watermark: Option<i64>,
    /// The watermark that counts, in Unix seconds: while the partition is idle it is higher than `watermark`.
    pub effective: Option<i64>,
    /// When the partition was last found idle, in Unix milliseconds; absent since it has moved on.
    pub idle: Option<i64>,
    /// The rules by which its offsets were processed, oldest first.
    pub runs: Vec<Run>,
}

/// The offset from which on events of a source partition were processed and counted by the same revisions.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// The first offset.
    pub from: i64,
    /// The revision by whose rules stage 1 processed them.
    pub revision: u64,
    /// The revision that governed when they were counted.
    pub governing: u64,
}

/// A transaction with chunks that have not come yet.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Transactional id of the producer.
    pub producer: String,
    /// Number of the transaction of that producer.
    pub sequence: u64,
    /// Number of the chunk that comes next.
    pub next: u32,
    /// Number of chunks of the transaction.
    pub chunks: u32,
    /// The revision that governed when the transaction began. All of its chunks are counted by that.
    pub governing: u64,
}

/// State of a window, but for the values of dimensions.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// The offset of the delta that last changed the window.
    pub modified: i64,
    /// Number of events.
    pub count: u64,
    /// Number of late events among them.
    pub late: u64,
    /// Number of events that came too late to be added to `count`.
    pub unmerged: u64,
    /// HyperLogLog sketch of the users, in Apache DataSketches' binary format.
    pub sketch: Option<Vec<u8>>,
    /// Whether the window is closed.
    pub is_final: bool,
    /// How often the window was changed after it was closed.
    pub revision: u64,
    /// Number of events of the window before, if that is evicted by now; absent if it was evicted before this one
    /// began.
    pub previous: Option<u64>,
}

/// A chunk of the values of a dimension in a window.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Number of chunks. Records of higher chunks are left over from a larger state.
    pub chunks: u32,
    /// Number of events with any value.
    pub total: u64,
    /// The revision that governed when there were more values than are kept for the first time.
    pub truncated: Option<u64>,
    /// Values and counts of this chunk.
    pub values: Vec<(String, u64)>,
}

/// Key of a record of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// [`Position`].
    Position,
    /// [`Head`].
    Meta,
    /// [`Part`], with its number.
    MetaPart(u32),
    /// [`Total`].
    Total(Span),
    /// [`Values`], with the number of the chunk.
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
            Self::MetaPart(number) => format!("meta/{number}"),
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
                size => Window::Finite(Duration::from_secs(size.parse().ok().filter(|size| *size > 0)?)),
            };
            Some(Span::of(window, start.parse().ok()?))
        };
        let dimension = |name: &str| Dimension::ALL.into_iter().find(|dimension| dimension.name() == name);
        let parts: Vec<&str> = text.split('/').collect();
        let decoded = match parts[..] {
            ["position"] => Some(Self::Position),
            ["meta"] => Some(Self::Meta),
            ["meta", number] => number.parse().ok().map(Self::MetaPart),
            ["total", size, start] => span(size, start).map(Self::Total),
            ["values", size, start, name, chunk] => span(size, start)
                .zip(dimension(name))
                .and_then(|(span, dimension)| Some(Self::Values(span, dimension, chunk.parse().ok()?))),
            _ => None,
        };
        // One way to write a key, so that no two texts name one record.
        decoded.filter(|decoded| decoded.encode() == text).ok_or_else(foreign)
    }
}

/// Why a record is not of a snapshot that this release reads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum StateError {
    /// A key that no release wrote.
    #[error("{0:?} is no key of a snapshot")]
    Key(String),
    /// There are no bytes.
    #[error("a record without bytes")]
    Empty,
    /// The version is one that this release does not read.
    #[error("a record of version {0}, this processor reads version {VERSION}")]
    Version(u8),
    /// Bytes that are no record.
    #[error("not a record of a snapshot: {0}")]
    Shape(#[from] postcard::Error),
    /// A part of `meta` is missing, or belongs to another snapshot.
    #[error(
        "part {part} of {parts} of meta is missing: the topic must be compacted, and nothing else may be deleted from it"
    )]
    Part {
        /// The number of the part, from 0.
        part: u32,
        /// Number of parts.
        parts: u32,
    },
    /// There are bytes after the end.
    #[error("a record with {0} bytes behind its end")]
    Trailing(usize),
}

/// The value of a record.
///
/// # Errors
/// Never for a value in memory; the type says so for the sake of the encoder.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StateError> {
    Ok(postcard::to_extend(value, vec![VERSION])?)
}

/// Reads a record's value.
///
/// # Errors
/// When the bytes are not such a record, or are one of another version.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> Meta {
        Meta {
            offset: 4711,
            rules: vec![(1, "{}".to_owned()), (3, r#"{"alerts":[]}"#.to_owned())],
            changes: vec![
                Change { revision: 1, latest: None, frontier: None },
                Change { revision: 3, latest: Some(1_720_576_825), frontier: Some(1_720_576_700) },
            ],
            source_partitions: 8,
            first_partitions: 6,
            partitions: vec![Partition {
                partition: 5,
                first: 7,
                to: 250,
                watermark: Some(1_720_576_795),
                effective: Some(1_720_576_800),
                idle: Some(1_720_576_900_000),
                runs: vec![Run { from: 7, revision: 1, governing: 1 }, Run { from: 100, revision: 1, governing: 3 }],
            }],
            frontier: Some(1_720_576_700),
            horizon: Some(1_720_486_700),
            highest: Some(1_720_576_800),
            all_idle: Some((1_720_576_800, 1_720_576_900_000)),
            latest: Some(1_720_576_830),
            first_windows: vec![(60, 1_720_490_400), (3600, 1_720_490_400)],
            pending: vec![Pending {
                producer: "kafka.logins.ingest.logins-0.0".to_owned(),
                sequence: 1_720_576_825_123,
                next: 1,
                chunks: 3,
                governing: 3,
            }],
        }
    }

    fn total() -> Total {
        Total {
            modified: 4710,
            count: 148,
            late: 3,
            unmerged: 1,
            sketch: Some(vec![2, 1, 7, 12, 3, 8, 0, 0]),
            is_final: true,
            revision: 2,
            previous: Some(120),
        }
    }

    fn values() -> Values {
        let values = vec![("RI".to_owned(), 100), ("_missing".to_owned(), 48)];
        Values { chunks: 2, total: 150, truncated: Some(3), values }
    }

    fn minute() -> Span {
        Span::of(Window::Finite(Duration::from_secs(60)), 1_720_576_825)
    }

    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(golden: &[u8], value: &T) {
        assert_eq!(encode(value).unwrap(), golden);
        assert_eq!(decode::<T>(golden).as_ref(), Ok(value));
        // Cut anywhere or continued, it is no record.
        for length in 1..golden.len() {
            assert!(decode::<T>(&golden[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(decode::<T>(&[golden, &[0]].concat()), Err(StateError::Trailing(1)));
    }

    #[test]
    fn the_golden_files_are_what_is_written_and_read() {
        check(include_bytes!("../../tests/golden/state-meta.v1.bin"), &meta());
        check(include_bytes!("../../tests/golden/state-head.v1.bin"), &Head { offset: 4711, parts: 3 });
        check(include_bytes!("../../tests/golden/state-part.v1.bin"), &Part { offset: 4711, bytes: vec![1, 2] });
        check(include_bytes!("../../tests/golden/state-total.v1.bin"), &total());
        check(include_bytes!("../../tests/golden/state-values.v1.bin"), &values());
        check(include_bytes!("../../tests/golden/state-position.v1.bin"), &Position { offset: 4711 });

        let all = Span::of(Window::All, 0);
        let keys = [
            Key::Position,
            Key::Meta,
            Key::MetaPart(3),
            Key::Total(minute()),
            Key::Total(all),
            Key::Values(minute(), Dimension::Locale, 0),
            Key::Values(all, Dimension::AppVersion, 12),
        ];
        let golden = include_str!("../../tests/golden/state-keys.v1.txt");
        assert_eq!(keys.map(Key::encode).join("\n"), golden.trim_end());
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        assert_eq!(decode::<Position>(&[]), Err(StateError::Empty));
        assert_eq!(decode::<Position>(&[2, 0]), Err(StateError::Version(2)));

        for key in [
            "",
            "positions",
            "position/",
            "meta/",
            "meta/01",
            "meta/-1",
            "total",
            "total/60",
            "total/60/0/0",
            "total/60/0x10",
            "total/060/0",
            "total/60/+60",
            "total/60/61",
            "total/0/0",
            "total/-60/0",
            "total/1m/0",
            "total/all/60",
            "values/60/0",
            "values/60/0/user_id/0",
            "values/60/0/locale/-1",
            "values/60/0/locale/00",
            "values/60/0/locale/0/0",
        ] {
            assert_eq!(Key::decode(key.as_bytes()), Err(StateError::Key(key.to_owned())));
        }
        assert!(Key::decode(b"meta\xff").is_err());
    }

    fn key() -> impl Strategy<Value = Key> {
        let time = prop_oneof![0..10_000_i64, 0..253_402_300_800_i64];
        let span = (prop::option::of(1..10_000_000_u64), time).prop_map(|(size, time)| {
            Span::of(size.map_or(Window::All, |size| Window::Finite(Duration::from_secs(size))), time)
        });
        (0..5, span, prop::sample::select(Dimension::ALL.to_vec()), any::<u32>()).prop_map(
            |(kind, span, dimension, chunk)| match kind {
                0 => Key::Position,
                1 => Key::Meta,
                2 => Key::Total(span),
                3 => Key::MetaPart(chunk),
                _ => Key::Values(span, dimension, chunk),
            },
        )
    }

    prop_compose! {
        fn any_total()(
            (modified, count, late, unmerged) in any::<(i64, u64, u64, u64)>(),
            (sketch, is_final, revision, previous) in any::<(Option<Vec<u8>>, bool, u64, Option<u64>)>(),
        ) -> Total {
            Total { modified, count, late, unmerged, sketch, is_final, revision, previous }
        }
    }

    prop_compose! {
        fn any_values()(
            (chunks, total, truncated, values) in any::<(u32, u64, Option<u64>, Vec<(String, u64)>)>(),
        ) -> Values {
            Values { chunks, total, truncated, values }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(offset: i64, total in any_total(), values in any_values()) {
            let position = Position { offset };
            prop_assert_eq!(decode(&encode(&position).unwrap()), Ok(position));
            let meta = Meta { offset, ..meta() };
            prop_assert_eq!(decode(&encode(&meta).unwrap()), Ok(meta));
            prop_assert_eq!(decode(&encode(&total).unwrap()), Ok(total));
            prop_assert_eq!(decode(&encode(&values).unwrap()), Ok(values));
        }

        #[test]
        fn a_key_reads_back_and_names_one_record(one in key(), other in key()) {
            prop_assert_eq!(Key::decode(one.encode().as_bytes()), Ok(one));
            prop_assert_eq!(one.encode() == other.encode(), one == other);
        }

        /// What is read is what would be written: no two keys name one record.
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "(total|values)/([0-9+]{1,3}|all)/[-0-9]{1,4}(/locale/[0-9+]{1,2})?") {
            drop(decode::<Meta>(&bytes));
            drop(decode::<Values>(&bytes));
            drop(Key::decode(&bytes));
            if let Ok(key) = Key::decode(text.as_bytes()) {
                prop_assert_eq!(key.encode(), text);
            }
        }
    }
}
