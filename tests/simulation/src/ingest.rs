//! Stage 1 on the simulated Kafka: threads that own source partitions, and the faults between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use crds::{
    job::JobConfig,
    records::{
        offset::OffsetMetadata,
        state::{Key, MetaRecords},
    },
};
use stages::ingest::{
    history::History,
    machine::{self, Fate, Ingest, Sealed},
    start::{Evidence, Start},
};

use super::{
    coverage::Feature,
    world::{Answer, Group, Name, Producer, Record, Refused, World},
};

/// The maximum deviation of a thread's clock, milliseconds.
pub const MAX_SKEW_MS: i64 = 300;

/// A transaction in progress: the steps that remain.
#[derive(Debug)]
struct Commit {
    transaction: usize,
    sealed: Sealed,
    produced: usize,
    offsets_sent: bool,
}

#[derive(Debug)]
struct Thread {
    id: String,
    job: Rc<JobConfig>,
    machine: Ingest,
    producer: Option<Producer>,
    generation: u64,
    waiting: BTreeSet<i32>,
    active: BTreeSet<i32>,
    commit: Option<Commit>,
    /// The deviation of its clock, milliseconds.
    skew_ms: i64,
    /// The thread does nothing for this many turns, and misses rebalances.
    hangs: u64,
    /// The end of the whole source when the thread last looked.
    seen: i64,
}

#[derive(Debug, Default)]
pub struct Threads {
    threads: Vec<Thread>,
    arena: Vec<u8>,
    named: u64,
}

impl Threads {
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// The revision that a thread works by.
    pub fn revision(&self, index: usize) -> u64 {
        self.threads[index].job.revision
    }

    /// Starts a thread, with the transactional id of its predecessor or a new one.
    pub fn start(&mut self, world: &mut World, job: &Rc<JobConfig>, id: Option<String>) {
        self.named += 1;
        let id = id.unwrap_or_else(|| format!("t{}", self.named));
        world.say(|| format!("{id} starts with revision {}", job.revision));
        let thread = Thread {
            machine: Ingest::new(job, id.clone(), world.next_sequence(), 1 << 20),
            id,
            job: Rc::clone(job),
            producer: None,
            generation: 0,
            waiting: BTreeSet::new(),
            active: BTreeSet::new(),
            commit: None,
            skew_ms: world.random.below(2 * MAX_SKEW_MS as u64) as i64 - MAX_SKEW_MS,
            hangs: 0,
            seen: 0,
        };
        self.threads.push(thread);
        self.rebalance(world);
    }

    /// Crashes a thread in the middle of its work. Returns its transactional id.
    pub fn crash(&mut self, world: &mut World, index: usize) -> String {
        let thread = self.threads.remove(index);
        world.say(|| format!("{} crashes", thread.id));
        world.cover(Feature::CrashIngest);
        if thread.commit.is_some_and(|commit| commit.produced > 0 || commit.offsets_sent) {
            world.cover(Feature::CrashIngestInCommit);
        }
        thread.id
    }

    /// Stops a thread in order: it commits first.
    pub fn stop(&mut self, world: &mut World, index: usize) -> String {
        let thread = &mut self.threads[index];
        thread.commit_all(world);
        thread.give_up(world, false);
        world.say(|| format!("{} stops", thread.id));
        self.threads.remove(index).id
    }

    pub fn hang(&mut self, index: usize, turns: u64) {
        self.threads[index].hangs = turns;
    }

    /// The group assigns each partition to one of the responsive members.
    pub fn rebalance(&mut self, world: &mut World) {
        world.cover(Feature::RebalanceIngest);
        world.generations[Group::Ingest as usize] += 1;
        let generation = world.generations[Group::Ingest as usize];
        let mut members: Vec<&mut Thread> = self.threads.iter_mut().filter(|thread| thread.hangs == 0).collect();
        world.members[Group::Ingest as usize] = members.iter().map(|thread| thread.id.clone()).collect();
        let mut assigned: Vec<BTreeSet<i32>> = vec![BTreeSet::new(); members.len()];
        if !members.is_empty() {
            let turn = world.random.below(members.len() as u64) as usize;
            for partition in 0..world.source.len() {
                assigned[(partition + turn) % members.len()].insert(partition as i32);
            }
        }
        for (thread, assigned) in members.iter_mut().zip(assigned) {
            thread.reassigned(world, generation, &assigned);
        }
        let owners: Vec<_> = members.iter().map(|thread| (thread.id.as_str(), &thread.waiting)).collect();
        world.say(|| format!("stage 1 generation {generation}, to take up: {owners:?}"));
    }

