//! Whether each dead letter that the ledger lists was replayed once, and whole. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    hash::{BuildHasher, Hasher},
};

use crds::records::replay::{Entry, Identity, PREFIX, Place, REPLAY, REPLAY_OF};
use foldhash::fast::FixedState;
use serde::Serialize;

use super::record::Record;

/// The number of examples kept.
const EXAMPLES: usize = 10;

/// A source event that claims to be a replay of one of the pipeline's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The source record that it replays.
    pub identity: Identity,
    pub partition: i32,
    pub offset: i64,
    /// The [`digest`] of its content.
    pub digest: u64,
}

impl Copy {
    /// Reads the headers of a source record; `None` when it is not a replay of this pipeline.
    pub fn of(record: &Record, partition: i32, dead_letters: &str) -> Option<Self> {
        let dead_letter: Place = text(record, REPLAY)?.parse().ok()?;
        let identity = text(record, REPLAY_OF)?.parse().ok()?;
        let digest = digest(record);
        (dead_letter.topic == dead_letters).then_some(Self { identity, partition, offset: record.offset, digest })
    }
}

/// The text of the last header with a name.
pub fn text<'a>(record: &Record<'a>, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().rev().find(|(other, _)| *other == name)?;
    std::str::from_utf8((*value)?).ok()
}

/// A hash of what an event and its dead letter share: the key, the value, and the headers that the pipeline does not
/// add.
pub fn digest(record: &Record) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    let mut add = |bytes: Option<&[u8]>| {
        hasher.write_i64(bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX)));
        hasher.write(bytes.unwrap_or_default());
    };
    add(record.key);
    add(record.value);
    for (name, value) in record.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX)) {
        add(Some(name.as_bytes()));
        add(*value);
    }
    hasher.finish()
}

/// The kinds of replay faults.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayFault {
    /// The ledger lists the replay, but the source lacks the event.
    Missing,
    /// The source has the event, but the ledger does not list it.
    Unlisted,
    /// The source has the event more than once.
    Doubled,
    /// The event differs from its dead letter, or is in another partition.
    Altered,
}

impl ReplayFault {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unlisted => "unlisted",
            Self::Doubled => "doubled",
            Self::Altered => "altered",
        }
    }
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplayExample {
    pub fault: ReplayFault,
    /// The source record that was replayed, `<topic>/<partition>/<offset>/<timestamp>`.
    pub of: String,
    /// Where the event is, `<partition>-<offset>` of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The result for the replayed dead letters. Field names are stable.
#[derive(Serialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Replays {
    /// Dead letters whose event is in the source again, once and unchanged.
    pub replayed: u64,
    /// Faults among the others.
    pub replay_faults: u64,
    /// Replay faults by kind.
    pub replay_faults_by_kind: BTreeMap<ReplayFault, u64>,
    /// Replays whose event the source no longer has.
    pub replays_unchecked: u64,
    /// The first examples of replay faults.
    pub replay_examples: Vec<ReplayExample>,
}

/// What the topics hold about replays.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The ledger's entries.
    pub entries: BTreeMap<Identity, Entry>,
    /// The source's events that claim to be replays.
    pub copies: Vec<Copy>,
    /// Entries whose event the source may no longer have.
    pub removed: BTreeSet<Identity>,
    /// The [`digest`] of each dead letter that still exists.
    pub letters: BTreeMap<Identity, u64>,
}

impl Evidence {
    /// The entries for which the source has no event.
    pub fn missing(&self) -> impl Iterator<Item = &Entry> {
        let there: BTreeSet<&Identity> = self.copies.iter().map(|copy| &copy.identity).collect();
        self.entries.values().filter(move |entry| !there.contains(&entry.identity))
    }

    /// Judges all of it. `source` is the audited topic.
    pub fn judge(&self, source: &str) -> Replays {
        let mut replays = Replays::default();
        let mut seen = BTreeSet::new();
        for copy in &self.copies {
            let place = &copy.identity.place;
            let is_altered = || {
                self.letters.get(&copy.identity).is_some_and(|digest| *digest != copy.digest)
                    || (place.topic.as_str(), place.partition) != (source, copy.partition)
            };
            let fault = if !self.entries.contains_key(&copy.identity) {
                Some(ReplayFault::Unlisted)
            } else if !seen.insert(&copy.identity) {
                Some(ReplayFault::Doubled)
            } else {
                is_altered().then_some(ReplayFault::Altered)
            };
            match fault {
                Some(fault) => replays.add(fault, &copy.identity, Some(copy)),
                None => replays.replayed += 1,
            }
        }
        for entry in self.missing() {
            if self.removed.contains(&entry.identity) {
                replays.replays_unchecked += 1;
            } else {
                replays.add(ReplayFault::Missing, &entry.identity, None);
            }
        }
        replays
    }
}

impl Replays {
    fn add(&mut self, fault: ReplayFault, identity: &Identity, copy: Option<&Copy>) {
        self.replay_faults += 1;
        *self.replay_faults_by_kind.entry(fault).or_default() += 1;
        if self.replay_examples.len() < EXAMPLES {
            let found = copy.map(|copy| format!("{}-{}", copy.partition, copy.offset));
            self.replay_examples.push(ReplayExample { fault, of: identity.to_string(), found });
        }
    }
}

