//! The metadata of a committed offset: what the next owner of a source partition must know beside the position.

use serde::{Deserialize, Serialize};

/// The version that this release writes, and reads.
const VERSION: u32 = 1;

/// What the next owner of a source partition must know beside the position. Written in the transaction that commits the
/// position, as JSON, under 4 KB (the broker's `offset.metadata.max.bytes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetMetadata {
    /// The partition's watermark in Unix seconds; absent before its first valid event.
    pub watermark: Option<i64>,
    /// Transactional id of the producer that committed.
    pub transactional_id: String,
    /// Number of the transaction of that producer. It tells a new producer whether the last commit took place.
    pub sequence: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    w: Option<i64>,
    id: String,
    seq: u64,
}

/// Why a text is not offset metadata that this release reads.
#[derive(Debug, thiserror::Error)]
pub enum OffsetMetadataError {
    /// Not JSON of the expected shape.
    #[error("the committed offset's metadata is not this pipeline's: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of a version that this release does not read.
    #[error("the committed offset's metadata has version {0}, this processor reads version {VERSION}")]
    Version(u32),
}

impl OffsetMetadata {
    /// The text to commit.
    #[must_use]
    pub fn encode(&self) -> String {
        let wire = Wire { v: VERSION, w: self.watermark, id: self.transactional_id.clone(), seq: self.sequence };
        // A struct of numbers and a string always serializes.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads a committed text.
    ///
    /// # Errors
    /// When the text is not such metadata, or of another version.
    pub fn decode(text: &str) -> Result<Self, OffsetMetadataError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let Versioned { v } = serde_json::from_str(text)?;
        if v != VERSION {
            return Err(OffsetMetadataError::Version(v));
        }
        let wire: Wire = serde_json::from_str(text)?;
        Ok(Self { watermark: wire.w, transactional_id: wire.id, sequence: wire.seq })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/offset-metadata.v1.json");

    fn sample() -> OffsetMetadata {
        OffsetMetadata {
            watermark: Some(1_720_576_795),
            transactional_id: "kafka.logins.ingest.logins-0.0".to_owned(),
            sequence: 1_720_576_825_123,
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_read() {
        assert_eq!(sample().encode(), GOLDEN.trim_end());
        assert_eq!(OffsetMetadata::decode(GOLDEN).unwrap(), sample());
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        for text in ["", "{}", "null", r#"{"v":2,"id":"a","seq":1}"#, r#"{"v":1,"id":"a","seq":1,"x":0}"#] {
            assert!(OffsetMetadata::decode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(watermark: Option<i64>, transactional_id: String, sequence: u64) {
            let metadata = OffsetMetadata { watermark, transactional_id, sequence };
            prop_assert_eq!(OffsetMetadata::decode(&metadata.encode()).unwrap(), metadata);
        }
    }
}
