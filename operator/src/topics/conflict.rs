//! Two pipelines that would write one topic: one of them keeps it, the other is refused. Pure.
//!
//! Two writers would interleave their results, and readers could not tell whose counts they read. Sources are only
//! read, so any number of pipelines may share one, and an output may be the source of another pipeline.

use std::collections::BTreeSet;

use crds::{
    pipeline::{Kafka, LoginPipeline},
    topics::{PipelineId, Role, topics},
};
use jiff::Timestamp;

/// What a pipeline writes, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    id: PipelineId,
    uid: String,
    created: Timestamp,
    place: Place,
    /// The topics that its spec names as outputs.
    writes: BTreeSet<String>,
    /// The topics that its status lists as outputs.
    has: BTreeSet<String>,
}

/// Which Kafka a pipeline uses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Strimzi { namespace: String, cluster: String },
    Servers(BTreeSet<String>),
}

/// Another pipeline keeps a topic that this one would write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "LoginPipeline {other} writes topic {topic} in the same Kafka: only one pipeline may, so nothing of this one is \
     created or changed; name another topic, or delete one of the two"
)]
pub struct Conflict {
    /// The pipeline that keeps it, as namespace/name.
    pub other: String,
    pub topic: String,
}

impl Claim {
    /// What a pipeline claims. None for one that is not in an API server: it has no UID.
    pub(crate) fn of(pipeline: &LoginPipeline) -> Option<Self> {
        let metadata = &pipeline.metadata;
        let id = PipelineId { namespace: metadata.namespace.clone()?, name: metadata.name.clone()? };
        let writes = topics(&id, &pipeline.spec).into_iter().filter(|topic| topic.role != Role::Source);
        let reported = pipeline.status.iter().flat_map(|status| &status.topics);
        let has = reported.filter(|topic| topic.role != Role::Source).map(|topic| topic.name.clone());
        Some(Self {
            uid: metadata.uid.clone()?,
            created: metadata.creation_timestamp.as_ref()?.0,
            place: Place::of(&id, &pipeline.spec.kafka),
            writes: writes.map(|topic| topic.name).collect(),
            has: has.collect(),
            id,
        })
    }

    /// The pipeline, if any, that keeps this one from a topic that it would write. `others` may contain this pipeline.
    ///
    /// A pipeline whose status lists the topic keeps it, whatever is edited elsewhere. If neither or both list it, the
    /// older pipeline keeps it, then the one with the smaller UID.
    pub(crate) fn conflict<'a>(&self, others: impl IntoIterator<Item = &'a LoginPipeline>) -> Option<Conflict> {
        let rank = |claim: &Self, topic: &str| (!claim.has.contains(topic), claim.created, claim.uid.clone());
        let lost = |other: &Self| {
            let both = self.writes.intersection(&other.writes);
            let lost =
                both.map(|topic| (rank(other, topic), topic)).filter(|(rank_, topic)| *rank_ < rank(self, topic));
            lost.min().map(|(rank, topic)| (rank, other.id.clone(), topic.clone()))
        };
        // Most pipelines use another Kafka, so that is compared first.
        let here = others.into_iter().filter(|other| self.is_near(other)).filter_map(Self::of);
        let lost = here.filter(|other| other.uid != self.uid).filter_map(|other| lost(&other));
        let (_, PipelineId { namespace, name }, topic) = lost.min_by(|(one, ..), (other, ..)| one.cmp(other))?;
        Some(Conflict { other: format!("{namespace}/{name}"), topic })
    }

    fn is_near(&self, other: &LoginPipeline) -> bool {
        let metadata = &other.metadata;
        let (Some(namespace), Some(name)) = (metadata.namespace.clone(), metadata.name.clone()) else { return false };
        Place::of(&PipelineId { namespace, name }, &other.spec.kafka).overlaps(&self.place)
    }
}

impl Place {
    fn of(id: &PipelineId, kafka: &Kafka) -> Self {
        if let Some(strimzi) = &kafka.strimzi {
            let namespace = strimzi.namespace.clone().unwrap_or_else(|| id.namespace.clone());
            return Self::Strimzi { namespace, cluster: strimzi.cluster.clone() };
        }
        let servers = kafka.external.iter().flat_map(|external| external.bootstrap_servers.split(','));
        Self::Servers(servers.map(str::to_lowercase).collect())
    }

