//! Builds the replica's view once per second, never on the path of an event.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use crds::{job::JobConfig, records::dead_letter::Reason};
use stages::aggregate::fold::Summary;

use super::{metrics::Metrics, status::ThreadStatus};
use crate::{
    clock::now_ms,
    stop::Stop,
    view::{
        DeadLetter, Latency, Partition, Pipeline, Publisher, Rates, Replica, ReplicaState, Scope, Thread, Topics,
        Totals, VERSION, View,
    },
};

/// What a replica's view is built from.
#[derive(Debug)]
pub struct Source {
    pub job: Arc<JobConfig>,
    pub replica: String,
    /// The status of each thread; those of stage 1 come first.
    pub statuses: Arc<Vec<ThreadStatus>>,
    pub metrics: Arc<Metrics>,
    /// Set while the replica stops.
    pub stop: Stop,
}

impl Source {
    /// Publishes a view each second, forever.
    pub async fn feed(self, publisher: Publisher) {
        let started = Instant::now();
        let mut before = (Totals::default(), started);
        loop {
            tokio::time::sleep(until_next(now_ms())).await;
            let totals = self.metrics.totals();
            let rates = rates(&before.0, &totals, before.1.elapsed());
            before = (totals.clone(), Instant::now());
            publisher.publish(self.view(totals, rates, started.elapsed()));
        }
    }

    fn view(&self, totals: Totals, rates: Rates, uptime: Duration) -> View {
        let fold = self.metrics.aggregate.summary();
        let partitions = self.partitions(&fold);
        let topics = &self.job.topics;
        View {
            version: VERSION,
            time: now_ms(),
            scope: Scope::Replica,
            pipeline: Pipeline::new(&self.job.pipeline, self.job.revision),
            topics: Topics {
                source: topics.source.clone(),
                output: topics.output.clone(),
                dead_letters: topics.dead_letters.clone(),
                aggregates: Some(topics.results.aggregates.clone()),
                insights: Some(topics.results.insights.clone()),
                alerts: Some(topics.results.alerts.clone()),
            },
            replicas: vec![self.replica(uptime)],
            rates,
            latency: Latency {
                commit: self.metrics.latencies.take(),
                emission: self.metrics.aggregate.latencies.take(),
            },
            lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
            partitions,
            frontier: fold.frontier,
            latest: fold.latest,
            windows_open: fold.windows_open,
            windows_kept: fold.windows_kept,
            windows: fold.windows(),
            alerts: fold.alerts.iter().map(Into::into).collect(),
            dead_letters: self.dead_letters(&totals),
            totals,
            audit: None,
        }
    }

    fn replica(&self, uptime: Duration) -> Replica {
        let not_ready = |status: &ThreadStatus| Some(format!("thread {} {}", status.name, status.not_ready()?));
        let problems: Vec<String> = self.statuses.iter().filter_map(not_ready).collect();
        let thread = |status: &ThreadStatus| Thread {
            name: status.name.clone(),
            partitions: status.partitions(),
            not_ready: status.not_ready(),
        };
        Replica {
            name: self.replica.clone(),
            state: if self.stop.is_set() { ReplicaState::Stopping } else { ReplicaState::Running },
            not_ready: (!problems.is_empty()).then(|| problems.join("; ")),
            uptime_seconds: uptime.as_secs(),
            role: Some(self.metrics.aggregate.role()),
            threads: self.statuses.iter().take(self.job.threads).map(thread).collect(),
            page: None,
        }
    }

    /// The partitions that the fold knows. The entries of the replica's own partitions also have owner and lag.
    fn partitions(&self, fold: &Summary) -> Vec<Partition> {
        let known = fold.partitions.iter().map(|known| (known.partition, Partition::from(known)));
        let mut partitions: BTreeMap<i32, Partition> = known.collect();
        for own in self.statuses.iter().flat_map(ThreadStatus::partitions) {
            let partition = partitions.entry(own).or_default();
            partition.partition = own;
            partition.replica = Some(self.replica.clone());
            partition.lag = self.metrics.lag(own);
            partition.watermark = partition.watermark.max(self.metrics.watermark(own));
        }
        partitions.into_values().collect()
    }

    fn dead_letters(&self, totals: &Totals) -> Vec<DeadLetter> {
        let count = |reason| totals.dead_letters.get(&reason).copied().unwrap_or_default();
        let letters = Reason::ALL.into_iter().zip(self.metrics.samples.take());
        letters.map(|(reason, sample)| DeadLetter { reason, count: count(reason), sample }).collect()
    }
}

fn rates(before: &Totals, now: &Totals, elapsed: Duration) -> Rates {
    let rate = |count: fn(&Totals) -> u64| {
        let grown = count(now).saturating_sub(count(before)) as f64;
        if elapsed.is_zero() { 0.0 } else { grown / elapsed.as_secs_f64() }
    };
    Rates {
        processed: rate(|totals| totals.processed),
        dead_letters: rate(|totals| totals.dead_letters.values().sum()),
        transactions: rate(|totals| totals.transactions),
        aborted: rate(|totals| totals.aborted),
        rebalances: rate(|totals| totals.rebalances),
    }
}

/// Returns the time until the next view is due: in the middle of each second of the clock, so that every second has
/// one.
#[must_use]
pub fn until_next(now_ms: i64) -> Duration {
    let since = (now_ms - 500).rem_euclid(1000);
    Duration::from_millis((1000 - since).unsigned_abs())
}
