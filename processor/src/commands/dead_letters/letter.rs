//! Parses a dead letter's headers. Pure.

use std::{fmt, str::FromStr};

use crds::records::{
    dead_letter::{DETAIL, REASON, Reason, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, TRUNCATED},
    replay::{Identity, PREFIX, Place, REPLAY, REPLAY_OF},
};

/// A header: its name, and its value, if any.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// A record of the dead letter topic.
#[derive(Clone, Debug)]
pub struct Letter<'a> {
    pub place: LetterPlace,
    /// Kafka timestamp, in Unix milliseconds; -1 when there is none.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// In the record's order.
    pub headers: Vec<Header<'a>>,
}

/// The place of a dead letter in its topic: `<partition>-<offset>`.
#[derive(serde::Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterPlace {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for LetterPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.partition, self.offset)
    }
}

impl FromStr for LetterPlace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (partition, offset) = text.split_once('-')?;
            Some(Self { partition: parse_number(partition)?, offset: parse_number(offset)? })
        };
        parse().ok_or("write <partition>-<offset>, such as 3-17, as list shows it")
    }
}

fn parse_number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

impl<'a> Letter<'a> {
    /// Why it is a dead letter; `None` when the pipeline did not write it.
    pub fn reason(&self) -> Option<Reason> {
        let text = self.text(REASON)?;
        Reason::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The sentence that explains the reason.
    pub fn detail(&self) -> Option<&'a str> {
        self.text(DETAIL)
    }

    /// The source record that became this dead letter; `None` when the pipeline did not write it.
    pub fn source(&self) -> Option<Identity> {
        let place = Place {
            topic: self.text(SOURCE_TOPIC)?.to_owned(),
            partition: parse_number(self.text(SOURCE_PARTITION)?)?,
            offset: parse_number(self.text(SOURCE_OFFSET)?)?,
        };
        Some(Identity { place, timestamp: self.text(SOURCE_TIMESTAMP)?.parse().ok()? })
    }

    /// The part of the source record that was cut, if any: `value` or `record`.
    pub fn truncated(&self) -> Option<&'a str> {
        // The source record may have had such a header itself. The pipeline writes its own after its other headers.
        let place = |name: &str| self.headers.iter().rposition(|(other, _)| *other == name.as_bytes());
        if place(TRUNCATED) > place(SOURCE_TIMESTAMP) { self.text(TRUNCATED) } else { None }
    }

    /// The dead letter that the source record replayed, if it was a replay.
    pub fn replay(&self) -> Option<Place> {
        self.text(REPLAY_OF)?.parse::<Identity>().ok()?;
        self.text(REPLAY)?.parse().ok()
    }

    /// The event's own headers, without those that the pipeline adds.
    pub fn original_headers(&self) -> impl Iterator<Item = Header<'a>> {
        self.headers.iter().copied().filter(|(name, _)| !name.starts_with(PREFIX.as_bytes()))
    }

    /// The value of the last header of this name, if it is UTF-8.
    fn text(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().rev().find(|(other, _)| *other == name.as_bytes())?;
        std::str::from_utf8((*value)?).ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The headers of a dead letter, after one header of the event itself.
    pub const HEADERS: [(&str, &str); 7] = [
        ("trace", "abc"),
        (REASON, "future"),
        (DETAIL, "timestamp is too far ahead"),
        (SOURCE_TOPIC, "user-login"),
        (SOURCE_PARTITION, "3"),
        (SOURCE_OFFSET, "4711"),
        (SOURCE_TIMESTAMP, "1720576825123"),
    ];

    /// A dead letter with these headers.
    pub fn letter<'a>(headers: &[(&'a str, &'a str)]) -> Letter<'a> {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes()))).collect();
        Letter {
            place: LetterPlace { partition: 3, offset: 17 },
            timestamp: 1_720_576_826_000,
            key: Some(b"key"),
            value: Some(b"{}"),
            headers,
        }
    }

    #[test]
    fn a_letter_says_whence_and_why() {
        let letter = letter(&HEADERS);
        assert_eq!(letter.reason(), Some(Reason::Future));
        assert_eq!(letter.detail(), Some("timestamp is too far ahead"));
        assert_eq!(letter.source().unwrap().to_string(), "user-login/3/4711/1720576825123");
        assert_eq!(letter.truncated(), None);
        assert_eq!(letter.replay(), None);
        assert_eq!(letter.original_headers().collect::<Vec<_>>(), [(&b"trace"[..], Some(&b"abc"[..]))]);
    }

    #[test]
    fn the_last_header_of_a_name_is_the_pipelines() {
        let theirs = [(REASON, "malformed"), (TRUNCATED, "value"), (SOURCE_OFFSET, "1")];
        let found = letter(&[&theirs[..], &HEADERS[..]].concat());
        assert_eq!(found.reason(), Some(Reason::Future));
        assert_eq!(found.truncated(), None);
        assert_eq!(found.source().unwrap().place.offset, 4711);
        let found = letter(&[&HEADERS[..], &[(TRUNCATED, "record")]].concat());
        assert_eq!(found.truncated(), Some("record"));
        assert_eq!(found.original_headers().count(), 1);
    }

    #[test]
    fn a_letter_of_a_replayed_event_says_of_which() {
        let replay = [(REPLAY, "dead/3/9"), (REPLAY_OF, "user-login/3/4000/1720576000000")];
        let found = letter(&[&replay[..], &HEADERS[..]].concat());
        assert_eq!(found.replay().unwrap().to_string(), "dead/3/9");
        assert_eq!(found.original_headers().count(), 1, "it is replayed as the event that it was first");
        assert_eq!(letter(&[(REPLAY, "yes")]).replay(), None);
    }

    #[test]
    fn what_the_pipeline_did_not_write_says_nothing() {
        let found = letter(&HEADERS[..5]);
        assert_eq!(found.source(), None);
        assert_eq!(letter(&[(REASON, "odd")]).reason(), None);
    }

    #[test]
    fn a_place_is_written_as_it_is_shown() {
        let place = LetterPlace { partition: 3, offset: 17 };
        assert_eq!("3-17".parse(), Ok(place));
        assert_eq!(place.to_string(), "3-17");
        for text in ["", "3", "3-", "-17", "3-17-1", "+3-17", "a-1"] {
            assert!(text.parse::<LetterPlace>().is_err(), "{text}");
        }
    }
}
