//! Reads a manifest that holds exactly one LoginPipeline, and checks it as the operator does. Pure, except for reading
//! the file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use cli::file;
use crds::manifest::{Manifest, the_one};

/// All problems of a file, one per line.
#[derive(Debug, PartialEq, Eq)]
pub struct ManifestError {
    file: PathBuf,
    problems: Vec<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.problems.iter().map(|problem| format!("{}: {problem}", self.file.display())).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ManifestError {}

/// Reads and checks a manifest.
///
/// # Errors
/// When the file cannot be read, does not hold exactly one LoginPipeline, or holds an invalid one.
pub fn read(file: &Path) -> Result<Manifest, ManifestError> {
    let text = file::read(file).map_err(|error| vec![format!("{error}; name the manifest of a LoginPipeline")]);
    text.and_then(|text| the_one(&text)).map_err(|problems| ManifestError { file: file.to_owned(), problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_names_the_file() {
        let error = ManifestError { file: "x.yaml".into(), problems: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(error.to_string(), "x.yaml: a\nx.yaml: b");
        let error = read(Path::new("/no/such/file.yaml")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/file.yaml: there is no such file; name the manifest"), "{error}");
    }
}
