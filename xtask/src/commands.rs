//! `docs/commands.md`: every command and option, from the definition of both command lines.

use clap::CommandFactory;

/// The page.
#[must_use]
pub fn page() -> String {
    cli::pages::reference(vec![processor::args::Args::command(), operator::args::Args::command()])
}
