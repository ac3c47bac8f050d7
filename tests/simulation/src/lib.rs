//! Runs both cores on an in-memory Kafka, through histories generated from a seed: events of all kinds, and every fault
//! at every place where it can happen.
//!
//! ```text
//!  plan: what happens next ──> ingest: threads of stage 1 ───┐
//!                         └──> aggregate: replicas of stage 2 ┼──> world: logs, transactions, offsets
//!                                                             │
//!  coverage: what happened        check: the results <────────┘
//! ```
//!
//! At the end of a history all faults stop. The results topics must then hold what the batch code of the audit counts
//! from the source, and what one undisturbed fold makes of the deltas.
//!
//! `LOGIN_PIPELINE_SEED=<seed> cargo test -p simulation -- --nocapture` runs one history and traces it;
//! `LOGIN_PIPELINE_HISTORIES=<number>` sets the number of histories.

#![cfg(test)]

mod aggregate;
mod audit;
mod check;
mod coverage;
mod frontier;
mod ingest;
mod plan;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use aggregate::Replicas;
use coverage::{Counts, Coverage, Feature};
use crds::job::JobConfig;
use ingest::Threads;
use plan::{Action, Plan};
use world::{Group, Name, Source, World};

/// How many histories to run, unless the environment sets another number.
const HISTORIES: u64 = 20_000;

/// The maximum number of turns until everything has settled.
const SETTLE_TURNS: usize = 2000;

/// The number of turns without a change after which no change follows: longer than any idle timeout.
const QUIET_TURNS: usize = 20;

struct History {
    world: World,
    plan: Plan,
    threads: Threads,
    replicas: Replicas,
    /// The newest config, and the older ones that starting threads may still have.
    job: Rc<JobConfig>,
    old_jobs: Vec<Rc<JobConfig>>,
}

impl History {
    fn new(seed: u64, traced: bool) -> Self {
        let mut world = World::new(seed, traced);
        let plan = Plan::new(&mut world.random);
        let job = plan::first_job(&mut world.random);
        for _ in 0..plan.partitions {
            world.source.push(Source { last_ms: world.now_ms, ..Source::default() });
        }
        let mut history =
            Self { world, plan, threads: Threads::default(), replicas: Replicas::default(), job, old_jobs: Vec::new() };
        history.world.say(|| format!("rules {}", serde_json::to_string(&history.job.rules).unwrap()));
        for _ in 0..history.plan.threads {
            history.threads.start(&mut history.world, &history.job, None);
        }
        for _ in 0..history.plan.replicas {
            history.replicas.start(&mut history.world, None);
        }
        history
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..self.plan.steps {
            let action = self.plan.next(&mut self.world.random);
            self.step(action)?;
        }
        self.settle()?;
        check::whole(&mut self.world, &self.replicas)
    }

    fn step(&mut self, action: Action) -> Result<(), String> {
        let Self { world, plan, threads, replicas, .. } = self;
        let thread = world.random.below(threads.len() as u64) as usize;
        let replica = world.random.below(replicas.len() as u64) as usize;
        match action {
            Action::Produce => plan.produce(world),
            Action::Thread => threads.turn(world, thread),
            Action::Replica => {
                replicas.turn(world, replica)?;
                // Without this, random timing would catch few replicas in the middle of a transaction.
                if replicas.is_emitting(replica) && world.fault(4) {
                    self.crash_replica(replica);
                }
            }
            Action::Pass => {
                let most = [50, 500, 3000][world.random.below(3) as usize];
                let by_ms = 1 + world.random.below(most) as i64;
                world.advance(by_ms);
            }
            Action::Silence => self.silence()?,
            Action::Change => self.change(),
            Action::Roll => self.roll(thread),
            Action::Grow if world.source.len() < 6 => {
                world.source.push(Source { last_ms: world.now_ms, ..Source::default() });
                world.cover(Feature::Growth);
                threads.rebalance(world);
            }
            Action::Grow => {}
            trouble => self.trouble(trouble, thread, replica),
        }
        Ok(())
    }

    fn trouble(&mut self, action: Action, thread: usize, replica: usize) {
        let Self { world, threads, replicas, .. } = self;
        let turns = 1 + world.random.below(20);
        match action {
            Action::Rebalance => threads.rebalance(world),
            Action::CrashThread => {
                let id = threads.crash(world, thread);
                self.start_thread(Some(id));
            }
            Action::HangThread => {
                threads.hang(thread, turns);
                threads.rebalance(world);
            }
            Action::CrashReplica => self.crash_replica(replica),
            Action::StartReplica if replicas.len() < 4 => replicas.start(world, None),
            Action::HangReplica => {
                replicas.hang(replica, turns);
                replicas.rebalance(world);
            }
            Action::MoveDeltas => replicas.rebalance(world),
            Action::LoseIngestOffsets => {
                let partition = world.random.below(world.source.len() as u64) as i32;
                world.say(|| format!("the offset of source partition {partition} is lost"));
                world.lose_offsets(Group::Ingest, Some(partition));
            }
            Action::LoseAggregateOffsets => {
                world.say(|| "the offset of the deltas is lost".to_owned());
                world.cover(Feature::OffsetsLostAggregate);
                world.lose_offsets(Group::Aggregate, None);
            }
            Action::LoseSource => self.lose_source(),
            // Compaction takes longer than a restore does.
            Action::Compact if !replicas.any_restores() => {
                world.cover(Feature::Compaction);
                world.compact(Name::State);
            }
            _ => {}
        }
    }

    /// A replica crashes, and another starts, perhaps as the same pod.
    fn crash_replica(&mut self, index: usize) {
        let Self { world, replicas, .. } = self;
        let id = replicas.crash(world, index);
        let id = (world.random.below(2) == 0).then_some(id);
        replicas.start(world, id);
    }

