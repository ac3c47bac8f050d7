//! Histories of a small pipeline: its input, its output, and the faults to plant.

use crds::{
    job::Rules,
    records::dead_letter::{self, Reason},
};
use processor::commands::generate::{Events, Kind, Options, Shares};

use ::audit::{Bounds, Header, Judge, PartitionAudit, Record, Report, Source, Stream, Verdict, WindowFull, conclude};

pub const PARTITIONS: usize = 3;
pub const TOPIC: &str = "logins";
pub const ROOM: usize = 1_100_000;
const NOW: i64 = 1_720_576_800;

/// An owned record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    pub fn with<R>(&self, act: impl FnOnce(&Record) -> R) -> R {
        let headers: Vec<Header> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let Self { offset, timestamp, .. } = *self;
        act(&Record { offset, timestamp, key: self.key.as_deref(), value: self.value.as_deref(), headers: &headers })
    }
}

/// The three streams of some partitions.
#[derive(Clone, Debug)]
pub struct History {
    /// Indexed by `Stream as usize`, then by partition.
    pub streams: [Vec<Vec<Owned>>; 3],
}

impl History {
    /// What a pipeline without faults does with `events` events on `partitions` partitions.
    pub fn clean(seed: u64, events: usize, partitions: usize) -> Self {
        let shares = [Kind::Late, Kind::Future, Kind::Malformed, Kind::Incomplete, Kind::Odd, Kind::Repeated]
            .into_iter()
            .fold(Shares::NONE, |shares, kind| shares.with(kind, 0.06).unwrap());
        let stream = Events::new(Options { seed, users: 50, shares, start: NOW, per_second: 5 });
        let mut input = vec![Vec::new(); partitions];
        for (index, event) in stream.take(events).enumerate() {
            let partition = event.key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % partitions;
            let records: &mut Vec<Owned> = &mut input[partition];
            // Occasional control records and compaction.
            let gap = [0, 0, 0, 1, 7][(index * 31 + partition) % 5] * i64::from(index % 4 == 0);
            let offset = records.last().map_or(gap, |last| last.offset + 1 + gap);
            let headers = match index % 9 {
                0 => vec![("trace".to_owned(), Some(vec![0, 255])), ("trace".to_owned(), None)],
                1 => vec![("lp-reason".to_owned(), Some(b"future".to_vec())), ("lp-truncated".to_owned(), None)],
                _ => vec![],
            };
            let key = (index % 11 > 0).then(|| event.key.clone());
            let timestamp = (NOW + index as i64 / 5) * 1000;
            records.push(Owned { offset, timestamp, key, value: event.payload().map(<[u8]>::to_vec), headers });
        }
        let mut history = Self { streams: [input, vec![Vec::new(); partitions], vec![Vec::new(); partitions]] };
        for partition in 0..partitions {
            history.process(partition);
        }
        history.renumber();
        history
    }

    fn process(&mut self, partition: usize) {
        let mut judge = Judge::new(Rules::default(), partition as i32, ROOM, true);
        for record in self.streams[Stream::Input as usize][partition].clone() {
            let (stream, outcome) = match record.with(|record| judge.judge(record)) {
                Verdict::Output { value, .. } => (Stream::Output, Owned { value: Some(value), ..record }),
                Verdict::DeadLetter(reason) => (Stream::DeadLetters, dead_letter(partition, &record, reason)),
            };
            self.streams[stream as usize][partition].push(outcome);
        }
    }

    /// Numbers the outcomes in order, with control records between them.
    pub fn renumber(&mut self) {
        for records in self.streams.iter_mut().skip(1).flatten() {
            for (index, record) in records.iter_mut().enumerate() {
                record.offset = (index + index / 3) as i64;
            }
        }
    }

    pub fn count(&self, stream: Stream) -> u64 {
        self.streams[stream as usize].iter().map(|records| records.len() as u64).sum()
    }

