//! Completions, man pages and docs/commands.md, generated from the definition of a command line.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Arg, Args, Command, ValueEnum};

use crate::Exit;

/// Which shell is to complete commands.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell that is to complete commands
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Where man pages go.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The folder that gets a page for each command, and is made where it is missing. Without it the first page is printed
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Shells that can be completed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// Also what macOS calls so
    Bash,
    /// In a folder of $fpath, as _NAME
    Zsh,
    /// In ~/.config/fish/completions, as NAME.fish
    Fish,
}

/// Why a page was not written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The folder cannot be created, or cannot be written to.
    #[error("{folder}: man pages cannot be written there: {source}; name a folder of yours")]
    Folder {
        /// The folder that the user named.
        folder: PathBuf,
        source: io::Error,
    },
    /// Stdout cannot be written.
    #[error("the page cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Prints the completion script of a shell.
///
/// # Errors
/// When it cannot be written.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<Exit, PageError> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // The generator panics when it cannot write.
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Clean)
}

/// Writes man pages.
///
/// # Errors
/// When they cannot be written.
pub fn man(args: &ManArgs, command: Command) -> Result<Exit, PageError> {
    match &args.folder {
        None => clap_mangen::Man::new(command).render(&mut io::stdout().lock())?,
        Some(folder) => {
            write_pages(folder, command).map_err(|source| PageError::Folder { folder: folder.clone(), source })?;
        }
    }
    Ok(Exit::Clean)
}

fn write_pages(folder: &Path, command: Command) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command, folder)
}

/// docs/commands.md: every command, with every option.
#[must_use]
pub fn reference(commands: Vec<Command>) -> String {
    let mut page = "\
# Commands

Written by `make commands` from the definition of both command lines, which `--help` shows too. Results go to stdout, all else to
stderr: progress, where something takes more than two seconds, logs, and errors in one line that names what is wrong and the remedy.

## Exit codes

| Code | Meaning |
|---|---|
"
    .to_owned();
    for exit in Exit::ALL {
        let _ = writeln!(page, "| {} | {} |", exit.code(), exit.meaning());
    }
    page.push_str("| 128 + n | ended by signal n, such as 130 by Ctrl-C; `processor run`, `processor local` and `operator run` end in order instead |\n");
    for mut command in commands {
        command = command.disable_help_subcommand(true);
        command.build();
        describe(&command, &[], &mut page);
    }
    page
}

/// Describes a command and its subcommands. Options that apply to all commands are listed with the first.
fn describe(command: &Command, inherited: &[&str], page: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = write!(page, "\n## {name}\n\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(page, "{}.\n", about.to_string().trim_end_matches('.'));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(page, "```text\n{}\n```", usage.trim_start_matches("Usage: "));
    let is_own = |arg: &&Arg| {
        !arg.is_hide_set()
            && !["help", "version"].contains(&arg.get_id().as_str())
            && !inherited.contains(&arg.get_id().as_str())
    };
    let own: Vec<&Arg> = command.get_arguments().filter(is_own).collect();
    if !own.is_empty() {
        page.push_str("\n| Option | Default | Environment | Meaning |\n|---|---|---|---|\n");
        own.iter().for_each(|arg| page.push_str(&row(arg)));
    }
    if let Some(more) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = write!(page, "\n```text\n{}\n```\n", more.to_string().trim_end());
    }
    let global = own.iter().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().as_str());
    let inherited: Vec<&str> = inherited.iter().copied().chain(global).collect();
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.for_each(|command| describe(command, &inherited, page));
}

fn row(arg: &Arg) -> String {
    let names: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str).collect();
    let takes_value = arg.get_action().takes_values();
    let value = if takes_value { names.join(" ") } else { String::new() };
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let name = match arg.get_long() {
        Some(long) if value.is_empty() => format!("{short}--{long}"),
        Some(long) => format!("{short}--{long} {value}"),
        None => value,
    };
    let mut meaning = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let mut default = if takes_value { code(&defaults.join(",")) } else { String::new() };
    // If the default depends on something, the text describes it.
    if let Some((before, said)) = meaning.clone().split_once(" [default: ").filter(|_| default.is_empty()) {
        (meaning, default) = (before.to_owned(), said.trim_end_matches(']').to_owned());
    }
    let environment = arg.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default();
    let values: Vec<String> = arg.get_possible_values().iter().map(|value| code(value.get_name())).collect();
    if takes_value && !values.is_empty() {
        let _ = write!(meaning, ": {}", values.join(", "));
    }
    format!("| {} | {default} | {environment} | {} |\n", code(&name), meaning.replace('|', "\\|"))
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|")) }
}

/// The example commands in the help of a command and its subcommands, each as words, the program first.
#[must_use]
pub fn examples(command: &Command) -> Vec<(String, Vec<String>)> {
    let mut built = command.clone();
    built.build();
    let mut found = Vec::new();
    collect(&built, command.get_name(), &mut found);
    found
}

fn collect(command: &Command, program: &str, found: &mut Vec<(String, Vec<String>)>) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let more = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string).unwrap_or_default();
    let lines = more.lines().skip_while(|line| *line != "Examples:").skip(1).take_while(|line| line.starts_with("  "));
    for line in lines {
        let words: Vec<String> = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
        for command in words.split(|word| word == "|" || word == "&&") {
            let command: Vec<String> = command.iter().take_while(|word| !word.starts_with('>')).cloned().collect();
            if command.first().is_some_and(|first| first == program) {
                found.push((name.to_owned(), command));
            }
        }
    }
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .for_each(|command| collect(command, program, found));
}
