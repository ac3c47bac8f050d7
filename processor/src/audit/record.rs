//! Records as the audit sees them, whoever read them.

use crds::records::{dead_letter, enrichment};

/// Which of the three streams of a partition.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// The source topic.
    Input,
    /// The topic of valid events.
    Output,
    /// The topic of the others.
    DeadLetters,
}

impl Stream {
    /// All three, in the order of the declaration.
    pub const ALL: [Self; 3] = [Self::Input, Self::Output, Self::DeadLetters];

    /// The stream's name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::DeadLetters => "dead letters",
        }
    }
}

/// A header: its name, and its value if it has one.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its Kafka timestamp, Unix milliseconds; -1 when it has none.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in their order.
    pub headers: &'a [Header<'a>],
}

/// What a record counts as where it is measured against `max.message.bytes`: no less than it takes in a batch of its own.
#[must_use]
pub fn record_bytes(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
    const RECORD: usize = 128;
    const HEADER: usize = 10;
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = headers.iter().map(|(name, value)| HEADER + name.len() + length(*value)).sum();
    RECORD + length(key) + length(value) + headers
}

/// Which source record a record says that it comes from.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Partition of the source.
    pub partition: i32,
    /// Offset of the source record.
    pub offset: i64,
}

impl Origin {
    /// Reads it from a record of the output: the `event_id` that enrichment has added, which is the last of its name.
    #[must_use]
    pub fn of_output(record: &Record) -> Option<Self> {
        let value = record.value?;
        let start = value.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
        let id = value.get(start..)?.split(|byte| *byte == b'"').next()?;
        let (partition, offset) = std::str::from_utf8(id).ok()?.split_once('-')?;
        Some(Self { partition: decimal(partition)?, offset: decimal(offset)? })
    }

    /// Reads it from the headers of a dead letter. The last header of a name counts: the source record may have had such
    /// headers itself.
    #[must_use]
    pub fn of_dead_letter(record: &Record, source_topic: &str) -> Option<Self> {
        let text = |name: &str| {
            let (_, value) = record.headers.iter().rev().find(|(other, _)| *other == name)?;
            std::str::from_utf8((*value)?).ok()
        };
        (text(dead_letter::SOURCE_TOPIC)? == source_topic).then_some(())?;
        let partition = decimal(text(dead_letter::SOURCE_PARTITION)?)?;
        Some(Self { partition, offset: decimal(text(dead_letter::SOURCE_OFFSET)?)? })
    }
}

/// What stands before the id in the text of a value.
const MARK: &[u8] = b"\"event_id\":\"";
const _: () = assert!(MARK.len() == enrichment::EVENT_ID.len() + 4);

/// A number of digits alone, as the pipeline writes it.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Record = Record { offset: 0, timestamp: 0, key: None, value: None, headers: &[] };

    #[test]
    fn a_record_names_its_origin() {
        let of = |value: &str| Origin::of_output(&Record { value: Some(value.as_bytes()), ..NOTHING });
        let some = |partition, offset| Some(Origin { partition, offset });
        assert_eq!(of(r#"{"event_id":"3-17","login_time":"x"}"#), some(3, 17));
        assert_eq!(of(r#"{"x":{"event_id":"1-1"},"event_id":"0-9223372036854775807"}"#), some(0, i64::MAX));
        for text in [
            "",
            "{}",
            r#"{"event_id":17}"#,
            r#"{"event_id":"17"}"#,
            r#"{"event_id":"-1"}"#,
            r#"{"event_id":"1--1"}"#,
            r#"{"event_id":"1-99999999999999999999"}"#,
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(Origin::of_output(&NOTHING), None);
    }

    #[test]
    fn a_dead_letter_names_its_origin_last() {
        let of = |headers: &[Header]| Origin::of_dead_letter(&Record { headers, ..NOTHING }, "logins");
        let topic = |name: &'static str| ("lp-source-topic", Some(name.as_bytes()));
        let number = |name, digits: &'static str| (name, Some(digits.as_bytes()));
        let place = |p, o| [topic("logins"), number("lp-source-partition", p), number("lp-source-offset", o)];
        let some = Some(Origin { partition: 2, offset: 5 });
        assert_eq!(of(&place("2", "5")), some);
        assert_eq!(of(&[place("8", "8"), place("2", "5")].concat()), some);
        assert_eq!(of(&place("2", "")), None);
        assert_eq!(of(&place("+2", "5")), None);
        assert_eq!(of(&[place("2", "5").as_slice(), &[topic("other")]].concat()), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_record_counts_with_all_that_it_has() {
        assert_eq!(record_bytes(None, None, &[]), 128);
        assert_eq!(record_bytes(Some(b"key"), Some(b"value"), &[("a", Some(b"b")), ("cd", None)]), 128 + 8 + 12 + 12);
    }
}
