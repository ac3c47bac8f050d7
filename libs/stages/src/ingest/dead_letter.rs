//! The headers of a dead letter, and how much of the record fits into it.

use crds::records::dead_letter::{
    DETAIL, REASON, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, TRUNCATED, TRUNCATED_BYTES,
};

use super::judge::Rejection;

/// Maximum that Kafka and librdkafka add to the key, value and headers of one record, in bytes: the header of the
/// record batch (61 bytes), and the record's own lengths and deltas.
pub const RECORD_OVERHEAD: usize = 128;

/// Maximum that a header adds to its name and value, in bytes.
const HEADER_OVERHEAD: usize = 10;

/// Where a record comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The source topic.
    pub topic: &'a str,
    /// The partition of the source topic.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's Kafka timestamp, Unix milliseconds; negative when it has none.
    pub timestamp_ms: i64,
}

/// The headers that a dead letter gets in addition to the source record's own.
#[must_use]
pub fn headers(origin: &Origin<'_>, rejection: &Rejection, fit: Fit) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (REASON, rejection.reason.as_str().to_owned()),
        (DETAIL, rejection.detail.clone()),
        (SOURCE_TOPIC, origin.topic.to_owned()),
        (SOURCE_PARTITION, origin.partition.to_string()),
        (SOURCE_OFFSET, origin.offset.to_string()),
        (SOURCE_TIMESTAMP, origin.timestamp_ms.max(-1).to_string()),
    ];
    match fit {
        Fit::Whole => {}
        Fit::Value(_) => headers.push((TRUNCATED, "value".to_owned())),
        Fit::Record => headers.push((TRUNCATED, "record".to_owned())),
    }
    headers
}

/// How much of a dead letter fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// All of it.
    Whole,
    /// The key, the headers, and this many bytes of the value.
    Value(usize),
    /// Not even the key and the headers.
    Record,
}

/// Maximum bytes of headers on the wire.
pub fn header_bytes<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    headers.map(|(name, value)| name.len() + value.len() + HEADER_OVERHEAD).sum()
}

/// How much of a dead letter fits into `limit` bytes, if the key and headers take `fixed` bytes and the value takes
/// `value`.
#[must_use]
pub fn fit(limit: usize, fixed: usize, value: usize) -> Fit {
    // Bytes for the added headers: six short ones, a topic name of at most 249 bytes and a sentence.
    const ADDED: usize = 1024;
    let budget = limit.saturating_sub(RECORD_OVERHEAD + ADDED);
    if fixed + value <= budget {
        Fit::Whole
    } else if fixed < budget {
        Fit::Value(value.min(TRUNCATED_BYTES).min(budget - fixed))
    } else {
        Fit::Record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_nowhere_whole_is_cut() {
        let limit = 1_114_124;
        assert_eq!(fit(limit, 36, 1_000_000), Fit::Whole);
        assert_eq!(fit(limit, 36, 1_200_000), Fit::Value(TRUNCATED_BYTES));
        assert_eq!(fit(limit, 1_000_000, 1_000_000), Fit::Value(limit - 1_000_000 - 1024 - RECORD_OVERHEAD));
        assert_eq!(fit(limit, 2_000_000, 10), Fit::Record);
        assert_eq!(fit(10, 5, 0), Fit::Record);
    }
}
