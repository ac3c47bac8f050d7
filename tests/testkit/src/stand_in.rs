//! Plays the controllers that a cluster has and a bare API server lacks: they give objects a status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};

use crate::Error;
use crate::kafka::Cluster;

/// Sets the status of every object of one kind, in all namespaces, as soon as the object changes; until it is dropped.
pub struct StandIn(tokio::task::JoinHandle<()>);

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The number of objects handled at the same time.
const AT_ONCE: usize = 16;

/// The pause before a watch that has ended starts again.
const PAUSE: Duration = Duration::from_millis(100);

impl StandIn {
    /// Starts it, in the Tokio runtime. `answer` returns an object's status, which is written when it differs.
    pub fn start<A>(client: Client, kind: ApiResource, answer: A) -> Self
    where
        A: Fn(&DynamicObject) -> Option<Value> + Send + Sync + 'static,
    {
        Self(tokio::spawn(async move {
            loop {
                // The kind may not be served yet, and a watch ends from time to time.
                let _ = follow(&client, &kind, &answer).await;
                tokio::time::sleep(PAUSE).await;
            }
        }))
    }
}

async fn follow<A>(client: &Client, kind: &ApiResource, answer: &A) -> Result<(), kube::Error>
where
    A: Fn(&DynamicObject) -> Option<Value> + Sync,
{
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let list = objects.list(&ListParams::default()).await?;
    let version = list.metadata.resource_version.unwrap_or_default();
    let changes = objects.watch(&WatchParams::default(), &version).await?;
    let changed = changes.try_filter_map(async |event| match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Ok(Some(object)),
        WatchEvent::Error(error) => Err(kube::Error::Api(error)),
        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => Ok(None),
    });
    let all = futures::stream::iter(list.items.into_iter().map(Ok)).chain(changed);
    all.try_for_each_concurrent(AT_ONCE, async |object| {
        let Some(status) = answer(&object).filter(|status| !is_answered(&object, status)) else { return Ok(()) };
        let objects: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), &object.namespace().unwrap_or_default(), kind);
        let patch = Patch::Merge(json!({"status": status}));
        // The object may have been deleted, or changed: then the watch reports it again.
        let _ = objects.patch_status(&object.name_any(), &PatchParams::default(), &patch).await;
        Ok(())
    })
    .await
}

/// Whether the object has this status. The API server drops zeros.
fn is_answered(object: &DynamicObject, status: &Value) -> bool {
    let reported = object.data.get("status");
    status.as_object().is_none_or(|members| {
        members
            .iter()
            .all(|(name, value)| reported.and_then(|reported| reported.get(name)).unwrap_or(&json!(0)) == value)
    })
}

/// The status of a `KafkaTopic` that its topic operator has applied.
#[must_use]
pub fn ready_topic(topic: &DynamicObject) -> Value {
    json!({
        "observedGeneration": topic.metadata.generation,
        "conditions": [{"type": "Ready", "status": "True"}],
        "topicName": topic.data.pointer("/spec/topicName"),
        "topicId": topic.uid().map(|uid| format!("id-{uid}")),
    })
}

/// Plays the topic operator of one namespace: it creates each topic, or adds the missing partitions, and reports that.
pub fn topic_operator(
    kafka: Arc<Cluster>,
    namespace: String,
) -> impl Fn(&DynamicObject) -> Option<Value> + Send + Sync + 'static {
    let made = Mutex::new(BTreeMap::new());
    move |topic| {
        if topic.namespace().as_ref() != Some(&namespace) || topic.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match make(&kafka, topic, &mut made) {
            Ok(()) => ready_topic(topic),
            Err(error) => json!({
                "observedGeneration": topic.metadata.generation,
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "KafkaError", "message": error.to_string()},
                ],
            }),
        })
    }
}

/// Creates a topic, or adds partitions; `made` has the known partition count of each topic.
fn make(kafka: &Cluster, topic: &DynamicObject, made: &mut BTreeMap<String, i32>) -> Result<(), Error> {
    let spec = |field: &str| topic.data.pointer(&format!("/spec/{field}"));
    let name = spec("topicName").and_then(Value::as_str).map_or_else(|| topic.name_any(), str::to_owned);
    let wanted = spec("partitions").and_then(Value::as_i64).and_then(|count| count.try_into().ok()).unwrap_or(1);
    if made.get(&name).is_some_and(|count| *count >= wanted) {
        return Ok(());
    }
    match kafka.partitions(&name)? {
        None => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let config = spec("config").and_then(Value::as_object).into_iter().flatten();
            let config: Vec<_> = config.map(|(key, value)| (key.as_str(), text(value))).collect();
            let config: Vec<_> = config.iter().map(|(key, value)| (*key, value.as_str())).collect();
            kafka.create_topic(&name, wanted, &config)?;
        }
        Some(count) if count < wanted => kafka.add_partitions(&name, wanted)?,
        Some(_) => {}
    }
    made.insert(name, wanted);
    Ok(())
}

/// The definitions of `Kafka` and `KafkaTopic` in these versions, the first one stored, with the fields that the tests
/// need.
#[must_use]
pub fn strimzi_definitions(versions: &[&str]) -> String {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let topic_spec = json!({"type": "object", "properties": {
        "topicName": {"type": "string"},
        "partitions": {"type": "integer", "minimum": 1},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 32767},
        "config": any,
    }});
    let definition = |kind: &str, plural: &str, spec: &Value| {
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": any}}});
        let version = |(index, name): (usize, &&str)| {
            json!({
                "name": name, "served": true, "storage": index == 0, "schema": schema, "subresources": {"status": {}},
            })
        };
        let versions: Vec<_> = versions.iter().enumerate().map(version).collect();
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.kafka.strimzi.io")},
            "spec": {
                "group": "kafka.strimzi.io", "scope": "Namespaced", "versions": versions,
                "names": {
                    "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List"),
                },
            },
        })
    };
    let definitions = [definition("Kafka", "kafkas", &any), definition("KafkaTopic", "kafkatopics", &topic_spec)];
    definitions.map(|definition| definition.to_string()).join("\n---\n")
}

/// The status of a Deployment with all pods running.
#[must_use]
pub fn available_deployment(deployment: &DynamicObject) -> Value {
    let replicas = deployment.data.pointer("/spec/replicas");
    json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
    })
}
