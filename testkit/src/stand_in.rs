//! What a cluster has and an API server alone has not: the controllers that answer objects with a status.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};

/// Answers every object of one kind, in all namespaces, as soon as it changes; until it is dropped.
pub struct StandIn(tokio::task::JoinHandle<()>);

impl Drop for StandIn {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Objects that are answered at the same time.
const AT_ONCE: usize = 16;

/// Between two watches, one of which has ended.
const PAUSE: Duration = Duration::from_millis(100);

impl StandIn {
    /// Starts it, in the Tokio runtime. `answer` gives an object's status, which is written where it differs.
    pub fn start<A>(client: Client, kind: ApiResource, answer: A) -> Self
    where
        A: Fn(&DynamicObject) -> Option<Value> + Send + Sync + 'static,
    {
        Self(tokio::spawn(async move {
            loop {
                // Its kind may not be served yet, and a watch ends now and then.
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
        // It may have been deleted meanwhile, or changed: then it is seen again.
        let _ = objects.patch_status(&object.name_any(), &PatchParams::default(), &patch).await;
        Ok(())
    })
    .await
}

/// Whether the object has this status. The API server keeps no zeros.
fn is_answered(object: &DynamicObject, status: &Value) -> bool {
    let reported = object.data.get("status");
    status.as_object().is_none_or(|members| {
        members
            .iter()
            .all(|(name, value)| reported.and_then(|reported| reported.get(name)).unwrap_or(&json!(0)) == value)
    })
}

/// The status of a `KafkaTopic` whose topic operator has done what it says.
#[must_use]
pub fn ready_topic(topic: &DynamicObject) -> Value {
    json!({
        "observedGeneration": topic.metadata.generation,
        "conditions": [{"type": "Ready", "status": "True"}],
        "topicName": topic.data.pointer("/spec/topicName"),
        "topicId": topic.uid().map(|uid| format!("id-{uid}")),
    })
}

/// The status of a Deployment all of whose pods run.
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
