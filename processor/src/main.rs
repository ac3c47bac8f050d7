//! The `processor` command.

use std::{error::Error, process::ExitCode};

use clap::{CommandFactory, Parser};
use cli::{Exit, exit, pages};
use processor::{
    args::{Args, Command},
    commands::{audit, dead_letters, generate, inspect, local, validate},
    replica::run,
};

/// librdkafka allocates each message on one thread and frees it on another, in both directions. mimalloc also serves
/// the allocations of librdkafka.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::finish("processor", perform(&Args::parse()))
}

fn perform(args: &Args) -> Result<Exit, Box<dyn Error>> {
    args.logs.start(args.log_filter())?;
    Ok(match &args.command {
        Command::Run(args) => run::run(args)?,
        Command::Local(args) => local::run(args)?,
        Command::Generate(args) => generate::run(args)?,
        Command::Audit(args) => audit::run(args)?,
        Command::Inspect(args) => inspect::run(args)?,
        Command::DeadLetters(args) => dead_letters::run(args)?,
        Command::Validate(args) => validate::run(args)?,
        Command::Completions(args) => pages::completions(args, Args::command())?,
        Command::Man(args) => pages::man(args, Args::command())?,
    })
}
