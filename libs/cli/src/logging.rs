//! The logs of both commands. They go to stderr: stdout is for results.

use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// What to log, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub struct LogArgs {
    /// What to log, as tracing's filter: error, warn, info, debug, or by module [default: info for run, else warn]
    #[arg(long, global = true, value_name = "FILTER", env = "LOGIN_PIPELINE_LOG")]
    pub log_level: Option<String>,
    /// How to log
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t, env = "LOGIN_PIPELINE_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// How to log.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The log filter is invalid.
#[derive(Debug, thiserror::Error)]
#[error("--log-level {filter:?}: {problem}; write info, or debug, or warn,processor=debug")]
pub struct LogError {
    filter: String,
    problem: tracing_subscriber::filter::ParseError,
}

impl LogArgs {
    /// Starts the process's log, with the filter `default` unless the user chose one.
    ///
    /// # Errors
    /// When the chosen filter is invalid.
    pub fn start(&self, default: &str) -> Result<(), LogError> {
        let filter = self.log_level.as_deref().unwrap_or(default);
        let filter = EnvFilter::try_new(filter).map_err(|problem| LogError { filter: filter.to_owned(), problem })?;
        let is_terminal = stderr().is_terminal();
        // A closed stderr must not end the thread that logs.
        let logs = tracing_subscriber::fmt()
            .log_internal_errors(false)
            .with_env_filter(filter)
            .with_ansi(is_terminal)
            .with_writer(stderr);
        match self.log_format {
            LogFormat::Text => logs.with_target(false).init(),
            LogFormat::Json => logs.json().flatten_event(true).init(),
        }
        Ok(())
    }
}
