//! Where a partition starts: at what the group has committed or, where that is gone, after what the pipeline wrote.

use crds::{
    pipeline::StartFrom,
    records::offset::{OffsetMetadata, OffsetMetadataError},
};

/// Where processing of a partition starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The next offset to process.
    pub position: i64,
    /// The partition's watermark, Unix seconds.
    pub watermark: Option<i64>,
    /// The first offset that the source still has. If it is after `position`, the records between them are lost.
    pub log_start: i64,
}

/// How far a source partition was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The next offset to process.
    pub position: i64,
    /// The watermark there, Unix seconds.
    pub watermark: Option<i64>,
}

/// The best evidence of how far a partition was processed. Each kind counts only where there is none of those before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The group has a committed offset.
    Commit {
        /// The next offset to process.
        position: i64,
        /// [`OffsetMetadata`], encoded; empty when the offset was set with Kafka's tools.
        metadata: String,
    },
    /// The snapshot and the deltas of the aggregation say it.
    Deltas(Reached),
    /// The last source offset of which a record is in the output or among the dead letters.
    LastOutput(i64),
    /// There is neither a commit nor a record that the pipeline wrote about the partition.
    Nothing {
        /// Whether the source had the partition when the pipeline first started.
        existed_at_start: bool,
    },
}

/// Why a partition must not be processed before a person has decided.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The source is shorter than what was processed of it.
    #[error(
        "SourceTruncated: partition {partition} was processed up to offset {committed}, but ends at {end}: the source lost \
         events or was made anew; restore it, or reset the group's offset for the partition"
    )]
    SourceTruncated {
        /// The partition of the source.
        partition: i32,
        /// The offset up to which it was processed.
        committed: i64,
        /// Where the log ends now.
        end: i64,
    },
    /// Another program, or a later release, commits in the pipeline's group.
    #[error("partition {partition}: {source}; give the pipeline a consumer group of its own")]
    ForeignMetadata {
        /// The partition of the source.
        partition: i32,
        /// Why the metadata is not this pipeline's.
        source: OffsetMetadataError,
    },
}

impl Evidence {
    /// Decides where the partition starts. `log_start` and `end` are the first offset of the source partition and the
    /// offset after its last one. What was processed before never restarts from the beginning.
    ///
    /// # Errors
    /// When a person has to decide.
    pub fn start(&self, partition: i32, (log_start, end): (i64, i64), start_from: StartFrom) -> Result<Start, Stopped> {
        let (position, watermark) = match self {
            Self::Commit { position, .. } if *position > end => {
                return Err(Stopped::SourceTruncated { partition, committed: *position, end });
            }
            Self::Commit { position, metadata } if metadata.is_empty() => (*position, None),
            Self::Commit { position, metadata } => {
                let metadata = OffsetMetadata::decode(metadata);
                let metadata = metadata.map_err(|source| Stopped::ForeignMetadata { partition, source })?;
                (*position, metadata.watermark)
            }
            Self::Deltas(Reached { position, watermark }) => (*position, *watermark),
            Self::LastOutput(last) => (last + 1, None),
            // A partition that was added later starts at its beginning, wherever the pipeline started.
            Self::Nothing { existed_at_start } => match start_from {
                StartFrom::Latest if *existed_at_start => (end, None),
                StartFrom::Latest | StartFrom::Earliest => (log_start, None),
            },
        };
        Ok(Start { position, watermark, log_start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(metadata: &str) -> Evidence {
        Evidence::Commit { position: 50, metadata: metadata.to_owned() }
    }

    fn start(evidence: &Evidence, start_from: StartFrom) -> (i64, Option<i64>) {
        let Start { position, watermark, log_start } = evidence.start(3, (10, 90), start_from).unwrap();
        assert_eq!(log_start, 10);
        (position, watermark)
    }

    #[test]
    fn a_commit_is_taken_with_its_watermark() {
        let metadata = OffsetMetadata { watermark: Some(7), transactional_id: "a".to_owned(), sequence: 1 }.encode();
        assert_eq!(start(&commit(&metadata), StartFrom::Latest), (50, Some(7)));
        assert_eq!(start(&commit(""), StartFrom::Latest), (50, None), "the offset was set with Kafka's tools");
    }

    #[test]
    fn a_commit_beyond_the_end_or_of_somebody_else_waits_for_a_person() {
        let truncated = commit("").start(3, (0, 49), StartFrom::Latest);
        let expected = matches!(truncated, Err(Stopped::SourceTruncated { partition: 3, committed: 50, end: 49 }));
        assert!(expected, "{truncated:?}");
        assert!(commit("").start(3, (0, 50), StartFrom::Latest).is_ok(), "everything is processed");
        let foreign = commit("theirs").start(3, (0, 90), StartFrom::Latest);
        assert!(matches!(foreign, Err(Stopped::ForeignMetadata { partition: 3, .. })), "{foreign:?}");
    }

    #[test]
    fn without_a_commit_nothing_is_processed_twice() {
        let deltas = Evidence::Deltas(Reached { position: 20, watermark: Some(5) });
        for start_from in [StartFrom::Earliest, StartFrom::Latest] {
            assert_eq!(start(&deltas, start_from), (20, Some(5)));
            assert_eq!(start(&Evidence::LastOutput(20), start_from), (21, None));
        }
    }

    #[test]
    fn a_new_partition_of_a_running_pipeline_starts_at_its_beginning() {
        let nothing = |existed_at_start| Evidence::Nothing { existed_at_start };
        assert_eq!(start(&nothing(true), StartFrom::Latest), (90, None));
        assert_eq!(start(&nothing(false), StartFrom::Latest), (10, None));
        assert_eq!(start(&nothing(true), StartFrom::Earliest), (10, None));
        assert_eq!(start(&nothing(false), StartFrom::Earliest), (10, None));
    }
}
