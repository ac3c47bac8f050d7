//! Kafka in memory, as far as the cores can observe it: logs with transactions, committed offsets, producers that fence
//! each other.

use std::collections::{BTreeMap, BTreeSet};

use processor::commands::generate::random::Random;

use super::coverage::{Coverage, Feature};

/// How long the broker keeps a transaction open, milliseconds.
const TRANSACTION_TIMEOUT_MS: i64 = 10_000;

/// A topic that is written in transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Deltas,
    State,
    Aggregates,
    Insights,
    Alerts,
}

/// A consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Ingest,
    Aggregate,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub key: String,
    pub value: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Slot {
    transaction: usize,
    /// `None` for the marker at a transaction's end.
    record: Option<Record>,
    /// Compacted: no reader sees it any more.
    hidden: bool,
}

#[derive(Debug, Default)]
struct Topic {
    low: i64,
    slots: Vec<Slot>,
}

/// The result of a fetch.
#[derive(Debug)]
pub enum Fetched<'a> {
    Record(i64, &'a Record),
    /// Everything committed before this offset has been read.
    End(i64),
    Gone {
        low: i64,
        high: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    producer: String,
    epoch: u64,
    began_ms: i64,
    state: State,
    /// The transaction's first offset in each topic.
    first: BTreeMap<usize, i64>,
    offsets: Vec<(Group, i32, Committed)>,
    /// The producer has requested the commit; whether the request arrives is open.
    in_flight: bool,
}

/// A committed offset and its metadata.
pub type Committed = (i64, String);

/// Why the broker refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It refuses all further requests of this producer.
    Fenced,
    /// The group has a newer generation.
    OldGeneration,
    /// Open transactions may change the answer.
    Unstable,
}

/// What a producer learns about its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Committed,
    /// The commit succeeded, failed, or is still in flight.
    Unknown,
    Fenced,
}

/// An initialized producer.
#[derive(Clone, Debug)]
pub struct Producer {
    id: String,
    epoch: u64,
}

/// A record of the source.
#[derive(Debug)]
pub struct Entry {
    pub timestamp_ms: i64,
    pub value: Vec<u8>,
    /// The event; `None` when it is invalid.
    pub login: Option<Login>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub time: i64,
    pub user: Option<String>,
    /// In the order of `Dimension::ALL`.
    pub values: [Option<String>; 3],
}

/// A source partition. An offset without an entry is a marker.
#[derive(Debug, Default)]
pub struct Source {
    pub low: i64,
    pub entries: Vec<Option<Entry>>,
    /// Where it began whenever a thread found that nothing of it was processed.
    pub first_seen: BTreeSet<i64>,
    /// When the last event came to it.
    pub last_ms: i64,
}

impl Source {
    pub fn end(&self) -> i64 {
        self.entries.len() as i64
    }
}

