//! Watches Strimzi's resources, where they are installed, and finds out when they come or go. What the watch of topics tells
//! stands in the catalog.

use std::{sync::PoisonError, time::Duration};

use crds::{
    strimzi::{CLUSTER_LABEL, GROUP, VERSIONS, api_resource},
    topics::{PipelineId, Topic, topics},
};
use futures::{
    SinkExt, StreamExt, TryStreamExt,
    channel::mpsc,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, ResourceExt,
    core::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher::{Event, watcher},
    },
};
use tokio::sync::watch;

use crate::{
    build::kafka_topic_name,
    causes::with_causes,
    controller::{Guarded, backoff},
    topics::{
        catalog::described_topic,
        strimzi::{Strimzi, StrimziApi},
    },
    watching::{Scope, listing, logged},
};

/// How often it is asked which versions the API server serves; until it answers for the first time, sooner.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(20);

/// Runs for ever: says in `found` what the API server serves, as soon as it has said so, and sends the pipelines that an
/// event concerns.
pub async fn run(
    client: Client,
    scope: Scope,
    pipelines: Store<Guarded>,
    found: watch::Sender<Strimzi>,
    mut triggers: mpsc::Sender<ObjectRef<Guarded>>,
) {
    let mut failures = 0;
    loop {
        let version = match discover(&client).await {
            Ok(version) => version,
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(error, "the API server did not say whether it serves Strimzi's resources");
                failures += 1;
                tokio::time::sleep(backoff(failures).min(DISCOVERY_INTERVAL)).await;
                continue;
            }
        };
        failures = 0;
        let is_new = found.borrow().version() != Some(version);
        let strimzi = version.map(StrimziApi::new);
        found.send_replace(strimzi.clone().map_or(Strimzi::NotInstalled, Strimzi::Served));
        if is_new {
            tracing::info!(version, "Strimzi's resources");
            for pipeline in pipelines.state() {
                // The receiver lives as long as the controller does.
                let _ = triggers.send(ObjectRef::from_obj(&*pipeline)).await;
            }
        }
        match strimzi {
            None => tokio::time::sleep(DISCOVERY_INTERVAL).await,
            Some(strimzi) => follow(&client, &scope, &strimzi, &pipelines, &mut triggers).await,
        }
    }
}

/// The version of Strimzi's API to use, of those that the API server serves.
///
/// # Errors
/// When the API server fails.
pub async fn discover(client: &Client) -> Result<Option<&'static str>, kube::Error> {
    let groups = client.list_api_groups().await?.groups;
    let Some(group) = groups.into_iter().find(|group| group.name == GROUP) else { return Ok(None) };
    let serves = |version: &&&'static str| group.versions.iter().any(|served| served.version == **version);
    Ok(VERSIONS.iter().find(serves).copied())
}

/// Watches both kinds until the API server serves another version, or none.
async fn follow(
    client: &Client,
    scope: &Scope,
    strimzi: &StrimziApi,
    pipelines: &Store<Guarded>,
    triggers: &mut mpsc::Sender<ObjectRef<Guarded>>,
) {
    let resource = |kind| api_resource(strimzi.version, kind);
    let kafkas = touched(client, scope, &resource("Kafka"), |_, _| {});
    let kafkas = kafkas.map(|kafka| concerned_by_kafka(&kafka, pipelines));
    let catalog = strimzi.catalog.clone();
    // Before anybody looks for what it tells.
    let topics = touched(client, scope, &resource("KafkaTopic"), move |part, event| {
        catalog.write().unwrap_or_else(PoisonError::into_inner).note(part, event);
    });
    let topics = topics.map(|topic| concerned_by_topic(&topic, pipelines));
    let mut events = std::pin::pin!(stream::select(kafkas, topics));
    let mut ask = tokio::time::interval(DISCOVERY_INTERVAL);
    ask.reset();
    loop {
        tokio::select! {
            Some(concerned) = events.next() => {
                for pipeline in concerned {
                    let _ = triggers.send(pipeline).await;
                }
            }
            _ = ask.tick() => {
                if let Ok(now) = discover(client).await && now != Some(strimzi.version) {
                    return;
                }
            }
        }
    }
}

/// Objects of a kind as they come, change and go. `note` is told of each event first, and of which part it is.
fn touched(
    client: &Client,
    scope: &Scope,
    resource: &ApiResource,
    note: impl Fn(Option<&str>, &Event<DynamicObject>) + Clone + Send + 'static,
) -> BoxStream<'static, DynamicObject> {
    let watch = |namespace: Option<&str>| {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
            None => Api::all_with(client.clone(), resource),
        };
        let (part, note) = (namespace.map(str::to_owned), note.clone());
        let events = watcher(api, listing()).default_backoff().inspect_ok(move |event| note(part.as_deref(), event));
        logged(resource.kind.clone(), events.touched_objects())
    };
    stream::select_all(scope.parts().into_iter().map(watch)).boxed()
}

