//! Why a text is not a job config.

/// Why a text is not a job config that this release can run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The text is the manifest from which the operator makes a job config.
    #[error(
        "is the manifest of a LoginPipeline, not a job config: the operator makes one of it, which stands at job.json in the \
         ConfigMap of the pipeline's pods; `processor local` names the file of its own"
    )]
    Manifest,
    /// Not JSON of the expected shape.
    #[error("not a job config: {0}")]
    Shape(#[from] serde_json::Error),
    /// The version is one that this release does not read.
    #[error("version is {found}: this processor reads version {read}; run a processor of the operator's release")]
    Version {
        /// The version that is there.
        found: u32,
        /// The version that this release reads.
        read: u32,
    },
    /// A value that cannot be used.
    #[error("{field} is {value}: {remedy}")]
    Value {
        /// Path of the field.
        field: &'static str,
        /// The value that is there.
        value: String,
        /// What to write instead.
        remedy: &'static str,
    },
}