    /// One of the threads takes a step.
    pub fn turn(&mut self, world: &mut World, index: usize) {
        let Some(thread) = self.threads.get_mut(index) else { return };
        if thread.hangs > 0 && !world.calm {
            thread.hangs -= 1;
            return;
        }
        thread.hangs = 0;
        // A thread that the group has removed may learn of it only when it commits.
        if thread.generation != world.generations[Group::Ingest as usize] && !world.fault(2) {
            thread.give_up(world, false);
            return self.rebalance(world);
        }
        thread.turn(world, &mut self.arena);
    }

    /// Whether everything is processed and committed.
    pub fn is_done(&self, world: &World) -> bool {
        let ends: BTreeMap<i32, i64> = (0..).zip(world.source.iter().map(super::world::Source::end)).collect();
        let positions: BTreeMap<i32, i64> = self.threads.iter().flat_map(|thread| thread.machine.positions()).collect();
        let is_idle =
            |thread: &Thread| thread.commit.is_none() && !thread.machine.has_work() && thread.waiting.is_empty();
        ends == positions && self.threads.iter().all(is_idle)
    }
}

impl Thread {
    fn reassigned(&mut self, world: &mut World, generation: u64, assigned: &BTreeSet<i32>) {
        // A member that missed a generation is a new member, and has lost its assignment.
        let missed = std::mem::replace(&mut self.generation, generation) + 1 != generation;
        if missed || world.fault(6) {
            self.give_up(world, false);
        } else {
            self.commit_all(world);
        }
        for partition in self.active.difference(assigned).copied().collect::<Vec<_>>() {
            self.active.remove(&partition);
            self.machine.release(partition);
        }
        self.waiting = assigned.difference(&self.active).copied().collect();
    }

    fn turn(&mut self, world: &mut World, arena: &mut Vec<u8>) {
        if self.commit.is_some() {
            return self.go_on(world);
        }
        if !self.waiting.is_empty() && !world.fault(4) {
            return self.take_up(world);
        }
        match world.random.below(8) {
            0 | 1 => self.look_for_idle(world),
            2 | 3 if !world.calm => self.seal(world),
            _ => {
                self.poll(world, arena);
                if world.calm {
                    self.look_for_idle(world);
                    self.commit_all(world);
                }
            }
        }
    }

    /// Takes up the partitions with known positions, in a transaction that announces them.
    fn take_up(&mut self, world: &mut World) {
        if self.machine.has_work() {
            return self.seal(world);
        }
        if self.producer.is_none() {
            self.producer = Some(world.init(&self.id));
        }
        self.machine.source_has(world.source.len() as u32);
        for partition in self.waiting.clone() {
            let Some(start) = self.resolve(world, partition) else { continue };
            world.say(|| format!("{} takes up {partition} at {start:?}", self.id));
            if start.log_start > start.position {
                world.cover(Feature::SourceLost);
            }
            self.machine.own(partition, start);
            self.waiting.remove(&partition);
            self.active.insert(partition);
        }
        self.seal(world);
    }

    fn resolve(&self, world: &mut World, partition: i32) -> Option<Start> {
        let evidence = match world.stable(Group::Ingest, partition) {
            Ok(Some((position, metadata))) => Evidence::Commit { position: *position, metadata: metadata.clone() },
            // More records may follow after an open transaction.
            Ok(None) if [Name::Deltas, Name::State].iter().any(|name| world.stable_end(*name) < world.high(*name)) => {
                return None;
            }
            Ok(None) => written(world, partition),
            Err(_) => {
                let (_, metadata) = world.committed(Group::Ingest, partition)?;
                let owner = OffsetMetadata::decode(metadata).unwrap().transactional_id;
                if owner != self.id && !world.members[Group::Ingest as usize].contains(&owner) {
                    world.cover(Feature::DeadWriterFenced);
                    world.init(&owner);
                }
                return None;
            }
        };
        let source = &world.source[partition as usize];
        Some(evidence.start(partition, (source.low, source.end()), self.job.start_from).unwrap())
    }

    fn poll(&mut self, world: &mut World, arena: &mut Vec<u8>) {
        arena.clear();
        let positions: BTreeMap<i32, i64> = self.machine.positions().collect();
        for partition in &self.active {
            let Some(mut position) = positions.get(partition).copied() else { continue };
            let most = if world.calm { u64::MAX } else { world.random.below(12) };
            for _ in 0..most {
                let source = &world.source[*partition as usize];
                let Some(entry) = source.entries.get(position as usize) else {
                    self.machine.reached(*partition, position);
                    break;
                };
                if let Some(entry) = entry {
                    let record = machine::SourceRecord {
                        partition: *partition,
                        offset: position,
                        timestamp_ms: entry.timestamp_ms,
                        fixed_bytes: 0,
                        value: Some(&entry.value),
                    };
                    match self.machine.record(&record, arena) {
                        Fate::Output(_) | Fate::Skipped => {}
                        Fate::DeadLetter(_) => world.coverage.note(Feature::DeadLetter),
                    }
                }
                position += 1;
            }
        }
        let tally = self.machine.take_tally();
        if tally.late > 0 {
            world.cover(Feature::Late);
        }
        if tally.unmerged > 0 {
            world.cover(Feature::Unmerged);
        }
    }