    /// Whether the names show that both are the same Kafka. Two addresses of one Kafka that share no name are not
    /// recognized.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Strimzi { .. }, Self::Strimzi { .. }) => self == other,
            (Self::Servers(these), Self::Servers(those)) => !these.is_disjoint(those),
            (Self::Strimzi { namespace, cluster }, Self::Servers(servers))
            | (Self::Servers(servers), Self::Strimzi { namespace, cluster }) => {
                let service = format!("{cluster}-kafka-bootstrap.{namespace}");
                let is_service = |server: &String| {
                    let rest = server.strip_prefix(&service);
                    rest.is_some_and(|rest| rest.starts_with(':') || rest.starts_with(".svc"))
                };
                servers.iter().any(is_service)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A pipeline on Strimzi, made at this second, with these parts of the spec.
    fn pipeline(name: &str, second: i64, part: &Value) -> LoginPipeline {
        let mut spec = json!({"kafka": {"strimzi": {"cluster": "a"}}});
        for (key, value) in part.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let created = Timestamp::from_second(second).unwrap().to_string();
        let pipeline = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
            "metadata": {"name": name, "namespace": "streams", "uid": name, "creationTimestamp": created},
            "spec": spec,
        });
        serde_json::from_value(pipeline).unwrap()
    }

    /// The same, with outputs of its own except for this part.
    fn apart(name: &str, second: i64, part: &Value) -> LoginPipeline {
        let topic = |role: &str| json!({"topic": format!("{name}-{role}")});
        let mut spec = json!({
            "output": topic("output"), "deadLetters": topic("dead"),
            "results": {"aggregates": topic("aggregates"), "insights": topic("insights"), "alerts": topic("alerts")},
        });
        for (key, value) in part.as_object().unwrap() {
            spec[key] = value.clone();
        }
        pipeline(name, second, &spec)
    }

    fn loses(one: &LoginPipeline, other: &LoginPipeline) -> Option<String> {
        Claim::of(one).unwrap().conflict([one, other]).map(|conflict| format!("{} {}", conflict.other, conflict.topic))
    }

    #[test]
    fn of_two_that_write_one_topic_the_older_has_it() {
        let (old, young) = (pipeline("old", 1, &json!({})), pipeline("young", 2, &json!({})));
        assert_eq!(loses(&old, &young), None);
        assert_eq!(loses(&young, &old).as_deref(), Some("streams/old login-aggregates"));
        // Created in the same second: the UID decides.
        let (first, second) = (pipeline("a", 1, &json!({})), pipeline("b", 1, &json!({})));
        assert_eq!(loses(&first, &second), None);
        assert!(loses(&second, &first).is_some());

        let (old, young) = (apart("old", 1, &json!({})), apart("young", 2, &json!({})));
        assert_eq!(loses(&old, &young), None, "the source is shared");
        assert_eq!(loses(&young, &old), None, "the source is shared");
        let young = apart("young", 2, &json!({"deadLetters": {"topic": "old-output"}}));
        assert_eq!(loses(&young, &old).as_deref(), Some("streams/old old-output"));
        // A chain is no conflict.
        let young = apart("young", 2, &json!({"source": {"topic": "old-output"}}));
        assert_eq!(loses(&old, &young), None);
        assert_eq!(loses(&young, &old), None);
        // Internal topics count too.
        let young = apart("young", 2, &json!({"output": {"topic": "streams.old.state"}}));
        assert_eq!(loses(&young, &old).as_deref(), Some("streams/old streams.old.state"));
    }

    #[test]
    fn who_has_a_topic_keeps_it_whatever_is_edited() {
        let edited = apart("old", 1, &json!({"output": {"topic": "young-output"}}));
        let mut young = apart("young", 2, &json!({}));
        assert!(loses(&young, &edited).is_some(), "neither has it");
        let status = json!({"topics": [{"role": "Output", "name": "young-output", "created": true}]});
        young.status = Some(serde_json::from_value(status).unwrap());
        assert_eq!(loses(&young, &edited), None);
        assert_eq!(loses(&edited, &young).as_deref(), Some("streams/young young-output"));
    }

    #[test]
    fn only_one_kafka_has_conflicts() {
        let on = |name: &str, second: i64, kafka: &Value| pipeline(name, second, &json!({"kafka": kafka}));
        let conflict = |one: &Value, other: &Value| {
            let (old, young) = (on("old", 1, one), on("young", 2, other));
            assert_eq!(loses(&old, &young), None);
            loses(&young, &old).is_some()
        };
        let strimzi = |namespace: &str, cluster: &str| json!({"strimzi": {"cluster": cluster, "namespace": namespace}});
        let external = |servers: &str| json!({"external": {"bootstrapServers": servers}});

        assert!(conflict(&strimzi("streams", "a"), &json!({"strimzi": {"cluster": "a", "listener": "tls"}})));
        assert!(!conflict(&strimzi("streams", "a"), &strimzi("streams", "b")));
        assert!(!conflict(&strimzi("kafka", "a"), &strimzi("streams", "a")));
        assert!(conflict(&external("a:1,b:1"), &external("c:1,B:1")));
        assert!(!conflict(&external("a:1,b:1"), &external("a:2")));
        assert!(conflict(&strimzi("kafka", "a"), &external("a-kafka-bootstrap.kafka.svc.cluster.local:9092")));
        assert!(conflict(&external("a-kafka-bootstrap.kafka:9092"), &strimzi("kafka", "a")));
        assert!(!conflict(&external("a-kafka-bootstrap.kafka2.svc:9092"), &strimzi("kafka", "a")));
    }
}
