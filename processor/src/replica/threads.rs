//! The threads of a replica: those of stage 1, as many as the config says, and one of stage 2.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crds::job::JobConfig;
use kafka::{
    cluster::{Cluster, ClusterError},
    settings::RecordLimits,
};

use super::{
    aggregate, error::RunError, ingest, metrics::Metrics, status::ThreadStatus, supervised::Report, view::Source,
};
use crate::stop::{DRAIN_BOUND, Stop};

/// How long a replica may take to end after SIGTERM: the drain bound of a thread, plus one second for the rest.
pub const STOP_BOUND: Duration = DRAIN_BOUND.saturating_add(Duration::from_secs(1));

/// How long one query to Kafka may take before it is repeated.
const ASK: Duration = Duration::from_secs(2);

/// The threads of a replica, from start to stop.
#[derive(Debug)]
pub struct Replica {
    ingest: Vec<JoinHandle<Result<(), RunError>>>,
    aggregate: JoinHandle<Result<(), RunError>>,
    /// The status of each thread.
    pub statuses: Arc<Vec<ThreadStatus>>,
    pub metrics: Arc<Metrics>,
    job: Arc<JobConfig>,
    name: String,
    /// Stops stage 1 only.
    pub drain: Stop,
    stop: Stop,
}

impl Replica {
    /// Starts the threads of a replica.
    ///
    /// # Errors
    /// When librdkafka refuses a setting, or the operating system refuses a thread.
    pub fn start(job: &Arc<JobConfig>, name: &str) -> Result<Self, RunError> {
        let names = (0..job.threads).map(|index| format!("ingest-{index}"));
        let names = names.chain(["aggregate".to_owned()]);
        let starting = Starting {
            job: Arc::clone(job),
            replica: name.to_owned(),
            statuses: Arc::new(names.map(ThreadStatus::new).collect()),
            metrics: Arc::new(Metrics::new(job.revision)),
            drain: Stop::default(),
            stop: Stop::default(),
        };
        let ingest = starting.ingest()?;
        let aggregate = starting.aggregate()?;
        let Starting { job, replica: name, statuses, metrics, drain, stop } = starting;
        Ok(Self { ingest, aggregate, statuses, metrics, job, name, drain, stop })
    }

    /// The source of the views that the live page shows.
    #[must_use]
    pub fn source(&self) -> Source {
        Source {
            job: Arc::clone(&self.job),
            replica: self.name.clone(),
            statuses: Arc::clone(&self.statuses),
            metrics: Arc::clone(&self.metrics),
            stop: self.stop.clone(),
        }
    }

    /// Tells the threads of both stages to drain.
    pub fn stop(&self) {
        self.drain.set();
        self.stop.set();
    }

    /// Whether any thread has ended without being told to.
    #[must_use]
    pub fn any_ended(&self) -> bool {
        let ingest_ended = !self.drain.is_set() && self.ingest.iter().any(JoinHandle::is_finished);
        ingest_ended || (!self.stop.is_set() && self.aggregate.is_finished())
    }

    /// The replica's state, as reported to its parent.
    #[must_use]
    pub fn report(&self) -> Report {
        if self.drain.is_set() && self.ingest.iter().all(JoinHandle::is_finished) {
            return Report::Drained;
        }
        let problem = |status: &ThreadStatus| Some(format!("thread {} {}", status.name, status.not_ready()?));
        match self.statuses.iter().find_map(problem) {
            Some(problem) => Report::NotReady(problem),
            None => Report::Ready(self.statuses.iter().map(|status| status.partitions().len() as u64).sum()),
        }
    }

    /// Waits at most [`STOP_BOUND`] for the threads to end. Returns whether all have ended.
    ///
    /// # Errors
    /// The first error of a thread.
    pub fn join(self) -> Result<bool, RunError> {
        let deadline = Instant::now() + STOP_BOUND;
        let mut all = true;
        for thread in self.ingest.into_iter().chain([self.aggregate]) {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(10));
            }
            if thread.is_finished() {
                thread.join().map_err(|_| RunError::Panicked)??;
            } else {
                all = false;
            }
        }
        Ok(all)
    }
}

