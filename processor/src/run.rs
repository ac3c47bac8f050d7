//! `processor run`: a replica. Threads of stage 1, one of stage 2, and a small HTTP server that tells how they are.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use cli::Exit;
use crds::job::JobConfig;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    aggregate,
    config::{self, ConfigError},
    ingest,
    kafka::{
        cluster::{Cluster, ClusterError},
        error::KafkaError,
    },
    metrics::{Metrics, ThreadStatus},
    stop::{DRAIN_BOUND, Stop},
    supervised::{self, Told},
    view::{self, Page, Source},
};

/// How long a replica takes to end after SIGTERM, at most: what a thread may take to drain, and a second for the rest.
const STOP_BOUND: Duration = DRAIN_BOUND.saturating_add(Duration::from_secs(1));

/// How long a question to Kafka may take before it is asked again.
const ASK: Duration = Duration::from_secs(2);

/// Runs one replica of a pipeline until SIGTERM.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Replicas of a pipeline share its partitions, wherever they run; each needs a name of its own. On SIGTERM or Ctrl-C it commits, leaves
the group, and ends within 9 seconds.

Examples:
  processor run --config job.json --replica a --listen 127.0.0.1:8081
  processor run --config job.json --replica b --listen 127.0.0.1:0 --log-level debug

Exit codes: 0 it drained, 1 it did not within its time: what was not committed is taken up by the others, 2 it could not run")]
pub struct RunArgs {
    /// The job config, as the operator renders it
    #[arg(long, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: PathBuf,
    /// This replica's name: unique in the pipeline, and the same after a restart. In Kubernetes the name of the pod
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub replica: String,
    /// Where /healthz, /readyz, /metrics and the live page at / are served; port 0 takes a free one and logs it
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "LOGIN_PIPELINE_LISTEN")]
    pub listen: SocketAddr,
    /// Serve the process that started this one: tell on stdout how it is, and stop when stdin ends
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// Why a replica cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The job config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP server cannot listen.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system refuses a signal handler, a thread or a runtime.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
    /// librdkafka refuses a setting.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// librdkafka refuses a setting.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A thread came to an end that nobody foresaw.
    #[error("a thread panicked; the replica ends so that it is started anew")]
    Panicked,
}

/// Threads of a replica, from start to stop.
#[derive(Debug)]
pub struct Replica {
    ingest: Vec<JoinHandle<Result<(), RunError>>>,
    aggregate: JoinHandle<Result<(), RunError>>,
    /// How each thread is.
    pub statuses: Arc<Vec<ThreadStatus>>,
    /// What they tell.
    pub metrics: Arc<Metrics>,
    job: Arc<JobConfig>,
    name: String,
    /// Stops stage 1.
    pub drain: Stop,
    stop: Stop,
}

impl Replica {
    /// Starts the threads of a replica.
    ///
    /// # Errors
    /// When librdkafka refuses a setting, or the system a thread.
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

    /// What the live page shows of it.
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

    /// Tells all threads to drain.
    pub fn stop(&self) {
        self.drain.set();
        self.stop.set();
    }

    /// Whether any thread has ended by itself.
    #[must_use]
    pub fn any_ended(&self) -> bool {
        let ingest_ended = !self.drain.is_set() && self.ingest.iter().any(JoinHandle::is_finished);
        ingest_ended || (!self.stop.is_set() && self.aggregate.is_finished())
    }

    /// How it is, in a word.
    #[must_use]
    pub fn told(&self) -> Told {
        if self.drain.is_set() && self.ingest.iter().all(JoinHandle::is_finished) {
            return Told::Drained;
        }
        let problem = |status: &ThreadStatus| Some(format!("thread {} {}", status.name, status.not_ready()?));
        match self.statuses.iter().find_map(problem) {
            Some(problem) => Told::NotReady(problem),
            None => Told::Ready(self.statuses.iter().map(|status| status.partitions().len() as u64).sum()),
        }
    }

