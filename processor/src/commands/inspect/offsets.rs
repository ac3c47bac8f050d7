//! Decodes what a consumer group has committed. Pure.

use std::fmt;

use crds::records::offset::{OffsetMetadata, OffsetMetadataError};
use serde::Serialize;

use super::text::{Columns, or_dash, time};

/// What a group has committed for a topic.
#[derive(Debug)]
pub struct Offsets {
    group: String,
    topic: String,
    partitions: Vec<(i32, Option<Committed>)>,
}

#[derive(Debug)]
struct Committed {
    offset: i64,
    /// `None` when the offset was set by hand, without metadata.
    metadata: Result<Option<OffsetMetadata>, OffsetMetadataError>,
}

impl Offsets {
    /// Starts without any partition.
    pub fn new(group: String, topic: String) -> Self {
        Self { group, topic, partitions: Vec::new() }
    }

    /// Decodes what is committed for the next partition: an offset with its metadata, or nothing.
    pub fn push(&mut self, partition: i32, committed: Option<(i64, &str)>) {
        let decode = |text: &str| (!text.is_empty()).then(|| OffsetMetadata::decode(text)).transpose();
        let committed = committed.map(|(offset, metadata)| Committed { offset, metadata: decode(metadata) });
        self.partitions.push((partition, committed));
    }

    /// Number of partitions whose metadata this release cannot decode.
    pub fn unreadable(&self) -> usize {
        self.partitions
            .iter()
            .flat_map(|(_, committed)| committed)
            .filter(|committed| committed.metadata.is_err())
            .count()
    }

    /// Each partition as JSON.
    pub fn views(&self) -> impl Iterator<Item = impl Serialize> {
        self.partitions.iter().map(|(partition, committed)| View::new(self, *partition, committed.as_ref()))
    }
}

#[derive(Serialize)]
struct View<'a> {
    group: &'a str,
    topic: &'a str,
    partition: i32,
    /// `None` when no offset is committed.
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    watermark: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactional_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> View<'a> {
    fn new(Offsets { group, topic, .. }: &'a Offsets, partition: i32, committed: Option<&'a Committed>) -> Self {
        let (metadata, error) = match committed.map(|committed| &committed.metadata) {
            Some(Ok(metadata)) => (metadata.as_ref(), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        Self {
            group,
            topic,
            partition,
            offset: committed.map(|committed| committed.offset),
            watermark: metadata.and_then(|metadata| metadata.watermark),
            transactional_id: metadata.map(|metadata| metadata.transactional_id.as_str()),
            sequence: metadata.map(|metadata| metadata.sequence),
            error,
        }
    }
}

impl fmt::Display for Offsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "group {}, topic {}", self.group, self.topic)?;
        let mut columns = Columns::new(["partition", "offset", "watermark", "sequence", "transactional id"]);
        for (partition, committed) in &self.partitions {
            let View { offset, watermark, sequence, transactional_id, error, .. } =
                View::new(self, *partition, committed.as_ref());
            let writer = match (offset, error, transactional_id) {
                (None, ..) => "nothing is committed".to_owned(),
                (_, Some(error), _) => format!("UNREADABLE: {error}"),
                (_, _, None) => "set by hand: no metadata".to_owned(),
                (_, _, Some(id)) => id.to_owned(),
            };
            columns.push([
                partition.to_string(),
                or_dash(offset, |offset| offset.to_string()),
                or_dash(watermark, time),
                or_dash(sequence, |sequence| sequence.to_string()),
                writer,
            ]);
        }
        write!(f, "{columns}")
    }
}