    fn look_for_idle(&mut self, world: &mut World) {
        let now_ms = world.now_ms + self.skew_ms;
        if self.machine.is_any_quiet(now_ms) {
            let end = world.source.iter().map(super::world::Source::end).sum();
            if std::mem::replace(&mut self.seen, end) != end {
                self.machine.source_moved(now_ms);
            }
        }
        for partition in self.machine.tick(now_ms) {
            let source = &world.source[partition as usize];
            let (end, last_ms) = (source.end(), source.last_ms);
            self.machine.end_is(partition, end, now_ms);
            world.say(|| format!("{} asks for the end of {partition}: {end}", self.id));
            world.cover(Feature::Idle);
            // Longer than the largest window of any history.
            if world.now_ms - last_ms > 120_000 && world.source.iter().any(|other| world.now_ms - other.last_ms < 3000)
            {
                world.cover(Feature::LongIdle);
            }
        }
    }

    /// Begins to commit the processed events.
    fn seal(&mut self, world: &mut World) {
        if self.producer.is_none() {
            self.producer = Some(world.init(&self.id));
        }
        if self.commit.is_none()
            && self.machine.has_work()
            && let Some(producer) = &self.producer
        {
            let transaction = world.begin(producer);
            let sealed = self.machine.seal().unwrap();
            self.commit = Some(Commit { transaction, sealed, produced: 0, offsets_sent: false });
            if world.fault(3) {
                return;
            }
            self.go_on(world);
        }
    }

    /// Takes the next step of the transaction in progress, or all its steps.
    fn go_on(&mut self, world: &mut World) {
        while let Some(commit) = &mut self.commit {
            let done = if let Some(delta) = commit.sealed.deltas.get(commit.produced) {
                commit.produced += 1;
                let record = Record { key: String::new(), value: Some(delta.clone()) };
                world.produce(commit.transaction, Name::Deltas, record)
            } else if commit.offsets_sent {
                return self.end(world);
            } else {
                commit.offsets_sent = true;
                let offsets = commit.sealed.offsets.iter();
                let offsets = offsets.map(|offset| (offset.partition, (offset.offset, offset.metadata.clone())));
                world.send_offsets(commit.transaction, Group::Ingest, self.generation, offsets)
            };
            if done.is_err() || world.fault(30) {
                world.cover(Feature::Abort);
                return self.give_up(world, done == Err(Refused::Fenced));
            }
            if world.fault(5) {
                return;
            }
        }
    }

    fn end(&mut self, world: &mut World) {
        let Some(commit) = self.commit.take() else { return };
        match world.commit(commit.transaction) {
            Answer::Committed => {
                let offsets = commit.sealed.offsets.iter().map(|offset| (offset.partition, offset.offset));
                world.say(|| format!("{} commits {:?}", self.id, offsets.collect::<Vec<_>>()));
                self.machine.committed(commit.sealed);
            }
            Answer::Unknown => {
                world.cover(Feature::UnknownIngest);
                self.give_up(world, true);
            }
            Answer::Fenced => self.give_up(world, true),
        }
    }

    fn commit_all(&mut self, world: &mut World) {
        self.seal(world);
        while self.commit.is_some() {
            self.go_on(world);
        }
    }

    /// Restarts everything from the committed offsets.
    fn give_up(&mut self, world: &mut World, open: bool) {
        world.say(|| format!("{} gives up", self.id));
        self.machine.abandon();
        match self.commit.take() {
            Some(commit) if !open => world.abort(commit.transaction),
            _ if open => self.producer = None,
            _ => {}
        }
        // The cause of the abort may also have ended the producer.
        if world.fault(4) {
            self.producer = None;
        }
        self.waiting.append(&mut self.active);
    }
}

/// What the last snapshot and the deltas after it say of a partition without a commit.
fn written(world: &mut World, partition: i32) -> Evidence {
    let mut meta = MetaRecords::default();
    for (offset, record) in world.records(Name::State) {
        meta.push(offset, Key::decode(record.key.as_bytes()).unwrap(), record.value.as_deref());
    }
    let mut history = History::after(meta.meta().unwrap().as_ref(), world.high(Name::Deltas));
    let next = history.next();
    for (_, record) in world.records(Name::Deltas).filter(|(offset, _)| next.is_none_or(|next| *offset >= next)) {
        history.take(record.value.as_deref().unwrap_or_default()).unwrap();
    }
    match history.reached(partition) {
        Some(reached) => {
            world.cover(Feature::OffsetsLostIngest);
            Evidence::Deltas(reached)
        }
        None => {
            let source = &mut world.source[partition as usize];
            source.first_seen.insert(source.low);
            Evidence::Nothing { existed_at_start: history.existed_at_start(partition) }
        }
    }
}
