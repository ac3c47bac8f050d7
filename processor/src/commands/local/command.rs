//! The command: sets up the pipeline, runs it, and reports.

use std::{
    io::{IsTerminal, stderr, stdout},
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::Args;
use cli::{Exit, Format, output::tell};
use crds::{
    job::{JobConfig, KafkaConfig},
    manifest::Manifest,
    pipeline::{self, Results},
    topics::{PipelineId, Role, Topic, topics},
};
use kafka::cluster::Cluster;

use super::{
    broker::Broker,
    error::LocalError,
    feed::{Feed, FeedOptions},
    folder::RunFolder,
    follow::Follower,
    keys::{self, Keys},
    pace::{Pace, SPAN},
    page::Site,
    progress::Progress,
    replicas::Replicas,
    session::{Session, program},
    summary::{BrokerKind, Summary},
};
use crate::{
    commands::generate::EventArgs,
    config, manifest,
    stop::{self, Stop},
};

/// How many events are sent with --exit and without --events.
const EVENTS: u64 = 1_000_000;

/// Which pipeline to run here, and on what.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Events are generated, replicas process them as child processes of this one, and each outcome and each count is audited. A page
shows it live. On a terminal keys change the number of replicas, kill and pause them (on a real Kafka), and send broken events.

Examples:
  processor local examples/pipeline.yaml --since 10m --rate 500 --open
                            watch it in a browser: ten minutes of events at once, then 500 a second
  processor local examples/pipeline.yaml --exit
                            audit a million events as fast as they are processed; exit status 1 when a fault is found
  processor local examples/pipeline.yaml --bootstrap localhost:9092 --fresh-topics --rate 500
                            the same on a real Kafka: press k and p to see what a crash does

The last line on stdout is the summary as JSON.")]
pub struct LocalArgs {
    /// The manifest of a LoginPipeline; its spec.kafka is ignored, see --bootstrap
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Bootstrap servers of a real Kafka, instead of the embedded broker, which has no real transactions; missing topics are created
    #[arg(long, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// TLS and SASL settings of that Kafka: a file with the contents of kafka.security in a job config
    #[arg(long, requires = "bootstrap", value_name = "FILE")]
    pub security: Option<PathBuf>,
    /// Create topics for this run, and delete them at the end unless faults were found
    #[arg(long, requires = "bootstrap")]
    pub fresh_topics: bool,
    /// Exit when all events are audited, instead of with Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// The number of events to send [default: 1000000 with --exit, otherwise unlimited]
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Events per second; 0 sends as fast as they are processed and audited
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub rate: u64,
    /// How long before the start the first event happened: what is overdue by --rate is sent at once [default: 10m for a limited
    /// number of events without --rate, which are spread over that time, else 0s]
    #[arg(long, value_name = "DURATION")]
    pub since: Option<pipeline::Duration>,
    /// The number of replicas, each a process [default: spec.processor.replicas]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub replicas: Option<u16>,
    /// What the events are like
    #[command(flatten)]
    pub model: EventArgs,
    /// The address on which the page is served [default: 127.0.0.1:8080, or the next free port]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Open the page in a browser
    #[arg(long)]
    pub open: bool,
}

/// Runs a pipeline here and prints what became of its events. Exits with 0 when there is no fault, else with 1.
///
/// # Errors
/// When the pipeline cannot run.
pub fn run(args: &LocalArgs) -> Result<Exit, LocalError> {
    let summary = local(args)?;
    let mut out = stdout().lock();
    Format::Text.write(&mut out, &summary)?;
    Format::Json.write(&mut out, &summary)?;
    Ok(Exit::found(!summary.is_clean()))
}

/// A pipeline that is set up: its job, its topics, and the number of partitions of each topic.
struct Setup {
    job: JobConfig,
    topics: Vec<Topic>,
    partitions: Vec<usize>,
    replicas: usize,
    folder: RunFolder,
}

impl Setup {
    fn partitions(&self, role: Role) -> usize {
        let found = self.topics.iter().zip(&self.partitions).find(|(topic, _)| topic.role == role);
        found.map_or(0, |(_, partitions)| *partitions)
    }
}

fn local(args: &LocalArgs) -> Result<Summary, LocalError> {
    let Manifest { mut name, mut spec } = manifest::read(&args.file)?;
    let replicas = args.replicas.map_or(usize::try_from(spec.processor.replicas).unwrap_or_default(), usize::from);
    if replicas == 0 {
        return Err(LocalError::NoReplicas);
    }
    let feed = args.feed()?;
    if args.fresh_topics {
        let suffix = format!("-{:08x}", rand::random::<u32>());
        let Results { aggregates, insights, alerts } = &mut spec.results;
        let results = [&mut aggregates.topic, &mut insights.topic, &mut alerts.topic];
        let events = [&mut spec.source.topic, &mut spec.output.topic, &mut spec.dead_letters.topic];
        for name in [&mut name].into_iter().chain(events).chain(results) {
            name.push_str(&suffix);
        }
    }
    let left: Arc<OnceLock<PathBuf>> = Arc::default();
    let remains = Arc::clone(&left);
    let stop = stop::on_signals(move || {
        keys::restore();
        remains.get().into_iter().for_each(|folder| RunFolder::remove(folder));
        std::process::exit(2);
    })?;
    let security = args.security.as_deref().map(config::read_security).transpose()?;
    let kafka =
        |servers: &String| KafkaConfig { bootstrap_servers: servers.clone(), security, max_message_bytes: None };
    let broker = Broker::start(args.bootstrap.as_ref().map(kafka))?;
    // The namespace is reserved: these replicas must never join the consumer group of a pipeline that runs in
    // Kubernetes.
    let id = PipelineId { namespace: "local".to_owned(), name };
    let topics = topics(&id, &spec);
    let mut job = JobConfig::new(id, &spec, 1, String::new());
    job.kafka.clone_from(broker.kafka());
    let summary = broker.provide(&topics).map_err(LocalError::from).and_then(|partitions| {
        let folder = RunFolder::new(&job)?;
        // This is the only place that sets it.
        let _ = left.set(folder.path().to_owned());
        let setup = Setup { job, topics: topics.clone(), partitions, replicas, folder };
        let summary = perform(&setup, &broker, feed, args, &stop);
        if broker.kind() == BrokerKind::Kafka && has_faults(&summary) {
            tell(format_args!("left for you to look at: {}", setup.folder.keep().display()));
        }
        summary
    });
    if args.fresh_topics {
        if has_faults(&summary) {
            let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
            tell(format_args!("left for you to look at: topics {}", names.join(", ")));
        } else if let Err(error) = broker.delete(&topics) {
            tell(format_args!("the topics of this run are left: {error}"));
        }
    }
    summary
}

fn has_faults(summary: &Result<Summary, LocalError>) -> bool {
    summary.as_ref().is_ok_and(|summary| !summary.is_clean())
}

impl LocalArgs {
    /// The events to send, and their pace.
    fn feed(&self) -> Result<FeedOptions, LocalError> {
        let events = self.model.options()?;
        let (rate, total) = (self.rate, self.events.or(self.exit.then_some(EVENTS)));
        let has_pace = rate > 0 || total.is_some();
        let since = match &self.since {
            Some(since) if !has_pace => return Err(LocalError::Since(*since)),
            Some(since) => since.get(),
            None if rate == 0 && total.is_some() => SPAN,
            None => Duration::ZERO,
        };
        Ok(FeedOptions { events, pace: Pace { rate, since, total } })
    }
}

/// Starts everything, runs it to the end, and sums up.
fn perform(
    setup: &Setup,
    broker: &Broker,
    options: FeedOptions,
    args: &LocalArgs,
    stop: &Stop,
) -> Result<Summary, LocalError> {
    let Setup { job, folder, .. } = setup;
    let source_partitions = setup.partitions(Role::Source);
    let limits = Cluster::new(job, "processor-local")?.topics.limits(Duration::from_secs(10))?;
    let site = Site::start(args.listen)?;
    let mut replicas = Replicas::start(folder.path(), setup.replicas, broker.kind() == BrokerKind::Kafka)?;
    let keys = Keys::take()?;
    let mut progress = Progress::new();
    progress.say(&introduction(setup, broker, &site, keys.is_some()));
    if args.open
        && let Some(told) = site.open()
    {
        progress.say(&told);
    }
    let mut session = Session {
        job,
        job_file: &folder.job(),
        partitions: source_partitions,
        replicas: &mut replicas,
        site: &site,
        keys: keys.as_ref(),
        stop,
        progress,
        total: options.pace.total,
        exit: args.exit,
        broken: 0,
        shown: None,
    };
    session.await_assigned()?;
    let partitions = [Role::Source, Role::Output, Role::DeadLetters].map(|role| setup.partitions(role));
    let follower = Follower::start(job, limits, partitions)?;
    let mut feed = Feed::new(broker.kafka(), &job.topics.source, source_partitions, broker.window(), options)?;
    let driven = session.drive(&mut feed, &follower)?;
    drop(keys);
    let count = replicas.count();
    for name in replicas.stop() {
        tell(format_args!("{name} did not end in time"));
    }
    let conclusion = follower.finish(driven.ends)?;
    let summary = Summary::new(conclusion, feed.acknowledged(), driven.elapsed, broker.kind(), count);
    // The run stalled and no event is lost, so the broker did not accept the rest.
    if driven.stalled && summary.is_clean() { Err(LocalError::Stalled) } else { Ok(summary) }
}

/// What runs, where it is shown, and which keys and commands there are.
fn introduction(setup: &Setup, broker: &Broker, site: &Site, has_keys: bool) -> String {
    let job = setup.folder.job();
    let ends = if has_keys {
        "+ - replicas, k kill one, p pause one, b broken event, o open page, q end, ? help"
    } else {
        "Ctrl-C ends"
    };
    let others = match broker.kind() {
        BrokerKind::Embedded => "inspect and dead-letters take this --config while it runs",
        BrokerKind::Kafka => "inspect, dead-letters and audit take this --config while it runs",
    };
    let lines = [
        ("pipeline", format!("{}, on {broker}, replicas: {}", setup.job.pipeline, setup.replicas)),
        ("page", site.url()),
        ("try", format!("{} inspect insights --config {}", program(), job.display())),
        ("", others.to_owned()),
        ("keys", ends.to_owned()),
    ];
    let shown: Vec<String> = lines.iter().map(|(name, text)| format!("{name:<10}{text}")).collect();
    let shown = shown.join("\n");
    if stderr().is_terminal() { format!("\n{shown}\n") } else { shown }
}
