//! How the commands report: a table for people, JSON for programs.

use std::{
    fmt::Display,
    io::{self, Write},
};

use clap::ValueEnum;
use serde::Serialize;

/// How to report.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Writes a report.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, out: &mut impl Write, report: &(impl Display + Serialize)) -> io::Result<()> {
        match self {
            Self::Table => writeln!(out, "{report}"),
            Self::Json => writeln!(out, "{}", serde_json::to_string(report).map_err(io::Error::from)?),
        }
    }
}