    /// A thread starts in place of one that is gone; it may have another pod, or an older config.
    fn start_thread(&mut self, id: Option<String>) {
        let Self { world, threads, job, old_jobs, .. } = self;
        let id = id.filter(|_| world.random.below(2) == 0);
        let old = old_jobs.last().filter(|_| world.random.below(3) == 0);
        let job = old.unwrap_or(job).clone();
        threads.start(world, &job, id);
    }

    fn change(&mut self) {
        let next = plan::next_job(&mut self.world.random, &self.job);
        self.world.say(|| format!("revision {}: {}", next.revision, serde_json::to_string(&next.rules).unwrap()));
        self.world.cover(Feature::ConfigChange);
        self.old_jobs.push(std::mem::replace(&mut self.job, next));
    }

    /// Replaces a thread that works by older rules.
    fn roll(&mut self, index: usize) {
        let Self { world, threads, job, .. } = self;
        if threads.revision(index) < job.revision {
            threads.stop(world, index);
            let job = Rc::clone(job);
            threads.start(world, &job, None);
            let first = threads.revision(0);
            if (1..threads.len()).any(|index| threads.revision(index) != first) {
                world.cover(Feature::BothRevisionsAtWork);
            }
        }
    }

    /// Time passes in steps, while some partitions get no events.
    fn silence(&mut self) -> Result<(), String> {
        self.plan.turn_over(&mut self.world.random);
        let steps = 4 + self.world.random.below(40);
        for _ in 0..steps {
            self.world.advance(4000);
            if self.world.random.below(3) == 0 {
                self.plan.produce(&mut self.world);
            }
            for index in 0..self.threads.len() {
                self.threads.turn(&mut self.world, index);
                self.threads.turn(&mut self.world, index);
            }
            let replica = self.world.random.below(self.replicas.len() as u64) as usize;
            self.replicas.turn(&mut self.world, replica)?;
        }
        Ok(())
    }

    /// The source loses its oldest events, perhaps unprocessed ones.
    fn lose_source(&mut self) {
        let world = &mut self.world;
        let partition = world.random.below(world.source.len() as u64) as usize;
        let source = &mut world.source[partition];
        let keeps = world.random.below(4) as i64;
        source.low = source.low.max(source.end() - keeps);
    }

    /// Ends all faults, and lets time pass until all windows close.
    fn settle(&mut self) -> Result<(), String> {
        self.world.say(|| "all is calm".to_owned());
        self.world.calm = true;
        (0..self.threads.len()).rev().for_each(|index| self.roll(index));
        self.quieten(1)?;
        // Renews idleness for as long as windows can be open, because time does not pass in leaps.
        Plan::last_event(&mut self.world);
        self.quieten(QUIET_TURNS)
    }

    /// Lets time pass until nothing changes for this many turns.
    fn quieten(&mut self, turns: usize) -> Result<(), String> {
        let Self { world, threads, replicas, .. } = self;
        let (mut quiet, mut end) = (0, 0);
        for _ in 0..SETTLE_TURNS {
            world.advance(400);
            for index in 0..threads.len() {
                threads.turn(world, index);
            }
            for index in 0..replicas.len() {
                replicas.turn(world, index)?;
            }
            let written = world.high(Name::Deltas);
            let is_new = std::mem::replace(&mut end, written) != written;
            let done = !is_new && threads.is_done(world) && replicas.settled(world).is_some();
            quiet = if done { quiet + 1 } else { 0 };
            if quiet >= turns {
                return Ok(());
            }
        }
        Err("it does not settle".to_owned())
    }
}

/// Runs the history of a seed. Returns what happened in it, or what is wrong.
fn history(seed: u64, traced: bool) -> (Coverage, Result<(), String>, Vec<String>) {
    let mut history = History::new(seed, traced);
    let result = catch_unwind(AssertUnwindSafe(|| history.run()));
    let result = result.unwrap_or_else(|_| Err("panicked".to_owned()));
    let coverage = history.world.coverage;
    (coverage, result, history.world.trace.take().unwrap_or_default())
}

/// Why a history fails, after a trace of it.
fn explain(seed: u64) -> String {
    let (_, result, trace) = history(seed, true);
    let why = result.err().unwrap_or_else(|| "not again".to_owned());
    let last = trace.len().saturating_sub(60);
    format!(
        "{}\nseed {seed}: {why}\nalone: LOGIN_PIPELINE_SEED={seed} cargo test -p simulation -- --nocapture",
        trace[last..].join("\n")
    )
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[test]
#[allow(clippy::print_stdout, reason = "says how much was run")]
fn the_results_are_what_the_batch_counts_whatever_happens() {
    if let Some(seed) = from_environment("LOGIN_PIPELINE_SEED") {
        let (_, result, trace) = history(seed, true);
        println!("{}", trace.join("\n"));
        return result.unwrap();
    }

    let histories = from_environment("LOGIN_PIPELINE_HISTORIES").unwrap_or(HISTORIES);
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let failed = AtomicU64::new(u64::MAX);
    let counts = Mutex::new(Counts::default());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);

    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut own = Counts::default();
                while failed.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= histories {
                        break;
                    }
                    let (coverage, result, _) = history(seed, false);
                    own.add(coverage);
                    if result.is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                counts.lock().unwrap().merge(&own);
            });
        }
    });

    let failed = failed.into_inner();
    assert!(failed == u64::MAX, "{}", explain(failed));
    let (seldom, report) = counts.lock().unwrap().report(histories);
    println!("{histories} histories in {:.1} s, of them with: {report}", started.elapsed().as_secs_f32());
    assert!(seldom.is_empty(), "too seldom: {seldom:?}");
}
