//! The `processor` command.

use std::{
    error::Error,
    io::{IsTerminal, stderr},
    process::ExitCode,
};

use clap::Parser;
use processor::{
    args::{Args, Command, LogFormat},
    audit, generate, inspect, local, run,
};
use tracing_subscriber::EnvFilter;

/// librdkafka allocates each message on one thread and frees it on another, in both directions; its calls come here too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let done = start_logging(&args).and_then(|()| match &args.command {
        Command::Run(args) => Ok(run::run(args)?),
        Command::Local(args) => Ok(local::run(args)?),
        Command::Generate(args) => Ok(generate::run(args)?),
        Command::Audit(args) => Ok(audit::run(args)?),
        Command::Inspect(args) => Ok(inspect::run(args)?),
    });
    done.unwrap_or_else(|error| {
        eprintln!("processor: {error}");
        ExitCode::from(2)
    })
}

/// Logs go to stderr: stdout is for results.
fn start_logging(args: &Args) -> Result<(), Box<dyn Error>> {
    let filter = args.log_filter();
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log-level {filter:?}: {error}; write info, or processor=debug"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr);
    match args.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
