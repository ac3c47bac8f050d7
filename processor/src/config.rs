//! Reads a job config for the commands that look at a pipeline from outside.

use std::path::{Path, PathBuf};

use cli::file::{self, FileError};
use crds::job::{JobConfig, JobError, Security};

/// Why there is no job config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("--config {path}: {source}; name the pipeline's job config, as the operator mounts it into its pods")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: FileError,
    },
    /// The file is none that this release reads.
    #[error("--config {path}: {source}")]
    Job {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: JobError,
    },
    /// The file of --security could not be read.
    #[error("--security {path}: {source}; name a file with what stands at kafka.security of a job config")]
    SecurityFile {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: FileError,
    },
    /// The file of --security does not say how to reach a Kafka.
    #[error("--security {path}: {source}")]
    Security {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: JobError,
    },
}

/// Reads the job config of a pipeline, to reach its Kafka by other bootstrap servers, and with other secrets, where some are
/// given.
///
/// # Errors
/// When a file cannot be read, or is none that this release reads.
pub fn read(path: &Path, bootstrap: Option<&str>, security: Option<&Path>) -> Result<JobConfig, ConfigError> {
    let text = file::read(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
    let mut job = JobConfig::parse(&text).map_err(|source| ConfigError::Job { path: path.to_owned(), source })?;
    if let Some(bootstrap) = bootstrap {
        bootstrap.clone_into(&mut job.kafka.bootstrap_servers);
    }
    if let Some(path) = security {
        job.kafka.security = Some(read_security(path)?);
    }
    Ok(job)
}

/// Reads how to reach a Kafka with TLS and SASL: what stands at `kafka.security` of a job config.
///
/// # Errors
/// When the file cannot be read, or says what makes no sense.
pub fn read_security(path: &Path) -> Result<Security, ConfigError> {
    let text = file::read(path).map_err(|source| ConfigError::SecurityFile { path: path.to_owned(), source })?;
    Security::parse(&text).map_err(|source| ConfigError::Security { path: path.to_owned(), source })
}
