//! The content of a namespace, in a form in which two runs of the same history are equal.

use std::collections::BTreeMap;

use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{Discovery, Scope, verbs},
};
use serde_json::Value;

/// The objects of a namespace by kind and name; values that differ between runs are removed or renamed.
pub type Snapshot = BTreeMap<String, Value>;

/// Every object in these namespaces, of any creator, except Events and Leases.
pub async fn snapshots(client: &Client, namespaces: &[&str]) -> Vec<Snapshot> {
    let kinds = kinds(client).await;
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for kind in &kinds {
        let objects: Api<DynamicObject> = match namespaces {
            [namespace] => Api::namespaced_with(client.clone(), namespace, kind),
            _ => Api::all_with(client.clone(), kind),
        };
        for mut object in objects.list(&ListParams::default()).await.unwrap() {
            object.types =
                Some(kube::core::TypeMeta { api_version: kind.api_version.clone(), kind: kind.kind.clone() });
            let namespace = object.namespace().unwrap();
            found.entry(namespace).or_default().push(serde_json::to_value(object).unwrap());
        }
    }
    namespaces.iter().map(|namespace| comparable(namespace, found.remove(*namespace).unwrap_or_default())).collect()
}

/// The snapshot of one namespace.
pub async fn snapshot(client: &Client, namespace: &str) -> Snapshot {
    snapshots(client, &[namespace]).await.remove(0)
}

/// Every namespaced kind.
async fn kinds(client: &Client) -> Vec<ApiResource> {
    let discovery = Discovery::new(client.clone()).exclude(&["events.k8s.io", "coordination.k8s.io"]);
    let discovery = discovery.run().await.unwrap();
    let resources = discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
    let stored = resources.filter(|(resource, capabilities)| {
        let is_listed = capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST);
        is_listed && resource.kind != "Event"
    });
    stored.map(|(resource, _)| resource).collect()
}

/// Replaces the names that each run generates (the namespace, UIDs, revisions, the ConfigMaps named after them) by
/// fixed ones, and removes times and versions.
fn comparable(namespace: &str, objects: Vec<Value>) -> Snapshot {
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = |object: &Value| format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"));
    let mut renamed: Vec<_> =
        objects.iter().map(|object| (text(object, "/metadata/uid"), format!("the-uid-of-{}", key(object)))).collect();
    let mut configs: Vec<_> = objects.iter().filter_map(|object| Some((revision(object)?, object))).collect();
    configs.sort_by_key(|(revision, _)| std::cmp::Reverse(*revision));
    for (age, (revision, object)) in configs.into_iter().enumerate() {
        renamed.push((text(object, "/metadata/name"), format!("config-{age}-before-the-last")));
        renamed.push((revision.to_string(), format!("77777{age}")));
    }
    renamed.push((namespace.to_owned(), "the-namespace".to_owned()));
    let rename = |text: &str| renamed.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let told = objects.into_iter().map(|mut object| {
        strip(&mut object);
        if object["kind"] == "Deployment" {
            // Replicas and pods may change together, or one after the other.
            object["metadata"]["generation"].take();
            object["status"]["observedGeneration"].take();
        }
        (rename(&key(&object)), serde_json::from_str(&rename(&object.to_string())).unwrap())
    });
    told.collect()
}

/// The revision of the job config that an object holds.
fn revision(object: &Value) -> Option<u64> {
    let job: Value = serde_json::from_str(object.pointer("/data/job.json")?.as_str()?).ok()?;
    job["revision"].as_u64()
}

fn strip(object: &mut Value) {
    match object {
        Value::Object(members) => {
            for varying in ["resourceVersion", "creationTimestamp", "lastTransitionTime", "time"] {
                members.remove(varying);
            }
            members.values_mut().for_each(strip);
            if let Some(Value::Array(entries)) = members.get_mut("managedFields") {
                // They are sorted by time, which has a resolution of seconds.
                entries.sort_by_key(ToString::to_string);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The differences of two snapshots, one line for each place; empty when they are equal.
pub fn differences(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    let names = expected.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    for name in names {
        let get = |snapshot: &Snapshot| snapshot.get(name).cloned().unwrap_or_default();
        compare(name, &get(expected), &get(found), &mut lines);
    }
    lines
}

fn compare(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                compare(&format!("{path}.{key}"), &expected[key], &found[key], lines);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, lines);
            }
        }
        _ if expected != found => lines.push(format!("{path}: expected {expected}, found {found}")),
        _ => {}
    }
}
