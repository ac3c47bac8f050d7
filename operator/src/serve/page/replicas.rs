//! From pods to those of a pipeline, and from Events to a timeline. Pure.

use std::{cmp::Reverse, net::SocketAddr};

use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{Resource, ResourceExt};
use serde::Serialize;

use crate::{
    build::{CONFIG_VOLUME, processor_name, selector},
    pods::{address, reason},
};

/// The label by which a Deployment tells its ReplicaSets' pods apart; the ReplicaSet is named after it.
const TEMPLATE_LABEL: &str = "pod-template-hash";

/// Kubernetes cuts the name that it makes a pod's name from after this many characters.
const CUT: usize = 58;

/// Events that are shown.
const SHOWN: usize = 100;

/// A replica.
#[derive(Serialize)]
pub(super) struct Replica {
    name: String,
    phase: String,
    is_ready: bool,
    /// It is being deleted.
    is_going: bool,
    restarts: i32,
    /// RFC 3339.
    created: Option<String>,
    node: Option<String>,
    /// The ConfigMap with its job config.
    config_map: Option<String>,
    /// Whether that is the one in use.
    is_current: bool,
    /// Why it is not ready.
    trouble: Option<String>,
    /// Whether it can be asked for its page.
    has_page: bool,
}

/// Something that happened to a pipeline.
#[derive(Serialize)]
pub(super) struct Happening {
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    type_: String,
    reason: String,
    note: String,
    /// How often.
    count: i32,
    /// RFC 3339.
    first: Option<String>,
    /// RFC 3339.
    last: Option<String>,
    by: String,
}

/// The replicas of a pipeline among these pods, by name. `config_map` is the one that they should run.
pub(super) fn shown(
    pods: &[Pod],
    namespace: &str,
    pipeline: &str,
    config_map: Option<&str>,
    now: Timestamp,
) -> Vec<Replica> {
    let ours = pods.iter().filter(|pod| is_replica(pod, namespace, pipeline));
    let mut replicas: Vec<_> = ours.map(|pod| replica(pod, config_map, now)).collect();
    replicas.sort_by(|one, other| one.name.cmp(&other.name));
    replicas
}

/// Whether a pod is a replica of a pipeline: its Deployment's ReplicaSet made it, in its namespace, and it has an address of
/// its own rather than its node's.
pub(super) fn is_replica(pod: &Pod, namespace: &str, pipeline: &str) -> bool {
    let labels = pod.labels();
    let has_labels = selector(pipeline).iter().all(|(key, value)| labels.get(key) == Some(value));
    let replica_set = labels.get(TEMPLATE_LABEL).map(|hash| format!("{}-{hash}", processor_name(pipeline)));
    let mut owners = pod.owner_references().iter();
    let owner = owners.find(|owner| owner.controller == Some(true));
    let is_made_by_it = owner.is_some_and(|owner| {
        owner.kind == "ReplicaSet"
            && owner.api_version.starts_with("apps/")
            && Some(&owner.name) == replica_set.as_ref()
    });
    let is_on_network_of_node = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    let is_named_so = can_be_named(&pod.name_any(), pipeline);
    pod.namespace().as_deref() == Some(namespace)
        && is_named_so
        && has_labels
        && is_made_by_it
        && !is_on_network_of_node
}

/// Whether a replica of this pipeline can have this name.
pub(super) fn can_be_named(pod: &str, pipeline: &str) -> bool {
    let name = format!("{}-", processor_name(pipeline));
    pod.starts_with(name.get(..CUT).unwrap_or(&name))
}

/// Where a replica of a pipeline answers. None for the pods of others, and for one that does not run: another may have its
/// address by now.
pub(super) fn answers_at(pod: &Pod, namespace: &str, pipeline: &str) -> Option<SocketAddr> {
    let runs = pod.status.as_ref()?.phase.as_deref() == Some("Running");
    if runs && is_replica(pod, namespace, pipeline) { address(pod) } else { None }
}

