//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

use crate::{audit::AuditArgs, generate::GenerateArgs, inspect::InspectArgs, local::LocalArgs, run::RunArgs};

/// Validates, enriches, dead-letters and counts login events on Kafka, exactly once.
#[derive(Parser, Debug)]
#[command(name = "processor", version)]
pub struct Args {
    /// What to log, as tracing's filter: error, warn, info, debug, or by module [default: info for run, else warn]
    #[arg(long, global = true, value_name = "FILTER", env = "LOGIN_PIPELINE_LOG")]
    pub log_level: Option<String>,
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
    /// Run a whole pipeline on this machine, with generated events, and audit it live
    Local(LocalArgs),
    /// Send realistic login events to a topic
    Generate(GenerateArgs),
    /// Check that each event of the source ended exactly once, in its place, as it should, and was counted once
    Audit(AuditArgs),
    /// Show what a pipeline has written for itself: deltas, state, committed offsets
    Inspect(InspectArgs),
}

impl Args {
    /// What to log: what people watch says by itself how it goes.
    #[must_use]
    pub fn log_filter(&self) -> &str {
        let default = if matches!(self.command, Command::Run(_)) { "info" } else { "warn" };
        self.log_level.as_deref().unwrap_or(default)
    }
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
