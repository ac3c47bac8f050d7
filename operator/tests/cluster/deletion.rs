//! The deletion of pipelines: what is deleted, what stays, and that nothing waits for ever.

use std::time::Duration;

use crds::{pipeline::ConditionStatus::False, topics::Role};
use k8s_openapi::api::{
    core::v1::{Namespace, Pod},
    events::v1::Event,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{kafka::Cluster, wait_for_async};

use crate::{
    external::{Names, shared},
    support::{Answer, BOUND, EXAMPLE, Operator, StandIn, World, running, started},
};

const FINALIZER: &str = "loginpipeline.dev/topics";

/// The manifest of a pipeline with additions to its spec.
fn with(manifest: &str, parts: Value) -> String {
    let mut manifest: Value = serde_json::from_str(manifest).unwrap();
    for (part, value) in parts.as_object().unwrap() {
        let spec = manifest["spec"].as_object_mut().unwrap();
        match spec.get_mut(part).and_then(Value::as_object_mut) {
            Some(existing) => existing.extend(value.as_object().unwrap().clone()),
            None => drop(spec.insert(part.clone(), value.clone())),
        }
    }
    manifest.to_string()
}

async fn finalizers(world: &World) -> Option<Vec<String>> {
    let pipeline = world.pipelines().get_opt("logins").await.unwrap()?;
    Some(pipeline.finalizers().to_vec())
}

async fn wait_gone(world: &World) {
    wait_for_async("the pipeline's end", BOUND, || async { finalizers(world).await.is_none().then_some(()) }).await;
}

/// Deletes the pipeline, without waiting for its end.
async fn delete(world: &World) {
    world.pipelines().delete("logins", &DeleteParams::default()).await.unwrap();
}

fn exists(kafka: &Cluster, topic: &str) -> bool {
    kafka.partitions(topic).unwrap().is_some()
}

/// The example with deletable topics, which is ready.
async fn doomed() -> (World, Operator, StandIn) {
    let (world, operator, cluster) = started().await;
    let manifest: Value = serde_yaml::from_str(EXAMPLE).unwrap();
    world.apply(&with(&manifest.to_string(), json!({"deletionPolicy": "Delete"}))).unwrap();
    world.wait_ready("logins").await;
    (world, operator, cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn created_topics_are_deleted_by_policy_the_source_by_its_own() {
    let (world, kafka) = (World::new().await, shared().await);
    let names = Names::new(&world);
    // A topic that existed before belongs to others.
    kafka.create_topic(&names.output, 2, &[]).unwrap();
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let manifest = names.manifest("logins", kafka.bootstrap(), 2);
    world.apply(&with(&manifest, json!({"deletionPolicy": "Delete"}))).unwrap();
    world.wait_ready("logins").await;
    assert_eq!(finalizers(&world).await.unwrap(), [FINALIZER]);
    // A pod that still writes keeps the topics.
    let pods = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
    let pod = json!({
        "metadata": {"name": "logins-processor-1", "labels": {
            "app.kubernetes.io/component": "processor", "loginpipeline.dev/pipeline": "logins",
        }},
        "spec": {"containers": [{"name": "processor", "image": "processor"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();

    delete(&world).await;
    let waiting = world.wait_condition("logins", "Ready", False, "Deleting").await;
    assert!(waiting.message.contains("loginpipeline.dev/force-delete"), "{}", waiting.message);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(exists(kafka, &names.dead_letters), "a pod is left");
    assert!(world.deployments().get_opt("logins-processor").await.unwrap().is_none());
    pods.delete("logins-processor-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    wait_gone(&world).await;
    let Names { dead_letters, deltas, state, replays, aggregates, insights, alerts, .. } = &names;
    for gone in [dead_letters, deltas, state, replays, aggregates, insights, alerts] {
        assert!(!exists(kafka, gone), "{gone}");
    }
    assert!(exists(kafka, &names.source) && exists(kafka, &names.output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_anew_by_others_stays() {
    let (world, kafka) = (World::new().await, shared().await);
    let names = Names::new(&world);
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let parts = json!({"source": {"deletionPolicy": "Delete"}});
    world.apply(&with(&names.manifest("logins", kafka.bootstrap(), 2), parts)).unwrap();
    world.wait_ready("logins").await;

    kafka.delete_topic(&names.source).unwrap();
    wait_for_async("its end", BOUND, || async { (!exists(kafka, &names.source)).then_some(()) }).await;
    let anew = || async { kafka.create_topic(&names.source, 2, &[]).ok() };
    wait_for_async("another of its name", BOUND, anew).await;

    delete(&world).await;
    wait_gone(&world).await;
    assert!(exists(kafka, &names.source) && exists(kafka, &names.dead_letters));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_keeps_its_topics_waits_for_nobody() {
    let (world, operator, _cluster) = running().await;
    assert_eq!(finalizers(&world).await.unwrap(), [""; 0]);
    // The finalizer is added and removed with the policy.
    world.change("logins", json!({"deletionPolicy": "Delete"})).await;
    let held = || async { (finalizers(&world).await? == [FINALIZER]).then_some(()) };
    wait_for_async("the finalizer", BOUND, held).await;
    world.change("logins", json!({"deletionPolicy": "Retain"})).await;
    let free = || async { finalizers(&world).await?.is_empty().then_some(()) };
    wait_for_async("no finalizer", BOUND, free).await;
    drop(operator);
    delete(&world).await;
    wait_gone(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_topics_of_the_pipeline_go_and_those_of_others_stay() {
    let (world, _operator, _cluster) = doomed().await;
    // An object with another owner's label belongs to that owner.
    let theirs = world.topic("output").await.unwrap().name_any();
    let label = Patch::Merge(json!({"metadata": {"labels": {"loginpipeline.dev/owner-uid": "another"}}}));
    world.topics().patch(&theirs, &PatchParams::default(), &label).await.unwrap();
    delete(&world).await;
    wait_gone(&world).await;
    let left: Vec<_> =
        world.topics().list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    let source = format!("{}-logins-source", world.namespace);
    assert_eq!(left, [theirs, source]);
    assert_eq!(Role::ALL.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn force_delete_ends_the_wait_and_an_event_names_what_may_stay() {
    let (world, _operator, cluster) = doomed().await;
    // Strimzi is gone: objects with its finalizer stay.
    cluster.answer("", Answer::Never);
    let output = world.topic("output").await.unwrap().name_any();
    let hold = |finalizers: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.topics().patch(&output, &PatchParams::default(), &hold(&["strimzi.io/topic-operator"])).await.unwrap();
    delete(&world).await;
    let waiting = world.wait_condition("logins", "Ready", False, "Deleting").await;
    assert!(
        waiting.message.contains("processed-user-login") || waiting.message.contains("pods"),
        "{}",
        waiting.message
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(finalizers(&world).await.is_some(), "it waits");

    let force = Patch::Merge(json!({"metadata": {"annotations": {"loginpipeline.dev/force-delete": "true"}}}));
    world.pipelines().patch("logins", &PatchParams::default(), &force).await.unwrap();
    wait_gone(&world).await;
    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let told = || async {
        let list = events.list(&ListParams::default()).await.unwrap();
        list.into_iter().find(|event| event.reason.as_deref() == Some("TopicsRetained"))
    };
    let told = wait_for_async("the event", BOUND, told).await;
    assert_eq!(told.type_.as_deref(), Some("Warning"));
    world.topics().patch(&output, &PatchParams::default(), &hold(&[])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_namespace_removes_its_pipeline_in_about_a_minute() {
    let (world, _operator, cluster) = doomed().await;
    cluster.answer("", Answer::Never);
    let output = world.topic("output").await.unwrap().name_any();
    let hold = |finalizers: &[&str]| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    world.topics().patch(&output, &PatchParams::default(), &hold(&["strimzi.io/topic-operator"])).await.unwrap();
    Api::<Namespace>::all(world.client.clone()).delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    // The namespace controller, which a bare API server lacks, deletes the content.
    delete(&world).await;
    let bound = BOUND + Duration::from_secs(40);
    wait_for_async("the pipeline's end", bound, || async { finalizers(&world).await.is_none().then_some(()) }).await;
    world.topics().patch(&output, &PatchParams::default(), &hold(&[])).await.unwrap();
}
