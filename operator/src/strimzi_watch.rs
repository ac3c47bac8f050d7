//! Watches Strimzi's resources, where they are installed, and finds out when they come or go. What the watch of topics tells
//! stands in the catalog.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use cli::exit::with_causes;
use crds::{
    strimzi::{CLUSTER_LABEL, GROUP, VERSIONS, api_resource},
    topics::{PipelineId, topics},
};
use futures::{
    SinkExt, StreamExt, TryStreamExt,
    channel::mpsc,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client, Resource, ResourceExt,
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
    pace::{PAGE, backoff},
    resource::Guarded,
    scope::Scope,
    topics::{
        catalog::{Catalog, described_topic},
        strimzi::{Strimzi, StrimziApi},
    },
    watching::{listing, logged},
};

/// How often it is asked which versions the API server serves; until it answers for the first time, sooner.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(20);

/// Objects whose users are looked for together: as many as a list tells at once.
const BURST: usize = PAGE as usize;

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
        let (told, catalog) = watch::channel(Catalog::of(&scope.parts()));
        let strimzi = version.map(|version| StrimziApi { version, catalog });
        found.send_replace(strimzi.map_or(Strimzi::NotInstalled, Strimzi::Served));
        if is_new {
            tracing::info!(version, "Strimzi's resources");
            for pipeline in pipelines.state() {
                // The receiver lives as long as the controller does.
                let _ = triggers.send(ObjectRef::from_obj(&*pipeline)).await;
            }
        }
        match version {
            None => tokio::time::sleep(DISCOVERY_INTERVAL).await,
            Some(version) => follow(&client, &scope, version, told, &pipelines, &mut triggers).await,
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
    version: &'static str,
    catalog: watch::Sender<Catalog>,
    pipelines: &Store<Guarded>,
    triggers: &mut mpsc::Sender<ObjectRef<Guarded>>,
) {
    let kafkas = touched(client, scope, &api_resource(version, "Kafka"), |_, _| {});
    // The catalog knows before anybody looks there for what an event tells.
    let note = move |part: Option<&str>, event: &Event<DynamicObject>| {
        catalog.send_modify(|catalog| catalog.note(part, event));
    };
    let topics = touched(client, scope, &api_resource(version, "KafkaTopic"), note);
    let touched =
        stream::select(kafkas.map(|kafka| Touch::of_kafka(&kafka)), topics.map(|topic| Touch::of_topic(&topic)));
    let mut bursts = std::pin::pin!(touched.ready_chunks(BURST));
    let mut users = Users::default();
    let mut ask = tokio::time::interval(DISCOVERY_INTERVAL);
    ask.reset();
    loop {
        tokio::select! {
            Some(burst) = bursts.next() => {
                users.update(&pipelines.state());
                for pipeline in users.of(&burst) {
                    let _ = triggers.send(pipeline).await;
                }
            }
            _ = ask.tick() => {
                if let Ok(now) = discover(client).await && now != Some(version) {
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
    note: impl Fn(Option<&str>, &Event<DynamicObject>) + Send + Sync + 'static,
) -> BoxStream<'static, DynamicObject> {
    let note = Arc::new(note);
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

/// An object that came, changed or went: its namespace, and what pipelines may use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Touch {
    namespace: String,
    uses: Vec<Use>,
}

/// What a pipeline uses in the namespace of its `Kafka`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Kafka(String),
    Topic {
        cluster: String,
        topic: String,
    },
    /// The name of a `KafkaTopic` that is the pipeline's, or should be, whatever the object describes.
    Name(String),
}

impl Touch {
    fn of_kafka(kafka: &DynamicObject) -> Self {
        Self { namespace: kafka.namespace().unwrap_or_default(), uses: vec![Use::Kafka(kafka.name_any())] }
    }

    fn of_topic(object: &DynamicObject) -> Self {
        let cluster = object.labels().get(CLUSTER_LABEL).cloned();
        let described = cluster.map(|cluster| Use::Topic { cluster, topic: described_topic(object) });
        let uses = described.into_iter().chain([Use::Name(object.name_any())]).collect();
        Self { namespace: object.namespace().unwrap_or_default(), uses }
    }
}

/// Which pipelines, of whichever namespace, use what.
#[derive(Default)]
struct Users {
    /// The pipelines, and their specs, for which the rest holds.
    specs: Vec<(Option<String>, Option<i64>)>,
    users: BTreeMap<(String, Use), Vec<ObjectRef<Guarded>>>,
}

impl Users {
    /// Looks at the pipelines anew, if one of them has another spec, came or went.
    fn update(&mut self, pipelines: &[Arc<Guarded>]) {
        let spec = |pipeline: &Arc<Guarded>| (pipeline.meta().uid.clone(), pipeline.meta().generation);
        let specs: Vec<_> = pipelines.iter().map(spec).collect();
        if specs == self.specs {
            return;
        }
        self.specs = specs;
        self.users.clear();
        for pipeline in pipelines {
            for used in uses(pipeline) {
                self.users.entry(used).or_default().push(ObjectRef::from_obj(&**pipeline));
            }
        }
    }

    /// The pipelines that use any of these objects, each once.
    fn of(&self, touched: &[Touch]) -> Vec<ObjectRef<Guarded>> {
        let users = |touch: &Touch| {
            let used = touch.uses.iter().filter_map(|used| self.users.get(&(touch.namespace.clone(), used.clone())));
            used.flatten().cloned().collect::<Vec<_>>()
        };
        let users: HashSet<_> = touched.iter().flat_map(users).collect();
        users.into_iter().collect()
    }
}

/// What a pipeline uses, and in which namespace.
fn uses(pipeline: &Guarded) -> Vec<(String, Use)> {
    let Ok(pipeline) = &pipeline.0 else { return Vec::new() };
    let Some(strimzi) = &pipeline.spec.kafka.strimzi else { return Vec::new() };
    let id = PipelineId { namespace: pipeline.namespace().unwrap_or_default(), name: pipeline.name_any() };
    let cluster = &strimzi.cluster;
    let topics = topics(&id, &pipeline.spec).into_iter().flat_map(|topic| {
        let name = Use::Name(kafka_topic_name(&id, topic.role));
        [Use::Topic { cluster: cluster.clone(), topic: topic.name }, name]
    });
    let namespace = strimzi.namespace.as_ref().unwrap_or(&id.namespace);
    [Use::Kafka(cluster.clone())].into_iter().chain(topics).map(|used| (namespace.clone(), used)).collect()
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
        let touch = if kind == "Kafka" { Touch::of_kafka(&object) } else { Touch::of_topic(&object) };
        let mut users = Users::default();
        users.update(&pipelines.state());
        users.of(&[touch.clone(), touch]).into_iter().map(|pipeline| pipeline.name).collect()
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

    #[test]
    fn users_are_those_of_the_specs_of_now() {
        let pipeline = |cluster: &str, generation: i64| -> Arc<Guarded> {
            let pipeline = json!({
                "metadata": {"name": "a", "namespace": "streams", "uid": "1", "generation": generation},
                "spec": {"kafka": {"strimzi": {"cluster": cluster}}},
            });
            Arc::new(serde_json::from_value(pipeline).unwrap())
        };
        let touch = Touch { namespace: "streams".to_owned(), uses: vec![Use::Kafka("b".to_owned())] };
        let mut users = Users::default();
        let mut found = |pipelines: &[Arc<Guarded>]| {
            users.update(pipelines);
            users.of(std::slice::from_ref(&touch)).len()
        };
        assert_eq!(found(&[pipeline("a", 1)]), 0);
        assert_eq!(found(&[pipeline("b", 2)]), 1);
        assert_eq!(found(&[]), 0);
    }
}
