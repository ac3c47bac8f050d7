//! The job config: all that a processor replica is told about its pipeline, as one JSON document.
//!
//! The operator renders it into an immutable ConfigMap; `processor local` renders it from the manifest. It carries a
//! version, so that an operator and a processor of neighbouring releases understand each other.

mod error;
mod security;

use serde::{Deserialize, Serialize};

pub use self::{
    error::JobError,
    security::{Mechanism, SECRETS_FOLDER, Sasl, Security, Tls, password},
};
use crate::{
    manifest::{Document, documents},
    pipeline::{Aggregation, Alert, Duration, LoginPipelineSpec, StartFrom, Validation},
    topics::PipelineId,
};

/// The version that this release writes and reads.
pub const VERSION: u32 = 2;

/// All that a processor replica is told about its pipeline.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobConfig {
    /// Version of this format.
    pub version: u32,
    /// The pipeline's namespace and name.
    pub pipeline: PipelineId,
    /// Number of this config; each change of the pipeline gets a higher one. Replicas write it into the delta log
    /// beside the rules.
    pub revision: u64,
    /// How to reach Kafka.
    pub kafka: KafkaConfig,
    /// Topic names.
    pub topics: TopicNames,
    /// Consumers of a replica, each in a thread of its own.
    pub threads: usize,
    /// How often a thread commits a transaction.
    pub commit_interval: Duration,
    /// Where a group that has never committed an offset starts.
    pub start_from: StartFrom,
    /// Which events are valid, and what is counted.
    pub rules: Rules,
}

/// How to reach Kafka.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// TLS and SASL; absent for plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<Security>,
    /// The largest record that its topics accept, in bytes, for a broker that cannot be asked: set only by `processor
    /// local` for the broker that it embeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_bytes: Option<usize>,
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
    /// What the aggregation writes.
    pub results: ResultTopics,
}

/// Names of the topics that the aggregation writes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultTopics {
    /// Counts by window, dimension and value.
    pub aggregates: String,
    /// A summary of each closed window.
    pub insights: String,
    /// Anomalies.
    pub alerts: String,
    /// Snapshots of the aggregation's state.
    pub state: String,
}

/// The part of the spec that decides what becomes of an event. The first delta of each config revision holds it, so
/// that the log explains itself.
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

