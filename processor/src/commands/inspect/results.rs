//! Decodes what the aggregation wrote for others: insights and alerts. Pure.

use std::{collections::BTreeMap, fmt};

use crds::records::aggregate::{Alert, Cause, Counted, DimensionInsight, Frequency, Insight, ResultError, decode};
use serde::{Serialize, Serializer, de::DeserializeOwned};

use super::text::{short, time_of_millis};

/// A record of the insights or the alerts topic.
#[derive(Debug)]
pub struct Entry<T> {
    offset: i64,
    /// When it was written, Unix milliseconds.
    written: i64,
    content: Result<T, ResultError>,
}

impl<T: DeserializeOwned> Entry<T> {
    pub fn decode(offset: i64, written: i64, value: Option<&[u8]>) -> Self {
        Self { offset, written, content: decode(value.unwrap_or_default()) }
    }
}

impl<T> Entry<T> {
    /// Whether this release can decode it.
    pub const fn is_readable(&self) -> bool {
        self.content.is_ok()
    }

    /// Whether the record is wanted. A record that cannot be decoded always is.
    pub fn is(&self, wanted: impl FnOnce(&T) -> bool) -> bool {
        self.content.as_ref().map_or(true, wanted)
    }
}

/// The order of results in time. It can differ from the order of writing: an insight is written again when its window
/// changes, long after other windows have closed.
pub trait Sequence {
    /// Position in time: a later result has a larger one. `None` when results are written in the order of time.
    fn place(&self) -> Option<i64>;
    /// Whether all later results are written after this record.
    fn is_first(&self) -> bool;
}

impl Sequence for Insight {
    /// Windows close in the order of their ends.
    fn place(&self) -> Option<i64> {
        self.span.end()
    }

    fn is_first(&self) -> bool {
        self.revision == 0
    }
}

impl Sequence for Alert {
    fn place(&self) -> Option<i64> {
        None
    }

    /// Each alert is written once.
    fn is_first(&self) -> bool {
        true
    }
}

/// The order of a record: position in time, then offset. A record that cannot be decoded ranks last, so that it is
/// shown.
type Rank = (i64, i64);

/// The last `most` keys, each with its last record. Records may be pushed in any order.
#[derive(Debug)]
pub struct Last<T> {
    most: usize,
    entries: BTreeMap<Rank, (Vec<u8>, Entry<T>)>,
    /// Rank of the last record of each key.
    ranks: BTreeMap<Vec<u8>, Rank>,
    /// All results from this rank on have been pushed.
    whole_from: Option<Rank>,
}

impl<T: Sequence> Last<T> {
    /// Starts empty, for at most `most` keys.
    pub const fn new(most: usize) -> Self {
        Self { most, entries: BTreeMap::new(), ranks: BTreeMap::new(), whole_from: None }
    }

    /// Adds a record.
    pub fn push(&mut self, key: &[u8], entry: Entry<T>) {
        let rank = (entry.content.as_ref().ok().and_then(T::place).unwrap_or(i64::MAX), entry.offset);
        if entry.content.as_ref().map_or(true, T::is_first) {
            self.whole_from = Some(self.whole_from.map_or(rank, |from| from.min(rank)));
        }
        match self.ranks.get(key) {
            Some((_, known)) if *known > entry.offset => return,
            Some(known) => drop(self.entries.remove(known)),
            None => {}
        }
        self.ranks.insert(key.to_vec(), rank);
        self.entries.insert(rank, (key.to_vec(), entry));
        if self.entries.len() > self.most
            && let Some((_, (key, _))) = self.entries.pop_first()
        {
            self.ranks.remove(&key);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether earlier records can no longer change the result.
    pub fn is_full(&self) -> bool {
        let first = self.entries.first_key_value().map(|(rank, _)| *rank);
        self.entries.len() >= self.most && self.whole_from.is_some() && self.whole_from <= first
    }

    /// The records, the latest one last.
    pub fn into_entries(self) -> impl Iterator<Item = Entry<T>> {
        self.entries.into_values().map(|(_, entry)| entry)
    }
}

/// The record, with its offset and the time when it was written.
impl<T: Serialize> Serialize for Entry<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a, T> {
            offset: i64,
            time: String,
            #[serde(flatten, skip_serializing_if = "Option::is_none")]
            content: Option<&'a T>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<String>,
        }
        let (content, error) = (self.content.as_ref().ok(), self.content.as_ref().err().map(ToString::to_string));
        View { offset: self.offset, time: time_of_millis(self.written), content, error }.serialize(serializer)
    }
}

/// A line for the window, and one for each dimension.
impl fmt::Display for Entry<Insight> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let insight = match &self.content {
            Ok(insight) => insight,
            Err(error) => return write!(f, "{}  UNREADABLE: {error}", self.offset),
        };
        let Insight { span, count, late, unmerged, unique_users, previous, change, revision, partial, .. } = insight;
        write!(f, "{}  events {count}", span.key())?;
        match (previous, change) {
            (Some(previous), Some(change)) => write!(f, " ({:+.1}% on {previous} before)", change * 100.0)?,
            (Some(previous), None) => write!(f, " ({previous} before)")?,
            (None, _) => {}
        }
        if let Some(users) = unique_users {
            write!(f, "  unique users {users}")?;
        }
        for (name, number) in [("late", late), ("unmerged", unmerged), ("revision", revision)] {
            if *number > 0 {
                write!(f, "  {name} {number}")?;
            }
        }
        f.write_str(if *partial { "  partial" } else { "" })?;
        let width = insight.dimensions.keys().map(|dimension| dimension.name().len()).max().unwrap_or_default();
        insight.dimensions.iter().try_for_each(|(dimension, values)| {
            write!(f, "\n    {:<width$}  ", dimension.name())?;
            write_values(f, values)
        })
    }
}

fn write_values(f: &mut fmt::Formatter<'_>, insight: &DimensionInsight) -> fmt::Result {
    let DimensionInsight { most, least, values, truncated, partial } = insight;
    let share =
        |Frequency { value, count, share }: &Frequency| format!("{} {count} ({:.1}%)", short(value), share * 100.0);
    write!(f, "most {}  least {}  values {values}", share(most), share(least))?;
    f.write_str(if *truncated { " and more" } else { "" })?;
    f.write_str(if *partial { "  partial" } else { "" })
}

/// A line with the time, the window and the cause of the alert.
impl fmt::Display for Entry<Alert> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alert { name, span, of, count, cause, .. } = match &self.content {
            Ok(alert) => alert,
            Err(error) => return write!(f, "{}  UNREADABLE: {error}", self.offset),
        };
        write!(f, "{}  {name}  {}  ", time_of_millis(self.written), span.key())?;
        match of {
            Counted::All => write!(f, "all: {count}")?,
            Counted::Value(dimension, value) => write!(f, "{} {}: {count}", dimension.name(), short(value))?,
        }
        match cause {
            Cause::Above { threshold } => write!(f, " events, more than {threshold}"),
            Cause::Deviation { mean, sigma, allowed } => {
                let distance = (*count as f64 - mean).abs() / sigma;
                write!(f, " events, {distance:.1} standard deviations from the usual {mean:.1}; {allowed} are allowed")
            }
        }
    }
}
