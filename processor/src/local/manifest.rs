//! The manifest: the one LoginPipeline in a file, checked as the operator checks it. Pure but for reading the file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crds::manifest::{Document, Manifest, documents};

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

/// Reads a file.
///
/// # Errors
/// When it cannot be read, holds not exactly one LoginPipeline, or one that cannot run.
pub fn read(file: &Path) -> Result<Manifest, ManifestError> {
    let text = std::fs::read_to_string(file).map_err(|error| vec![format!("cannot be read: {error}")]);
    text.and_then(|text| the_one(&text)).map_err(|problems| ManifestError { file: file.to_owned(), problems })
}

fn the_one(text: &str) -> Result<Manifest, Vec<String>> {
    let mut pipelines = Vec::new();
    for (_, document) in documents(text) {
        match document {
            Document::Pipeline(pipeline) => pipelines.push(pipeline),
            Document::Other { .. } => {}
            Document::Unreadable(error) => return Err(vec![format!("is not YAML: {error}")]),
        }
    }
    match <[_; 1]>::try_from(pipelines) {
        Ok([pipeline]) => Ok(*pipeline?),
        Err(others) => Err(vec![format!("holds {} LoginPipelines: leave one in the file", others.len())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINE: &str = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n\
                            spec: {kafka: {strimzi: {cluster: my-cluster}}}\n";

    #[test]
    fn the_one_pipeline_is_found_among_other_documents() {
        let other = "apiVersion: v1\nkind: ConfigMap\n";
        let manifest = the_one(&format!("{other}---\n{PIPELINE}---\n{other}")).unwrap();
        assert_eq!((manifest.name.as_str(), manifest.spec.source.partitions), ("logins", 8));
        let problems = |text: &str| the_one(text).unwrap_err().join("; ");
        assert!(problems(other).starts_with("holds 0 LoginPipelines"));
        assert!(problems(&format!("{PIPELINE}---\n{PIPELINE}")).starts_with("holds 2 LoginPipelines"));
        assert!(problems(&format!("{PIPELINE}---\na: [")).starts_with("is not YAML"));
        assert!(problems(&PIPELINE.replace("cluster", "clutser")).starts_with("spec.kafka.strimzi is"));
    }

    #[test]
    fn each_line_names_the_file() {
        let error = ManifestError { file: "x.yaml".into(), problems: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(error.to_string(), "the manifest cannot be run\nx.yaml: a\nx.yaml: b");
        let error = read(Path::new("/no/such/file.yaml")).unwrap_err().to_string();
        assert!(error.contains("\n/no/such/file.yaml: cannot be read: "), "{error}");
    }
}
