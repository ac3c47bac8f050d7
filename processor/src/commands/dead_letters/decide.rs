//! Decides whether a dead letter can be replayed. Pure.

use crds::records::{
    dead_letter::Reason,
    replay::{Identity, Place, REPLAY, REPLAY_OF},
};
use stages::ingest::dead_letter::{RECORD_OVERHEAD, header_bytes};

use super::{
    ledger::Ledger,
    letter::{Header, Letter, LetterPlace},
};

/// What to do with a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write its event to the source again.
    Replay(Replay),
    /// Nothing: its event was replayed earlier.
    Done,
    /// Nothing: its event cannot be replayed.
    Refused(Refusal),
}

/// An event to write to the source again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The source record that it copies.
    pub identity: Identity,
    /// The place of its dead letter.
    pub dead_letter: Place,
    /// Why it became a dead letter.
    pub reason: Reason,
}

impl Replay {
    /// The headers that the replayed event gets in addition to its own.
    pub fn headers(&self) -> [(&'static str, String); 2] {
        [(REPLAY, self.dead_letter.to_string()), (REPLAY_OF, self.identity.to_string())]
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pipeline did not write this record.
    #[error("it has not the headers lp-reason and lp-source-* of a dead letter: no pipeline of this release wrote it")]
    NoLetter,
    /// The place was named, and the topic has no dead letter there.
    #[error("there is none in topic {0}: list shows those that there are")]
    NotThere(String),
    /// The event was truncated.
    #[error(
        "its {0} did not fit into the dead letter topic, and was cut (lp-truncated): the event is not whole any more"
    )]
    Truncated(String),
    /// The pipeline now has another source.
    #[error("it comes from topic {0}, which is not the pipeline's source")]
    OtherSource(String),
    /// The source now has fewer partitions.
    #[error("it comes from partition {0}, which the source does not have any more")]
    NoPartition(i32),
    /// With its added headers the event exceeds the source's limit.
    #[error("with the headers of a replay it may take {bytes} bytes, and the source takes {limit} (max.message.bytes)")]
    TooLarge {
        /// Upper bound of the event's size, in bytes.
        bytes: usize,
        /// The source's `max.message.bytes`.
        limit: usize,
    },
}

/// The pipeline as it is configured now.
#[derive(Clone, Debug)]
pub struct Target {
    /// Source topic.
    pub source: String,
    /// Partitions of the source topic.
    pub partitions: i32,
    /// Largest record that the source takes, in bytes.
    pub limit: usize,
    /// Dead letter topic.
    pub dead_letters: String,
}

impl Target {
    /// Decides whether to replay a dead letter.
    pub fn decide(&self, letter: &Letter, ledger: &Ledger) -> Decision {
        let (Some(identity), Some(reason)) = (letter.source(), letter.reason()) else {
            return Decision::Refused(Refusal::NoLetter);
        };
        if ledger.replayed(&identity).is_some() {
            return Decision::Done;
        }
        let LetterPlace { partition, offset } = letter.place;
        let dead_letter = Place { topic: self.dead_letters.clone(), partition, offset };
        let replay = Replay { identity, dead_letter, reason };
        let Place { topic, partition, .. } = &replay.identity.place;
        let added = replay.headers();
        let added = added.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
        let bytes = record_bytes(letter, letter.original_headers().chain(added));
        let refusal = match letter.truncated() {
            Some(what) => Refusal::Truncated(what.to_owned()),
            None if *topic != self.source => Refusal::OtherSource(topic.clone()),
            None if *partition >= self.partitions => Refusal::NoPartition(*partition),
            None if bytes > self.limit => Refusal::TooLarge { bytes, limit: self.limit },
            None => return Decision::Replay(replay),
        };
        Decision::Refused(refusal)
    }
}

/// Upper bound of the event's size with these headers, in bytes, in a batch of its own.
pub fn record_bytes<'h>(letter: &Letter, headers: impl Iterator<Item = Header<'h>>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = header_bytes(headers.map(|(name, value)| (name, value.unwrap_or_default())));
    RECORD_OVERHEAD + length(letter.key) + length(letter.value) + headers
}

#[cfg(test)]
mod tests {
    use crds::records::dead_letter::TRUNCATED;

    use super::{
        super::letter::tests::{HEADERS, letter},
        *,
    };

    fn target() -> Target {
        let (source, dead_letters) = ("user-login".to_owned(), "dead".to_owned());
        Target { source, partitions: 4, limit: 1000, dead_letters }
    }

    #[test]
    fn a_letter_is_replayed_once() {
        let (letter, mut ledger) = (letter(&HEADERS), Ledger::default());
        let Decision::Replay(replay) = target().decide(&letter, &ledger) else { panic!("it must be replayed") };
        let of = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = replay.headers().map(|(name, value)| of(name, &value));
        assert_eq!(headers, [of("lp-replay", "dead/3/17"), of("lp-replay-of", "user-login/3/4711/1720576825123")]);
        ledger.note(replay.identity.clone(), 1);
        assert_eq!(target().decide(&letter, &ledger), Decision::Done);
        // The source was recreated: the same place now holds another event.
        let mut stale = Ledger::default();
        stale.note(Identity { timestamp: replay.identity.timestamp - 1, ..replay.identity }, 1);
        assert!(matches!(target().decide(&letter, &stale), Decision::Replay(_)));
    }

    #[test]
    fn what_cannot_be_replayed_is_refused_by_name() {
        let refused =
            |target: Target, headers: &[(&str, &str)]| match target.decide(&letter(headers), &Ledger::default()) {
                Decision::Refused(refusal) => refusal,
                other => panic!("{other:?}"),
            };

        assert_eq!(refused(target(), &HEADERS[..5]), Refusal::NoLetter);
        let truncated = [&HEADERS[..], &[(TRUNCATED, "value")]].concat();
        assert_eq!(refused(target(), &truncated), Refusal::Truncated("value".to_owned()));
        let other = Target { source: "logins".to_owned(), ..target() };
        assert_eq!(refused(other, &HEADERS), Refusal::OtherSource("user-login".to_owned()));
        assert_eq!(refused(Target { partitions: 3, ..target() }, &HEADERS), Refusal::NoPartition(3));
        // 128, key 3, value 2, trace 18, lp-replay 28, lp-replay-of 53.
        let small = Target { limit: 231, ..target() };
        assert_eq!(refused(small, &HEADERS), Refusal::TooLarge { bytes: 232, limit: 231 });
        let enough = Target { limit: 232, ..target() };
        assert!(matches!(enough.decide(&letter(&HEADERS), &Ledger::default()), Decision::Replay(_)));
    }
}