    /// Waits for the threads to end, within the bound that is stated for a stop. Returns whether all did.
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
    /// Starts the threads of stage 1.
    fn ingest(&self) -> Result<Vec<JoinHandle<Result<(), RunError>>>, RunError> {
        let cluster = Arc::new(Cluster::new(&self.job, &self.observer("ingest"))?);
        let start = |index: usize| {
            let transactional_id = self.job.pipeline.ingest_transactional_id(&self.replica, index);
            let (shared, cluster) = (self.clone(), Arc::clone(&cluster));
            self.spawn(index, move |status| {
                let ask = || cluster.limits(ASK);
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

    /// Starts the thread of stage 2.
    fn aggregate(&self) -> Result<JoinHandle<Result<(), RunError>>, RunError> {
        let transactional_id = self.job.pipeline.aggregate_transactional_id(&self.replica);
        let group = self.job.pipeline.aggregate_group();
        let cluster = Cluster::of_group(&self.job, group, &self.observer("aggregate"))?;
        let shared = self.clone();
        self.spawn(self.job.threads, move |status| {
            let topics = &shared.job.topics.results;
            let names = [&topics.aggregates, &topics.insights, &topics.alerts, &topics.state].map(String::as_str);
            let ask = || cluster.limits_of(names, ASK).map(|limits| limits.into_iter().min().unwrap_or_default());
            let Some(max_bytes) = await_answer(ask, status, &shared.stop) else { return Ok(()) };
            let Starting { job, metrics, stop, .. } = &shared;
            let (transactional_id, cluster) = (&*transactional_id, &cluster);
            let context =
                aggregate::worker::Context { job, topics, transactional_id, cluster, max_bytes, metrics, status };
            Ok(aggregate::worker::run(&context, stop)?)
        })
    }

    /// The client id of what asks the seldom questions.
    fn observer(&self, stage: &str) -> String {
        format!("{}.{stage}.{}.observer", self.job.pipeline, self.replica)
    }

    /// Starts a thread that tells its state at this place.
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

/// Asks until Kafka answers, for ever: a replica that starts before its Kafka only waits.
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

/// Runs one replica until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or a thread ends by itself.
pub fn run(args: &RunArgs) -> Result<Exit, RunError> {
    let job = Arc::new(config::read(&args.config, None, None)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replica = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener =
            TcpListener::bind(args.listen).await.map_err(|source| RunError::Listen { address: args.listen, source })?;
        let replica = Replica::start(&job, &args.replica)?;
        let address = listener.local_addr()?;
        tracing::info!(pipeline = %job.pipeline, revision = job.revision, %address, "running");
        let (publisher, page) = view::channel();
        tokio::spawn(replica.source().feed(publisher));
        let server = axum::serve(listener, router(&replica, page)).into_future();
        let ended = async {
            while !replica.any_ended() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            () = supervised::serve(args.supervised, address, &replica) => tracing::info!("told to end: draining"),
            () = ended => {}
            result = server => result?,
        }
        replica.stop();
        Ok::<_, RunError>(replica)
    })?;
    if replica.join()? {
        return Ok(Exit::Clean);
    }
    tracing::warn!("not drained within {STOP_BOUND:?}: ending; the next owner takes up from what is committed");
    Ok(Exit::Found)
}

#[derive(Clone)]
struct Shown {
    statuses: Arc<Vec<ThreadStatus>>,
    metrics: Arc<Metrics>,
}

fn router(replica: &Replica, page: Page) -> Router {
    let shown = Shown { statuses: Arc::clone(&replica.statuses), metrics: Arc::clone(&replica.metrics) };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
        .merge(page.router())
}

/// Red only when a loop does not turn, never for Kafka's state: a restart would not help.
async fn healthz(State(shown): State<Shown>) -> impl IntoResponse {
    let hangs = |status: &&ThreadStatus| !status.is_alive();
    match shown.statuses.iter().find(hangs) {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(status) => (StatusCode::INTERNAL_SERVER_ERROR, format!("thread {} hangs\n", status.name)),
    }
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    let not_ready = |status: &ThreadStatus| Some(format!("thread {} {}\n", status.name, status.not_ready()?));
    let problems: String = shown.statuses.iter().filter_map(not_ready).collect();
    if problems.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, problems) }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], shown.metrics.encode())
}
