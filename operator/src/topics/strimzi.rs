//! Topics as `KafkaTopic` objects, which Strimzi's topic operator carries out.
//!
//! An object that is not this pipeline's is referenced: its readiness counts, and it is never changed.

use crds::{
    pipeline::StrimziKafka,
    strimzi::{self, CLUSTER_LABEL, Kafka, KafkaTopic, StrimziCondition},
    topics::Topic,
};
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;

use super::{KafkaSeen, MAX_MESSAGE_BYTES, NoListener, Seen, State, TopicsError};
use crate::{
    build::{kafka_topic, kafka_topic_name},
    owned::{self, ApplyError, is_owned},
    validate::Valid,
};

/// A pipeline's topics in a cluster that Strimzi runs.
pub struct StrimziTopics<'a> {
    client: &'a Client,
    valid: &'a Valid,
    kafka: &'a StrimziKafka,
    version: &'static str,
    objects: Vec<KafkaTopic>,
}

impl<'a> StrimziTopics<'a> {
    /// `version` is the one of Strimzi's API versions that the API server serves.
    #[must_use]
    pub const fn new(client: &'a Client, valid: &'a Valid, kafka: &'a StrimziKafka, version: &'static str) -> Self {
        Self { client, valid, kafka, version, objects: Vec::new() }
    }

    /// Reads the `Kafka` and the namespace's `KafkaTopic` objects.
    ///
    /// # Errors
    /// When there is no such `Kafka`, or the API server fails.
    pub async fn observe(&mut self) -> Result<KafkaSeen, TopicsError> {
        let namespace = &self.valid.id.namespace;
        let resource = strimzi::api_resource(self.version, "Kafka");
        let kafkas = Api::<Kafka>::namespaced_with(self.client.clone(), namespace, &resource);
        let Some(kafka) = kafkas.get_opt(&self.kafka.cluster).await? else {
            return Err(TopicsError::KafkaNotFound {
                namespace: namespace.clone(),
                cluster: self.kafka.cluster.clone(),
            });
        };
        // Listed as they are: an odd object of somebody else's must not hide the others.
        let objects = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &self.resource());
        let objects = objects.list(&ListParams::default()).await?.items;
        self.objects = objects.into_iter().filter_map(|object| object.try_parse().ok()).collect();
        let topics = self.valid.topics().iter().map(|topic| self.see(topic)).collect();
        Ok(KafkaSeen { bootstrap_servers: bootstrap_servers(self.kafka, &kafka), topics })
    }

    /// Makes or updates the topic's object. It is ready when the topic operator has answered.
    ///
    /// # Errors
    /// When the API server refuses or fails.
    pub async fn ensure(&mut self, topic: &Topic, seen: &Seen) -> Result<Seen, ApplyError> {
        if seen.state != State::Missing && !seen.created {
            return Ok(seen.clone());
        }
        let desired = kafka_topic(self.valid, &self.kafka.cluster, self.version, topic);
        let api = Api::<KafkaTopic>::namespaced_with(self.client.clone(), &self.valid.id.namespace, &self.resource());
        let name = desired.name_any();
        let existing = self.objects.iter().find(|object| object.name_any() == name);
        let applied = owned::apply(&api, "KafkaTopic", desired, existing, &self.valid.owner.uid).await?;
        self.objects.retain(|object| object.name_any() != name);
        self.objects.push(applied);
        Ok(self.see(topic))
    }

    fn see(&self, topic: &Topic) -> Seen {
        see(topic, self.valid, &self.kafka.cluster, &self.objects)
    }

    fn resource(&self) -> ApiResource {
        strimzi::api_resource(self.version, "KafkaTopic")
    }
}