fn replica(pod: &Pod, config_map: Option<&str>, now: Timestamp) -> Replica {
    let status = pod.status.clone().unwrap_or_default();
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let own = volumes.filter(|volume| volume.name == CONFIG_VOLUME).find_map(|volume| volume.config_map.as_ref());
    let own = own.map(|config| config.name.clone());
    let mut conditions = status.conditions.iter().flatten();
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let why = own.as_deref().and_then(|own| reason(std::slice::from_ref(pod), own, now));
    Replica {
        name: pod.name_any(),
        is_ready,
        is_going: pod.meta().deletion_timestamp.is_some(),
        restarts: status.container_statuses.iter().flatten().map(|container| container.restart_count).sum(),
        created: pod.creation_timestamp().map(|created| created.0.to_string()),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        is_current: own.is_some() && own.as_deref() == config_map,
        config_map: own,
        trouble: why.map(|why| why.text),
        has_page: status.phase.as_deref() == Some("Running") && address(pod).is_some(),
        phase: status.phase.unwrap_or_default(),
    }
}

/// What happened, the newest first.
pub(super) fn timeline(events: &[Event]) -> Vec<Happening> {
    let mut events: Vec<_> = events.iter().map(|event| (times(event), event)).collect();
    events.sort_by_key(|((_, last), _)| Reverse(*last));
    events.truncate(SHOWN);
    let happening = |((first, last), event): (Times, &Event)| Happening {
        type_: event.type_.clone().unwrap_or_default(),
        reason: event.reason.clone().unwrap_or_default(),
        note: event.note.clone().unwrap_or_default(),
        count: event.series.as_ref().map(|series| series.count).or(event.deprecated_count).unwrap_or(1),
        first: first.map(|first| first.to_string()),
        last: last.map(|last| last.to_string()),
        by: event.reporting_controller.clone().unwrap_or_default(),
    };
    events.into_iter().map(happening).collect()
}

/// When something happened first, and last.
type Times = (Option<Timestamp>, Option<Timestamp>);

