//! The command line.

use std::sync::LazyLock;

use clap::{Parser, Subcommand};
use cli::{
    Exit, REVISION,
    exit::table,
    logging::LogArgs,
    pages::{CompletionsArgs, ManArgs},
};

use super::{
    commands::{
        audit::AuditArgs, dead_letters::DeadLettersArgs, generate::GenerateArgs, inspect::InspectArgs,
        local::LocalArgs, validate::ValidateArgs,
    },
    replica::run::RunArgs,
};

/// What `--version` prints after the name.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    format!("{} (revision {REVISION}, librdkafka {librdkafka})", env!("CARGO_PKG_VERSION"))
});

/// Validates, enriches, dead-letters and counts login events on Kafka, exactly once.
#[derive(Parser, Debug)]
#[command(
    name = "processor",
    version = VERSION.as_str(),
    after_help = format!("\
Examples:
  processor local examples/pipeline.yaml
  processor generate --bootstrap localhost:9092 --events 1000
  processor audit --config job.json

{}", table(&[Exit::Clean, Exit::Found, Exit::Failed]))
)]
pub struct Args {
    /// What to log.
    #[command(flatten)]
    pub logs: LogArgs,
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
    /// Check that each source event became exactly one correct record, and was counted exactly once
    Audit(AuditArgs),
    /// Show what a pipeline has written: insights, alerts, deltas, state, committed offsets
    Inspect(InspectArgs),
    /// List dead letters, show one, or replay them: write their events to the source again, each exactly once
    DeadLetters(DeadLettersArgs),
    /// Check events against a pipeline's rules, without a Kafka
    Validate(ValidateArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  processor completions bash > /etc/bash_completion.d/processor
  processor completions fish > ~/.config/fish/completions/processor.fish")]
    Completions(CompletionsArgs),
    /// Write man pages
    #[command(after_help = "\
Examples:
  processor man ~/.local/share/man/man1
  processor man | man -l -")]
    Man(ManArgs),
}

impl Args {
    /// The default log filter. Only `run` logs at `info`: the other commands report their progress themselves.
    #[must_use]
    pub const fn log_filter(&self) -> &'static str {
        if matches!(self.command, Command::Run(_)) { "info" } else { "warn" }
    }
}
