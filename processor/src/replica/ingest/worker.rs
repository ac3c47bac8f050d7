//! One thread of stage 1: the loop that takes batches from Kafka, feeds the stage, and follows the group.
//!
//! A partition that the group assigns goes through three states: *waiting* until its position is known, *active* while it
//! is fetched, and gone. Whatever goes wrong, the remedy is the same: the transaction is given up, every partition waits
//! again, and is taken up from what is committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crds::job::JobConfig;
use kafka::{
    cluster::{Cluster, Limits},
    error::KafkaError,
    native::{ClientEvent, GroupMetadata, Rebalance, consumer::Consumer},
    settings,
    transaction::TransactionError,
};
use stages::ingest::start::Start;

use super::{
    resolve::Resolver,
    stage::{Processed, Stage, StageError},
};
use crate::{
    clock::{first_sequence, now_ms},
    replica::{metrics::Metrics, status::ThreadStatus},
    stop::{DRAIN_BOUND, Stop},
};

/// Messages that are taken at once: enough to amortize the calls, few enough that their output stays in the cache.
const BATCH: usize = 2048;

/// How long the loop sleeps when nothing happens. Also how soon it notices that it is to stop.
const IDLE: Duration = Duration::from_millis(250);

/// How often waiting partitions are asked for again, and idle ones looked for.
const RETRY: Duration = Duration::from_millis(250);

/// How long one request for the limits of topics may take, of which there are six.
const ASK: Duration = Duration::from_secs(2);

/// What one thread works with.
#[derive(Debug)]
pub struct Context<'a> {
    /// The job.
    pub job: &'a JobConfig,
    /// The thread's transactional id, which is also its `client.id`.
    pub transactional_id: &'a str,
    /// Answers the seldom questions.
    pub cluster: &'a Cluster,
    /// What the topics take.
    pub limits: Limits,
    /// Where it tells what it does.
    pub metrics: &'a Metrics,
    /// Where it tells how it is.
    pub status: &'a ThreadStatus,
}

/// Runs until it is told to stop.
///
/// # Errors
/// When librdkafka refuses a setting; everything that Kafka does is handled.
pub fn run(context: &Context<'_>, stop: &Stop) -> Result<(), KafkaError> {
    let settings = settings::consumer(context.job, &context.job.pipeline.ingest_group(), context.transactional_id);
    let consumer = Consumer::subscribe(&settings, &context.job.topics.source, BATCH)?;
    let Context { job, transactional_id, limits, metrics, .. } = *context;
    let stage = Stage::new(job, transactional_id, limits, first_sequence(), &metrics.samples);
    let mut worker = Worker {
        context,
        consumer,
        stage,
        resolver: Resolver::new(context.job, context.transactional_id, context.cluster),
        group: None,
        waiting: BTreeMap::new(),
        active: BTreeSet::new(),
        next_attempt: Instant::now(),
        next_tick: Instant::now(),
        next_look: Instant::now(),
        are_limits_known: true,
        source_ends: Vec::new(),
        reported: String::new(),
    };
    while !stop.is_set() {
        worker.turn();
    }
    worker.drain();
    Ok(())
}

struct Worker<'a> {
    context: &'a Context<'a>,
    consumer: Consumer,
    stage: Stage<'a>,
    resolver: Resolver<'a>,
    group: Option<GroupMetadata>,
    /// Assigned, not yet taken up; since when.
    waiting: BTreeMap<i32, Instant>,
    /// Taken up and fetched.
    active: BTreeSet<i32>,
    next_attempt: Instant,
    next_tick: Instant,
    next_look: Instant,
    /// False after a topic has refused a record that its limit seemed to allow.
    are_limits_known: bool,
    /// Where the source's partitions ended when that was last asked; empty before.
    source_ends: Vec<i64>,
    /// The last problem that was logged, so that one that lasts is logged once.
    reported: String,
}

