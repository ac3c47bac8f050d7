//! Reads a job config for the commands that look at a pipeline from outside.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crds::job::{JobConfig, JobError};

/// Why there is no job config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("--config {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is none that this release reads.
    #[error("--config {path}: {source}")]
    Job {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: JobError,
    },
}

/// Reads the job config of a pipeline, to reach its Kafka by other bootstrap servers where some are given.
///
/// # Errors
/// When the file cannot be read, or is none that this release reads.
pub fn read(path: &Path, bootstrap: Option<&str>) -> Result<JobConfig, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    let mut job = JobConfig::parse(&text).map_err(|source| ConfigError::Job { path: path.to_owned(), source })?;
    if let Some(bootstrap) = bootstrap {
        bootstrap.clone_into(&mut job.kafka.bootstrap_servers);
    }
    Ok(job)
}