    /// Audits each partition with [`drive`] and combines the reports.
    pub fn audit(&self, mut drive: impl FnMut(&mut PartitionAudit, Streams)) -> Report {
        let partitions = 0..self.streams[0].len();
        conclude(
            partitions
                .map(|partition| {
                    let mut audit = audit(partition as i32, bounds());
                    drive(&mut audit, Stream::ALL.map(|stream| self.streams[stream as usize][partition].as_slice()));
                    audit.finish()
                })
                .collect(),
        )
    }
}

pub fn dead_letter(partition: usize, record: &Owned, reason: Reason) -> Owned {
    let mut letter = record.clone();
    for (name, value) in [
        (dead_letter::REASON, reason.as_str().to_owned()),
        (dead_letter::DETAIL, "why".to_owned()),
        (dead_letter::SOURCE_TOPIC, TOPIC.to_owned()),
        (dead_letter::SOURCE_PARTITION, partition.to_string()),
        (dead_letter::SOURCE_OFFSET, record.offset.to_string()),
        (dead_letter::SOURCE_TIMESTAMP, record.timestamp.to_string()),
    ] {
        letter.headers.push((name.to_owned(), Some(value.into_bytes())));
    }
    letter
}

/// A partition's streams, indexed by `Stream as usize`.
pub type Streams<'a> = [&'a [Owned]; 3];

pub const fn bounds() -> Bounds {
    Bounds { start: 0, end: None, window_bytes: 100_000_000 }
}

pub fn audit(partition: i32, bounds: Bounds) -> PartitionAudit {
    let source = Source { topic: TOPIC.to_owned(), partition, max_message_bytes: ROOM };
    PartitionAudit::new(Judge::new(Rules::default(), partition, ROOM, true), source, bounds)
}

pub fn push(audit: &mut PartitionAudit, stream: Stream, record: &Owned) -> Result<(), WindowFull> {
    record.with(|record| audit.push(stream, record))
}

/// Feeds the streams in the order that the audit asks for; returns the maximum of bytes that it held.
pub fn aligned(audit: &mut PartitionAudit, streams: Streams) -> usize {
    let mut next = [0; 3];
    let mut held = 0;
    while let Some(stream) = audit.wants() {
        match streams[stream as usize].get(next[stream as usize]) {
            Some(record) => push(audit, stream, record).unwrap(),
            None => audit.done(stream),
        }
        next[stream as usize] += 1;
        held = held.max(audit.held_bytes());
    }
    held
}

/// Feeds whole streams, one after the other.
pub fn one_by_one(audit: &mut PartitionAudit, streams: Streams, order: [Stream; 3]) {
    for stream in order {
        for record in streams[stream as usize] {
            push(audit, stream, record).unwrap();
        }
        audit.done(stream);
    }
}

/// Feeds the streams in the order of `choices`, regardless of what the audit asks for.
pub fn mixed(audit: &mut PartitionAudit, streams: Streams, choices: &[u8]) {
    let mut next = [0; 3];
    let mut choices = choices.iter().cycle();
    loop {
        let open: Vec<Stream> =
            Stream::ALL.into_iter().filter(|stream| next[*stream as usize] < streams[*stream as usize].len()).collect();
        if open.is_empty() {
            return;
        }
        let stream = open[usize::from(*choices.next().unwrap_or(&0)) % open.len()];
        push(audit, stream, &streams[stream as usize][next[stream as usize]]).unwrap();
        next[stream as usize] += 1;
    }
}

/// Audits a history in several orders of arrival, which must give the same report.
pub fn check(history: &History) -> Report {
    let by_wants = history.audit(|audit, streams| {
        aligned(audit, streams);
    });
    use Stream::{DeadLetters, Input, Output};
    for order in [[Input, Output, DeadLetters], [DeadLetters, Output, Input], [Output, Input, DeadLetters]] {
        let other = history.audit(|audit, streams| {
            one_by_one(audit, streams, order);
            assert_eq!(audit.held_bytes() == 0, audit.pending() == 0, "what waits takes memory, and nothing else");
        });
        assert_eq!(other, by_wants, "{order:?}");
    }
    let sum = by_wants.processed + by_wants.dead_letters + by_wants.misrouted + by_wants.lost;
    assert_eq!(by_wants.input, sum, "every source record is counted once");
    by_wants
}
