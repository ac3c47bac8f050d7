//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

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
}

/// Options of `run`.
#[derive(ClapArgs, Debug, Clone)]
pub struct Run {
    /// Watch this namespace alone; all of them when it is not given.
    #[arg(long, env = "LOGIN_PIPELINE_NAMESPACE")]
    pub namespace: Option<String>,
    /// Image of the processor, for pipelines whose spec names none.
    #[arg(
        long,
        env = "LOGIN_PIPELINE_PROCESSOR_IMAGE",
        default_value = concat!("login-pipeline-processor:", env!("CARGO_PKG_VERSION"))
    )]
    pub processor_image: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LOGIN_PIPELINE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How logs are written. RUST_LOG chooses what is logged; `info` when it is not set.
    #[arg(long, env = "LOGIN_PIPELINE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
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
