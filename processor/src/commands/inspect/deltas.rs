//! Decodes what each transaction of stage 1 added. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crds::{
    pipeline::Dimension,
    records::delta::{Delta, DeltaError, Pane, Range},
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    sketch::{SketchError, estimate},
    text::{or_dash, time, time_of_millis},
};

/// A record of the deltas topic.
#[derive(Debug)]
pub struct Entry {
    offset: i64,
    decoded: Result<Decoded, Unreadable>,
}

/// Why a record could not be decoded.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    Delta(#[from] DeltaError),
    #[error("pane {0}: {1}")]
    Sketch(usize, SketchError),
}

#[derive(Debug)]
struct Decoded {
    delta: Delta,
    /// Estimated users of each pane; `None` where they are not estimated.
    users: Vec<Option<u64>>,
}

impl Entry {
    pub fn decode(offset: i64, value: Option<&[u8]>) -> Self {
        Self { offset, decoded: Decoded::read(value.unwrap_or_default()) }
    }

    /// Whether this release can decode it.
    pub const fn is_readable(&self) -> bool {
        self.decoded.is_ok()
    }
}

impl Decoded {
    fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let delta = Delta::decode(bytes)?;
        let users = |(index, pane): (usize, &Pane)| {
            pane.total.sketch.as_deref().map(estimate).transpose().map_err(|error| Unreadable::Sketch(index, error))
        };
        let users = delta.panes.iter().enumerate().map(users).collect::<Result<_, _>>()?;
        Ok(Self { delta, users })
    }
}

/// A line for the transaction, one for each range, and one that sums up the panes.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delta = match &self.decoded {
            Ok(Decoded { delta, .. }) => delta,
            Err(error) => return write!(f, "{}  UNREADABLE: {error}", self.offset),
        };
        let Delta { producer, sequence, chunk, chunks, revision, source_partitions, .. } = delta;
        write!(f, "{}  {producer}  sequence {sequence}", self.offset)?;
        write!(f, "  chunk {} of {chunks}  revision {revision}", u64::from(*chunk) + 1)?;
        write!(f, "{}", if delta.rules.is_some() { " with its rules" } else { "" })?;
        write!(f, "  source partitions {source_partitions}")?;
        delta.ranges.iter().try_for_each(|range| write_range(f, range))?;
        write_panes(f, &delta.panes)
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, range: &Range) -> fmt::Result {
    let Range { partition, from, to, watermark, idle, unmerged, lost } = range;
    write!(f, "\n    partition {partition}  [{from}, {to})  watermark {}", or_dash(*watermark, time))?;
    if let Some(millis) = idle {
        write!(f, "  idle at {}", time_of_millis(*millis))?;
    }
    if *unmerged > 0 {
        write!(f, "  unmerged {unmerged}")?;
    }
    if let Some((a, b)) = lost {
        write!(f, "  LOST [{a}, {b})")?;
    }
    Ok(())
}

fn write_panes(f: &mut fmt::Formatter<'_>, panes: &[Pane]) -> fmt::Result {
    let (Some(first), Some(last)) = (panes.first(), panes.last()) else { return Ok(()) };
    let sum = |of: fn(&Pane) -> u64| panes.iter().map(of).sum::<u64>();
    let (count, late) = (sum(|pane| pane.total.count), sum(|pane| pane.total.late));
    let mut values: BTreeMap<Dimension, BTreeSet<&str>> = BTreeMap::new();
    for (dimension, counts) in panes.iter().flat_map(|pane| &pane.dimensions) {
        values.entry(*dimension).or_default().extend(counts.iter().map(|(value, _)| value.as_str()));
    }
    let (from, to) = (time(first.start), time(last.start));
    write!(f, "\n    panes {}, {from} to {to}  events {count}  late {late}", panes.len())?;
    values.iter().try_for_each(|(dimension, values)| write!(f, "  {} {}", dimension.name(), values.len()))
}

/// The whole content, with each sketch replaced by its estimate.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct UnreadableView {
            offset: i64,
            error: String,
        }
        match &self.decoded {
            Ok(decoded) => View::new(self.offset, decoded).serialize(serializer),
            Err(error) => UnreadableView { offset: self.offset, error: error.to_string() }.serialize(serializer),
        }
    }
}

#[derive(Serialize)]
struct View<'a> {
    offset: i64,
    producer: &'a str,
    sequence: u64,
    chunk: u32,
    chunks: u32,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Value>,
    source_partitions: u32,
    ranges: &'a [Range],
    panes: Vec<PaneView<'a>>,
}

#[derive(Serialize)]
struct PaneView<'a> {
    start: i64,
    unmerged: bool,
    count: u64,
    late: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_users: Option<u64>,
    dimensions: BTreeMap<Dimension, BTreeMap<&'a str, u64>>,
}

impl<'a> View<'a> {
    fn new(offset: i64, Decoded { delta, users }: &'a Decoded) -> Self {
        let parsed = |rules: &String| serde_json::from_str(rules).unwrap_or_else(|_| Value::String(rules.clone()));
        Self {
            offset,
            producer: &delta.producer,
            sequence: delta.sequence,
            chunk: delta.chunk,
            chunks: delta.chunks,
            revision: delta.revision,
            rules: delta.rules.as_ref().map(parsed),
            source_partitions: delta.source_partitions,
            ranges: &delta.ranges,
            panes: delta.panes.iter().zip(users).map(|(pane, users)| PaneView::new(pane, *users)).collect(),
        }
    }
}

impl<'a> PaneView<'a> {
    fn new(pane: &'a Pane, unique_users: Option<u64>) -> Self {
        let counts = |(dimension, counts): &'a (Dimension, Vec<(String, u64)>)| {
            (*dimension, counts.iter().map(|(value, count)| (value.as_str(), *count)).collect())
        };
        Self {
            start: pane.start,
            unmerged: pane.unmerged,
            count: pane.total.count,
            late: pane.total.late,
            unique_users,
            dimensions: pane.dimensions.iter().map(counts).collect(),
        }
    }
}