/// Events of the older API have their times elsewhere.
fn times(event: &Event) -> Times {
    let old = |time: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0).or_else(|| old(&event.deprecated_first_timestamp));
    let last = event.series.as_ref().map(|series| series.last_observed_time.0);
    let first = first.or_else(|| event.creation_timestamp().map(|created| created.0));
    (first, last.or_else(|| old(&event.deprecated_last_timestamp)).or(first))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A replica of `streams/logins`, with this merged over it.
    fn pod(change: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {
                "namespace": "streams", "name": "logins-processor-7d9-abcde",
                "labels": {
                    "loginpipeline.dev/pipeline": "logins", "app.kubernetes.io/component": "processor",
                    "pod-template-hash": "7d9",
                },
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "logins-processor-7d9", "uid": "1", "controller": true,
                }],
            },
            "spec": {"containers": [], "volumes": [{"name": "config", "configMap": {"name": "current"}}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.7",
                "containerStatuses": [{"name": "processor", "image": "a", "imageID": "", "ready": true, "restartCount": 2}],
            },
        });
        merge(&mut pod, change);
        serde_json::from_value(pod).unwrap()
    }

    fn merge(value: &mut Value, change: &Value) {
        match (value, change) {
            (Value::Object(fields), Value::Object(changes)) => {
                for (key, change) in changes {
                    merge(fields.entry(key.clone()).or_insert(Value::Null), change);
                }
            }
            (value, change) => *value = change.clone(),
        }
    }

    #[test]
    fn a_replica_is_what_the_deployment_of_the_pipeline_has_made() {
        let address = "10.0.0.7:8080".parse().ok();
        assert_eq!(answers_at(&pod(&json!({})), "streams", "logins"), address);
        assert_eq!(answers_at(&pod(&json!({})), "streams", "other"), None);
        assert_eq!(answers_at(&pod(&json!({})), "elsewhere", "logins"), None);

        let owner = |owner: Value| json!({"metadata": {"ownerReferences": [owner]}});
        let set = "logins-processor-7d9";
        for strange in [
            json!({"metadata": {"labels": {"loginpipeline.dev/pipeline": "other"}}}),
            json!({"metadata": {"labels": {"app.kubernetes.io/component": "database"}}}),
            json!({"metadata": {"labels": {"pod-template-hash": "7d8"}}}),
            json!({"metadata": {"ownerReferences": null}}),
            json!({"metadata": {"name": "somebody"}}),
            owner(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "1"})),
            owner(json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": set, "uid": "1", "controller": true})),
            owner(json!({"apiVersion": "x.dev/v1", "kind": "ReplicaSet", "name": set, "uid": "1", "controller": true})),
            owner(
                json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "mine", "uid": "1", "controller": true}),
            ),
            json!({"spec": {"hostNetwork": true}}),
            json!({"status": {"phase": "Succeeded"}}),
            json!({"status": {"podIP": null}}),
        ] {
            assert_eq!(answers_at(&pod(&strange), "streams", "logins"), None, "{strange}");
        }
    }

    #[test]
    fn a_pod_is_named_after_its_pipeline() {
        assert!(can_be_named("logins-processor-7d9-abcde", "logins"));
        assert!(!can_be_named("logins-processor-7d9-abcde", "login") && !can_be_named("etcd-0", "logins"));
        let long = "l".repeat(60);
        assert!(can_be_named(&format!("{}abcde", &long[..CUT]), &long) && !can_be_named(&long[..CUT - 1], &long));
    }

    #[test]
    fn a_replica_says_how_it_is() {
        let waiting = json!({"status": {"phase": "Pending", "podIP": null, "containerStatuses": [{
            "name": "processor", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImagePull"}},
        }]}});
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let stranger = json!({"metadata": {"name": "stranger", "ownerReferences": null}});
        let pods = [pod(&waiting), pod(&stranger), pod(&ready)];

        let shown = json!(shown(&pods, "streams", "logins", Some("next"), "2026-05-01T12:00:00Z".parse().unwrap()));
        assert_eq!(shown.as_array().unwrap().len(), 2);
        assert_eq!(shown[0]["trouble"], "the image a cannot be had");
        assert_eq!(shown[0]["has_page"], false);
        assert_eq!(shown[0]["is_current"], false);
        assert_eq!(shown[1]["is_ready"], true);
        assert_eq!(shown[1]["has_page"], true);
        assert_eq!(shown[1]["restarts"], 2);
        assert_eq!(shown[1]["trouble"], Value::Null);
    }

    #[test]
    fn what_happened_last_comes_first() {
        let events = json!([
            {"metadata": {}, "eventTime": "2026-05-01T12:00:00.000000Z", "reason": "Progressing", "type": "Normal"},
            {"metadata": {}, "eventTime": "2026-05-01T11:00:00.000000Z", "reason": "KafkaUnreachable", "type": "Warning",
             "series": {"count": 3, "lastObservedTime": "2026-05-01T14:00:00.000000Z"}},
            {"metadata": {}, "eventTime": null, "deprecatedFirstTimestamp": "2026-05-01T10:00:00Z",
             "deprecatedLastTimestamp": "2026-05-01T13:00:00Z", "deprecatedCount": 2, "reason": "Old"},
        ]);
        let events: Vec<Event> = serde_json::from_value(events).unwrap();

        let shown = json!(timeline(&events));
        let said: Vec<_> = shown.as_array().unwrap().iter().map(|event| (&event["reason"], &event["count"])).collect();
        let expected = [("KafkaUnreachable", 3), ("Old", 2), ("Progressing", 1)].map(|(r, c)| (json!(r), json!(c)));
        assert_eq!(said, expected.iter().map(|(reason, count)| (reason, count)).collect::<Vec<_>>());
        assert_eq!(shown[1]["first"], "2026-05-01T10:00:00Z");
        assert_eq!(shown[1]["last"], "2026-05-01T13:00:00Z");
    }
}
