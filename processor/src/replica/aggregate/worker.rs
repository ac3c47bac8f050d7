//! Stage 2 of one replica: the loop that follows the group and performs what the machine decides.
//!
//! The group's consumer fetches nothing: its assignment of the deltas means that this replica emits. Deltas and state
//! are read by a consumer outside the group, because standbys read them too.

use std::time::{Duration, Instant};

use crds::{
    job::{JobConfig, ResultTopics},
    records::state::{Head, Key, decode},
};
use kafka::{
    cluster::{Cluster, ClusterError, UNSTABLE_BOUND},
    error::KafkaError,
    native::{ClientEvent, GroupMetadata, Rebalance, consumer::Consumer},
    settings::{self, RecordLimits},
    transaction::TransactionError,
};
use stages::aggregate::{
    fold::Fold,
    machine::{Committed, Machine, Outcome, Question, Role, Sealed, SetBack},
};

use super::{
    reader::Reader,
    stage::{PARTITION, Stage},
};
use crate::{
    clock::{first_sequence, now_ms},
    replica::{metrics::Metrics, statistics::Statistics, status::ThreadStatus},
    stop::{DRAIN_BOUND, Stop},
};

/// How long the loop waits when nothing happens; also how soon it notices a rebalance or the stop signal.
const TURN: Duration = Duration::from_millis(50);

/// How long one query may take, so that a waiting thread still notices the stop signal.
const SLICE: Duration = Duration::from_millis(500);

/// How long to wait before an unanswered query is repeated.
const RETRY: Duration = Duration::from_millis(250);

/// How often the metrics are updated.
const SHOW: Duration = Duration::from_secs(1);

/// The inputs of stage 2.
#[derive(Debug)]
pub struct Context<'a> {
    pub job: &'a JobConfig,
    /// The topics of results and state.
    pub topics: &'a ResultTopics,
    /// The replica's transactional id, which is also its `client.id` in the group.
    pub transactional_id: &'a str,
    /// Answers rare queries. Its group is that of stage 2.
    pub cluster: &'a Cluster,
    /// What the topics take.
    pub limits: RecordLimits,
    pub metrics: &'a Metrics,
    pub status: &'a ThreadStatus,
}

/// Runs until `stop` is set.
///
/// # Errors
/// When librdkafka refuses a setting; all of Kafka's errors are handled.
pub fn run(context: &Context<'_>, stop: &Stop) -> Result<(), KafkaError> {
    let Context { job, topics, transactional_id, limits, .. } = *context;
    let settings = settings::consumer(job, &job.pipeline.aggregate_group(), transactional_id);
    let mut worker = Worker {
        context,
        started: Instant::now(),
        consumer: Consumer::subscribe(&settings, &job.topics.deltas, 1)?,
        reader: Reader::new(job, topics, format!("{transactional_id}.reader")),
        stage: Stage::new(job, topics, transactional_id, limits),
        machine: Machine::new(transactional_id.to_owned(), first_sequence()),
        group: None,
        assigned: None,
        unsettled: None,
        role: (Role::Restoring, Instant::now()),
        next_question: Instant::now(),
        next_show: Instant::now(),
        reported: String::new(),
        trim_refused: false,
    };
    while !stop.is_set() {
        worker.turn();
    }
    worker.drain();
    Ok(())
}

struct Worker<'a> {
    context: &'a Context<'a>,
    started: Instant,
    consumer: Consumer,
    reader: Reader<'a>,
    stage: Stage<'a>,
    machine: Machine,
    group: Option<GroupMetadata>,
    /// Since when the deltas are assigned to this replica.
    assigned: Option<Instant>,
    /// Since when the stable committed offset is queried.
    unsettled: Option<Instant>,
    /// The replica's role, and since when.
    role: (Role, Instant),
    next_question: Instant,
    next_show: Instant,
    /// The last logged problem, so that a lasting one is logged once.
    reported: String,
    /// Whether a refused deletion of deltas was logged.
    trim_refused: bool,
}