/// Lines of the table; empty when nothing was replayed.
impl fmt::Display for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.replayed + self.replay_faults + self.replays_unchecked == 0 {
            return Ok(());
        }
        writeln!(f, "{:<16}{:>14}", "replayed", self.replayed)?;
        writeln!(f, "{:<16}{:>14}", "  faults", self.replay_faults)?;
        if self.replays_unchecked > 0 {
            writeln!(f, "{:<16}{:>14}  the source no longer has them", "  unchecked", self.replays_unchecked)?;
        }
        for ReplayExample { fault, of, found } in &self.replay_examples {
            write!(f, "replay {}: of {of}", fault.as_str())?;
            match found {
                Some(found) => writeln!(f, ", source {found}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crds::records::dead_letter::Reason;

    use super::{super::record::Header, *};

    fn identity(offset: i64) -> Identity {
        Identity { place: Place { topic: "in".to_owned(), partition: 3, offset }, timestamp: 5 }
    }

    fn copy(offset: i64) -> Copy {
        Copy { identity: identity(offset), partition: 3, offset: offset + 100, digest: 7 }
    }

    /// Evidence in which the source records at these offsets were replayed correctly.
    fn evidence(offsets: &[i64]) -> Evidence {
        let entry = |offset: &i64| {
            let dead_letter = Place { topic: "dead".to_owned(), partition: 3, offset: *offset };
            let identity = identity(*offset);
            (identity.clone(), Entry { identity, dead_letter, reason: Reason::Future, time: 9, not_before: 50 })
        };
        Evidence {
            entries: offsets.iter().map(entry).collect(),
            copies: offsets.iter().copied().map(copy).collect(),
            letters: offsets.iter().map(|offset| (identity(*offset), 7)).collect(),
            removed: BTreeSet::new(),
        }
    }

    fn faults(evidence: &Evidence) -> (u64, Vec<(ReplayFault, u64)>) {
        let replays = evidence.judge("in");
        assert_eq!(replays.replay_faults, replays.replay_faults_by_kind.values().sum::<u64>());
        (replays.replayed, replays.replay_faults_by_kind.into_iter().collect())
    }

    #[test]
    fn each_replay_is_in_the_source_once_and_as_it_was() {
        assert_eq!(faults(&evidence(&[])), (0, vec![]));
        assert_eq!(faults(&evidence(&[1, 2, 3])), (3, vec![]));

        let mut doubled = evidence(&[1, 2]);
        doubled.copies.push(Copy { offset: 900, ..copy(2) });
        assert_eq!(faults(&doubled), (2, vec![(ReplayFault::Doubled, 1)]));

        let mut unlisted = evidence(&[1, 2]);
        unlisted.entries.remove(&identity(2));
        assert_eq!(faults(&unlisted), (1, vec![(ReplayFault::Unlisted, 1)]));

        let mut missing = evidence(&[1, 2]);
        missing.copies.pop();
        assert_eq!(faults(&missing), (1, vec![(ReplayFault::Missing, 1)]));
        missing.removed.insert(identity(2));
        assert_eq!(faults(&missing), (1, vec![]), "it was deleted since");
        assert_eq!(missing.judge("in").replays_unchecked, 1);

        let mut altered = evidence(&[1, 2]);
        altered.letters.insert(identity(2), 8);
        altered.letters.remove(&identity(1));
        assert_eq!(faults(&altered), (1, vec![(ReplayFault::Altered, 1)]));

        let mut elsewhere = evidence(&[1]);
        elsewhere.copies[0].partition = 2;
        assert_eq!(faults(&elsewhere), (0, vec![(ReplayFault::Altered, 1)]));
        assert_eq!(elsewhere.judge("in").to_string().lines().last(), Some("replay altered: of in/3/1/5, source 2-101"));
    }

    #[test]
    fn an_event_is_compared_without_what_the_pipeline_added() {
        let of = |key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]| {
            digest(&Record { offset: 1, timestamp: 1, key, value, headers })
        };
        let own: [Header; 2] = [("a", Some(b"b")), ("c", None)];
        let plain = of(Some(b"k"), Some(b"v"), &own);

        assert_eq!(plain, of(Some(b"k"), Some(b"v"), &[own[0], ("lp-replay", Some(b"x")), own[1]]));
        for other in [
            of(Some(b"kv"), Some(b""), &own),
            of(Some(b"k"), None, &own),
            of(Some(b"k"), Some(b""), &own),
            of(Some(b"k"), Some(b"v"), &own[..1]),
            of(Some(b"k"), Some(b"v"), &[own[1], own[0]]),
            of(Some(b"k"), Some(b"v"), &[own[0], ("c", Some(b""))]),
        ] {
            assert_ne!(plain, other);
        }
    }

    #[test]
    fn a_replay_of_another_pipelines_dead_letter_is_a_normal_event() {
        let headers: [Header; 2] = [(REPLAY, Some(b"dead/3/9")), (REPLAY_OF, Some(b"in/3/1/5"))];
        let record = |headers| Record { offset: 101, timestamp: 1, key: None, value: None, headers };
        let found = Copy::of(&record(&headers), 3, "dead").unwrap();
        assert_eq!(found.identity, identity(1));
        assert_eq!(found.offset, 101);
        assert_eq!(Copy::of(&record(&headers), 3, "others"), None);
        assert_eq!(Copy::of(&record(&headers[..1]), 3, "dead"), None);
    }
}