#[derive(Debug)]
pub struct World {
    pub now_ms: i64,
    pub random: Random,
    pub source: Vec<Source>,
    /// No more faults happen.
    pub calm: bool,
    pub coverage: Coverage,
    pub trace: Option<Vec<String>>,
    /// The generation and the members of each group.
    pub generations: [u64; 2],
    pub members: [BTreeSet<String>; 2],
    /// The highest committed offset of the deltas so far.
    pub emitted: i64,
    offsets: [BTreeMap<i32, Committed>; 2],
    topics: [Topic; 5],
    transactions: Vec<Transaction>,
    open: Vec<usize>,
    /// Transactions in commit order.
    commits: Vec<usize>,
    epochs: BTreeMap<String, u64>,
    sequence: u64,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        Self {
            now_ms: 1_720_000_000_000,
            random: Random::new(seed),
            source: Vec::new(),
            calm: false,
            coverage: Coverage::default(),
            trace: traced.then(Vec::new),
            generations: [0; 2],
            members: Default::default(),
            emitted: 0,
            offsets: Default::default(),
            topics: Default::default(),
            transactions: Vec::new(),
            open: Vec::new(),
            commits: Vec::new(),
            epochs: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Traces an event of the history, if tracing is on.
    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let now_ms = self.now_ms % 10_000_000;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now_ms:>8} {}", what()));
        }
    }

    pub fn cover(&mut self, feature: Feature) {
        self.coverage.note(feature);
    }

    /// Whether a fault happens now, with a probability of one in `once_in`; never once the history is calm.
    pub fn fault(&mut self, once_in: u64) -> bool {
        !self.calm && self.random.below(once_in) == 0
    }

    pub fn next_sequence(&mut self) -> u64 {
        self.sequence += 1_000_000;
        self.sequence
    }

    // Producers and transactions.

    /// Initializes a producer with this transactional id: that ends its predecessor's transaction and fences the
    /// predecessor.
    pub fn init(&mut self, id: &str) -> Producer {
        for transaction in self.open.clone() {
            if self.transactions[transaction].producer == id {
                let arrived = self.transactions[transaction].in_flight && self.random.below(2) == 0;
                self.end(transaction, if arrived { State::Committed } else { State::Aborted });
            }
        }
        let epoch = self.epochs.entry(id.to_owned()).or_default();
        *epoch += 1;
        Producer { id: id.to_owned(), epoch: *epoch }
    }

    pub fn begin(&mut self, producer: &Producer) -> usize {
        self.transactions.push(Transaction {
            producer: producer.id.clone(),
            epoch: producer.epoch,
            began_ms: self.now_ms,
            state: State::Open,
            first: BTreeMap::new(),
            offsets: Vec::new(),
            in_flight: false,
        });
        self.transactions.len() - 1
    }

    fn check(&self, transaction: usize) -> Result<(), Refused> {
        let Transaction { producer, epoch, state, .. } = &self.transactions[transaction];
        (*state == State::Open && self.epochs.get(producer) == Some(epoch)).then_some(()).ok_or(Refused::Fenced)
    }

    fn opens(&mut self, transaction: usize) {
        if !self.open.contains(&transaction) {
            self.open.push(transaction);
        }
    }

    pub fn produce(&mut self, transaction: usize, name: Name, record: Record) -> Result<(), Refused> {
        self.check(transaction)?;
        self.opens(transaction);
        let topic = &mut self.topics[name as usize];
        self.transactions[transaction].first.entry(name as usize).or_insert(topic.slots.len() as i64);
        topic.slots.push(Slot { transaction, record: Some(record), hidden: false });
        Ok(())
    }

    pub fn send_offsets(
        &mut self,
        transaction: usize,
        group: Group,
        generation: u64,
        offsets: impl IntoIterator<Item = (i32, Committed)>,
    ) -> Result<(), Refused> {
        self.check(transaction)?;
        if generation != self.generations[group as usize] {
            self.cover(match group {
                Group::Ingest => Feature::FencedIngest,
                Group::Aggregate => Feature::FencedEmitter,
            });
            return Err(Refused::OldGeneration);
        }
        self.opens(transaction);
        let offsets = offsets.into_iter().map(|(partition, committed)| (group, partition, committed));
        self.transactions[transaction].offsets.extend(offsets);
        Ok(())
    }

    pub fn commit(&mut self, transaction: usize) -> Answer {
        if self.check(transaction).is_err() {
            return Answer::Fenced;
        }
        match (self.calm, self.random.below(24)) {
            (false, 0) => {
                self.end(transaction, State::Committed);
                Answer::Unknown
            }
            (false, 1) => {
                self.opens(transaction);
                self.transactions[transaction].in_flight = true;
                Answer::Unknown
            }
            (false, 2) => Answer::Unknown,
            _ => {
                self.end(transaction, State::Committed);
                Answer::Committed
            }
        }
    }

    /// Aborts the producer's transaction, if that is still possible.
    pub fn abort(&mut self, transaction: usize) {
        if self.check(transaction).is_ok() {
            self.end(transaction, State::Aborted);
        }
    }

    fn end(&mut self, transaction: usize, state: State) {
        self.transactions[transaction].state = state;
        self.open.retain(|open| *open != transaction);
        for topic in self.transactions[transaction].first.keys() {
            self.topics[*topic].slots.push(Slot { transaction, record: None, hidden: false });
        }
        if state == State::Committed {
            self.commits.push(transaction);
            for (group, partition, committed) in std::mem::take(&mut self.transactions[transaction].offsets) {
                if group == Group::Aggregate {
                    self.emitted = self.emitted.max(committed.0);
                }
                self.offsets[group as usize].insert(partition, committed);
            }
        }
    }

    /// Advances the time: the broker ends old transactions, and commits in flight arrive.
    pub fn advance(&mut self, by_ms: i64) {
        self.now_ms += by_ms;
        for transaction in self.open.clone() {
            let Transaction { began_ms, in_flight, producer, .. } = &self.transactions[transaction];
            let expired = self.now_ms - began_ms >= TRANSACTION_TIMEOUT_MS;
            let (in_flight, producer) = (*in_flight, producer.clone());
            if in_flight && self.random.below(if expired { 2 } else { 6 }) == 0 {
                self.end(transaction, State::Committed);
            } else if expired {
                self.end(transaction, State::Aborted);
                *self.epochs.entry(producer).or_default() += 1;
            }
        }
    }

    // Offsets.

    /// What a group has committed, regardless of open transactions.
    pub fn committed(&self, group: Group, partition: i32) -> Option<&Committed> {
        self.offsets[group as usize].get(&partition)
    }

    /// The same, but refused while a transaction is open.
    pub fn stable(&self, group: Group, partition: i32) -> Result<Option<&Committed>, Refused> {
        let is_open = |transaction: &usize| {
            let mut offsets = self.transactions[*transaction].offsets.iter();
            offsets.any(|(of, number, _)| (*of, *number) == (group, partition))
        };
        if self.open.iter().any(is_open) { Err(Refused::Unstable) } else { Ok(self.committed(group, partition)) }
    }

    /// The group's offsets expire or are deleted.
    pub fn lose_offsets(&mut self, group: Group, partition: Option<i32>) {
        match partition {
            Some(partition) => drop(self.offsets[group as usize].remove(&partition)),
            None => self.offsets[group as usize].clear(),
        }
    }

    // Reading.

    pub fn high(&self, name: Name) -> i64 {
        self.topics[name as usize].slots.len() as i64
    }

    /// The first offset of an open transaction, or the end of the log.
    pub fn stable_end(&self, name: Name) -> i64 {
        let first = |transaction: &usize| self.transactions[*transaction].first.get(&(name as usize)).copied();
        self.open.iter().filter_map(first).min().unwrap_or(self.high(name))
    }

    /// Whether a topic ends within a transaction, after more than its first record.
    pub fn ends_within(&self, name: Name) -> bool {
        let last = self.topics[name as usize].slots.last();
        last.is_some_and(|slot| {
            let Transaction { state, first, .. } = &self.transactions[slot.transaction];
            *state == State::Open && first.get(&(name as usize)).is_some_and(|first| first + 1 < self.high(name))
        })
    }

    fn is_visible(&self, slot: &Slot) -> bool {
        !slot.hidden && self.transactions[slot.transaction].state == State::Committed
    }

    /// The next committed record at or after an offset.
    pub fn fetch(&self, name: Name, from: i64) -> Fetched<'_> {
        let topic = &self.topics[name as usize];
        let (low, high) = (topic.low, self.high(name));
        if from < low || from > high {
            return Fetched::Gone { low, high };
        }
        let end = self.stable_end(name);
        for offset in from..end {
            let slot = &topic.slots[offset as usize];
            if let Some(record) = slot.record.as_ref().filter(|_| self.is_visible(slot)) {
                return Fetched::Record(offset, record);
            }
        }
        Fetched::End(end.max(from))
    }

    /// The committed records that a new reader sees.
    pub fn records(&self, name: Name) -> impl DoubleEndedIterator<Item = (i64, &Record)> {
        let topic = &self.topics[name as usize];
        let read = topic.low as usize..self.stable_end(name) as usize;
        let slots = (topic.low..).zip(topic.slots.get(read).unwrap_or_default().iter());
        let visible: Vec<_> = slots.filter(|(_, slot)| self.is_visible(slot)).collect();
        visible.into_iter().filter_map(|(offset, slot)| Some((offset, slot.record.as_ref()?)))
    }

    /// Removes records that have a later record with the same key.
    pub fn compact(&mut self, name: Name) {
        let end = self.stable_end(name) as usize;
        let mut seen = BTreeSet::new();
        for offset in (0..end).rev() {
            let slot = &self.topics[name as usize].slots[offset];
            if self.is_visible(slot)
                && let Some(record) = &slot.record
                && !seen.insert(record.key.clone())
            {
                self.topics[name as usize].slots[offset].hidden = true;
            }
        }
    }

    /// Removes the deltas before an offset.
    pub fn trim(&mut self, before: i64) {
        let low = &mut self.topics[Name::Deltas as usize].low;
        if before > *low {
            *low = before;
            self.cover(Feature::Trim);
        }
    }

    /// Everything ever committed to a topic, by transaction, with offsets; transactions in commit order.
    pub fn history(&self, name: Name) -> Vec<(usize, Vec<(i64, &Record)>)> {
        let mut by_transaction: BTreeMap<usize, Vec<(i64, &Record)>> = BTreeMap::new();
        for (offset, slot) in (0..).zip(&self.topics[name as usize].slots) {
            if let Some(record) = &slot.record {
                by_transaction.entry(slot.transaction).or_default().push((offset, record));
            }
        }
        let of = |transaction: &usize| Some((*transaction, by_transaction.remove(transaction)?));
        self.commits.iter().filter_map(of).collect()
    }
}
