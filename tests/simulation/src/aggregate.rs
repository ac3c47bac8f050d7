//! Stage 2 on the simulated Kafka: replicas, one of which emits, and the faults between them.

use crds::records::{
    offset::OffsetMetadata,
    state::{self, Head, Key, Position},
};
use serde::de::DeserializeOwned;
use stages::aggregate::{
    fold,
    machine::{Committed, Machine, Outcome, Question, Reading, Role, Sealed},
};

use super::{
    coverage::Feature,
    world::{Answer, Fetched, Group, Name, Producer, Record, Refused, World},
};

/// A transaction in progress.
#[derive(Debug)]
struct Emission {
    transaction: usize,
    records: Vec<(Name, Record)>,
    produced: usize,
    offsets_sent: bool,
    offset: i64,
    metadata: String,
    snapshot: bool,
}

#[derive(Debug)]
struct Replica {
    id: String,
    machine: Machine,
    producer: Option<Producer>,
    generation: u64,
    assigned: bool,
    emission: Option<Emission>,
    hangs: u64,
    was: Role,
}

#[derive(Debug, Default)]
pub struct Replicas {
    replicas: Vec<Replica>,
    named: u64,
}

impl Replicas {
    pub fn len(&self) -> usize {
        self.replicas.len()
    }

    /// Whether any replica is reading the state.
    pub fn any_restores(&self) -> bool {
        self.replicas.iter().any(|replica| matches!(replica.machine.reads(), Some(Reading::State { from: 1.. })))
    }

    pub fn start(&mut self, world: &mut World, id: Option<String>) {
        self.named += 1;
        let id = id.unwrap_or_else(|| format!("a{}", self.named));
        world.say(|| format!("{id} starts"));
        self.replicas.push(Replica {
            machine: Machine::new(id.clone(), world.next_sequence()),
            id,
            producer: None,
            generation: 0,
            assigned: false,
            emission: None,
            hangs: 0,
            was: Role::Restoring,
        });
        self.rebalance(world);
    }

    pub fn crash(&mut self, world: &mut World, index: usize) -> String {
        let replica = self.replicas.remove(index);
        world.say(|| format!("{} crashes", replica.id));
        if replica.was == Role::Emitter {
            world.cover(Feature::EmitterCrash);
        }
        if let Some(Emission { records, produced, offsets_sent, .. }) = &replica.emission {
            match records.get(*produced) {
                _ if *produced == 0 => {}
                Some((Name::State, _)) => world.cover(Feature::EmitterCrashInState),
                Some(_) => world.cover(Feature::EmitterCrashInResults),
                None if *offsets_sent => world.cover(Feature::EmitterCrashBeforeCommit),
                None => {}
            }
        }
        replica.id
    }

    /// Whether a replica is in the middle of a transaction.
    pub fn is_emitting(&self, index: usize) -> bool {
        self.replicas[index].emission.as_ref().is_some_and(|emission| emission.produced > 0)
    }

    pub fn hang(&mut self, index: usize, turns: u64) {
        self.replicas[index].hangs = turns;
    }

    /// The group assigns the deltas to one of the responsive members, usually to the current owner.
    pub fn rebalance(&mut self, world: &mut World) {
        world.generations[Group::Aggregate as usize] += 1;
        let generation = world.generations[Group::Aggregate as usize];
        let now_ms = world.now_ms;
        let mut members: Vec<&mut Replica> = self.replicas.iter_mut().filter(|replica| replica.hangs == 0).collect();
        world.members[Group::Aggregate as usize] = members.iter().map(|replica| replica.id.clone()).collect();
        // A member that missed a generation is a new member, and has lost its assignment.
        for replica in members.iter_mut().filter(|replica| replica.assigned && replica.generation + 1 != generation) {
            replica.lost(world);
        }
        let has = members.iter().position(|replica| replica.assigned);
        let chosen = match has {
            Some(has) if !world.fault(2) => has,
            _ if members.is_empty() => return,
            _ => world.random.below(members.len() as u64) as usize,
        };
        for (index, replica) in members.iter_mut().enumerate() {
            replica.generation = generation;
            if replica.assigned && index != chosen {
                replica.revoked(world);
            }
        }
        let replica = &mut members[chosen];
        if !replica.assigned {
            world.say(|| format!("{} is assigned the deltas", replica.id));
            replica.assigned = true;
            replica.machine.assigned(now_ms);
        }
    }

    pub fn turn(&mut self, world: &mut World, index: usize) -> Result<(), String> {
        let Some(replica) = self.replicas.get_mut(index) else { return Ok(()) };
        if replica.hangs > 0 && !world.calm {
            replica.hangs -= 1;
            return Ok(());
        }
        replica.hangs = 0;
        if replica.generation != world.generations[Group::Aggregate as usize] && !world.fault(3) {
            self.rebalance(world);
            return Ok(());
        }
        replica.turn(world);
        replica.note_role(world);
        if let Some(failure) = replica.machine.failure() {
            return Err(format!("{} stops: {failure}", replica.id));
        }
        match replica.machine.fold() {
            Some(fold) if !replica.assigned && fold.next_offset() > world.emitted => {
                let next = fold.next_offset();
                Err(format!("standby {} has folded up to {next}, committed is {}", replica.id, world.emitted))
            }
            _ => Ok(()),
        }
    }

