//! Trouble with images, nodes and people: a pipeline under load survives it, and its results are correct.

use std::{thread, time::Duration};

use crds::pipeline::ConditionStatus::{False, True};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;
use testkit::{process::Process, wait_for};

use crate::place::{BOUND, OPERATOR, Place, RELEASE, install};

/// Events a second.
const LOAD: u32 = 200;

/// The README's pipeline, Ready and under load.
async fn running() -> (Place, Process) {
    let place = Place::new().await;
    place.apply_example();
    place.settle().await;
    let load = place.load(LOAD);
    (place, load)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_nowhere_is_given_up_for_the_old_one() {
    let (place, _load) = running().await;
    let image = place.images().await;
    place.change(&json!({"processor": {"image": "nowhere.invalid/processor:1", "progressDeadline": "10s"}}));
    place.wait_condition("Ready", False, "RolledBack").await;
    place.all_pods_ready().await;
    assert_eq!(place.images().await, image);
    place.audit("after a rollback").await;

    // The remedy that the status names: another spec.
    place.change(&json!({"processor": {"image": null}}));
    place.settle().await;
    place.audit("after the image was put right").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_rests_and_goes_on_where_it_was() {
    let (place, _load) = running().await;
    place.change(&json!({"suspend": true}));
    place.wait_condition("Paused", True, "Drained").await;
    // Kubernetes removes the remaining pods: their containers have ended.
    let ended = |pod: &Pod| pod.status.as_ref().unwrap().phase.as_deref() == Some("Succeeded");
    assert!(place.pods().await.iter().all(ended));
    place.change(&json!({"suspend": false}));
    place.settle().await;
    place.audit("after a rest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_keeps_one_replica_until_another_can_run() {
    let (place, _load) = running().await;
    let Some(node) = place.target.node() else { return eprintln!("left out: the nodes are not ours to drain") };
    let before = place.pod_names().await;
    // There is no other node: the disruption budget allows the eviction of only one replica, which cannot be scheduled
    // again.
    let drain = ["drain", "node", "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=20s"];
    assert!(!node.kubectl(&drain, "").unwrap().status.success());

    let pods = place.pods().await;
    let left: Vec<_> = pods.iter().filter(|pod| before.contains(&pod.name_any())).collect();
    assert_eq!(pods.len(), 2, "{pods:?}");
    assert_eq!(left.len(), 1, "{pods:?}");
    place.audit("on a drained node").await;

    assert!(node.kubectl(&["uncordon", "node"], "").unwrap().status.success());
    place.settle().await;
    place.audit("after an uncordoned node").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_go_on_while_nobody_looks_after_them() {
    let (place, _load) = running().await;
    let Some(node) = place.target.node() else { return eprintln!("left out: the nodes are not ours to stop") };
    let before = place.pod_names().await;

    node.stop_kubelet().unwrap();
    // Longer than Kubernetes takes to notice.
    node.wait_ready("Unknown", BOUND).unwrap();
    place.wait_condition("Ready", False, "Progressing").await;
    thread::sleep(Duration::from_secs(10));
    place.audit("without kubelet").await;

    node.start_kubelet().unwrap();
    wait_for("the node", BOUND, || node.wait_ready("True", BOUND).ok());
    place.settle().await;
    assert_eq!(place.pod_names().await, before);
    place.audit("with kubelet again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_outlives_its_operator_and_obeys_the_next_one() {
    let (place, _load) = running().await;
    let before = place.pod_names().await;
    let uninstall = ["uninstall", RELEASE, "--namespace", OPERATOR, "--wait"];
    assert!(place.target.helm(&uninstall).unwrap().status.success());

    // The definition and the pipeline stay, and the change waits.
    place.kubectl(&["scale", "loginpipeline", "logins", "--replicas=1"], "");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(place.pod_names().await, before);
    place.audit("without an operator").await;

    install(place.target);
    place.settle().await;
    assert_eq!(place.pods().await.len(), 1);
    assert!(before.contains(&place.pod_names().await[0]));
    place.audit("after an operator was installed again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_read_one_source_and_neither_minds_the_other() {
    let (place, _load) = running().await;
    let other = place.neighbour();
    let allow = format!("loginpipeline.dev/allow-namespaces={}", other.namespace);
    place.kubectl(&["annotate", "kafka", "my-cluster", &allow], "");
    let topic = |role: &str| json!({"topic": format!("team-{role}")});
    let pipeline = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "logins"},
        "spec": {
            "kafka": {"strimzi": {"cluster": "my-cluster", "namespace": place.namespace}},
            "output": topic("output"), "deadLetters": topic("dead-letters"),
            "results": {"aggregates": topic("aggregates"), "insights": topic("insights"), "alerts": topic("alerts")},
        },
    });
    other.kubectl(&["apply", "-f", "-"], &pipeline.to_string());
    other.settle().await;
    other.audit("beside another's").await;
    place.audit("beside another's").await;

    // A pod that ends or cannot start does not affect the others.
    let before = place.pod_names().await;
    other.change(&json!({"processor": {"image": "nowhere.invalid/processor:1", "rollback": "Never"}}));
    other.wait_condition("Ready", False, "Progressing").await;
    place.change(&json!({"processor": {"replicas": 1}}));
    place.settle().await;
    other.kubectl(&["delete", "loginpipeline", "logins"], "");
    assert!(before.contains(&place.pod_names().await[0]));
    place.audit("after the other's end").await;
}
