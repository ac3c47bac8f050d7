//! A delta: what one transaction of stage 1 adds to the aggregates, and which source offsets it covers.
//!
//! On the wire: one byte of version, then the struct in [postcard](https://postcard.jamesmunns.com/wire-format)'s
//! format. A delta that would be larger than [`MAX_CHUNK_BYTES`] is split: every chunk carries producer, sequence and
//! its place among the chunks; the panes are spread over them, and only the last carries the offset ranges. A reader
//! that finds a last chunk without all its predecessors knows that something is missing.

use serde::{Deserialize, Serialize};

use crate::pipeline::Dimension;

/// The version that this release writes, and reads.
pub const VERSION: u8 = 1;

/// Largest size of an encoded chunk, in bytes.
pub const MAX_CHUNK_BYTES: usize = 512 * 1024;

/// HyperLogLog sketches have 2^12 registers: a standard error of 1.6 %.
pub const SKETCH_LG_K: u8 = 12;

/// One chunk of what a transaction adds.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Transactional id of the producer.
    pub producer: String,
    /// Number of the transaction of that producer; the same as in the metadata of the committed offsets.
    pub sequence: u64,
    /// Number of this chunk, from 0.
    pub chunk: u32,
    /// Number of chunks of the transaction.
    pub chunks: u32,
    /// The config revision by whose rules the events were processed.
    pub revision: u64,
    /// The rules, as JSON, in a producer's first delta of a config revision.
    pub rules: Option<String>,
    /// Partitions of the source that the producer has seen.
    pub source_partitions: u32,
    /// The source offsets that the transaction covers; in the last chunk only.
    pub ranges: Vec<Range>,
    /// What was counted.
    pub panes: Vec<Pane>,
}

/// The offsets of a source partition that a transaction covers.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The source partition.
    pub partition: i32,
    /// The first offset covered: the `to` of the partition's previous range.
    pub from: i64,
    /// The first offset not covered: the committed offset.
    pub to: i64,
    /// Watermark after the last offset, in Unix seconds.
    pub watermark: Option<i64>,
    /// When the partition was found idle, in Unix milliseconds.
    pub idle: Option<i64>,
    /// Number of events that are not in finite windows, because they are older than watermark and retention allow.
    pub unmerged: u64,
    /// Offsets [a, b) that the source had already deleted when they were to be processed.
    pub lost: Option<(i64, i64)>,
}

/// Counts of one window of the smallest size.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Pane {
    /// Start of the window, Unix seconds.
    pub start: i64,
    /// Whether these events came too late for finite windows: only `all` contains them. They have a pane of their own
    /// beside the window's other events.
    pub unmerged: bool,
    /// All events of the window.
    pub total: Total,
    /// Counts by value for each dimension, in the order of the rules.
    pub dimensions: Vec<(Dimension, Vec<(String, u64)>)>,
}

/// Counts of all events of a window.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Number of events.
    pub count: u64,
    /// Number of late events among them.
    pub late: u64,
    /// HyperLogLog sketch of `user_id` in the binary format of Apache DataSketches, with 2^[`SKETCH_LG_K`] registers;
    /// absent if unique users are not estimated, or no event had a user.
    pub sketch: Option<Vec<u8>>,
}

/// The value of a dimension for events without that field.
pub const MISSING: &str = "_missing";

/// Why bytes are not a delta that this release reads.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeltaError {
    /// There are no bytes.
    #[error("a delta without bytes")]
    Empty,
    /// The version is one that this release does not read.
    #[error("a delta of version {0}, this processor reads version {VERSION}")]
    Version(u8),
    /// Bytes that are no delta.
    #[error("not a delta: {0}")]
    Shape(#[from] postcard::Error),
    /// There are bytes after the end.
    #[error("a delta with {0} bytes behind its end")]
    Trailing(usize),
}

impl Delta {
    /// The value of a record.
    ///
    /// # Errors
    /// Never for a value in memory; the type says so for the sake of the encoder.
    pub fn encode(&self) -> Result<Vec<u8>, DeltaError> {
        Ok(postcard::to_extend(self, vec![VERSION])?)
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// When the bytes are not such a record, or are one of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, DeltaError> {
        match bytes {
            [] => Err(DeltaError::Empty),
            [VERSION, rest @ ..] => match postcard::take_from_bytes(rest)? {
                (delta, []) => Ok(delta),
                (_, trailing) => Err(DeltaError::Trailing(trailing.len())),
            },
            [version, ..] => Err(DeltaError::Version(*version)),
        }
    }

    /// Splits the delta into chunks that each encode to at most [`MAX_CHUNK_BYTES`].
    #[must_use]
    pub fn chunked(mut self) -> Vec<Self> {
        // Fixed parts, ranges and rules fit beside this many bytes of panes: 1024 ranges take under 64 KB.
        const PANES: usize = MAX_CHUNK_BYTES - 128 * 1024;
        let mut chunks: Vec<Vec<Pane>> = vec![Vec::new()];
        let mut size = 0;
        let mut push = |pane: Pane, bytes: usize| {
            if size + bytes > PANES && size > 0 {
                chunks.push(Vec::new());
                size = 0;
            }
            size += bytes;
            if let Some(last) = chunks.last_mut() {
                last.push(pane);
            }
        };
        for pane in std::mem::take(&mut self.panes) {
            for (piece, bytes) in pane.pieces(PANES) {
                push(piece, bytes);
            }
        }
        let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let ranges = std::mem::take(&mut self.ranges);
        let rules = self.rules.take();
        let mut deltas: Vec<Self> =
            (0..).zip(chunks).map(|(chunk, panes)| Self { chunk, chunks: count, panes, ..self.clone() }).collect();
        if let Some(first) = deltas.first_mut() {
            first.rules = rules;
        }
        if let Some(last) = deltas.last_mut() {
            last.ranges = ranges;
        }
        deltas
    }
}

