//! Watches Strimzi's resources where they are installed, and notices when Strimzi is installed or removed. The catalog holds
//! what the watch of topics reported.

use std::{sync::Arc, time::Duration};

use cli::exit::with_causes;
use crds::strimzi::{GROUP, VERSIONS, api_resource};
use futures::{
    SinkExt, StreamExt, TryStreamExt,
    channel::mpsc,
    stream::{self, BoxStream},
};
use kube::{
    Api, Client,
    core::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store},
        watcher::{Event, watcher},
    },
};
use tokio::sync::watch;

use super::{
    streams::{listing, logged},
    usage::{Touch, UsageIndex},
};
use crate::{
    pace::{PAGE, backoff},
    resource::Guarded,
    scope::Scope,
    topics::{
        catalog::Catalog,
        strimzi::{Strimzi, StrimziApi},
    },
};

/// How often the API server is asked which versions it serves. Until its first answer it is asked sooner.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(20);

/// Objects whose pipelines are looked up together: as many as a page of a list has.
const BURST: usize = PAGE as usize;

/// Runs for ever: says in `found` what the API server serves, as soon as it has said so, and sends the pipelines that an
/// event concerns.
pub(crate) async fn run(
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
pub(crate) async fn discover(client: &Client) -> Result<Option<&'static str>, kube::Error> {
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
    // The catalog takes note before a pass looks there for what the event reported.
    let note = move |part: Option<&str>, event: &Event<DynamicObject>| {
        catalog.send_modify(|catalog| catalog.note(part, event));
    };
    let topics = touched(client, scope, &api_resource(version, "KafkaTopic"), note);
    let touched =
        stream::select(kafkas.map(|kafka| Touch::of_kafka(&kafka)), topics.map(|topic| Touch::of_topic(&topic)));
    let mut bursts = std::pin::pin!(touched.ready_chunks(BURST));
    let mut users = UsageIndex::default();
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
