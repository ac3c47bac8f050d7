//! The job config: all that a processor replica is told about its pipeline, as one JSON document.
//!
//! The operator renders it into an immutable ConfigMap; `processor local` renders it from the manifest. It carries a
//! version, so that an operator and a processor of neighbouring releases understand each other.

use serde::{Deserialize, Serialize};

use crate::{
    pipeline::{Aggregation, Alert, Duration, LoginPipelineSpec, StartFrom, Validation},
    topics::PipelineId,
};

/// The version that this release writes.
pub const VERSION: u32 = 2;

/// The oldest version that this release reads: it has no topics of results, and so no aggregation.
pub const OLDEST_VERSION: u32 = 1;

/// All that a processor replica is told about its pipeline.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobConfig {
    /// Version of this format.
    pub version: u32,
    /// Which pipeline.
    pub pipeline: PipelineId,
    /// Counts the changes of this pipeline's config; written into the delta log beside the rules.
    pub revision: u64,
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Topic names.
    pub topics: TopicNames,
    /// Consumers, each a thread of its own.
    pub threads: usize,
    /// How often a thread commits.
    pub commit_interval: Duration,
    /// Where a group with no commit at all begins.
    pub start_from: StartFrom,
    /// Which events are valid, what is counted.
    pub rules: Rules,
}

/// How to reach Kafka.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
}

/// Topic names.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicNames {
    /// Login events.
    pub source: String,
    /// Valid events, enriched.
    pub output: String,
    /// Events that failed validation.
    pub dead_letters: String,
    /// What each transaction adds to the aggregates.
    pub deltas: String,
    /// What the aggregation writes; none in a config of version 1, whose replicas do not aggregate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<ResultTopics>,
}

/// Names of the topics that the aggregation writes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultTopics {
    /// Counts by window, dimension and value.
    pub aggregates: String,
    /// What is worth knowing of each closed window.
    pub insights: String,
    /// Anomalies.
    pub alerts: String,
    /// Snapshots of the aggregation.
    pub state: String,
}

/// The part of the spec that decides what becomes of an event. The first delta of each config revision holds it, so that
/// the log explains itself.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// Which events are valid.
    pub validation: Validation,
    /// What is counted.
    pub aggregation: Aggregation,
    /// Anomalies to report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
}

/// Why a text is not a job config that this release can run.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not JSON of the expected shape.
    #[error("not a job config: {0}")]
    Shape(#[from] serde_json::Error),
    /// Of a version that this release does not read.
    #[error(
        "version is {found}: this processor reads versions {OLDEST_VERSION} to {VERSION}; run a processor of the operator's release"
    )]
    Version {
        /// The version that is there.
        found: u32,
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

impl JobConfig {
    /// The job of a pipeline whose spec passed [`crate::pipeline::check`].
    #[must_use]
    pub fn new(pipeline: PipelineId, spec: &LoginPipelineSpec, revision: u64, bootstrap_servers: String) -> Self {
        let topics = TopicNames {
            source: spec.source.topic.clone(),
            output: spec.output.topic.clone(),
            dead_letters: spec.dead_letters.topic.clone(),
            deltas: pipeline.deltas_topic(),
            results: Some(ResultTopics {
                aggregates: spec.results.aggregates.topic.clone(),
                insights: spec.results.insights.topic.clone(),
                alerts: spec.results.alerts.topic.clone(),
                state: pipeline.state_topic(),
            }),
        };
        Self {
            version: VERSION,
            pipeline,
            revision,
            kafka: KafkaConfig { bootstrap_servers },
            topics,
            threads: usize::try_from(spec.processor.threads).unwrap_or(1),
            commit_interval: spec.processor.commit_interval,
            start_from: spec.source.start_from,
            rules: Rules {
                validation: spec.validation.clone(),
                aggregation: spec.aggregation.clone(),
                alerts: spec.alerts.clone(),
            },
        }
    }

    /// Reads a job config, and refuses what this release cannot run.
    ///
    /// # Errors
    /// When the text is not JSON of this shape, of another version, or holds a value out of range.
    pub fn parse(text: &str) -> Result<Self, JobError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        // The version first: a later format may have another shape.
        let Versioned { version: found } = serde_json::from_str(text)?;
        if !(OLDEST_VERSION..=VERSION).contains(&found) {
            return Err(JobError::Version { found });
        }
        let job: Self = serde_json::from_str(text)?;
        let refuse = |field, value, remedy| Err(JobError::Value { field, value, remedy });
        if !(1..=64).contains(&job.threads) {
            return refuse("threads", job.threads.to_string(), "choose 1 to 64");
        }
        if !(10..=5000).contains(&job.commit_interval.as_millis()) {
            return refuse("commitInterval", job.commit_interval.to_string(), "choose 10ms to 5s");
        }
        if job.kafka.bootstrap_servers.is_empty() {
            return refuse(
                "kafka.bootstrapServers",
                "empty".to_owned(),
                "write host:port, several separated by commas",
            );
        }
        if job.rules.aggregation.smallest_window().is_none() {
            let value = format!("{:?}", job.rules.aggregation.windows);
            return refuse("rules.aggregation.windows", value, "begin with the smallest finite window, such as 1m");
        }
        Ok(job)
    }
}
