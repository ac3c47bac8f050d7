//! How the commands report: text for people, JSON for programs.

use std::{
    fmt::{self, Display, Write as _},
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
            Self::Text => writeln!(out, "{}", Harmless(report)),
            Self::Json => writeln!(out, "{}", serde_json::to_string(report).map_err(io::Error::from)?),
        }
    }

    /// Writes a command's only report to stdout. If the reader is gone, the exit code still tells the result.
    ///
    /// # Errors
    /// When it cannot be written for another reason.
    pub fn print(self, report: &(impl Display + Serialize)) -> io::Result<()> {
        let mut text = Vec::new();
        self.write(&mut text, report)?;
        print(&text)
    }
}

/// Writes a command's whole result to stdout, as [`Format::print`] does.
///
/// # Errors
/// When it cannot be written for another reason than a closed stdout.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes a message for people to stderr, next to the result. A closed stderr is not an error.
pub fn tell(what: impl Display) {
    let _ = writeln!(stderr(), "{what}");
}

/// A report without terminal control sequences: much of its text comes from others. Line ends and tabs stay.
struct Harmless<T>(T);

impl<T: Display> Display for Harmless<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let steers = |char: char| char.is_control() && !matches!(char, '\n' | '\t');
        for part in text.split_inclusive(steers) {
            let last = part.chars().next_back().filter(|char| steers(*char));
            self.0.write_str(part.trim_end_matches(steers))?;
            last.map_or(Ok(()), |last| write!(self.0, "{}", last.escape_default()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(report: &str) -> String {
        let mut out = Vec::new();
        Format::Text.write(&mut out, &report).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_does_not_steer_the_terminal() {
        assert_eq!(text("a\tb\nc…"), "a\tb\nc…\n");
        assert_eq!(text("\x1b[2J\r\x07\0x\u{9b}"), "\\u{1b}[2J\\r\\u{7}\\u{0}x\\u{9b}\n");
    }
}
