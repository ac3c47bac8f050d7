//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use crds::pipeline::DurationError;

/// Runs login-event pipelines on Kafka, from `LoginPipeline` resources.
#[derive(Parser, Debug)]
#[command(name = "operator", version)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Watch LoginPipelines and reconcile them until SIGTERM.
    Run(Run),
    /// Print the CustomResourceDefinition as YAML.
    Crd,
    /// Check manifests without a cluster: one line for each problem.
    Validate(Validate),
    /// Look whether the cluster has what the operator and its pipelines need. Exit status: 0 nothing failed, 1 something
    /// did, 2 the check could not be made.
    Check(Check),
    /// Print a script that completes commands in a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
}

/// Options of `run`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Run {
    /// Watch these namespaces alone, separated by commas; all of them when none is given.
    #[arg(long, env = "LOGIN_PIPELINE_WATCH_NAMESPACES", value_name = "NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Which of several operators works.
    #[command(flatten)]
    pub leader_election: LeaderElection,
    /// Image of the processor, for pipelines whose spec names none.
    #[arg(
        long,
        env = "LOGIN_PIPELINE_PROCESSOR_IMAGE",
        default_value = concat!("login-pipeline-processor:", env!("CARGO_PKG_VERSION"))
    )]
    pub processor_image: String,
    /// How often the pods are asked for lag and rate, at least 1s: for their sake no status is written more often.
    #[arg(long, env = "LOGIN_PIPELINE_MEASURE_INTERVAL", value_name = "DURATION", default_value = "1m", value_parser = at_least_a_second)]
    pub measure_interval: Duration,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LOGIN_PIPELINE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How logs are written. RUST_LOG chooses what is logged; `info` when it is not set.
    #[arg(long, env = "LOGIN_PIPELINE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Options by which one of several operators is chosen.
#[derive(ClapArgs, Debug, Clone)]
pub struct LeaderElection {
    /// Work only while holding a Lease, so that of several replicas one works. Switch it off for development alone.
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
    /// Namespace of the Lease; the operator's own when it is not given, and outside a cluster the kubeconfig's.
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

/// How logs are written.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of `validate`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Validate {
    /// YAML files of one document or several.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Options of `check`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Check {
    /// Namespaces of the pipelines, separated by commas; all of them when none is given.
    #[arg(
        short,
        long = "namespace",
        env = "LOGIN_PIPELINE_WATCH_NAMESPACES",
        value_name = "NAMESPACES",
        value_delimiter = ','
    )]
    pub namespaces: Vec<String>,
    /// Look at this pipeline alone: a manifest, or the name of a LoginPipeline in the namespace.
    #[arg(long, value_name = "FILE|NAME")]
    pub pipeline: Option<String>,
    /// Namespace of the Lease, as for `run`.
    #[arg(long, env = "LOGIN_PIPELINE_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// How the result is written.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
}

/// How a result is written.
#[derive(ValueEnum, Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Shells that can be completed.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
