//! `operator validate`: manifests checked without a cluster.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use cli::{Exit, file, output::print};
use crds::manifest::{Document, JOB_CONFIG, documents};
use serde::Serialize;

use super::args::Validate;

/// Everything that was found in some files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line for each problem, and for each document that was skipped.
    pub lines: Vec<Line>,
}

/// A problem in a file.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The file.
    pub file: PathBuf,
    /// The number of the document in the file, from 1; none where the problem is the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<usize>,
    /// How bad the problem is.
    pub result: Severity,
    /// The problem and its remedy.
    pub message: String,
}

/// How bad a problem is.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A document of another kind.
    Skipped,
    /// A pipeline that cannot run.
    Problem,
    /// A file that cannot be read, or is not YAML.
    Unreadable,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        self.document.map_or(Ok(()), |number| write!(f, "document {number}: "))?;
        f.write_str(&self.message)
    }
}

impl Report {
    fn push(&mut self, file: &Path, document: Option<usize>, result: Severity, message: String) {
        self.lines.push(Line { file: file.to_owned(), document, result, message });
    }

    /// The exit code that the worst problem asks for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self.lines.iter().map(|line| line.result).max() {
            None | Some(Severity::Skipped) => Exit::Clean,
            Some(Severity::Problem) => Exit::Found,
            Some(Severity::Unreadable) => Exit::Failed,
        }
    }
}

/// Checks files, and prints the report.
///
/// # Errors
/// When the report cannot be printed.
pub fn run(options: &Validate) -> io::Result<Exit> {
    let report = validate_files(&options.files);
    let mut text = Vec::new();
    report.lines.iter().try_for_each(|line| options.output.write(&mut text, line))?;
    print(&text)?;
    Ok(report.exit())
}

/// Checks every document of the files.
#[must_use]
pub fn validate_files(files: &[PathBuf]) -> Report {
    let mut report = Report::default();
    for file in files {
        match file::read(file) {
            Ok(text) => validate_text(file, &text, &mut report),
            Err(error) => report.push(file, None, Severity::Unreadable, error.to_string()),
        }
    }
    report
}

/// Checks every document of a file's text.
pub fn validate_text(file: &Path, text: &str, report: &mut Report) {
    for (number, document) in documents(text) {
        let mut push = |result, message| report.push(file, Some(number), result, message);
        match document {
            Document::Pipeline(Ok(_)) => {}
            Document::Pipeline(Err(problems)) => {
                problems.into_iter().for_each(|problem| push(Severity::Problem, problem));
            }
            Document::Other { api_version, kind } => {
                push(Severity::Skipped, format!("skipped: apiVersion is {api_version}, kind is {kind}"));
            }
            Document::JobConfig => push(Severity::Problem, JOB_CONFIG.to_owned()),
            Document::Unreadable(error) => push(Severity::Unreadable, format!("is not YAML: {error}")),
        }
    }
}