impl JobConfig {
    /// The job of a pipeline whose spec passed [`crate::pipeline::check`].
    #[must_use]
    pub fn new(pipeline: PipelineId, spec: &LoginPipelineSpec, revision: u64, bootstrap_servers: String) -> Self {
        let topics = TopicNames {
            source: spec.source.topic.clone(),
            output: spec.output.topic.clone(),
            dead_letters: spec.dead_letters.topic.clone(),
            deltas: pipeline.deltas_topic(),
            results: ResultTopics {
                aggregates: spec.results.aggregates.topic.clone(),
                insights: spec.results.insights.topic.clone(),
                alerts: spec.results.alerts.topic.clone(),
                state: pipeline.state_topic(),
            },
        };
        Self {
            version: VERSION,
            pipeline,
            revision,
            kafka: KafkaConfig { bootstrap_servers, security: None, max_message_bytes: None },
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
        let Versioned { version: found } = serde_json::from_str(text)
            .map_err(|error| if is_manifest(text) { JobError::Manifest } else { error.into() })?;
        if found != VERSION {
            return Err(JobError::Version { found, read: VERSION });
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
        job.kafka.security.as_ref().map_or(Ok(()), Security::check)?;
        if job.rules.aggregation.smallest_window().is_none() {
            let value = format!("{:?}", job.rules.aggregation.windows);
            return refuse("rules.aggregation.windows", value, "begin with the smallest finite window, such as 1m");
        }
        let max_values = job.rules.aggregation.max_values;
        if !(1..=10_000).contains(&max_values) {
            return refuse("rules.aggregation.maxValues", max_values.to_string(), "choose 1 to 10000");
        }
        Ok(job)
    }
}

fn is_manifest(text: &str) -> bool {
    documents(text).iter().any(|(_, document)| matches!(document, Document::Pipeline(_)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const V2: &str = include_str!("../tests/golden/job.v2.json");
    const SECURED: &str = include_str!("../tests/golden/job-secured.v2.json");

    /// The job of a pipeline that sets whatever a job config holds.
    fn sample() -> JobConfig {
        let spec = json!({
            "kafka": {"strimzi": {"cluster": "my-cluster"}},
            "source": {"startFrom": "Latest"},
            "validation": {"required": ["user_id"], "maxFutureSkew": "1m", "ip": "Valid"},
            "aggregation": {
                "windows": ["30s", "1h", "all"], "dimensions": ["locale"], "maxValues": 500, "uniqueUsers": false,
                "allowedLateness": "5s", "idleTimeout": "2s", "retention": "12h",
            },
            "alerts": [
                {"name": "spike", "dimension": "locale", "value": "RI", "window": "30s", "above": 10_000},
                {"name": "odd", "window": "1h", "deviation": 4.5},
            ],
            "results": {"alerts": {"topic": "anomalies"}},
            "processor": {"threads": 3, "commitInterval": "250ms"},
        });
        let pipeline = PipelineId { namespace: "kafka".to_owned(), name: "logins".to_owned() };
        JobConfig::new(pipeline, &serde_json::from_value(spec).unwrap(), 1_720_576_825, "kafka:9092".to_owned())
    }

    #[test]
    fn the_golden_file_is_what_is_written_and_read() {
        assert_eq!(serde_json::to_value(sample()).unwrap(), serde_json::from_str::<Value>(V2).unwrap());
        assert_eq!(JobConfig::parse(V2).unwrap(), sample());
    }

    /// The same on a Kafka with all that security can hold.
    fn secured() -> JobConfig {
        let file = |name: &str| format!("{SECRETS_FOLDER}/{name}");
        let mut job = sample();
        job.kafka.security = Some(Security {
            tls: Some(Tls {
                ca: Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned()),
                ca_file: None,
                certificate_file: Some(file("client/tls.crt")),
                key_file: Some(file("client/tls.key")),
            }),
            sasl: Some(Sasl {
                mechanism: Mechanism::ScramSha512,
                username: "logins".to_owned(),
                password_file: file("sasl/password"),
            }),
        });
        job
    }

    #[test]
    fn a_secured_kafka_only_adds_to_the_golden_file() {
        assert_eq!(serde_json::to_value(secured()).unwrap(), serde_json::from_str::<Value>(SECURED).unwrap());
        assert_eq!(JobConfig::parse(SECURED).unwrap(), secured());
        let mut without: Value = serde_json::from_str(SECURED).unwrap();
        without.pointer_mut("/kafka").unwrap().as_object_mut().unwrap().remove("security");
        assert_eq!(without, serde_json::from_str::<Value>(V2).unwrap());
    }

    #[test]
    fn every_mechanism_has_one_name() {
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            assert_eq!(serde_json::to_value(mechanism).unwrap(), mechanism.as_str());
        }
    }

    /// What becomes of the golden file with this change.
    fn changed(pointer: &str, value: Value) -> Result<JobConfig, JobError> {
        let mut job: Value = serde_json::from_str(V2).unwrap();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = job.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(field.to_owned(), value);
        parent.retain(|_, value| !value.is_null());
        JobConfig::parse(&job.to_string())
    }

    #[test]
    fn other_versions_are_refused_whatever_their_shape() {
        for text in [r#"{"version":1}"#, r#"{"version":3,"shape":"another"}"#] {
            let error = JobConfig::parse(text).unwrap_err();
            assert!(matches!(error, JobError::Version { .. }), "{text}");
            assert!(error.to_string().contains("this processor reads version 2"), "{error}");
        }
        assert!(matches!(changed("/version", json!(3)), Err(JobError::Version { found: 3, .. })));
        assert!(matches!(JobConfig::parse("{}"), Err(JobError::Shape(_))));
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for (pointer, value) in [
            ("/more", json!(1)),
            ("/topics/more", json!("a")),
            ("/topics/results/more", json!("a")),
            ("/topics/results", Value::Null),
            ("/topics/results/state", Value::Null),
            ("/rules/more", json!(1)),
            ("/rules/aggregation/more", json!(1)),
            ("/rules/alerts", json!([{"name": "a", "window": "30s", "below": 1}])),
            ("/revision", json!(-1)),
            ("/kafka/security", json!({"tls": {}, "more": 1})),
            ("/kafka/security", json!({"tls": {"password": "x"}})),
            ("/kafka/security", json!({"sasl": {"mechanism": "PLAIN", "username": "a", "password": "x"}})),
            ("/kafka/security", json!({"sasl": {"mechanism": "GSSAPI", "username": "a", "passwordFile": "/p"}})),
        ] {
            assert!(matches!(changed(pointer, value), Err(JobError::Shape(_))), "{pointer}");
        }

        for (pointer, value, field) in [
            ("/threads", json!(0), "threads"),
            ("/threads", json!(65), "threads"),
            ("/commitInterval", json!("9ms"), "commitInterval"),
            ("/kafka/bootstrapServers", json!(""), "kafka.bootstrapServers"),
            ("/kafka/security", json!({}), "kafka.security"),
            ("/kafka/security", json!({"tls": {"ca": "secret"}}), "kafka.security.tls.ca is a text"),
            (
                "/kafka/security",
                json!({"tls": {"ca": "-----BEGIN CERTIFICATE-----", "caFile": "/ca"}}),
                "kafka.security.tls.ca is there beside",
            ),
            ("/kafka/security", json!({"tls": {"caFile": ""}}), "kafka.security.tls.caFile"),
            ("/kafka/security", json!({"tls": {"certificateFile": "/c"}}), "kafka.security.tls.keyFile is absent"),
            ("/kafka/security", json!({"tls": {"keyFile": "/k"}}), "kafka.security.tls.certificateFile is absent"),
            (
                "/kafka/security",
                json!({"sasl": {"mechanism": "PLAIN", "username": "", "passwordFile": "/p"}}),
                "kafka.security.sasl.username",
            ),
            (
                "/kafka/security",
                json!({"sasl": {"mechanism": "PLAIN", "username": "a", "passwordFile": ""}}),
                "kafka.security.sasl.passwordFile",
            ),
            ("/rules/aggregation/windows", json!(["all"]), "rules.aggregation.windows"),
            ("/rules/aggregation/maxValues", json!(0), "rules.aggregation.maxValues"),
        ] {
            let error = changed(pointer, value).unwrap_err().to_string();
            assert!(error.starts_with(field), "{pointer}: {error}");
        }
    }
}