    /// The fold of the emitter, once everything is folded and committed.
    pub fn settled(&self, world: &World) -> Option<&fold::Fold> {
        let emitter = self.replicas.iter().find(|replica| replica.machine.role() == Role::Emitter)?;
        let fold = emitter.machine.fold()?;
        // Its offset may have been lost again since then.
        let Position { offset } = last(world, Key::Position)?;
        let end = world.records(Name::Deltas).next_back().map_or(0, |(offset, _)| offset + 1);
        (emitter.emission.is_none() && offset == fold.next_offset() && end <= offset).then_some(fold)
    }
}

impl Replica {
    fn turn(&mut self, world: &mut World) {
        if self.emission.is_some() {
            return self.go_on(world);
        }
        if let Some(question) = self.machine.asks(world.now_ms)
            && !world.fault(4)
        {
            self.answer(world, question);
            if world.fault(2) {
                return;
            }
        }
        let most = if world.calm { 1000 } else { 1 + world.random.below(30) };
        for _ in 0..most {
            if !self.read(world) {
                break;
            }
        }
        let sealed = if world.fault(20) {
            self.machine.seal_rest(world.now_ms).cloned()
        } else {
            self.machine.seal(world.now_ms).cloned()
        };
        if let Some(sealed) = sealed {
            self.begin(world, sealed);
        }
        if let Some(before) = self.machine.take_trim() {
            world.say(|| format!("{} trims the deltas before {before}", self.id));
            world.trim(before);
        }
    }

    fn answer(&mut self, world: &mut World, question: Question) {
        let committed = |(offset, metadata): &(i64, String)| Committed { offset: *offset, metadata: metadata.clone() };
        match question {
            Question::StateEnd => {
                let end = world.high(Name::State);
                if world.stable_end(Name::State) < end {
                    world.cover(Feature::RestoreBehindOpenTransaction);
                }
                if world.ends_within(Name::State) {
                    world.cover(Feature::RestoreEndsInTransaction);
                }
                world.say(|| format!("{} hears that the state ends at {end}", self.id));
                self.machine.state_ends(end);
            }
            Question::Committed => {
                let committed = world.committed(Group::Aggregate, 0).map(committed);
                self.machine.committed_is(committed.as_ref(), world.now_ms);
            }
            Question::StableCommitted => {
                if self.producer.is_none() {
                    self.producer = Some(world.init(&self.id));
                }
                match world.stable(Group::Aggregate, 0) {
                    Ok(stable) => {
                        let stable = stable.map(committed);
                        world.say(|| format!("{} hears that {stable:?} is committed", self.id));
                        self.machine.stable_is(stable, world.now_ms);
                    }
                    Err(_) => self.fence_dead_emitter(world),
                }
            }
            Question::LastSnapshot => {
                self.machine.last_snapshot_is(last(world, Key::Meta).map(|head: Head| head.offset));
            }
        }
    }

    fn fence_dead_emitter(&self, world: &mut World) {
        let Some((_, metadata)) = world.committed(Group::Aggregate, 0) else { return };
        let owner = OffsetMetadata::decode(metadata).unwrap().transactional_id;
        if owner != self.id && !world.members[Group::Aggregate as usize].contains(&owner) {
            world.init(&owner);
        }
    }

    /// Reads one record. Returns whether there may be more.
    fn read(&mut self, world: &mut World) -> bool {
        match self.machine.reads() {
            None => false,
            Some(Reading::State { from }) => match world.fetch(Name::State, from) {
                Fetched::Record(offset, record) => {
                    self.machine.state_record(offset, record.key.as_bytes(), record.value.as_deref());
                    true
                }
                Fetched::End(end) => {
                    self.machine.state_reached(end);
                    false
                }
                Fetched::Gone { .. } => false,
            },
            Some(Reading::Deltas { from }) => match world.fetch(Name::Deltas, from) {
                Fetched::Record(offset, record) => {
                    self.machine.delta(offset, record.value.as_deref().unwrap_or_default());
                    true
                }
                Fetched::End(_) => false,
                Fetched::Gone { low, high } => {
                    world.say(|| format!("{} needs delta {from}, there are {low} to {high}", self.id));
                    self.machine.deltas_gone(low, high);
                    false
                }
            },
        }
    }

