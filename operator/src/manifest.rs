//! `operator validate`: manifests checked without a cluster.

use std::path::{Path, PathBuf};

use crds::pipeline::{LoginPipeline, LoginPipelineSpec, check};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

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
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let members = document.as_object().into_iter().flatten();
    let mut problems: Vec<String> = members
        .filter(|(key, _)| !FIELDS.contains(&key.as_str()))
        .map(|(key, value)| unknown(key, Some(value)))
        .collect();
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let Some(mut spec) = document.get("spec").cloned() else {
        problems.push("spec is missing: write at least spec.kafka".to_owned());
        return problems;
    };
    // Reading stops at the first value that does not fit. It is reported, taken out, and the rest is read again.
    let mut taken = Vec::new();
    loop {
        let mut ignored = Vec::new();
        let mut ignore = |path: serde_ignored::Path<'_>| ignored.push(path_of(&path));
        let reader = serde_ignored::Deserializer::new(&spec, &mut ignore);
        match serde_path_to_error::deserialize::<_, LoginPipelineSpec>(reader) {
            Ok(parsed) => {
                problems.extend(ignored.iter().map(|path| unknown(&text(path), find(&spec, path))));
                let is_about_taken = |field: &str| taken.iter().any(|path: &String| path.starts_with(field));
                let found = check(name, &parsed);
                problems.extend(found.iter().filter(|found| !is_about_taken(found.field)).map(ToString::to_string));
                return problems;
            }
            Err(error) => {
                let path: Vec<String> = error.path().iter().filter_map(segment).collect();
                problems.push(format!("{} is {}: {}", text(&path), short(find(&spec, &path)), error.inner()));
                taken.push(text(&path));
                if !take(&mut spec, &path) {
                    return problems;
                }
            }
        }
    }
}

/// The keys and indices that lead to a field that was ignored.
fn path_of(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, segment) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    path_of(parent).into_iter().chain(segment).collect()
}

fn segment(segment: &serde_path_to_error::Segment) -> Option<String> {
    match segment {
        serde_path_to_error::Segment::Seq { index } => Some(index.to_string()),
        serde_path_to_error::Segment::Map { key } => Some(key.clone()),
        _ => None,
    }
}

fn text(path: &[String]) -> String {
    ["spec".to_owned()].into_iter().chain(path.iter().cloned()).collect::<Vec<_>>().join(".")
}

fn find<'a>(spec: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(spec, |value, key| match value {
        Value::Array(values) => values.get(key.parse::<usize>().ok()?),
        value => value.get(key),
    })
}

/// Takes a value out of the spec. False when there is none, as where a required field is missing.
fn take(spec: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(spec, |value, key| match value {
        Value::Array(values) => values.get_mut(key.parse::<usize>().ok()?),
        value => value.get_mut(key),
    });
    match parent {
        Some(Value::Array(values)) => match last.parse::<usize>() {
            Ok(index) if index < values.len() => {
                values.remove(index);
                true
            }
            _ => false,
        },
        Some(Value::Object(members)) => members.remove(last).is_some(),
        _ => false,
    }
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
