//! Prints docs/commands.md: `make commands`.

use std::io::{Write, stdout};

use clap::CommandFactory;

fn main() -> std::io::Result<()> {
    let commands = vec![processor::args::Args::command(), operator::args::Args::command()];
    stdout().lock().write_all(cli::pages::reference(commands).as_bytes())
}