impl Worker<'_> {
    /// One turn of the loop. It ends within a bound, whatever Kafka does.
    fn turn(&mut self) {
        self.context.status.beat();
        let interval = self.context.job.commit_interval.get();
        let (at_most, timeout) = match self.stage.began() {
            // The first message begins a transaction; those that come until its end are taken together.
            Some(began) => (BATCH, interval.saturating_sub(began.elapsed())),
            None => (1, IDLE),
        };
        let mut batch = self.consumer.poll(at_most, timeout);
        let processed = self.stage.process(batch.messages());
        let events = batch.take_events();
        drop(batch);
        match processed {
            Ok(Processed { out_of_range, errors }) => {
                self.take_up_again(&out_of_range);
                if errors {
                    self.fetch_anew();
                }
            }
            Err(error) => self.give_up(&error),
        }
        for event in events {
            self.handle(event);
        }
        self.settle_waiting();
        self.look_for_idle();
        let due = self.stage.began().is_none_or(|began| began.elapsed() >= interval);
        if due || self.stage.machine.is_full() {
            self.commit();
        }
        self.context.metrics.count(&self.stage.machine.take_tally());
    }

    fn handle(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Rebalance(Rebalance::Assign { partitions, group }) => self.assigned(&partitions, group),
            ClientEvent::Rebalance(Rebalance::Revoke { partitions, group, lost }) => {
                self.revoked(&partitions, group, lost);
            }
            ClientEvent::Trouble { all_brokers_down, message } => {
                if all_brokers_down {
                    self.context.status.kafka_is(false);
                    self.report(&format!("no broker is reachable: {message}"));
                } else {
                    tracing::debug!("{message}");
                }
            }
            ClientEvent::Statistics(json) => {
                let positions: BTreeMap<i32, i64> = self.stage.machine.positions().collect();
                let brokers_up = self.context.metrics.statistics(&json, &self.context.job.topics.source, &positions);
                self.context.status.kafka_is(brokers_up);
            }
        }
    }

    fn assigned(&mut self, partitions: &[i32], group: Option<GroupMetadata>) {
        tracing::info!(?partitions, "assigned");
        self.context.metrics.rebalances.inc();
        self.group = group.or(self.group.take());
        // Answered at once, with none: a partition is fetched once its position is known.
        if let Err(error) = self.consumer.assign(&[]) {
            self.report(&error.to_string());
        }
        self.fetch_anew();
        let now = Instant::now();
        self.waiting.extend(partitions.iter().map(|partition| (*partition, now)));
        self.next_attempt = now;
        self.context.status.joined();
        self.show_assignment();
    }

    fn revoked(&mut self, partitions: &[i32], group: Option<GroupMetadata>, lost: bool) {
        tracing::info!(?partitions, lost, "revoked");
        self.context.metrics.rebalances.inc();
        if lost {
            self.give_up(&TransactionError::NotAMember.into());
            self.group = None;
        } else {
            // The callback already runs in the new generation.
            self.group = group.or(self.group.take());
            self.commit();
        }
        let fetched: Vec<i32> =
            partitions.iter().copied().filter(|partition| self.active.contains(partition)).collect();
        if let Err(error) = self.consumer.unassign(&fetched) {
            self.report(&error.to_string());
        }
        for partition in partitions {
            self.active.remove(partition);
            self.waiting.remove(partition);
            self.stage.machine.release(*partition);
            self.context.metrics.released(*partition);
        }
        self.fetch_anew();
        self.show_assignment();
    }

    /// Fetches the active partitions from where the machine is. librdkafka pauses them in a rebalance and then resumes behind
    /// the last message it handed out, news of a partition included: after an end of partition it would leave out the
    /// record that stands there.
    fn fetch_anew(&mut self) {
        let positions: Vec<(i32, i64)> =
            self.stage.machine.positions().filter(|(partition, _)| self.active.contains(partition)).collect();
        let active: Vec<i32> = positions.iter().map(|(partition, _)| *partition).collect();
        let fetching = self.consumer.unassign(&active).and_then(|()| self.consumer.assign(&positions));
        if let Err(error) = fetching {
            self.give_up(&error.into());
        }
    }

    /// Asks for the positions of waiting partitions, and takes up those that are known.
    fn settle_waiting(&mut self) {
        if self.waiting.is_empty() || Instant::now() < self.next_attempt {
            return;
        }
        self.next_attempt = Instant::now() + RETRY;
        if !self.are_limits_known {
            match self.context.cluster.topics.limits(ASK) {
                Ok(limits) => self.stage.limit(limits),
                Err(error) => return self.report(&error.to_string()),
            }
            self.are_limits_known = true;
        }
        match self.stage.prepare() {
            Ok(true) => {}
            Ok(false) => return self.report("waiting for the transaction coordinator"),
            Err(error) => return self.report(&error.to_string()),
        }
        let starts = self.resolve();
        if !starts.is_empty()
            && let Err(error) = self.take_up(&starts)
        {
            self.give_up(&error);
        }
    }

    fn resolve(&mut self) -> Vec<(i32, Start)> {
        let Context { job, cluster, .. } = *self.context;
        match cluster.topics.partitions(&job.topics.source, RETRY) {
            Ok(partitions) => self.stage.machine.source_has(u32::try_from(partitions).unwrap_or_default()),
            Err(error) => {
                self.report(&error.to_string());
                return Vec::new();
            }
        }
        let mut starts = Vec::new();
        let mut problems = Vec::new();
        match self.resolver.resolve(&self.consumer, &self.waiting) {
            Ok(answers) => {
                for (partition, answer) in answers {
                    match answer {
                        Ok(start) => starts.push((partition, start)),
                        Err(why) => problems.push(why.to_string()),
                    }
                }
            }
            Err(error) => problems.push(error.to_string()),
        }
        self.report(&problems.join("; "));
        starts
    }

    /// Takes partitions up, with a transaction of their own that announces them: it carries no events, and puts a
    /// metadata under every partition that may have had none.
    fn take_up(&mut self, starts: &[(i32, Start)]) -> Result<(), StageError> {
        let lost = self.consumer.is_lost();
        self.stage.commit(self.group.as_ref(), lost)?;
        for (partition, start) in starts {
            self.stage.machine.own(*partition, *start);
        }
        self.stage.commit(self.group.as_ref(), lost)?;
        let positions: Vec<(i32, i64)> =
            self.stage.machine.positions().filter(|(partition, _)| self.waiting.contains_key(partition)).collect();
        self.consumer.assign(&positions)?;
        for (partition, position) in positions {
            tracing::debug!(partition, position, "taken up");
            self.waiting.remove(&partition);
            self.active.insert(partition);
        }
        self.context.status.kafka_is(true);
        self.show_assignment();
        Ok(())
    }

    /// Partitions whose next offset does not exist wait again; asking for their bounds tells what happened.
    fn take_up_again(&mut self, partitions: &[i32]) {
        let partitions: Vec<i32> =
            partitions.iter().copied().filter(|partition| self.active.contains(partition)).collect();
        if partitions.is_empty() {
            return;
        }
        self.commit();
        // The commit may have failed, and every partition waits already.
        let partitions: Vec<i32> = partitions.into_iter().filter(|partition| self.active.remove(partition)).collect();
        if let Err(error) = self.consumer.unassign(&partitions) {
            self.report(&error.to_string());
        }
        for partition in partitions {
            self.stage.machine.release(partition);
            self.waiting.insert(partition, Instant::now());
        }
        self.show_assignment();
    }

    fn look_for_idle(&mut self) {
        if Instant::now() < self.next_tick {
            return;
        }
        self.next_tick = Instant::now() + RETRY;
        self.look_at_the_source();
        for partition in self.stage.machine.tick(now_ms()) {
            let asked_at = now_ms();
            // Without an answer the partition is a candidate again at the next tick.
            let Ok((_, end)) = self.consumer.bounds(partition, IDLE) else { return };
            self.stage.machine.end_is(partition, end, asked_at);
        }
    }

    /// Whether anything is written to the source while a partition of this thread is quiet. Asked once in each idle timeout.
    fn look_at_the_source(&mut self) {
        if !self.stage.machine.is_any_quiet(now_ms()) || Instant::now() < self.next_look {
            return;
        }
        self.next_look = Instant::now() + self.context.job.rules.aggregation.idle_timeout.get();
        let partitions = self.stage.machine.source_partitions();
        // Without an answer it is asked again after the next timeout.
        let Ok(ends) = self.consumer.ends(partitions, IDLE) else { return };
        if !self.source_ends.is_empty() && self.source_ends != ends {
            self.stage.machine.source_moved(now_ms());
        }
        self.source_ends = ends;
    }

    fn commit(&mut self) {
        if self.stage.began().is_none() && !self.stage.machine.has_work() {
            return;
        }
        let started = Instant::now();
        match self.stage.commit(self.group.as_ref(), self.consumer.is_lost()) {
            Ok(()) => {
                self.context.metrics.committed(started.elapsed(), self.stage.machine.watermarks());
                self.context.status.kafka_is(true);
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &StageError) {
        if error.is_rebalance() {
            tracing::info!("the group changed during a transaction, whose events are taken up again: {error}");
        } else {
            tracing::warn!("transaction given up, its events are taken up again: {error}");
        }
        self.context.metrics.aborts.inc();
        self.are_limits_known &= !error.is_refused_record();
        self.stage.give_up(error.class());
        let active: Vec<i32> = std::mem::take(&mut self.active).into_iter().collect();
        if let Err(error) = self.consumer.unassign(&active) {
            self.report(&error.to_string());
        }
        let now = Instant::now();
        self.waiting.extend(active.into_iter().map(|partition| (partition, now)));
        self.show_assignment();
    }

    /// Commits what is in progress, leaves the group, and gives its partitions back.
    fn drain(mut self) {
        let started = Instant::now();
        self.commit();
        self.consumer.unsubscribe();
        while started.elapsed() < DRAIN_BOUND && !(self.active.is_empty() && self.waiting.is_empty()) {
            self.context.status.beat();
            let events = self.consumer.poll(1, RETRY).take_events();
            for event in events {
                self.handle(event);
            }
        }
        tracing::info!(seconds = started.elapsed().as_secs_f32(), "drained");
        self.consumer.close();
    }

    fn show_assignment(&mut self) {
        if self.waiting.is_empty() {
            self.reported.clear();
        }
        let waiting = self.waiting.keys().copied().collect();
        self.context.status.assignment(self.active.iter().copied().collect(), waiting);
    }

    /// Logs a problem that librdkafka or a later turn mends, once while it lasts.
    fn report(&mut self, problem: &str) {
        if !problem.is_empty() && problem != self.reported {
            tracing::warn!("{problem}");
            self.context.status.problem(problem);
            problem.clone_into(&mut self.reported);
        }
    }
}