impl Pane {
    /// Parts of the pane that each take at most about `limit` bytes, with an upper bound of their size. The first has
    /// the total, the others only values.
    fn pieces(self, limit: usize) -> Vec<(Self, usize)> {
        const FIXED: usize = 64;
        let sketch = self.total.sketch.as_ref().map_or(0, Vec::len);
        let (start, unmerged) = (self.start, self.unmerged);
        let mut piece = Self { start, unmerged, total: self.total, dimensions: Vec::new() };
        let mut bytes = FIXED + sketch;
        let mut pieces = Vec::new();
        for (dimension, values) in self.dimensions {
            bytes += FIXED;
            piece.dimensions.push((dimension, Vec::new()));
            for (value, count) in values {
                // A length and a count take at most 10 bytes each.
                let needs = value.len() + 20;
                if bytes + needs > limit {
                    let full = std::mem::replace(
                        &mut piece,
                        Self { start, unmerged, total: Total::default(), dimensions: vec![(dimension, Vec::new())] },
                    );
                    pieces.push((full, bytes));
                    bytes = 2 * FIXED;
                }
                bytes += needs;
                if let Some((_, last)) = piece.dimensions.last_mut() {
                    last.push((value, count));
                }
            }
        }
        pieces.push((piece, bytes));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sample() -> Delta {
        Delta {
            producer: "kafka.logins.ingest.logins-0.0".to_owned(),
            sequence: 1_720_576_825_123,
            chunk: 0,
            chunks: 1,
            revision: 3,
            rules: Some("{}".to_owned()),
            source_partitions: 8,
            ranges: vec![
                Range {
                    partition: 0,
                    from: 100,
                    to: 250,
                    watermark: Some(1_720_576_795),
                    idle: None,
                    unmerged: 2,
                    lost: Some((90, 100)),
                },
                Range { partition: 5, from: 7, to: 7, idle: Some(1_720_576_900_000), ..Range::default() },
            ],
            panes: vec![
                Pane {
                    start: 1_720_576_800,
                    unmerged: false,
                    total: Total { count: 148, late: 1, sketch: Some(vec![2, 1, 7, 12, 3, 8, 0, 0]) },
                    dimensions: vec![
                        (Dimension::DeviceType, vec![("android".to_owned(), 100), (MISSING.to_owned(), 48)]),
                        (Dimension::Locale, vec![("RI".to_owned(), 148)]),
                    ],
                },
                Pane {
                    start: 1_720_490_400,
                    unmerged: true,
                    total: Total { count: 2, late: 2, sketch: None },
                    dimensions: vec![],
                },
            ],
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_read() {
        let golden = include_bytes!("../../tests/golden/delta.v1.bin");
        assert_eq!(sample().encode().unwrap(), golden);
        assert_eq!(Delta::decode(golden).unwrap(), sample());
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        assert_eq!(Delta::decode(&[]), Err(DeltaError::Empty));
        assert_eq!(Delta::decode(&[2, 0]), Err(DeltaError::Version(2)));
        let whole = sample().encode().unwrap();
        for length in 1..whole.len() {
            assert!(Delta::decode(&whole[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(Delta::decode(&[&whole[..], &[0]].concat()), Err(DeltaError::Trailing(1)));
    }

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![3 => "[a-z]{1,8}", 1 => "[a-z]{1000,2000}".prop_map(|text| text.repeat(50))]
    }

    fn pane() -> impl Strategy<Value = Pane> {
        let values = || prop::collection::vec((value(), 1..u64::MAX / 1_000_000), 0..20);
        let start = (any::<i32>(), any::<bool>());
        (start, any::<u32>(), values(), values()).prop_map(|((start, unmerged), count, devices, locales)| Pane {
            start: start.into(),
            unmerged,
            total: Total { count: count.into(), late: 0, sketch: Some(vec![0; 4096]) },
            dimensions: vec![(Dimension::DeviceType, devices), (Dimension::Locale, locales)],
        })
    }

    /// Everything that the panes say, however they are cut.
    fn sums(deltas: &[Delta]) -> BTreeMap<(i64, Option<Dimension>, String), u64> {
        let mut sums = BTreeMap::new();
        for pane in deltas.iter().flat_map(|delta| &delta.panes) {
            *sums.entry((pane.start, None, String::new())).or_default() += pane.total.count;
            for (dimension, values) in &pane.dimensions {
                for (value, count) in values {
                    *sums.entry((pane.start, Some(*dimension), value.clone())).or_default() += count;
                }
            }
        }
        sums
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_are_small_and_say_what_the_whole_said(panes in prop::collection::vec(pane(), 0..12)) {
            let whole = Delta { panes, ..sample() };
            let chunks = whole.clone().chunked();
            prop_assert_eq!(sums(&chunks), sums(std::slice::from_ref(&whole)));

            let last = chunks.len() - 1;
            for (index, chunk) in chunks.iter().enumerate() {
                let bytes = chunk.encode().unwrap();
                prop_assert!(bytes.len() <= MAX_CHUNK_BYTES);
                prop_assert_eq!(&Delta::decode(&bytes).unwrap(), chunk);
                prop_assert_eq!(chunk.chunk as usize, index);
                prop_assert_eq!(chunk.chunks as usize, last + 1);
                prop_assert_eq!(chunk.rules.is_some(), index == 0);
                prop_assert_eq!(&chunk.ranges, if index == last { &whole.ranges } else { &[][..] });
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(Delta::decode(&bytes));
        }
    }
}