/// Pipelines, of whichever namespace, that use this `Kafka`.
fn concerned_by_kafka(kafka: &DynamicObject, pipelines: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let name = kafka.name_any();
    concerned(pipelines, |_, cluster, _| cluster == name, kafka)
}

/// The pipeline whose object has, or should have, the name of the `KafkaTopic`, and those that use a topic of its name in
/// its cluster.
fn concerned_by_topic(object: &DynamicObject, pipelines: &Store<Guarded>) -> Vec<ObjectRef<Guarded>> {
    let object_name = object.name_any();
    let topic = described_topic(object);
    let cluster = object.labels().get(CLUSTER_LABEL);
    let is_concerned = |id: &PipelineId, used: &str, topics: &[Topic]| {
        let is_used = cluster.is_some_and(|cluster| cluster == used) && topics.iter().any(|used| used.name == topic);
        let is_named = topics.iter().any(|topic| kafka_topic_name(id, topic.role) == object_name);
        is_used || is_named
    };
    concerned(pipelines, is_concerned, object)
}

/// Pipelines on a `Kafka` of the object's namespace that `is_concerned`, given their id, cluster and topics.
fn concerned(
    pipelines: &Store<Guarded>,
    is_concerned: impl Fn(&PipelineId, &str, &[Topic]) -> bool,
    object: &DynamicObject,
) -> Vec<ObjectRef<Guarded>> {
    let namespace = object.namespace().unwrap_or_default();
    let pipelines = pipelines.state();
    let pipelines = pipelines.iter().filter(|pipeline| {
        let Ok(pipeline) = &pipeline.0 else { return false };
        let Some(strimzi) = &pipeline.spec.kafka.strimzi else { return false };
        let id = PipelineId { namespace: pipeline.namespace().unwrap_or_default(), name: pipeline.name_any() };
        *strimzi.namespace.as_ref().unwrap_or(&id.namespace) == namespace
            && is_concerned(&id, &strimzi.cluster, &topics(&id, &pipeline.spec))
    });
    pipelines.map(|pipeline| ObjectRef::from_obj(&**pipeline)).collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::reflector;
    use serde_json::{Value, json};

    use super::*;

    /// The names of the pipelines that an object of Strimzi's in this namespace concerns.
    fn concerned_by(kind: &str, namespace: &str, name: &str, spec: &Value) -> Vec<String> {
        let (pipelines, mut writer) = reflector::store();
        for (name, kafka) in [
            ("own", json!({"cluster": "a"})),
            ("elsewhere", json!({"cluster": "a", "namespace": "kafka"})),
            ("other", json!({"cluster": "b", "namespace": "kafka"})),
        ] {
            let pipeline = json!({
                "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
                "metadata": {"name": name, "namespace": "streams"}, "spec": {"kafka": {"strimzi": kafka}},
            });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(pipeline).unwrap()));
        }
        let object = json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "labels": {"strimzi.io/cluster": "a"}},
        });
        let object = serde_json::from_value(object).unwrap();
        let concerned = match kind {
            "Kafka" => concerned_by_kafka(&object, &pipelines),
            _ => concerned_by_topic(&object, &pipelines),
        };
        concerned.into_iter().map(|pipeline| pipeline.name).collect()
    }

    #[test]
    fn objects_concern_the_pipelines_of_their_kafka_in_whichever_namespace() {
        assert_eq!(concerned_by("Kafka", "streams", "a", &json!({})), ["own"]);
        assert_eq!(concerned_by("Kafka", "kafka", "a", &json!({})), ["elsewhere"]);
        assert_eq!(concerned_by("Kafka", "others", "a", &json!({})), [""; 0]);
        let named = json!({"topicName": "user-login"});
        assert_eq!(concerned_by("KafkaTopic", "kafka", "theirs", &named), ["elsewhere"]);
        assert_eq!(concerned_by("KafkaTopic", "kafka", "user-login", &json!({})), ["elsewhere"]);
        // Whatever it describes, it has the name of one of ours.
        assert_eq!(concerned_by("KafkaTopic", "kafka", "streams-other-source", &json!({})), ["other"]);
        assert_eq!(concerned_by("KafkaTopic", "streams", "streams-other-source", &json!({})), [""; 0]);
    }
}