/// The bootstrap servers of the listener that the pipeline names.
fn bootstrap_servers(wanted: &StrimziKafka, kafka: &Kafka) -> Result<String, NoListener> {
    let listeners = kafka.status.iter().flat_map(|status| &status.listeners);
    let named = |name: &str| listeners.clone().find(|listener| listener.name.as_deref() == Some(name));
    named(&wanted.listener).and_then(|listener| listener.bootstrap_servers.clone()).ok_or_else(|| {
        let names: Vec<_> = listeners.clone().filter_map(|listener| listener.name.as_deref()).collect();
        NoListener {
            cluster: wanted.cluster.clone(),
            listener: wanted.listener.clone(),
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    })
}

/// What the `KafkaTopic` objects of a namespace say about a topic. Pure.
fn see(topic: &Topic, valid: &Valid, cluster: &str, objects: &[KafkaTopic]) -> Seen {
    let name = kafka_topic_name(&valid.id, topic.role);
    let describes = |object: &KafkaTopic| {
        let of_cluster = object.labels().get(CLUSTER_LABEL).is_some_and(|label| label == cluster);
        of_cluster && object.spec.topic_name.clone().unwrap_or_else(|| object.name_any()) == topic.name
    };
    let ours = |object: &KafkaTopic| object.name_any() == name && is_owned(object, &valid.owner.uid);
    let mut seen = Seen {
        role: topic.role,
        name: topic.name.clone(),
        state: State::Missing,
        partitions: None,
        max_message_bytes: None,
        topic_id: None,
        created: false,
        can_grow: true,
    };
    let own = objects.iter().find(|object| ours(object));
    let Some(object) = own.or_else(|| objects.iter().find(|object| describes(object))) else {
        if objects.iter().any(|object| object.name_any() == name) {
            seen.state = State::Pending(format!(
                "KafkaTopic {name} exists, is not this pipeline's and describes another topic: rename the pipeline, or \
                 delete the KafkaTopic, and with it Strimzi deletes that topic"
            ));
            seen.can_grow = false;
        }
        return seen;
    };
    seen.state = readiness(object);
    seen.partitions = object.spec.partitions;
    seen.max_message_bytes = object.spec.config.get(MAX_MESSAGE_BYTES).and_then(integer);
    seen.topic_id = object.status.as_ref().and_then(|status| status.topic_id.clone());
    seen.created = ours(object);
    seen.can_grow = seen.created;
    seen
}

/// Whether the topic operator has carried out exactly what the object says now. Pure.
fn readiness(object: &KafkaTopic) -> State {
    let name = object.name_any();
    if object.metadata.deletion_timestamp.is_some() {
        return State::Pending(format!("KafkaTopic {name} is being deleted"));
    }
    let Some(status) = &object.status else {
        return State::Pending(format!(
            "the topic operator has not answered for KafkaTopic {name}: check that it runs and watches this namespace"
        ));
    };
    if status.observed_generation != object.metadata.generation {
        return State::Pending(format!("the topic operator has not answered for the latest KafkaTopic {name}"));
    }
    match status.conditions.iter().find(|condition| condition.type_.as_deref() == Some("Ready")) {
        Some(StrimziCondition { status: Some(value), .. }) if value == "True" => match status.topic_id {
            Some(_) => State::Ready,
            None => State::Pending(format!("KafkaTopic {name} has no topicId yet")),
        },
        Some(StrimziCondition { reason, message, .. }) => {
            let why: Vec<_> = reason.iter().chain(message).map(String::as_str).collect();
            State::Pending(format!("KafkaTopic {name} is not ready ({})", why.join(": ")))
        }
        None => State::Pending(format!("KafkaTopic {name} says nothing of its readiness: is it paused or unmanaged?")),
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use crds::pipeline::LoginPipeline;
    use serde_json::json;

    use super::*;
    use crate::validate::check_pipeline;

    /// A `KafkaTopic` of the output that is as it should be.
    fn ready() -> Value {
        json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
            "metadata": {
                "name": "streams-logins-output", "namespace": "streams", "generation": 2,
                "labels": {"strimzi.io/cluster": "my-cluster", "loginpipeline.dev/owner-uid": "1"},
            },
            "spec": {"topicName": "processed-user-login", "partitions": 8, "config": {"max.message.bytes": "5000"}},
            "status": {
                "observedGeneration": 2, "topicId": "abc", "topicName": "processed-user-login",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    /// What is seen of the output when `change` has been done to its object.
    fn seen(change: impl Fn(&mut Value)) -> Seen {
        let manifest = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
            "metadata": {"name": "logins", "namespace": "streams", "uid": "1"},
            "spec": {"kafka": {"strimzi": {"cluster": "my-cluster"}}},
        });
        let valid = check_pipeline(&serde_json::from_value::<LoginPipeline>(manifest).unwrap()).unwrap();
        let mut object = ready();
        change(&mut object);
        let objects = [serde_json::from_value(object).unwrap()];
        see(&valid.topics()[0], &valid, "my-cluster", &objects)
    }

    #[test]
    fn a_topic_is_ready_when_its_operator_has_carried_out_exactly_what_it_says() {
        let fine = seen(|_| {});
        assert_eq!(fine.state, State::Ready);
        assert!(fine.created && fine.can_grow);
        assert_eq!((fine.partitions, fine.max_message_bytes), (Some(8), Some(5000)));
        assert_eq!(fine.topic_id.as_deref(), Some("abc"));

        let pending = |change: &dyn Fn(&mut Value)| matches!(seen(change).state, State::Pending(_));
        assert!(pending(&|object| object["metadata"]["generation"] = 3.into()));
        assert!(pending(&|object| object["status"]["observedGeneration"] = 1.into()));
        assert!(pending(&|object| object["status"]["observedGeneration"] = Value::Null));
        assert!(pending(&|object| object["status"]["topicId"] = Value::Null));
        assert!(pending(&|object| object["status"]["conditions"] = json!([])));
        assert!(pending(&|object| object["status"]["conditions"][0]["status"] = "False".into()));
        assert!(pending(&|object| object["status"]["conditions"][0]["type"] = "Unmanaged".into()));
        assert!(pending(&|object| object["status"] = Value::Null));
        assert!(pending(&|object| object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into()));
    }

    #[test]
    fn what_belongs_to_others_is_referenced_and_not_taken() {
        let theirs = |change: &dyn Fn(&mut Value)| {
            let seen = seen(change);
            assert_eq!(seen.state, State::Ready);
            assert!(!seen.created && !seen.can_grow);
        };
        // A predecessor's of the same name.
        theirs(&|object| object["metadata"]["labels"]["loginpipeline.dev/owner-uid"] = "2".into());
        theirs(&|object| object["metadata"]["labels"] = json!({"strimzi.io/cluster": "my-cluster"}));
        theirs(&|object| object["metadata"]["name"] = "theirs".into());
        // Whoever copied the label, a controller says more.
        theirs(&|object| {
            object["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "2", "controller": true}]);
        });

        // Without topicName the object's own name is the topic's.
        let named_so = seen(|object| {
            object["metadata"]["name"] = "processed-user-login".into();
            object["spec"]["topicName"] = Value::Null;
        });
        assert_eq!(named_so.state, State::Ready);

        let other_cluster = seen(|object| {
            object["metadata"]["name"] = "theirs".into();
            object["metadata"]["labels"]["strimzi.io/cluster"] = "another".into();
        });
        assert_eq!(other_cluster.state, State::Missing);

        let taken_name = seen(|object| {
            object["metadata"]["labels"]["loginpipeline.dev/owner-uid"] = "2".into();
            object["spec"]["topicName"] = "something-else".into();
        });
        assert!(matches!(taken_name.state, State::Pending(_)) && !taken_name.can_grow);
    }

    #[test]
    fn the_bootstrap_servers_are_those_of_the_listener() {
        let of = |listener: &str, kafka: Value| {
            let wanted = serde_json::from_value(json!({"cluster": "my-cluster", "listener": listener})).unwrap();
            bootstrap_servers(&wanted, &serde_json::from_value(kafka).unwrap())
        };
        let kafka = || {
            json!({"metadata": {"name": "my-cluster"}, "spec": {}, "status": {"listeners": [
                {"name": "plain", "bootstrapServers": "a:9092"}, {"name": "tls", "bootstrapServers": "a:9093"}, {"name": "new"},
            ]}})
        };
        assert_eq!(of("tls", kafka()).unwrap(), "a:9093");
        assert_eq!(of("external", kafka()).unwrap_err().found, "plain, tls, new");
        assert!(of("new", kafka()).is_err());
        assert_eq!(of("plain", json!({"metadata": {}, "spec": {}})).unwrap_err().found, "none");
    }
}
