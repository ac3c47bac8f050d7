//! Manifests: the LoginPipelines in a YAML text, read and checked without a cluster.

use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use crate::pipeline::{LoginPipeline, LoginPipelineSpec, check};

/// A pipeline whose spec can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Name of the pipeline.
    pub name: String,
    /// Spec of the pipeline.
    pub spec: LoginPipelineSpec,
}

/// A YAML document.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A LoginPipeline, or everything that is wrong with it, each as `field is value: remedy`.
    Pipeline(Result<Box<Manifest>, Vec<String>>),
    /// A document of another kind.
    Other {
        /// What it says of its `apiVersion`.
        api_version: String,
        /// What it says of its `kind`.
        kind: String,
    },
    /// A job config, which the operator makes from a pipeline.
    JobConfig,
    /// The document is not YAML, for this reason. No document after it can be read.
    Unreadable(String),
}

/// The problem of a job config where a manifest is expected.
pub const JOB_CONFIG: &str = "is a job config, which the operator makes from a LoginPipeline: give the manifest of that, such as examples/pipeline.yaml";

/// The problem of a text without a LoginPipeline.
const NO_PIPELINE: &str =
    "holds no LoginPipeline: a document with apiVersion: loginpipeline.dev/v1alpha1 and kind: LoginPipeline is wanted";

/// The documents of a text, each with its number from 1; empty ones are left out.
#[must_use]
pub fn documents(text: &str) -> Vec<(usize, Document)> {
    let mut documents = Vec::new();
    for (number, document) in (1..).zip(serde_yaml::Deserializer::from_str(text)) {
        match Value::deserialize(document) {
            Ok(Value::Null) => {}
            Ok(value) => documents.push((number, Document::of(&value))),
            Err(error) => {
                documents.push((number, Document::Unreadable(error.to_string())));
                // The reader would give the same error for ever.
                break;
            }
        }
    }
    documents
}

/// The only LoginPipeline of a text, which may hold documents of other kinds.
///
/// # Errors
/// Everything that is wrong with the pipeline, or that there is none, or more than one.
pub fn the_one(text: &str) -> Result<Manifest, Vec<String>> {
    let mut pipelines = Vec::new();
    for (_, document) in documents(text) {
        match document {
            Document::Pipeline(pipeline) => pipelines.push(pipeline),
            Document::Other { .. } => {}
            Document::JobConfig => return Err(vec![JOB_CONFIG.to_owned()]),
            Document::Unreadable(error) => return Err(vec![format!("is not YAML: {error}")]),
        }
    }
    match <[_; 1]>::try_from(pipelines) {
        Ok([pipeline]) => Ok(*pipeline?),
        Err(others) if others.is_empty() => Err(vec![NO_PIPELINE.to_owned()]),
        Err(others) => Err(vec![format!("holds {} LoginPipelines: leave one in the file", others.len())]),
    }
}

impl Document {
    fn of(value: &Value) -> Self {
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("none").to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version == LoginPipeline::api_version(&()) && kind == LoginPipeline::kind(&()) {
            Self::Pipeline(read(value).map(Box::new))
        } else if value.get("pipeline").is_some() && value.get("rules").is_some() && value.get("kind").is_none() {
            Self::JobConfig
        } else {
            Self::Other { api_version, kind }
        }
    }
}

fn read(document: &Value) -> Result<Manifest, Vec<String>> {
    const FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let members = document.as_object().into_iter().flatten();
    let mut problems: Vec<String> = members
        .filter(|(key, _)| !FIELDS.contains(&key.as_str()))
        .map(|(key, value)| unknown(key, Some(value)))
        .collect();
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(mut spec) = document.get("spec").cloned() else {
        problems.push("spec is missing: write at least spec.kafka".to_owned());
        return Err(problems);
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
                let found = check(&name, &parsed);
                problems.extend(found.iter().filter(|found| !is_about_taken(&found.field)).map(ToString::to_string));
                return if problems.is_empty() { Ok(Manifest { name, spec: parsed }) } else { Err(problems) };
            }
            Err(error) => {
                let path: Vec<String> = error.path().iter().filter_map(segment).collect();
                problems.push(format!("{} is {}: {}", text(&path), short(find(&spec, &path)), error.inner()));
                taken.push(text(&path));
                if !take(&mut spec, &path) {
                    return Err(problems);
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

/// Removes a value from the spec. False if there is none, as for a required field that is missing.
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n";
    const SPEC: &str = "spec: {kafka: {strimzi: {cluster: my-cluster}}}\n";
    const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\n";

    fn problems(spec: &str) -> Vec<String> {
        match documents(&format!("{HEAD}{spec}")).pop() {
            Some((1, Document::Pipeline(Err(problems)))) => problems,
            other => vec![format!("no problems: {other:?}")],
        }
    }

    #[test]
    fn a_pipeline_is_found_among_other_documents() {
        let found = documents(&format!("{OTHER}---\n---\n{HEAD}{SPEC}---\n- a\n---\n{OTHER}"));
        let numbers: Vec<usize> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3, 4, 5]);
        let other = |api_version: &str, kind: &str| Document::Other {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        };
        assert_eq!(found[0].1, other("v1", "ConfigMap"));
        assert_eq!(found[2].1, other("none", "none"));
        let Document::Pipeline(Ok(manifest)) = &found[1].1 else { panic!("{found:?}") };
        assert_eq!(manifest.name, "logins");
        assert_eq!(manifest.spec.source.partitions, 8);
    }

    #[test]
    fn every_problem_names_its_field() {
        let found = problems("spec: {kafka: {}, source: {partitions: 0, topik: x}, processor: {threads: 65}}\n");
        let fields: Vec<&str> = found.iter().map(|line| line.split([':', ' ']).next().unwrap()).collect();
        let expected = ["spec.source.topik", "spec.kafka", "spec.processor.threads", "spec.source.partitions"];
        assert_eq!(fields, expected, "{found:#?}");
        let found = problems("spec: {kafka: {}, source: {partitions: many}}\n");
        assert!(found[0].starts_with("spec.source.partitions is \"many\": invalid type"), "{found:#?}");
        assert!(found[1].starts_with("spec.kafka is neither"), "{found:#?}");
        assert_eq!(problems("sepc: {}\n").len(), 2);
    }

    #[test]
    fn what_is_not_yaml_ends_the_text() {
        let found = documents(&format!("{HEAD}{SPEC}---\na: [\n---\n{HEAD}{SPEC}"));
        assert!(matches!(found[..], [(1, Document::Pipeline(Ok(_))), (2, Document::Unreadable(_))]), "{found:?}");
    }

    #[test]
    fn the_one_pipeline_is_found_among_other_documents() {
        let pipeline = format!("{HEAD}{SPEC}");
        assert_eq!(the_one(&format!("{OTHER}---\n{pipeline}---\n{OTHER}")).unwrap().name, "logins");
        let problems = |text: &str| the_one(text).unwrap_err().join("; ");
        assert!(problems(OTHER).starts_with("holds no LoginPipeline"));
        assert!(problems(&format!("{pipeline}---\n{pipeline}")).starts_with("holds 2 LoginPipelines"));
        assert!(problems(&format!("{pipeline}---\na: [")).starts_with("is not YAML"));
        assert!(problems(&pipeline.replace("cluster", "clutser")).starts_with("spec.kafka.strimzi is"));
    }
}
