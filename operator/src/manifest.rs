//! `operator validate`: manifests checked without a cluster.

use std::path::{Path, PathBuf};

use crds::pipeline::{LoginPipelineSpec, check};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use crds::pipeline::LoginPipeline;

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
    let file = file.display();
    for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
        let place = format!("{file}: document {}", index + 1);
        let value = match Value::deserialize(document) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            Err(error) => {
                report.unreadable += 1;
                report.lines.push(format!("{place}: is not YAML: {error}"));
                return;
            }
        };
        let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or("none");
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or("none");
        if (api_version, kind) != (&*LoginPipeline::api_version(&()), &*LoginPipeline::kind(&())) {
            report.lines.push(format!("{place}: skipped: apiVersion is {api_version}, kind is {kind}"));
            continue;
        }
        let problems = problems(&value);
        report.problems += problems.len();
        report.lines.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));
    }
}

/// Everything that is wrong with a LoginPipeline, each as `field is value: remedy`.
fn problems(document: &Value) -> Vec<String> {
    let mut problems: Vec<String> = document
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .filter(|key| !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()))
        .map(|key| unknown(key, document.get(key)))
        .collect();
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let Some(spec) = document.get("spec") else {
        problems.push("spec is missing: write at least spec.kafka".to_owned());
        return problems;
    };
    let mut ignored = |path: serde_ignored::Path<'_>| {
        let path = path.to_string();
        let value = path.split('.').try_fold(spec, |value, key| value.get(key));
        problems.push(unknown(&format!("spec.{path}"), value));
    };
    let parsed: Result<LoginPipelineSpec, _> =
        serde_path_to_error::deserialize(serde_ignored::Deserializer::new(spec, &mut ignored));
    match parsed {
        Ok(spec) => problems.extend(check(name, &spec).iter().map(ToString::to_string)),
        Err(error) => {
            let path = error.path().to_string();
            let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
            let value = error.path().iter().try_fold(spec, |value, segment| match segment {
                serde_path_to_error::Segment::Seq { index } => value.get(index),
                serde_path_to_error::Segment::Map { key } => value.get(key),
                _ => None,
            });
            problems.push(format!("{field} is {}: {}", short(value), error.inner()));
        }
    }
    problems
}

fn unknown(field: &str, value: Option<&Value>) -> String {
    format!(
        "{field} is {}: no such field; remove it, or correct its name (examples/reference.yaml has them all)",
        short(value)
    )
}

fn short(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "missing".to_owned(), Value::to_string);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
