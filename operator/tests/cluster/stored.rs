//! This version reads and runs resources that earlier versions stored, and their reported status still counts.

use crds::{
    job::{JobConfig, VERSION},
    pipeline::Duration,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::{kafka, wait_for_async};

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, World};

const FIRST: &str = include_str!("../fixtures/first-definition.yaml");
const PIPELINES: &str = include_str!("../fixtures/first-pipelines.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_stored_is_run_by_this_one() {
    let world = World::with_definition(FIRST).await;
    world.install_strimzi(&["v1"]);
    world.kafka("my-cluster").await;
    world.kafka("other-cluster").await;
    world.apply(PIPELINES).unwrap();
    // The old operator reported it: the ConfigMap is gone since then, and its number must not be reused for another
    // config.
    let reported = world.first_revision("logins").await + 5;
    let role = |role: &str, name: &str| json!({"role": role, "name": name, "partitions": 8, "created": true});
    let status = json!({
        "observedGeneration": 1, "replicas": 2, "readyReplicas": 2, "selector": "a=b",
        "config": {"revision": reported, "configMap": "logins-config-0123456789"},
        "topics": [role("Source", "user-login"), role("Deltas", "streams.logins.deltas")],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "Running", "message": "all is well",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        }],
    });
    let patch = Patch::Merge(json!({"status": status}));
    world.pipelines_as_they_are().patch_status("logins", &PatchParams::default(), &patch).await.unwrap();

    world.upgrade();
    let _cluster = StandIn::start(&world, &[]);
    let _operator = Operator::start(&world).await;
    for name in ["logins", "everything"] {
        let ready = || async {
            let pipeline = world.pipelines().get(name).await.unwrap();
            let status = pipeline.status.clone()?;
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?.clone();
            (ready.reason == "Running" && status.topics.len() == 9).then_some(pipeline)
        };
        let pipeline = wait_for_async(name, BOUND, ready).await;
        // The spec was not written: neither to store it again nor to complete it.
        assert_eq!(pipeline.metadata.generation, Some(1), "{name}");
    }
    assert_eq!(world.config("logins").await.revision, reported + 1);

    let everything = world.pipelines().get("everything").await.unwrap().spec;
    assert_eq!(everything.processor.replicas, 3);
    assert_eq!(everything.processor.threads, 2);
    assert_eq!(everything.aggregation.allowed_lateness, Duration::from_secs(10));
    let deployment = world.deployments().get("everything-processor").await.unwrap().spec.unwrap();
    let container = &deployment.template.spec.unwrap().containers[0];
    assert_eq!(container.image.as_deref(), Some("registry.example.org/processor:0.1.0"));
    assert_eq!(deployment.replicas, Some(3));

    // It accepts changes like any other.
    world.change("everything", json!({"processor": {"replicas": 4}, "topics": {"adopt": true}})).await;
    let scaled = || async {
        let deployment = world.deployments().get("everything-processor").await.unwrap();
        (deployment.spec.unwrap().replicas == Some(4)).then_some(())
    };
    wait_for_async("four replicas", BOUND, scaled).await;
}

const REVISION: &str = include_str!("../fixtures/first-revision.yaml");

/// What pods run: the Deployment's template, and every stored job config.
async fn running(world: &World) -> (Value, Vec<(String, String)>) {
    let deployment = world.deployments().get("logins-processor").await.unwrap();
    let config_maps = world.config_maps().list(&ListParams::default()).await.unwrap();
    let ours = config_maps.into_iter().filter(|map| map.name_any().starts_with("logins-config-"));
    let jobs = ours.map(|map| (map.name_any(), map.data.unwrap()["job.json"].clone()));
    (json!([deployment.metadata.generation, deployment.spec.unwrap().template]), jobs.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_stored_by_an_older_operator_stays_until_a_change() {
    let world = World::new().await;
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    let servers = tokio::task::spawn_blocking(kafka::shared).await.unwrap().bootstrap();
    let uid = world.pipelines().get("logins").await.unwrap().uid().unwrap();
    let number = world.first_revision("logins").await;
    let stored = REVISION
        .replace("BOOTSTRAP", servers)
        .replace("OWNER_UID", &uid)
        .replace("NAMESPACE", &world.namespace)
        .replace("NUMBER", &number.to_string());
    let mut documents = serde_yaml::Deserializer::from_str(&stored);
    let config_map = ConfigMap::deserialize(documents.next().unwrap()).unwrap();
    let deployment = Deployment::deserialize(documents.next().unwrap()).unwrap();
    let params = PatchParams::apply("login-pipeline-operator").force();
    let name = config_map.name_any();
    world.config_maps().patch(&name, &params, &Patch::Apply(config_map)).await.unwrap();
    world.deployments().patch("logins-processor", &params, &Patch::Apply(deployment)).await.unwrap();
    let config = json!({"revision": number, "configMap": name, "image": "registry.example.org/processor:0.0.9"});
    let status = Patch::Merge(json!({"status": {"config": config, "lastHealthy": config}}));
    world.pipelines_as_they_are().patch_status("logins", &PatchParams::default(), &status).await.unwrap();
    let before = running(&world).await;
    assert!(before.1.len() == 1 && before.1[0].1.contains("\"version\": 1"), "{before:?}");

    let _cluster = StandIn::start(&world, &[]);
    // Neither the new default image, nor another pass, nor another operator changes what pods run.
    for image in ["processor:today", "processor:tomorrow"] {
        let arguments = ["--leader-election=false", "--processor-image", image];
        let operator = Operator::start_with(&world, world.server.kubeconfig(), &arguments).await;
        world.wait_ready("logins").await;
        operator.look(&world, "logins", 3).await;
        operator.quiet().await;
        assert_eq!(running(&world).await, before, "{image}");
        assert_eq!(json!(world.config("logins").await), config);
    }

    // A change of the spec is rendered as today's operator does, under the next number.
    let arguments = ["--leader-election=false", "--processor-image", "processor:today"];
    let _operator = Operator::start_with(&world, world.server.kubeconfig(), &arguments).await;
    world.change("logins", json!({"processor": {"threads": 2}})).await;
    let changed = || async { Some(world.config("logins").await).filter(|config| config.revision > number) };
    let config = wait_for_async("another revision", BOUND, changed).await;
    assert_eq!(config.revision, number + 1);
    assert_eq!(config.image.as_deref(), Some("processor:today"));
    world.wait_ready("logins").await;
    let (_, jobs) = running(&world).await;
    let (_, job) = jobs.into_iter().find(|(name, _)| *name == config.config_map).unwrap();
    let job = JobConfig::parse(&job).unwrap();
    assert_eq!(job.version, VERSION);
    assert_eq!(job.threads, 2);
    let pod = world.deployments().get("logins-processor").await.unwrap().spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.containers[0].image.as_deref(), Some("processor:today"));
    assert_eq!(pod.termination_grace_period_seconds, Some(30));
}
