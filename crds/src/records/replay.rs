//! Replays of dead letters: the headers of a replayed event, and the ledger of the dead letters that were replayed. An
//! entry of the ledger is written in the same transaction as its event.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::dead_letter::Reason;

/// Prefix of the pipeline's headers. A replayed event has only the two below.
pub const PREFIX: &str = "lp-";
/// Where the dead letter stood: a [`Place`]'s text.
pub const REPLAY: &str = "lp-replay";
/// Of which source record the event is a copy: an [`Identity`]'s text.
pub const REPLAY_OF: &str = "lp-replay-of";

/// The version that this release writes, and reads.
const VERSION: u32 = 1;

/// Where a record stands. As a text, `<topic>/<partition>/<offset>`: no topic's name has a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition in it.
    pub partition: i32,
    /// The offset in that.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// What identifies a dead letter: the source record that became it. Its Kafka timestamp is part of that, so that a
/// record of a topic that was made anew is another one, though it has the place of an old one. As a text,
/// `<topic>/<partition>/<offset>/<timestamp>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Where the source record stands, or stood.
    pub place: Place,
    /// Its Kafka timestamp, Unix milliseconds; -1 when it has none.
    pub timestamp: i64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.place, self.timestamp)
    }
}

/// Why a text does not name a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the name of a record: topic, partition, offset, and of a source record its timestamp, with slashes between"
)]
pub struct NotAName;

impl FromStr for Place {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let mut parts = text.split('/');
        let place = Self {
            topic: parts.next().filter(|topic| !topic.is_empty()).ok_or(NotAName)?.to_owned(),
            partition: number(parts.next())?,
            offset: number(parts.next())?,
        };
        let is_whole = parts.next().is_none() && place.partition >= 0 && place.offset >= 0;
        if is_whole { Ok(place) } else { Err(NotAName) }
    }
}

impl FromStr for Identity {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (place, timestamp) = text.rsplit_once('/').ok_or(NotAName)?;
        Ok(Self { place: place.parse()?, timestamp: number(Some(timestamp))? })
    }
}

fn number<T: FromStr>(text: Option<&str>) -> Result<T, NotAName> {
    text.and_then(|text| text.parse().ok()).ok_or(NotAName)
}

/// An entry of the ledger: a dead letter was replayed. Its key is the identity's text, its value JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The dead letter that was replayed. Its event was written into the same topic and partition again.
    pub identity: Identity,
    /// Where the dead letter stood.
    pub dead_letter: Place,
    /// Why the event was a dead letter.
    pub reason: Reason,
    /// When it was replayed, Unix milliseconds.
    pub time: i64,
    /// An offset of the source partition; the replayed event stands there or after it.
    pub not_before: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u32,
    dead_letter: String,
    reason: Reason,
    time: i64,
    not_before: i64,
}

/// Why a record is not an entry that this release reads.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The key names no source record.
    #[error("the key of an entry of the ledger is {0}")]
    Key(NotAName),
    /// The place of the dead letter names none.
    #[error("dead_letter of an entry of the ledger is {0}")]
    DeadLetter(NotAName),
    /// Not JSON of the expected shape.
    #[error("not an entry of the ledger: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of a version that this release does not read.
    #[error("an entry of the ledger has version {0}, this processor reads version {VERSION}")]
    Version(u32),
}

impl Entry {
    /// The record's key.
    #[must_use]
    pub fn key(&self) -> String {
        self.identity.to_string()
    }

    /// The record's value.
    #[must_use]
    pub fn encode(&self) -> String {
        let Self { dead_letter, reason, time, not_before, .. } = self;
        let dead_letter = dead_letter.to_string();
        let wire = Wire { v: VERSION, dead_letter, reason: *reason, time: *time, not_before: *not_before };
        // A struct of numbers and strings always serializes.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads a record of the ledger: of which dead letter it is, and its entry. None is a tombstone, behind which there
    /// is no entry, whether or not Kafka has compacted the topic meanwhile.
    ///
    /// # Errors
    /// When something else wrote it, or a later release.
    pub fn read(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(Identity, Option<Self>), EntryError> {
        let key = key.unwrap_or_default();
        match value {
            Some(value) => Self::decode(key, value).map(|entry| (entry.identity.clone(), Some(entry))),
            None => Ok((identity(key)?, None)),
        }
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// When something else wrote it, or a later release.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let Versioned { v } = serde_json::from_slice(value)?;
        if v != VERSION {
            return Err(EntryError::Version(v));
        }
        let Wire { dead_letter, reason, time, not_before, .. } = serde_json::from_slice(value)?;
        let dead_letter = dead_letter.parse().map_err(EntryError::DeadLetter)?;
        Ok(Self { identity: identity(key)?, dead_letter, reason, time, not_before })
    }
}

/// Which dead letter a key names.
fn identity(key: &[u8]) -> Result<Identity, EntryError> {
    let key = std::str::from_utf8(key).map_err(|_| EntryError::Key(NotAName))?;
    key.parse().map_err(EntryError::Key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &str = include_str!("../../tests/golden/replay.v1.txt");

    fn place(topic: &str, partition: i32, offset: i64) -> Place {
        Place { topic: topic.to_owned(), partition, offset }
    }

    fn sample() -> Entry {
        Entry {
            identity: Identity { place: place("user-login", 3, 4711), timestamp: 1_720_576_825_123 },
            dead_letter: place("user-login-dead-letters", 3, 17),
            reason: Reason::Future,
            time: 1_720_580_000_456,
            not_before: 4800,
        }
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_read() {
        let (key, value) = GOLDEN.trim_end().split_once('\n').unwrap();
        assert_eq!(sample().key(), key);
        assert_eq!(sample().encode(), value);
        assert_eq!(Entry::decode(key.as_bytes(), value.as_bytes()).unwrap(), sample());
    }

    #[test]
    fn a_tombstone_takes_an_entry_back() {
        let (key, value) = (sample().key(), sample().encode());
        let read = |value: Option<&[u8]>| Entry::read(Some(key.as_bytes()), value);
        assert_eq!(read(Some(value.as_bytes())).unwrap(), (sample().identity, Some(sample())));
        assert_eq!(read(None).unwrap(), (sample().identity, None));
        assert!(read(Some(b"")).is_err(), "an empty value is no tombstone");
        assert!(Entry::read(None, None).is_err());
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        let (key, value) = (sample().key(), sample().encode());
        for key in ["", "a", "a/1/2", "a/1/2/3/4", "/1/2/3", "a/-1/2/3", "a/1/-2/3", "a/x/2/3"] {
            assert!(matches!(Entry::decode(key.as_bytes(), value.as_bytes()), Err(EntryError::Key(_))), "{key}");
        }
        for (from, to) in [("\"v\":1", "\"v\":2"), ("future", "past"), ("{", "{\"x\":0,"), ("/3/17", "/3")] {
            assert!(Entry::decode(key.as_bytes(), value.replacen(from, to, 1).as_bytes()).is_err(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            topic in "[a-zA-Z0-9._-]{1,20}",
            partition in 0..i32::MAX,
            offset in 0..i64::MAX,
            timestamp: i64,
            time: i64,
        ) {
            let identity = Identity { place: place(&topic, partition, offset), timestamp };
            let entry = Entry { identity, dead_letter: place(&topic, partition, offset), time, ..sample() };
            prop_assert_eq!(Entry::decode(entry.key().as_bytes(), entry.encode().as_bytes()).unwrap(), entry);
        }
    }
}
