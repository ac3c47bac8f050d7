//! The record that a source record should become, and how another record differs from it.

use crds::records::dead_letter::{
    DETAIL, REASON, Reason, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, TRUNCATED, TRUNCATED_BYTES,
};

use super::{
    record::{Header, Record, Stream, record_bytes},
    verdict::{Late, Verdict, is_late_form},
};

/// The number of headers that every dead letter gains.
const ADDED: usize = 6;

/// Bytes reserved for these headers when a dead letter is measured.
const ADDED_BYTES: usize = 1024;

/// The part of a record that differs from what it should be.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    Key,
    Value,
    /// A header of the source, or one that the pipeline adds.
    Headers,
    /// The reason of a dead letter.
    Reason,
    /// Whether the record was truncated, and how far.
    Truncation,
}

impl Difference {
    /// The name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Headers => "headers",
            Self::Reason => "reason",
            Self::Truncation => "truncation",
        }
    }
}

/// Where the dead letters of a partition come from.
#[derive(Clone, Debug)]
pub struct Source {
    pub topic: String,
    pub partition: i32,
    pub max_message_bytes: usize,
}

/// The record that a source record should become.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Offset of the source record.
    pub offset: i64,
    /// Whether the event is late.
    pub late: Late,
    /// The reason of a dead letter; `None` for an event of the output.
    pub reason: Option<Reason>,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Expected {
    /// Builds it from a source record and its verdict.
    #[must_use]
    pub fn new(record: &Record, verdict: Verdict) -> Self {
        let (value, late, reason) = match verdict {
            Verdict::Output { value, late, .. } => (Some(value), late, None),
            Verdict::DeadLetter(reason) => (record.value.map(<[u8]>::to_vec), Late::No, Some(reason)),
        };
        let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)));
        Self {
            offset: record.offset,
            late,
            reason,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value,
            headers: headers.collect(),
        }
    }

    /// The stream that the record should be in.
    #[must_use]
    pub const fn stream(&self) -> Stream {
        if self.reason.is_none() { Stream::Output } else { Stream::DeadLetters }
    }

    /// Its approximate size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| 64 + name.len() + length(value)).sum();
        size_of::<Self>() + length(&self.key) + length(&self.value) + headers
    }

    /// Finds the difference in a record that claims to be this one and stands in its place.
    #[must_use]
    pub fn difference(&self, found: &Record, source: &Source) -> Option<Difference> {
        match self.reason {
            None => self.output_difference(found),
            Some(reason) => self.dead_letter_difference(found, reason, source),
        }
    }

    fn output_difference(&self, found: &Record) -> Option<Difference> {
        let value = self.value.as_deref();
        let late_form = || {
            let (found, in_time) = (found.value.unwrap_or_default(), value.unwrap_or_default());
            self.late == Late::Unknown && is_late_form(found, in_time)
        };
        if found.value != value && !late_form() {
            Some(Difference::Value)
        } else if found.key != self.key.as_deref() {
            Some(Difference::Key)
        } else if !self.has_headers(found.headers) {
            Some(Difference::Headers)
        } else {
            None
        }
    }

    fn dead_letter_difference(&self, found: &Record, reason: Reason, source: &Source) -> Option<Difference> {
        // The source's own headers come first. They may have any name, so only their position distinguishes them from
        // the added ones.
        let cut = self.cut(source);
        let own = if cut == Cut::Record { 0 } else { self.headers.len() };
        let last = |name: &str| found.headers.iter().rfind(|(other, _)| *other == name).and_then(|(_, value)| *value);
        if last(REASON) != Some(reason.as_str().as_bytes()) {
            return Some(Difference::Reason);
        }
        let Some((kept, added)) = found.headers.split_at_checked(own) else { return Some(Difference::Headers) };
        let truncated = added.iter().find(|(name, _)| *name == TRUNCATED).and_then(|(_, value)| *value);
        if truncated != cut.header() {
            return Some(Difference::Truncation);
        }
        if cut != Cut::Record && !self.has_headers(kept) || !self.are_added(added, reason, source, cut) {
            return Some(Difference::Headers);
        }
        let key = if cut == Cut::Record { None } else { self.key.as_deref() };
        if found.key != key {
            return Some(Difference::Key);
        }
        self.cut_difference(found.value, cut)
    }

    fn cut_difference(&self, found: Option<&[u8]>, cut: Cut) -> Option<Difference> {
        if cut == Cut::Nothing {
            return (found != self.value.as_deref()).then_some(Difference::Value);
        }
        let (found, whole) = (found.unwrap_or_default(), self.value.as_deref().unwrap_or_default());
        let length = match cut {
            Cut::Value(length) => found.len() == length,
            Cut::Record | Cut::Nothing => found.len() <= TRUNCATED_BYTES,
        };
        if !whole.starts_with(found) {
            Some(Difference::Value)
        } else if !length {
            Some(Difference::Truncation)
        } else {
            None
        }
    }

    /// How much of the record fits into the dead letter topic.
    fn cut(&self, source: &Source) -> Cut {
        let room = source.max_message_bytes.saturating_sub(ADDED_BYTES);
        let value = self.value.as_ref().map_or(0, Vec::len);
        let headers: Vec<Header> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let fixed = record_bytes(self.key.as_deref(), None, &headers);
        if fixed + value <= room {
            Cut::Nothing
        } else if fixed < room {
            Cut::Value(value.min(TRUNCATED_BYTES).min(room - fixed))
        } else {
            Cut::Record
        }
    }

    fn has_headers(&self, found: &[Header]) -> bool {
        let same = |((name, value), found): (&(String, Option<Vec<u8>>), &Header)| {
            name == found.0 && value.as_deref() == found.1
        };
        self.headers.len() == found.len() && self.headers.iter().zip(found).all(same)
    }

    /// Whether these are exactly the headers that the pipeline adds to a dead letter.
    fn are_added(&self, added: &[Header], reason: Reason, source: &Source, cut: Cut) -> bool {
        let value = |name: &str| added.iter().find(|(other, _)| *other == name).and_then(|(_, value)| *value);
        let is = |name: &str, text: &str| value(name) == Some(text.as_bytes());
        added.len() == ADDED + usize::from(cut.header().is_some())
            && is(REASON, reason.as_str())
            && is(SOURCE_TOPIC, &source.topic)
            && is(SOURCE_PARTITION, &source.partition.to_string())
            && is(SOURCE_OFFSET, &self.offset.to_string())
            && is(SOURCE_TIMESTAMP, &self.timestamp.to_string())
            && value(DETAIL).is_some_and(|text| !text.is_empty() && std::str::from_utf8(text).is_ok())
    }
}

/// How a dead letter is truncated when the record does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The dead letter is whole.
    Nothing,
    /// The key, the headers, and this many bytes of the value.
    Value(usize),
    /// A part of the value only.
    Record,
}

impl Cut {
    const fn header(self) -> Option<&'static [u8]> {
        match self {
            Self::Nothing => None,
            Self::Value(_) => Some(b"value"),
            Self::Record => Some(b"record"),
        }
    }
}
