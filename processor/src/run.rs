//! `processor run`: a replica. Threads of stage 1, and a small HTTP server that tells how they are.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use crds::job::{JobConfig, JobError};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    ingest::worker::{self, Context},
    kafka::{
        cluster::{Cluster, ClusterError, Limits},
        error::KafkaError,
    },
    metrics::{Metrics, ThreadStatus},
    stop::Stop,
};

/// How long a replica takes to end after SIGTERM, at most: what a thread may take to drain, and a second for the rest.
const STOP_BOUND: Duration = worker::DRAIN_BOUND.saturating_add(Duration::from_secs(1));

/// How long a question to Kafka may take before it is asked again.
const ASK: Duration = Duration::from_secs(2);

/// Runs one replica of a pipeline until SIGTERM.
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    /// The job config, as the operator renders it
    #[arg(long, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: PathBuf,
    /// This replica's name: unique in the pipeline, and the same after a restart. In Kubernetes the name of the pod
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub replica: String,
    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one and logs it
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", env = "LOGIN_PIPELINE_LISTEN")]
    pub listen: SocketAddr,
}

/// Why a replica cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The config file cannot be read.
    #[error("{path}: {source}; name the job config with --config")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The config is not one that this release can run.
    #[error("{path}: {source}")]
    Job {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: JobError,
    },
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
    #[error("a thread of stage 1 panicked; the replica ends so that it is started anew")]
    Panicked,
}

/// Threads of a replica, from start to stop.
#[derive(Debug)]
pub struct Replica {
    threads: Vec<JoinHandle<Result<(), RunError>>>,
    /// How each thread is.
    pub statuses: Arc<Vec<ThreadStatus>>,
    /// What they tell.
    pub metrics: Arc<Metrics>,
    stop: Stop,
}

impl Replica {
    /// Starts the threads of a replica. Limits that are known save the question to Kafka, which an embedded broker does not
    /// answer.
    ///
    /// # Errors
    /// When librdkafka refuses a setting, or the system a thread.
    pub fn start(job: &Arc<JobConfig>, name: &str, limits: Option<Limits>) -> Result<Self, RunError> {
        let stop = Stop::default();
        let metrics = Arc::new(Metrics::new(job.revision));
        let statuses: Arc<Vec<ThreadStatus>> = Arc::new((0..job.threads).map(|_| ThreadStatus::default()).collect());
        let cluster = Arc::new(Cluster::new(job, &format!("{}.{name}.observer", job.pipeline))?);
        let threads = (0..job.threads)
            .map(|index| {
                let transactional_id = job.pipeline.ingest_transactional_id(name, index);
                let (job, cluster, metrics) = (Arc::clone(job), Arc::clone(&cluster), Arc::clone(&metrics));
                let (statuses, stop) = (Arc::clone(&statuses), stop.clone());
                thread::Builder::new().name(format!("ingest-{index}")).spawn(move || {
                    let Some(status) = statuses.get(index) else { return Ok(()) };
                    let limits = limits.or_else(|| await_limits(&cluster, status, &stop));
                    let Some(limits) = limits else { return Ok(()) };
                    let (job, cluster, metrics) = (&*job, &*cluster, &*metrics);
                    let context =
                        Context { job, transactional_id: &transactional_id, cluster, limits, metrics, status };
                    Ok(worker::run(&context, &stop)?)
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { threads, statuses, metrics, stop })
    }

    /// Tells the threads to drain.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Whether any thread has ended.
    #[must_use]
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Waits for the threads to end, within the bound that is stated for a stop. Returns whether all did.
    ///
    /// # Errors
    /// The first error of a thread.
    pub fn join(self) -> Result<bool, RunError> {
        let deadline = Instant::now() + STOP_BOUND;
        let mut all = true;
        for thread in self.threads {
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

/// Asks until Kafka answers, for ever: a replica that starts before its Kafka only waits.
fn await_limits(cluster: &Cluster, status: &ThreadStatus, stop: &Stop) -> Option<Limits> {
    let mut reported = String::new();
    while !stop.is_set() {
        status.beat();
        match cluster.limits(ASK) {
            Ok(limits) => return Some(limits),
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
pub fn run(args: &RunArgs) -> Result<ExitCode, RunError> {
    let path = || args.config.clone();
    let text = std::fs::read_to_string(&args.config).map_err(|source| RunError::Read { path: path(), source })?;
    let job = Arc::new(JobConfig::parse(&text).map_err(|source| RunError::Job { path: path(), source })?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let replica = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let listener =
            TcpListener::bind(args.listen).await.map_err(|source| RunError::Listen { address: args.listen, source })?;
        let replica = Replica::start(&job, &args.replica, None)?;
        tracing::info!(pipeline = %job.pipeline, revision = job.revision, address = %listener.local_addr()?, "running");
        let server = axum::serve(listener, router(&replica)).into_future();
        let ended = async {
            while !replica.any_ended() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            () = ended => {}
            result = server => result?,
        }
        replica.stop();
        Ok::<_, RunError>(replica)
    })?;
    if replica.join()? {
        return Ok(ExitCode::SUCCESS);
    }
    tracing::warn!("not drained within {STOP_BOUND:?}: ending; the next owner takes up from what is committed");
    Ok(ExitCode::FAILURE)
}

#[derive(Clone)]
struct Shown {
    statuses: Arc<Vec<ThreadStatus>>,
    metrics: Arc<Metrics>,
}

fn router(replica: &Replica) -> Router {
    let shown = Shown { statuses: Arc::clone(&replica.statuses), metrics: Arc::clone(&replica.metrics) };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
}

/// Red only when a loop does not turn, never for Kafka's state: a restart would not help.
async fn healthz(State(shown): State<Shown>) -> impl IntoResponse {
    if shown.statuses.iter().all(ThreadStatus::is_alive) {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, "a thread of stage 1 hangs\n".to_owned())
    }
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    let not_ready =
        |(index, status): (usize, &ThreadStatus)| status.not_ready().map(|why| format!("thread {index} {why}\n"));
    let problems: String = shown.statuses.iter().enumerate().filter_map(not_ready).collect();
    if problems.is_empty() { (StatusCode::OK, "ok\n".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, problems) }
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], shown.metrics.encode())
}
