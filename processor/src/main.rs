//! The `processor` command.

use std::{
    error::Error,
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use clap::Parser;
use processor::{
    args::{Args, Command, LogFormat},
    run,
};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = start_logging(&args).and_then(|()| match &args.command {
        Command::Run(args) => Ok(run::run(args)?),
    });
    done.unwrap_or_else(|error| {
        eprintln!("processor: {error}");
        ExitCode::from(2)
    })
}

/// Logs go to stderr: stdout is for results.
fn start_logging(args: &Args) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_new(&args.log_level)
        .map_err(|error| format!("--log-level {:?}: {error}; write info, or processor=debug", args.log_level))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr);
    match args.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
