//! What the first version of the resource stored is read and run by this one, and what it reported still counts.

use crds::pipeline::Duration;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::wait_for_async;

use crate::support::{BOUND, Operator, StandIn, World};

const FIRST: &str = include_str!("../fixtures/first-definition.yaml");
const PIPELINES: &str = include_str!("../fixtures/first-pipelines.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_version_stored_is_run_by_this_one() {
    let world = World::with_definition(FIRST).await;
    world.install_strimzi(&["v1"]);
    world.kafka("my-cluster").await;
    world.kafka("other-cluster").await;
    world.apply(PIPELINES).unwrap();
    // As its operator reported: the ConfigMap is gone since, and its number must not come to mean another config.
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
            (ready.reason == "Running" && status.topics.len() == 8).then_some(pipeline)
        };
        let pipeline = wait_for_async(name, BOUND, ready).await;
        // Nobody has written to the spec: not to store it anew, not to complete it.
        assert_eq!(pipeline.metadata.generation, Some(1), "{name}");
    }
    assert_eq!(world.config("logins").await.revision, reported + 1);

    let everything = world.pipelines().get("everything").await.unwrap().spec;
    assert_eq!((everything.processor.replicas, everything.processor.threads), (3, 2));
    assert_eq!(everything.aggregation.allowed_lateness, Duration::from_secs(10));
    let deployment = world.deployments().get("everything-processor").await.unwrap().spec.unwrap();
    let container = &deployment.template.spec.unwrap().containers[0];
    assert_eq!(container.image.as_deref(), Some("registry.example.org/processor:0.1.0"));
    assert_eq!(deployment.replicas, Some(3));

    // It goes on changing as any other.
    world.change("everything", json!({"processor": {"replicas": 4}, "topics": {"adopt": true}})).await;
    let scaled = || async {
        let deployment = world.deployments().get("everything-processor").await.unwrap();
        (deployment.spec.unwrap().replicas == Some(4)).then_some(())
    };
    wait_for_async("four replicas", BOUND, scaled).await;
}
