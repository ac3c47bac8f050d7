//! How the commands report: text for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write, stderr, stdout},
};

use clap::ValueEnum;
use serde::Serialize;

/// How to report.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Format {
    /// Writes a report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, out: &mut impl Write, report: &(impl Display + Serialize)) -> io::Result<()> {
        match self {
            Self::Text => writeln!(out, "{report}"),
            Self::Json => writeln!(out, "{}", serde_json::to_string(report).map_err(io::Error::from)?),
        }
    }

    /// Writes a command's only report to stdout. Where nobody reads it any more, the exit code says what came of it.
    ///
    /// # Errors
    /// When it cannot be written for another reason.
    pub fn print(self, report: &(impl Display + Serialize)) -> io::Result<()> {
        let mut text = Vec::new();
        self.write(&mut text, report)?;
        print(&text)
    }
}

/// Writes all of a command's result to stdout, as [`Format::print`] does.
///
/// # Errors
/// When it cannot be written for another reason than that nobody reads it any more.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Tells a person something on stderr, beside the result. Where nobody reads that any more, nobody is told.
pub fn tell(what: impl Display) {
    let _ = writeln!(stderr(), "{what}");
}
