//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::run::RunArgs;

/// Validates, enriches, dead-letters and counts login events on Kafka, exactly once.
#[derive(Parser, Debug)]
#[command(name = "processor", version)]
pub struct Args {
    /// What to log, as tracing's filter: error, warn, info, debug, or by module
    #[arg(long, global = true, default_value = "info", value_name = "FILTER", env = "LOGIN_PIPELINE_LOG")]
    pub log_level: String,
    /// How to log
    #[arg(long, global = true, value_enum, default_value_t, env = "LOGIN_PIPELINE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run one replica of a pipeline until SIGTERM
    Run(RunArgs),
}

/// How to log.
#[derive(ValueEnum, Clone, Copy, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