    fn begin(&mut self, world: &mut World, sealed: Sealed) {
        let Some(producer) = &self.producer else { return };
        let Sealed { results, state, offset, metadata, snapshot } = sealed;
        let topics = [
            (Name::Aggregates, results.aggregates),
            (Name::Insights, results.insights),
            (Name::Alerts, results.alerts),
            (Name::State, state),
        ];
        let record = |name, fold::ResultRecord { key, value }| (name, Record { key, value });
        let records =
            topics.into_iter().flat_map(|(name, records)| records.into_iter().map(move |of| record(name, of)));
        self.emission = Some(Emission {
            transaction: world.begin(producer),
            records: records.collect(),
            produced: 0,
            offsets_sent: false,
            offset,
            metadata,
            snapshot,
        });
        if !world.fault(4) {
            self.go_on(world);
        }
    }

    /// Takes the next step of the transaction in progress, or all its steps.
    fn go_on(&mut self, world: &mut World) {
        // Most transactions finish at once; others stop before the results, after some of them, or before the offset or
        // the commit.
        let emission = self.emission.as_ref();
        let rest = emission.map_or(0, |emission| emission.records.len() - emission.produced) as u64 + 2;
        let mut steps = if world.fault(4) { world.random.below(rest) } else { u64::MAX };
        while let Some(emission) = &mut self.emission {
            let done = if let Some((name, record)) = emission.records.get(emission.produced) {
                emission.produced += 1;
                world.produce(emission.transaction, *name, record.clone())
            } else if emission.offsets_sent {
                return self.end(world);
            } else {
                emission.offsets_sent = true;
                let offsets = [(0, (emission.offset, emission.metadata.clone()))];
                world.send_offsets(emission.transaction, Group::Aggregate, self.generation, offsets)
            };
            if done.is_err() || world.fault(400) {
                return self.aborted(world, done == Err(Refused::Fenced));
            }
            if steps == 0 {
                return;
            }
            steps -= 1;
        }
    }

    fn end(&mut self, world: &mut World) {
        let Some(Emission { transaction, offset, snapshot, .. }) = self.emission.take() else { return };
        let answer = world.commit(transaction);
        world.say(|| format!("{} emits up to {offset}, snapshot {snapshot}: {answer:?}", self.id));
        match answer {
            Answer::Committed => {
                if snapshot {
                    world.cover(Feature::Snapshot);
                }
                self.machine.outcome(Outcome::Committed, world.now_ms);
            }
            Answer::Unknown | Answer::Fenced => {
                world.cover(Feature::EmitterUnknown);
                self.producer = None;
                self.machine.outcome(Outcome::Unknown, world.now_ms);
            }
        }
    }

    fn aborted(&mut self, world: &mut World, fenced: bool) {
        let Some(Emission { transaction, .. }) = self.emission.take() else { return };
        world.say(|| format!("{} aborts", self.id));
        world.abort(transaction);
        if fenced || world.fault(2) {
            // A new producer finds out how it ended.
            self.producer = None;
            self.machine.outcome(Outcome::Unknown, world.now_ms);
        } else {
            self.machine.outcome(Outcome::Aborted, world.now_ms);
        }
    }

    /// The deltas are revoked in order: the transaction in progress is committed first, and perhaps the rest too.
    fn revoked(&mut self, world: &mut World) {
        while self.emission.is_some() {
            self.go_on(world);
        }
        if !world.fault(2)
            && self.producer.is_some()
            && let Some(sealed) = self.machine.seal_rest(world.now_ms).cloned()
        {
            self.begin(world, sealed);
            while self.emission.is_some() {
                self.go_on(world);
            }
        }
        world.say(|| format!("{} is revoked", self.id));
        self.assigned = false;
        self.machine.revoked();
    }

    /// The deltas were revoked while the replica hung.
    fn lost(&mut self, world: &mut World) {
        if let Some(Emission { transaction, .. }) = self.emission.take() {
            world.abort(transaction);
            self.machine.outcome(Outcome::Aborted, world.now_ms);
        }
        world.say(|| format!("{} has lost the deltas", self.id));
        self.assigned = false;
        self.machine.revoked();
    }

    fn note_role(&mut self, world: &mut World) {
        let role = self.machine.role();
        if role == self.was {
            return;
        }
        world.say(|| format!("{} is {role:?} now", self.id));
        match (self.was, role) {
            (Role::Restoring, _) if self.machine.fold().is_some_and(|fold| fold.next_offset() > 0) => {
                world.cover(Feature::ColdStart);
            }
            (Role::Standby, Role::Emitter) if self.machine.fold().is_some_and(|fold| fold.stats().deltas > 0) => {
                world.cover(Feature::Takeover);
            }
            _ => {}
        }
        if role == Role::Standby && !self.assigned {
            world.cover(Feature::Standby);
        }
        self.was = role;
    }
}

/// The last record of a key in the state topic.
fn last<T: DeserializeOwned>(world: &World, key: Key) -> Option<T> {
    let key = key.encode();
    let (_, record) = world.records(Name::State).rev().find(|(_, record)| record.key == key)?;
    Some(state::decode(record.value.as_deref()?).unwrap())
}
