//! The manifest: the one LoginPipeline in a file, checked as the operator checks it. Pure but for reading the file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crds::pipeline::{LoginPipelineSpec, check};
use serde::Deserialize;
use serde_json::Value;

const API_VERSION: &str = "loginpipeline.dev/v1alpha1";
const KIND: &str = "LoginPipeline";

/// A pipeline whose spec can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its spec.
    pub spec: LoginPipelineSpec,
}

/// Everything that is wrong with a file, one problem a line.
#[derive(Debug, PartialEq, Eq)]
pub struct ManifestError {
    file: PathBuf,
    problems: Vec<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the manifest cannot be run")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n{}: {problem}", self.file.display()))
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, holds not exactly one LoginPipeline, or one that cannot run.
    pub fn read(file: &Path) -> Result<Self, ManifestError> {
        let text = std::fs::read_to_string(file).map_err(|error| vec![format!("cannot be read: {error}")]);
        text.and_then(|text| Self::parse(&text)).map_err(|problems| ManifestError { file: file.to_owned(), problems })
    }

    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut pipelines = Vec::new();
        for document in serde_yaml::Deserializer::from_str(text) {
            let value = Value::deserialize(document).map_err(|error| vec![format!("is not YAML: {error}")])?;
            let is = |field, expected| value.get(field).and_then(Value::as_str) == Some(expected);
            if is("apiVersion", API_VERSION) && is("kind", KIND) {
                pipelines.push(value);
            }
        }
        match pipelines.as_slice() {
            [pipeline] => Self::from_value(pipeline),
            others => Err(vec![format!(
                "holds {} documents with apiVersion {API_VERSION} and kind {KIND}: leave one in the file",
                others.len()
            )]),
        }
    }

    fn from_value(pipeline: &Value) -> Result<Self, Vec<String>> {
        let name = pipeline.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let spec = pipeline.get("spec").ok_or_else(|| vec!["spec is missing: write at least spec.kafka".to_owned()])?;
        let mut problems = Vec::new();
        let mut ignored = |path: serde_ignored::Path<'_>| {
            problems.push(format!(
                "spec.{path}: no such field; remove it, or correct its name (examples/reference.yaml has them all)"
            ));
        };
        let reader = serde_ignored::Deserializer::new(spec, &mut ignored);
        match serde_path_to_error::deserialize::<_, LoginPipelineSpec>(reader) {
            Ok(spec) => {
                problems.extend(check(&name, &spec).iter().map(ToString::to_string));
                if problems.is_empty() { Ok(Self { name, spec }) } else { Err(problems) }
            }
            Err(error) => {
                problems.push(format!("spec.{}: {}", error.path(), error.inner()));
                Err(problems)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n";
    const SPEC: &str = "spec: {kafka: {strimzi: {cluster: my-cluster}}}\n";

    fn problems(text: &str) -> Vec<String> {
        Manifest::parse(text).unwrap_err()
    }

    #[test]
    fn a_pipeline_is_found_among_other_documents() {
        let other = "apiVersion: v1\nkind: ConfigMap\n";
        let manifest = Manifest::parse(&format!("{other}---\n{HEAD}{SPEC}---\n{other}")).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.spec.source.partitions), ("logins", 8));
        assert!(problems(other)[0].starts_with("holds 0 documents"));
        assert!(problems(&format!("{HEAD}{SPEC}---\n{HEAD}{SPEC}"))[0].starts_with("holds 2 documents"));
    }

    #[test]
    fn every_problem_names_its_field() {
        let values = "spec: {kafka: {}, source: {partitions: 0, topik: x}, processor: {threads: 65}}\n";
        let found = problems(&format!("{HEAD}{values}"));
        let fields: Vec<&str> = found.iter().map(|line| line.split([':', ' ']).next().unwrap()).collect();
        let expected = ["spec.source.topik", "spec.kafka", "spec.source.partitions", "spec.processor.threads"];
        assert_eq!(fields, expected, "{found:#?}");
        assert!(
            problems(&format!("{HEAD}spec: {{kafka: {{}}, source: {{partitions: many}}}}\n"))[0]
                .starts_with("spec.source.partitions: invalid type")
        );
        assert!(problems(HEAD)[0].starts_with("spec is missing"));
        assert!(problems("a: [")[0].starts_with("is not YAML"));
    }

    #[test]
    fn each_line_names_the_file() {
        let error = ManifestError { file: "x.yaml".into(), problems: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(error.to_string(), "the manifest cannot be run\nx.yaml: a\nx.yaml: b");
        let error = Manifest::read(Path::new("/no/such/file.yaml")).unwrap_err().to_string();
        assert!(error.contains("\n/no/such/file.yaml: cannot be read: "), "{error}");
    }
}
