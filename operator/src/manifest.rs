//! `operator validate`: manifests checked without a cluster.

use std::path::{Path, PathBuf};

use crds::manifest::{Document, documents};

/// What was found in some files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One line for each problem, and for each document that was skipped.
    pub lines: Vec<String>,
    problems: usize,
    unreadable: usize,
}

impl Report {
    /// 0: nothing is wrong; 1: a document has problems; 2: a file cannot be read, or is not YAML.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match (self.unreadable, self.problems) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }
}

/// Checks every document of some files.
#[must_use]
pub fn validate_files(files: &[PathBuf]) -> Report {
    let mut report = Report::default();
    for file in files {
        match std::fs::read_to_string(file) {
            Ok(text) => validate_text(file, &text, &mut report),
            Err(error) => {
                report.unreadable += 1;
                report.lines.push(format!("{}: cannot be read: {error}", file.display()));
            }
        }
    }
    report
}

/// Checks every document of a file's text.
pub fn validate_text(file: &Path, text: &str, report: &mut Report) {
    for (number, document) in documents(text) {
        let place = format!("{}: document {number}", file.display());
        match document {
            Document::Pipeline(Ok(_)) => {}
            Document::Pipeline(Err(problems)) => {
                report.problems += problems.len();
                report.lines.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));
            }
            Document::Other { api_version, kind } => {
                report.lines.push(format!("{place}: skipped: apiVersion is {api_version}, kind is {kind}"));
            }
            Document::Unreadable(error) => {
                report.unreadable += 1;
                report.lines.push(format!("{place}: is not YAML: {error}"));
            }
        }
    }
}
