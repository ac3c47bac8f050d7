//! Reads a job config for the commands that inspect a pipeline from outside.

use std::path::{Path, PathBuf};

use clap::Args;
use cli::file::{self, FileError};
use crds::job::{JobConfig, JobError, Security};

/// The options of a command with subcommands that name a pipeline.
#[derive(Args, Clone, Debug)]
pub struct PipelineArgs {
    /// The pipeline's job config, as the operator mounts it into its pods
    #[arg(long, global = true, value_name = "FILE", env = "LOGIN_PIPELINE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Kafka's bootstrap servers, instead of the config's
    #[arg(long, global = true, value_name = "HOST:PORT")]
    pub bootstrap: Option<String>,
    /// TLS and SASL settings, instead of the config's: a file with the contents of kafka.security in a job config
    #[arg(long, global = true, value_name = "FILE")]
    pub security: Option<PathBuf>,
}

impl PipelineArgs {
    /// Reads the job config.
    ///
    /// # Errors
    /// When `--config` is missing, a file cannot be read, or this release cannot parse it.
    pub fn job(&self) -> Result<JobConfig, ConfigError> {
        // Clap has no global options that are required.
        let config = self.config.as_deref().ok_or(ConfigError::Missing)?;
        read(config, self.bootstrap.as_deref(), self.security.as_deref())
    }
}

/// Why a job config cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("--config is missing: name the pipeline's job config, as the operator mounts it into its pods")]
    Missing,
    /// The file could not be read.
    #[error("--config {path}: {source}; name the pipeline's job config, as the operator mounts it into its pods")]
    File {
        /// The argument of `--config`.
        path: PathBuf,
        source: FileError,
    },
    /// This release cannot parse the file.
    #[error("--config {path}: {source}")]
    Job {
        /// The argument of `--config`.
        path: PathBuf,
        source: JobError,
    },
    /// The file of `--security` could not be read.
    #[error("--security {path}: {source}; name a file with what stands at kafka.security of a job config")]
    SecurityFile {
        /// The argument of `--security`.
        path: PathBuf,
        source: FileError,
    },
    /// The file of `--security` does not hold the settings that reach a Kafka.
    #[error("--security {path}: {source}")]
    Security {
        /// The argument of `--security`.
        path: PathBuf,
        source: JobError,
    },
}

/// Reads the job config of a pipeline. If given, other bootstrap servers and other secrets replace those of the file.
///
/// # Errors
/// When a file cannot be read, or this release cannot parse it.
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

/// Reads the TLS and SASL settings of a Kafka: the value of `kafka.security` in a job config.
///
/// # Errors
/// When the file cannot be read, or its settings are invalid.
pub fn read_security(path: &Path) -> Result<Security, ConfigError> {
    let text = file::read(path).map_err(|source| ConfigError::SecurityFile { path: path.to_owned(), source })?;
    Security::parse(&text).map_err(|source| ConfigError::Security { path: path.to_owned(), source })
}
