//! The command line.

use std::{net::SocketAddr, path::PathBuf, sync::LazyLock, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand};
use cli::{
    Exit, Format, REVISION,
    exit::table,
    logging::LogArgs,
    pages::{CompletionsArgs, ManArgs},
};
use crds::pipeline::DurationError;

/// The version of the Kubernetes API whose types the operator uses; `operator check` lists the clusters that it supports.
const KUBERNETES: &str = "1.33";

/// What `--version` prints after the name.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let version = env!("CARGO_PKG_VERSION");
    format!("{version} (revision {REVISION}, Kubernetes API {KUBERNETES}, librdkafka {librdkafka})")
});

/// Runs login-event pipelines on Kafka, from `LoginPipeline` resources.
#[derive(Parser, Debug)]
#[command(
    name = "operator",
    version = VERSION.as_str(),
    after_help = format!("\
Examples:
  operator check
  operator validate examples/pipeline.yaml
  operator crd | kubectl apply --server-side -f -

{}", table(&Exit::ALL))
)]
pub struct Args {
    /// What to log.
    #[command(flatten)]
    pub logs: LogArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Watch LoginPipelines and reconcile them until SIGTERM
    #[command(after_help = "\
It runs in the cluster, where the chart installs it; outside it uses the kubeconfig's current context.

Examples:
  operator run --leader-election=false --listen 127.0.0.1:8080
  operator run --watch-namespaces logins,staging --log-level debug")]
    Run(Run),
    /// Print the CustomResourceDefinition as YAML
    #[command(after_help = "\
Examples:
  operator crd | kubectl apply --server-side -f -")]
    Crd,
    /// Check manifests without a cluster: one line for each problem
    #[command(after_help = "\
Nothing is printed where nothing is wrong. Documents of other kinds are skipped, and named.

Examples:
  operator validate examples/pipeline.yaml
  operator validate --output json pipelines/logins.yaml pipelines/staging.yaml")]
    Validate(Validate),
    /// Check that the cluster has what the operator and its pipelines need
    #[command(after_help = "\
It reads, and changes nothing. What fails will not work; a warning need not be a fault. Each has a hint that says what to do.

Examples:
  operator check
  operator check --namespace logins --pipeline my-logins
  operator check --pipeline examples/pipeline.yaml --output json")]
    Check(Check),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  operator completions bash > /etc/bash_completion.d/operator
  operator completions fish > ~/.config/fish/completions/operator.fish")]
    Completions(CompletionsArgs),
    /// Write man pages
    #[command(after_help = "\
Examples:
  operator man ~/.local/share/man/man1
  operator man | man -l -")]
    Man(ManArgs),
}

/// The client logs each failed request without its cause; the caller logs it with its causes.
const RUN_LOGS: &str = "info,kube_client::client::builder=off";

/// Commands that people watch report their progress themselves.
const OTHER_LOGS: &str = "warn,kube_client::client::builder=off";

impl Args {
    /// The default log filter. `RUST_LOG` sets another.
    #[must_use]
    pub fn log_filter(&self) -> String {
        let default = if matches!(self.command, Command::Run(_)) { RUN_LOGS } else { OTHER_LOGS };
        std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty()).unwrap_or_else(|| default.to_owned())
    }
}

/// Options of `run`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Run {
    /// Watch only these namespaces, separated by commas [default: all].
    #[arg(long, env = "LOGIN_PIPELINE_WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Which of several operators works.
    #[command(flatten)]
    pub leader_election: LeaderElection,
    /// Image of the processor, for pipelines whose spec has none.
    #[arg(
        long,
        env = "LOGIN_PIPELINE_PROCESSOR_IMAGE",
        default_value = concat!("login-pipeline-processor:", env!("CARGO_PKG_VERSION"))
    )]
    pub processor_image: String,
    /// How often the pods are asked for lag and rate, at least 1s; the status is not written more often because of them.
    #[arg(long, env = "LOGIN_PIPELINE_MEASURE_INTERVAL", value_name = "DURATION", default_value = "1m", value_parser = at_least_a_second)]
    pub measure_interval: Duration,
    /// Address of /healthz, /readyz, /metrics and the page.
    #[arg(long, env = "LOGIN_PIPELINE_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Serve a read-only page that lists the pipelines to everyone who reaches the port.
    #[arg(
        long,
        env = "LOGIN_PIPELINE_PAGE",
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub page: bool,
}

/// Options by which one of several operators is chosen.
#[derive(ClapArgs, Debug, Clone)]
pub struct LeaderElection {
    /// Work only while holding a Lease, so that one of several replicas works; disable it only for development.
    #[arg(
        long = "leader-election",
        env = "LOGIN_PIPELINE_LEADER_ELECTION",
        value_name = "BOOL",
        default_value_t = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub is_enabled: bool,
    /// Name of the Lease. Operators that watch different namespaces need different ones.
    #[arg(long, env = "LOGIN_PIPELINE_LEASE_NAME", value_name = "NAME", default_value = "login-pipeline-operator")]
    pub lease_name: String,
    /// Namespace of the Lease [default: the operator's own, or outside a cluster the kubeconfig's].
    #[arg(long, env = "LOGIN_PIPELINE_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
}

fn at_least_a_second(text: &str) -> Result<Duration, String> {
    let interval: crds::pipeline::Duration = text.parse().map_err(|error: DurationError| error.to_string())?;
    let interval = Duration::from_millis(u64::try_from(interval.as_millis()).unwrap_or_default());
    if interval < Duration::from_secs(1) {
        return Err("choose at least 1s".to_owned());
    }
    Ok(interval)
}

/// Options of `validate`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Validate {
    /// YAML files, each with one or more documents.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}

/// Options of `check`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Check {
    /// Namespaces of the pipelines, separated by commas [default: all].
    #[arg(
        short,
        long = "namespace",
        env = "LOGIN_PIPELINE_WATCH_NAMESPACES",
        value_name = "NAMESPACES",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,
    /// Check only this pipeline: a manifest, or the name of a LoginPipeline in the namespace.
    #[arg(long, value_name = "FILE|NAME")]
    pub pipeline: Option<String>,
    /// Namespace of the Lease, as for `run`.
    #[arg(long, env = "LOGIN_PIPELINE_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// The output format
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Format,
}