/// What the threads of a replica share while it starts.
#[derive(Clone)]
struct Starting {
    job: Arc<JobConfig>,
    replica: String,
    statuses: Arc<Vec<ThreadStatus>>,
    metrics: Arc<Metrics>,
    drain: Stop,
    stop: Stop,
}

impl Starting {
    fn ingest(&self) -> Result<Vec<JoinHandle<Result<(), RunError>>>, RunError> {
        let cluster = Arc::new(Cluster::new(&self.job, &self.observer("ingest"))?);
        let start = |index: usize| {
            let transactional_id = self.job.pipeline.ingest_transactional_id(&self.replica, index);
            let (shared, cluster) = (self.clone(), Arc::clone(&cluster));
            self.spawn(index, move |status| {
                let ask = || cluster.topics.limits(ASK);
                let Some(limits) = await_answer(ask, status, &shared.drain) else { return Ok(()) };
                let Starting { job, metrics, drain, .. } = &shared;
                let transactional_id = &transactional_id;
                let context =
                    ingest::worker::Context { job, transactional_id, cluster: &cluster, limits, metrics, status };
                Ok(ingest::worker::run(&context, drain)?)
            })
        };
        (0..self.job.threads).map(start).collect()
    }

    fn aggregate(&self) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
        let transactional_id = self.job.pipeline.aggregate_transactional_id(&self.replica);
        let group = self.job.pipeline.aggregate_group();
        let cluster = Cluster::of_group(&self.job, group, &self.observer("aggregate"))?;
        let shared = self.clone();
        self.spawn(self.job.threads, move |status| {
            let topics = &shared.job.topics.results;
            let names = [&topics.aggregates, &topics.insights, &topics.alerts, &topics.state].map(String::as_str);
            let ask = || cluster.topics.limits_of(names, ASK).map(|limits| RecordLimits::of(&limits));
            let Some(limits) = await_answer(ask, status, &shared.stop) else { return Ok(()) };
            let Starting { job, metrics, stop, .. } = &shared;
            let (transactional_id, cluster) = (&*transactional_id, &cluster);
            let context =
                aggregate::worker::Context { job, topics, transactional_id, cluster, limits, metrics, status };
            Ok(aggregate::worker::run(&context, stop)?)
        })
    }

    /// The client id of the clients that make rare queries.
    fn observer(&self, stage: &str) -> String {
        format!("{}.{stage}.{}.observer", self.job.pipeline, self.replica)
    }

    /// Starts a thread that reports its status at index `place`.
    fn spawn(
        &self,
        place: usize,
        body: impl FnOnce(&ThreadStatus) -> Result<(), RunError> + Send + 'static,
    ) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
        let statuses = Arc::clone(&self.statuses);
        let name = statuses.get(place).map(|status| status.name.clone()).unwrap_or_default();
        let body = move || statuses.get(place).map_or(Ok(()), body);
        Ok(thread::Builder::new().name(name).spawn(body)?)
    }
}

/// Repeats a query until Kafka answers or `stop` is set: a replica that starts before its Kafka waits.
fn await_answer<T>(ask: impl Fn() -> Result<T, ClusterError>, status: &ThreadStatus, stop: &Stop) -> Option<T> {
    let mut reported = String::new();
    while !stop.is_set() {
        status.beat();
        match ask() {
            Ok(answer) => return Some(answer),
            Err(error) => {
                let problem = error.to_string();
                if problem != reported {
                    tracing::warn!("{problem}");
                    status.problem(&problem);
                    reported = problem;
                }
                thread::sleep(Duration::from_millis(500));
            }
        }
    }
    None
}
