//! Records as the audit sees them, independent of their reader.

use crds::records::dead_letter;

/// One of the three streams of a partition.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    Input,
    /// The topic of valid events.
    Output,
    /// The dead letter topic.
    DeadLetters,
}

impl Stream {
    /// All three, in declaration order.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::DeadLetters];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::DeadLetters => "dead letters",
        }
    }
}

pub type Header<'a> = (&'a str, Option<&'a [u8]>);

#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: i64,
    /// Its Kafka timestamp, Unix milliseconds; -1 when it has none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// Its value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [Header<'a>],
}

/// The size that a record counts toward `max.message.bytes`: at least its size in a batch of its own.
#[must_use]
pub fn record_bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
    const RECORD: usize = 128;
    const HEADER: usize = 10;
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = headers.iter().map(|(name, value)| HEADER + name.len() + length(*value)).sum();
    RECORD + length(key) + length(value) + headers
}

/// The source record that a record names as its origin.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The source partition.
    pub partition: i32,
    /// The offset of the source record.
    pub offset: i64,
}

impl Origin {
    /// Reads it from a record of either outcome. The marks of the record's own topic count first; the other topic's
    /// marks still identify a record that was written unchanged into the wrong topic.
    #[must_use]
    pub fn of(record: &Record, stream: Stream, source_topic: &str) -> Option<Self> {
        let (id, is_enrichment) = Self::of_value(record).unzip();
        if stream == Stream::Output && is_enrichment == Some(true) {
            return id;
        }
        Self::of_headers(record, source_topic).or(id)
    }

    /// The last `event_id` in the value, and whether it is placed as enrichment writes it.
    fn of_value(record: &Record) -> Option<(Self, bool)> {
        let value = record.value?;
        let start = value.windows(ID.len()).rposition(|window| window == ID)? + ID.len();
        let rest = value.get(start..)?;
        let (id, behind) = rest.split_at(rest.iter().position(|byte| *byte == b'"')?);
        let (partition, offset) = std::str::from_utf8(id).ok()?.split_once('-')?;
        Some((Self { partition: decimal(partition)?, offset: decimal(offset)? }, behind.starts_with(BEHIND_ID)))
    }

    /// Reads the headers of a dead letter. The last header of a name counts: the source record may itself have such
    /// headers.
    fn of_headers(record: &Record, source_topic: &str) -> Option<Self> {
        let text = |name: &str| {
            let (_, value) = record.headers.iter().rev().find(|(other, _)| *other == name)?;
            std::str::from_utf8((*value)?).ok()
        };
        (text(dead_letter::SOURCE_TOPIC)? == source_topic).then_some(())?;
        let partition = decimal(text(dead_letter::SOURCE_PARTITION)?)?;
        Some(Self { partition, offset: decimal(text(dead_letter::SOURCE_OFFSET)?)? })
    }
}

/// The text before and after the id in an enriched value.
const ID: &[u8] = b"\"event_id\":\"";
const BEHIND_ID: &[u8] = b"\",\"login_time\":\"";

/// A number of digits only, as the pipeline writes it.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Record = Record { offset: 0, timestamp: 0, key: None, value: None, headers: &[] };

    const HERE: Option<Origin> = Some(Origin { partition: 3, offset: 17 });

    #[test]
    fn an_enriched_value_names_its_origin() {
        let of = |value: &str| {
            let record = Record { value: Some(value.as_bytes()), ..NOTHING };
            let origin = Origin::of(&record, Stream::Output, "logins");
            assert_eq!(origin, Origin::of(&record, Stream::DeadLetters, "logins"), "told in the wrong topic too");
            origin
        };

        assert_eq!(of(r#"{"event_id":"3-17","login_time":"x"}"#), HERE);
        assert_eq!(of(r#"{"event_id":"3-17","loxin_time":"x"}"#), HERE);
        assert_eq!(of(r#"{"x":{"event_id":"1-1"},"event_id":"3-17"}"#), HERE);
        assert_eq!(of(r#"{"event_id":"0-9223372036854775807"}"#).map(|origin| origin.offset), Some(i64::MAX));

        for text in [
            "",
            "{}",
            r#"{"event_id":17}"#,
            r#"{"event_id":"17"}"#,
            r#"{"event_id":"-1"}"#,
            r#"{"event_id":"1--1"}"#,
            r#"{"event_id":"1-1"#,
            r#"{"event_id":"1-99999999999999999999"}"#,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_dead_letter_names_its_origin_by_its_last_headers() {
        let of = |headers: &[Header]| Origin::of(&Record { headers, ..NOTHING }, Stream::DeadLetters, "logins");
        assert_eq!(of(&source("logins", "3", "17")), HERE);
        assert_eq!(of(&[source("logins", "8", "8"), source("logins", "3", "17")].concat()), HERE);
        assert_eq!(of(&source("logins", "3", "")), None);
        assert_eq!(of(&source("logins", "+3", "17")), None);
        assert_eq!(of(&[source("logins", "3", "17"), source("other", "3", "17")].concat()), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn each_topic_has_its_own_first() {
        let headers = source("logins", "3", "17");
        let told = |value: &'static str, stream| {
            Origin::of(&Record { value: Some(value.as_bytes()), headers: &headers, ..NOTHING }, stream, "logins")
        };
        // A dead letter that was sent again, and is valid now.
        let enriched = r#"{"event_id":"0-1","login_time":"x"}"#;
        assert_eq!(told(enriched, Stream::Output), Some(Origin { partition: 0, offset: 1 }));
        // A dead letter whose value has such a field.
        assert_eq!(told(enriched, Stream::DeadLetters), HERE);
        assert_eq!(told(r#"{"event_id":"0-1"}"#, Stream::Output), HERE);
    }

    fn source<'a>(topic: &'a str, partition: &'a str, offset: &'a str) -> [Header<'a>; 3] {
        [
            (dead_letter::SOURCE_TOPIC, Some(topic.as_bytes())),
            (dead_letter::SOURCE_PARTITION, Some(partition.as_bytes())),
            (dead_letter::SOURCE_OFFSET, Some(offset.as_bytes())),
        ]
    }

    #[test]
    fn a_record_counts_with_all_that_it_has() {
        assert_eq!(record_bytes(None, None, &[]), 128);
        assert_eq!(record_bytes(Some(b"key"), Some(b"value"), &[("a", Some(b"b")), ("cd", None)]), 128 + 8 + 12 + 12);
    }
}
