//! Decodes the snapshot from which the aggregation starts. Pure.

mod table;

use std::collections::BTreeMap;

use crds::records::state::{Key, Meta, MetaRecords, Part, Position, StateError, Total, Values, decode};
use serde::{Serialize, Serializer};

use super::sketch::{SketchError, estimate};

/// The last record of each key.
#[derive(Debug, Default)]
pub struct State {
    entries: BTreeMap<Key, Entry>,
    meta: MetaRecords,
    /// Records whose key no release writes.
    foreign: BTreeMap<String, Entry>,
}

/// A record of the state topic.
#[derive(Debug)]
pub struct Entry {
    key: String,
    offset: i64,
    bytes: usize,
    content: Result<Content, Unreadable>,
}

/// Why a record could not be decoded.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Sketch(#[from] SketchError),
}

/// The decoded content of a record.
#[derive(Serialize, Debug)]
#[serde(rename_all = "lowercase")]
enum Content {
    Position(Position),
    /// The head, with all that its parts hold.
    Meta(Box<Meta>),
    Part(PartView),
    Total(TotalView),
    Values(ValuesView),
}

/// A part of `meta`, without its bytes.
#[derive(Serialize, Debug)]
struct PartView {
    /// The offset of the head that it belongs to.
    meta: i64,
}

/// The total of a window, with the sketch replaced by its estimate.
#[derive(Serialize, Debug)]
struct TotalView {
    modified: i64,
    count: u64,
    late: u64,
    unmerged: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_users: Option<u64>,
    #[serde(rename = "final")]
    is_final: bool,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<u64>,
}

/// A chunk of a dimension's values in a window.
#[derive(Serialize, Debug)]
struct ValuesView {
    chunks: u32,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<u64>,
    /// Number of values in the chunk.
    values: usize,
    /// The values, when all were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<BTreeMap<String, u64>>,
}

impl State {
    /// Decodes the next record. A tombstone removes the last record of its key.
    pub fn push(&mut self, offset: i64, key: &[u8], value: Option<&[u8]>) {
        match (Key::decode(key), value) {
            (Ok(key), value) => {
                self.meta.push(offset, key, value);
                let Some(value) = value else { return drop(self.entries.remove(&key)) };
                let content = Content::decode(key, value, false, &self.meta);
                self.entries.insert(key, Entry::new(key.encode(), offset, value.len(), content));
            }
            (Err(error), value) => {
                let text = String::from_utf8_lossy(key).into_owned();
                let bytes = value.map_or(0, <[u8]>::len);
                self.foreign.insert(text.clone(), Entry::new(text, offset, bytes, Err(error.into())));
            }
        }
    }

    /// The last record of each key: position, meta, windows, and then the keys that no release writes.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().chain(self.foreign.values())
    }
}

impl Entry {
    /// Decodes a record, with all values. The records of `meta` are those before it, and itself.
    pub fn whole(offset: i64, key: &[u8], value: &[u8], meta: &MetaRecords) -> Self {
        let content =
            Key::decode(key).map_err(Unreadable::from).and_then(|key| Content::decode(key, value, true, meta));
        Self::new(String::from_utf8_lossy(key).into_owned(), offset, value.len(), content)
    }

    const fn new(key: String, offset: i64, bytes: usize, content: Result<Content, Unreadable>) -> Self {
        Self { key, offset, bytes, content }
    }

    /// Whether this release can decode it.
    pub const fn is_readable(&self) -> bool {
        self.content.is_ok()
    }
}

impl Content {
    fn decode(key: Key, bytes: &[u8], whole: bool, meta: &MetaRecords) -> Result<Self, Unreadable> {
        Ok(match key {
            Key::Position => Self::Position(decode(bytes)?),
            // The head was taken, so that there is a whole or an error.
            Key::Meta => Self::Meta(Box::new(meta.meta()?.unwrap_or_default())),
            Key::MetaPart(_) => Self::Part(PartView { meta: decode::<Part>(bytes)?.offset }),
            Key::Total(_) => Self::Total(TotalView::new(decode(bytes)?)?),
            Key::Values(..) => Self::Values(ValuesView::new(decode(bytes)?, whole)),
        })
    }
}

impl TotalView {
    fn new(total: Total) -> Result<Self, SketchError> {
        let Total { modified, count, late, unmerged, sketch, is_final, revision, previous } = total;
        let unique_users = sketch.as_deref().map(estimate).transpose()?;
        Ok(Self { modified, count, late, unmerged, unique_users, is_final, revision, previous })
    }
}

impl ValuesView {
    fn new(values: Values, whole: bool) -> Self {
        let Values { chunks, total, truncated, values } = values;
        Self { chunks, total, truncated, values: values.len(), counts: whole.then(|| values.into_iter().collect()) }
    }
}

/// A record that cannot be decoded has `error` in place of the content.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            key: &'a str,
            offset: i64,
            bytes: usize,
            #[serde(flatten, skip_serializing_if = "Option::is_none")]
            content: Option<&'a Content>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<String>,
        }
        let Self { key, offset, bytes, content } = self;
        let error = content.as_ref().err().map(ToString::to_string);
        View { key, offset: *offset, bytes: *bytes, content: content.as_ref().ok(), error }.serialize(serializer)
    }
}