impl Worker<'_> {
    /// Runs one turn of the loop. It ends within a bound, whatever Kafka does.
    fn turn(&mut self) {
        self.context.status.beat();
        self.follow_group(Duration::ZERO);
        match self.reader.read(&mut self.machine, TURN) {
            Ok(took) => self.context.metrics.aggregate.folded(took),
            Err(error) => self.report(&error.to_string()),
        }
        self.ask();
        if let Some(sealed) = self.machine.seal(millis(self.started)) {
            let result = commit(&mut self.stage, &self.consumer, self.group.as_ref(), sealed, self.context);
            self.ended(result);
        }
        self.trim();
        self.show();
    }

    /// Handles the events of the group's consumer.
    fn follow_group(&mut self, timeout: Duration) {
        let events = self.consumer.poll(1, timeout).take_events();
        for event in events {
            match event {
                ClientEvent::Rebalance(Rebalance::Assign { partitions, group }) => self.assigned(&partitions, group),
                ClientEvent::Rebalance(Rebalance::Revoke { partitions, group, lost }) => {
                    self.revoked(&partitions, group, lost);
                }
                ClientEvent::Trouble { all_brokers_down: true, message } => {
                    self.context.status.kafka_is(false);
                    self.report(&format!("no broker is reachable: {message}"));
                }
                ClientEvent::Trouble { message, .. } => tracing::debug!("{message}"),
                ClientEvent::Statistics(json) => {
                    let is_up = Statistics::parse(&json).is_some_and(|statistics| statistics.brokers_up() > 0);
                    self.context.status.kafka_is(is_up);
                }
            }
        }
    }

    fn assigned(&mut self, partitions: &[i32], group: Option<GroupMetadata>) {
        self.group = group.or(self.group.take());
        // The answer is an empty assignment: this consumer fetches nothing.
        if let Err(error) = self.consumer.assign(&[]) {
            self.report(&error.to_string());
        }
        self.context.status.joined();
        if partitions.contains(&PARTITION) {
            tracing::info!("taking over the aggregation");
            self.machine.assigned(millis(self.started));
            self.assigned = Some(Instant::now());
            (self.unsettled, self.next_question) = (None, Instant::now());
        }
    }

    fn revoked(&mut self, partitions: &[i32], group: Option<GroupMetadata>, lost: bool) {
        // The callback of a revoke already runs in the new generation.
        self.group = if lost { None } else { group.or(self.group.take()) };
        if partitions.contains(&PARTITION) {
            tracing::info!(lost, "giving the aggregation back");
            if !lost {
                self.commit_rest();
            }
            self.machine.revoked();
            self.assigned = None;
        }
        if let Err(error) = self.consumer.unassign(&[]) {
            self.report(&error.to_string());
        }
    }

    fn commit_rest(&mut self) {
        if let Some(sealed) = self.machine.seal_rest(millis(self.started)) {
            let result = commit(&mut self.stage, &self.consumer, self.group.as_ref(), sealed, self.context);
            self.ended(result);
        }
    }

    /// Reports the outcome of its transaction to the machine.
    fn ended(&mut self, result: Result<(), TransactionError>) {
        let outcome = match result {
            Ok(()) => {
                self.context.status.kafka_is(true);
                self.reported.clear();
                Outcome::Committed
            }
            Err(error) => {
                if error.is_rebalance() {
                    tracing::info!("the group changed during a transaction: {error}");
                } else {
                    self.report(&format!("a transaction of results is given up, and tried again: {error}"));
                }
                self.context.metrics.aggregate.aborted();
                if self.stage.give_up(&error) { Outcome::Aborted } else { Outcome::Unknown }
            }
        };
        self.machine.outcome(outcome, millis(self.started));
    }

    /// Makes the query that the machine requests, if any. An unanswered query is repeated.
    fn ask(&mut self) {
        if Instant::now() < self.next_question {
            return;
        }
        let Some(question) = self.machine.asks(millis(self.started)) else { return };
        match self.answer(question) {
            Ok(()) => {
                self.context.status.kafka_is(true);
                if self.assigned.is_none() {
                    self.reported.clear();
                }
            }
            Err(error) => {
                self.next_question = Instant::now() + RETRY;
                self.report(&error.to_string());
            }
        }
    }

    fn answer(&mut self, question: Question) -> Result<(), ClusterError> {
        let Context { job, topics, cluster, transactional_id, .. } = *self.context;
        match question {
            Question::StateEnd => {
                let end = cluster.topics.high_watermark(&topics.state, PARTITION, SLICE)?;
                self.machine.state_ends(end);
            }
            Question::Committed => {
                let committed = cluster.group.committed(&job.topics.deltas, PARTITION, SLICE)?;
                let committed = committed.map(|(offset, metadata)| Committed { offset, metadata });
                self.machine.committed_is(committed.as_ref(), millis(self.started));
            }
            Question::StableCommitted => {
                let since = *self.unsettled.get_or_insert_with(Instant::now);
                // Fences a predecessor of this replica, and settles the outcome of this replica's own last transaction.
                if !self.stage.prepare()? {
                    return Ok(());
                }
                let answer = match self.consumer.committed(&[PARTITION], SLICE) {
                    Ok(answer) => answer,
                    Err(error) => {
                        if since.elapsed() >= UNSTABLE_BOUND {
                            cluster.group.fence_dead_writer(&job.topics.deltas, PARTITION, transactional_id, SLICE)?;
                        }
                        return Err(error.into());
                    }
                };
                let committed = answer.into_iter().next().and_then(|answer| answer.offset);
                let committed = committed.map(|(offset, metadata)| Committed { offset, metadata });
                self.machine.stable_is(committed, millis(self.started));
                self.unsettled = None;
            }
            Question::LastSnapshot => {
                let (head, _) = cluster.log.last_value(&topics.state, PARTITION, &Key::Meta.encode())?;
                // A snapshot that cannot be read counts as missing; then the next snapshot is a full one.
                let head = head.and_then(|value| decode::<Head>(&value).ok());
                self.machine.last_snapshot_is(head.map(|head| head.offset));
            }
        }
        Ok(())
    }

    /// Deletes the deltas that no restore needs. If Kafka refuses, they only take up space.
    fn trim(&mut self) {
        let Some(offset) = self.machine.take_trim() else { return };
        let Context { job, cluster, .. } = *self.context;
        if let Err(error) = cluster.topics.delete_before(&job.topics.deltas, PARTITION, offset, 4 * SLICE)
            && !std::mem::replace(&mut self.trim_refused, true)
        {
            tracing::warn!("deltas that are in a snapshot are kept, as they cannot be deleted: {error}");
        }
    }

    /// Commits the rest, and then leaves the group.
    fn drain(mut self) {
        let started = Instant::now();
        self.commit_rest();
        self.consumer.unsubscribe();
        while started.elapsed() < DRAIN_BOUND && self.assigned.is_some() {
            self.context.status.beat();
            self.follow_group(RETRY);
        }
        tracing::info!(seconds = started.elapsed().as_secs_f32(), "drained");
        self.consumer.close();
    }

    fn show(&mut self) {
        if let Some(SetBack { committed, position }) = self.machine.take_set_back() {
            tracing::warn!(committed, position, "the committed offset was set back: going on behind the snapshot");
        }
        let role = self.machine.role();
        let Context { metrics, status, .. } = *self.context;
        if role != self.role.0 {
            let (was, since) = std::mem::replace(&mut self.role, (role, Instant::now()));
            if was == Role::Restoring {
                metrics.aggregate.restored(since.elapsed());
                tracing::info!(seconds = since.elapsed().as_secs_f32(), "restored");
            }
            if let (Role::Emitter, Some(assigned)) = (role, self.assigned) {
                metrics.aggregate.took_over(assigned.elapsed());
                tracing::info!(seconds = assigned.elapsed().as_secs_f32(), "aggregating");
            }
            self.next_show = Instant::now();
        }
        if Instant::now() < self.next_show {
            return;
        }
        self.next_show = Instant::now() + SHOW;
        metrics.aggregate.is(role, self.machine.failure().is_some());
        metrics.aggregate.fold_is(self.machine.fold().map(Fold::stats));
        let before = metrics.aggregate.summary();
        let summary = self.machine.fold().map(|fold| fold.summary(&before, now_ms()));
        metrics.aggregate.shows(summary.unwrap_or_else(|| before.without_fold()));
        match self.machine.failure() {
            Some(failure) => {
                let failure = format!("has stopped: {failure}");
                if failure != self.reported {
                    tracing::error!("the aggregation {failure}");
                    status.blocked(Some(&failure));
                    self.reported = failure;
                }
            }
            None => status.blocked((role == Role::Restoring).then_some("reads the snapshot of the aggregation")),
        }
    }

    /// Logs a problem that librdkafka or a later turn recovers from, once while it lasts.
    fn report(&mut self, problem: &str) {
        if problem != self.reported {
            tracing::warn!("{problem}");
            self.context.status.problem(problem);
            problem.clone_into(&mut self.reported);
        }
    }
}

/// Performs one transaction, unless the assignment is lost.
fn commit(
    stage: &mut Stage<'_>,
    consumer: &Consumer,
    group: Option<&GroupMetadata>,
    sealed: &Sealed,
    context: &Context<'_>,
) -> Result<(), TransactionError> {
    let started = Instant::now();
    stage.commit(sealed, group.filter(|_| !consumer.is_lost()))?;
    context.metrics.aggregate.emitted(started.elapsed(), sealed.snapshot.then_some(&sealed.state));
    Ok(())
}

fn millis(since: Instant) -> i64 {
    i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX)
}
