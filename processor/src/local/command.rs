//! The command: sets the pipeline up, lets it run, and reports.

use std::{
    io::{self, Write, stdout},
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use cli::Exit;
use crds::{
    job::{JobConfig, KafkaConfig},
    manifest::Manifest,
    pipeline::Results,
    topics::{PipelineId, Role, Topic, topics},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    broker::{Broker, BrokerError},
    feed::{Feed, FeedOptions},
    follow::{FollowError, Follower},
    manifest::{self, ManifestError},
    progress::Progress,
    summary::Summary,
};
use crate::{
    config::{self, ConfigError},
    generate::{GenerateError, Options, ShareArgs, SharesError, now},
    kafka::cluster::{Cluster, ClusterError},
    metrics::ThreadStatus,
    run::{Replica, RunError},
    stop::Stop,
};

/// How many events a run that ends by itself sends.
const EVENTS: u64 = 1_000_000;

/// How long replicas may take until every partition is taken up.
const ASSIGNMENT: Duration = Duration::from_secs(60);

/// How long nothing may come while outcomes are awaited; longer than Kafka keeps a transaction whose owner is gone.
const STALL: Duration = Duration::from_secs(30);

/// How long nothing may come while the aggregation is awaited: it writes several times a second.
const QUIET: Duration = Duration::from_secs(10);

/// Which pipeline to run here, and on what.
#[derive(Args, Clone, Debug)]
pub struct LocalArgs {
    /// The manifest of a LoginPipeline. Its spec.kafka plays no part: see --bootstrap
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A real Kafka, instead of the embedded broker, which has no real transactions. Missing topics are made
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// TLS and SASL of that Kafka: a file with what stands at kafka.security of a job config
    #[arg(long, requires = "bootstrap", value_name = "FILE")]
    pub security: Option<PathBuf>,
    /// Use topics of this run's own, and delete them at the end unless faults were found
    #[arg(long, requires = "bootstrap")]
    pub fresh_topics: bool,
    /// End when all events are audited, instead of with Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// How many events to send [default: 1000000 with --exit, else without end]
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Events per second; 0 is as fast as they are processed and audited, with the times of the last ten minutes if their
    /// number is limited
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub rate: u64,
    /// How many replicas run, each on threads of this process [default: spec.processor.replicas]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub replicas: Option<u16>,
    /// The same seed gives the same events, but for their time
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many users there are; some log in much more often than others
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub users: u64,
    /// How many of the events are out of the ordinary
    #[command(flatten)]
    pub shares: ShareArgs,
}

/// Why a pipeline could not run here.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The manifest cannot be run.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// No replica would run.
    #[error("spec.processor.replicas is 0, so that nothing would be processed: add --replicas 1")]
    NoReplicas,
    /// Shares that make no sense.
    #[error(transparent)]
    Shares(#[from] SharesError),
    /// The file of --security does not say how to reach a Kafka.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The broker or its topics cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Kafka did not answer a question.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A replica failed.
    #[error(transparent)]
    Replica(#[from] RunError),
    /// A replica ended by itself.
    #[error("a replica ended by itself; --log-level info may tell why")]
    ReplicaEnded,
    /// Replicas did not begin.
    #[error("not every partition was taken up within {} s:{}", ASSIGNMENT.as_secs(), problems.concat())]
    NotAssigned {
        /// What each thread lacks.
        problems: Vec<String>,
    },
    /// Stopped before anything was sent.
    #[error("stopped before every partition was taken up")]
    Stopped,
    /// The broker took no more.
    #[error("the broker took no more events for {} s", STALL.as_secs())]
    Stalled,
    /// Events could not be sent.
    #[error(transparent)]
    Feed(#[from] GenerateError),
    /// The audit could not follow.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The operating system refuses, or the report could not be written.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

/// Runs a pipeline here and prints what became of its events: success where that is clean, 1 where faults were found.
///
/// # Errors
/// When it could not run.
pub fn run(args: &LocalArgs) -> Result<Exit, LocalError> {
    let summary = local(args)?;
    let mut out = stdout().lock();
    writeln!(out, "{summary}\n{}", serde_json::to_string(&summary).map_err(io::Error::from)?)?;
    Ok(Exit::found(!summary.is_clean()))
}

/// A pipeline that is set up: its job, its topics and how many partitions each has.
struct Setup {
    job: Arc<JobConfig>,
    topics: Vec<Topic>,
    partitions: Vec<usize>,
    replicas: usize,
}

impl Setup {
    fn partitions(&self, role: Role) -> usize {
        let found = self.topics.iter().zip(&self.partitions).find(|(topic, _)| topic.role == role);
        found.map_or(0, |(_, partitions)| *partitions)
    }
}

fn local(args: &LocalArgs) -> Result<Summary, LocalError> {
    let shares = args.shares.shares()?;
    let Manifest { mut name, mut spec } = manifest::read(&args.file)?;
    let replicas = args.replicas.map_or(usize::try_from(spec.processor.replicas).unwrap_or_default(), usize::from);
    if replicas == 0 {
        return Err(LocalError::NoReplicas);
    }
    let events = Options { seed: args.seed, users: args.users, shares, start: now(), per_second: 0 };
    let total = args.events.or(args.exit.then_some(EVENTS));
    let feed = FeedOptions { events, total, rate: args.rate };
    if args.fresh_topics {
        let suffix = format!("-{:08x}", rand::random::<u32>());
        let Results { aggregates, insights, alerts } = &mut spec.results;
        let results = [&mut aggregates.topic, &mut insights.topic, &mut alerts.topic];
        let events = [&mut spec.source.topic, &mut spec.output.topic, &mut spec.dead_letters.topic];
        for name in [&mut name].into_iter().chain(events).chain(results) {
            name.push_str(&suffix);
        }
    }
    let stop = stop_on_signals()?;
    let security = args.security.as_deref().map(config::read_security).transpose()?;
    let kafka = |servers: &String| KafkaConfig { bootstrap_servers: servers.clone(), security };
    let broker = Broker::start(args.bootstrap.as_ref().map(kafka))?;
    // A namespace of its own: these replicas must never join the group of a pipeline that runs in Kubernetes.
    let id = PipelineId { namespace: "local".to_owned(), name };
    let topics = topics(&id, &spec);
    let mut job = JobConfig::new(id, &spec, 1, broker.kafka().bootstrap_servers.clone());
    job.kafka.security.clone_from(&broker.kafka().security);
    let job = Arc::new(job);
    let summary = broker.provide(&topics).map_err(LocalError::from).and_then(|partitions| {
        let setup = Setup { job, topics: topics.clone(), partitions, replicas };
        perform(&setup, &broker, &feed, args.exit, &stop)
    });
    if args.fresh_topics {
        if summary.as_ref().is_ok_and(|summary| !summary.is_clean()) {
            let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
            eprintln!("left for you to look at: topics {}", names.join(", "));
        } else if let Err(error) = broker.delete(&topics) {
            eprintln!("the topics of this run are left: {error}");
        }
    }
    summary
}

/// Starts everything, lets it run to its end, and sums up.
fn perform(
    setup: &Setup,
    broker: &Broker,
    options: &FeedOptions,
    exit: bool,
    stop: &Stop,
) -> Result<Summary, LocalError> {
    let Setup { job, replicas, .. } = setup;
    let source_partitions = setup.partitions(Role::Source);
    let limits = match broker.known_limits() {
        Some(limits) => limits,
        None => Cluster::new(job, "processor-local")?.limits(Duration::from_secs(10))?,
    };
    eprintln!("starting replicas: {replicas}, on {broker}; Ctrl-C ends");
    let running = (0..*replicas)
        .map(|index| Replica::start(job, &format!("local-{index}"), Some(limits)))
        .collect::<Result<Vec<_>, _>>()?;
    let outcome = await_assigned(&running, source_partitions, stop).and_then(|()| {
        let partitions = [Role::Source, Role::Output, Role::DeadLetters].map(|role| setup.partitions(role));
        let follower = Follower::start(job, limits, partitions)?;
        let mut feed =
            Feed::new(broker.kafka(), &job.topics.source, source_partitions, broker.window(), options.clone())?;
        let driven = drive(&mut feed, &follower, &running, &Ending { total: options.total, exit, stop })?;
        Ok((follower, feed.acknowledged(), driven))
    });
    running.iter().for_each(Replica::stop);
    for replica in running {
        if !replica.join()? {
            eprintln!("a replica did not drain in time");
        }
    }
    let (follower, produced, Driven { elapsed, stalled }) = outcome?;
    let summary = Summary::new(follower.finish()?, produced, elapsed, broker.kind(), *replicas);
    // Where nothing is wrong with what is there, the broker did not take the rest.
    if stalled && summary.is_clean() { Err(LocalError::Stalled) } else { Ok(summary) }
}

/// Waits until every partition is taken up.
fn await_assigned(replicas: &[Replica], partitions: usize, stop: &Stop) -> Result<(), LocalError> {
    let deadline = Instant::now() + ASSIGNMENT;
    loop {
        let threads = || replicas.iter().flat_map(|replica| replica.statuses.iter());
        let problems: Vec<String> = threads().filter_map(ThreadStatus::not_ready).collect();
        let active: usize = threads().map(|status| status.partitions().len()).sum();
        if problems.is_empty() && active == partitions {
            return Ok(());
        }
        if stop.is_set() {
            return Err(LocalError::Stopped);
        }
        if replicas.iter().any(Replica::any_ended) {
            return Err(LocalError::ReplicaEnded);
        }
        if Instant::now() >= deadline {
            let problems = problems.into_iter().map(|problem| format!("\na thread {problem}")).collect();
            return Err(LocalError::NotAssigned { problems });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// When a run ends.
struct Ending<'a> {
    total: Option<u64>,
    exit: bool,
    stop: &'a Stop,
}

/// What came of sending events.
struct Driven {
    /// From the first that was sent to the last that was audited.
    elapsed: Duration,
    /// Whether it ended because nothing came any more.
    stalled: bool,
}

/// Sends events and waits for the audit of them.
fn drive(
    feed: &mut Feed,
    follower: &Follower,
    replicas: &[Replica],
    ending: &Ending<'_>,
) -> Result<Driven, LocalError> {
    let mut progress = Progress::new();
    let started = Instant::now();
    let (mut taken, mut taken_at, mut waiting_since) = (0, started, started);
    let (mut audited, mut audited_at) = (0, started);
    let mut stalled = false;
    while !stalled && !follower.has_ended() {
        if ending.stop.is_set() {
            feed.end();
        }
        feed.turn(follower.audited())?;
        if taken != follower.taken() {
            (taken, taken_at) = (follower.taken(), Instant::now());
        }
        waiting_since = if audited >= feed.sent() { Instant::now() } else { waiting_since.max(taken_at) };
        let now_audited = follower.audited().sum();
        if audited != now_audited {
            (audited, audited_at) = (now_audited, Instant::now());
        }
        progress.show(feed.acknowledged(), audited, ending.total);
        let is_last = ending.exit || ending.stop.is_set();
        if feed.is_done() && is_last && audited >= feed.sent() {
            // Where the counts are wrong, the report says in what.
            if follower.is_counted() || taken_at.elapsed() > QUIET {
                break;
            }
        }
        stalled = waiting_since.elapsed() > STALL;
        if replicas.iter().any(Replica::any_ended) {
            return Err(LocalError::ReplicaEnded);
        }
    }
    progress.clear();
    if stalled {
        eprintln!("nothing came for {} s: ending with what is there", STALL.as_secs());
    }
    Ok(Driven { elapsed: audited_at.duration_since(started), stalled })
}

/// Is set by SIGINT or SIGTERM; a second one ends the process at once.
fn stop_on_signals() -> io::Result<Stop> {
    let stop = Stop::default();
    let set = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = runtime
        .block_on(async { Ok::<_, io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)) })?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for signals in 1.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if signals > 1 {
                    std::process::exit(2);
                }
                set.set();
            }
        });
    })?;
    Ok(stop)
}
