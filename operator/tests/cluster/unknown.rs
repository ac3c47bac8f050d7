//! Ready stays correct when the operator cannot look: an unknown state is reported as unknown.

use std::sync::{Arc, Mutex};

use axum::{body::Bytes, http::StatusCode};
use crds::pipeline::ConditionStatus::{True, Unknown};
use futures::FutureExt;
use serde_json::json;

use crate::{
    proxy::{Call, Fate, Proxy},
    support::{EXAMPLE, Operator, StandIn, World},
};

const INTERNAL: Fate = Fate::Answer(StatusCode::INTERNAL_SERVER_ERROR);

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_cannot_be_looked_at_is_not_called_ready() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let proxy = Proxy::start(world.client.clone()).await;
    let operator: Operator = proxy.operator(&world).await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    operator.quiet().await;
    let before = world.children().await;

    // A single failure is ignored.
    proxy.plan(|call| if call.resource == "deployments" { Fate::Answer(StatusCode::FORBIDDEN) } else { Fate::Through });
    operator.look(&world, "logins", 1).await;
    assert_eq!(world.condition("logins", "Ready").await.unwrap().status, True);

    let unknown = world.wait_condition("logins", "Ready", Unknown, "ApiServerFailed").await;
    assert!(unknown.message.contains("the Deployment"), "{}", unknown.message);
    assert_eq!(world.condition("logins", "Reconciling").await.unwrap().status, True);
    assert_eq!(world.children().await, before, "nothing that runs is touched");

    proxy.resume();
    world.wait_ready("logins").await;
    assert_eq!(world.children().await, before);
}

/// Only the API server can tell whether Strimzi is installed: a failed request is not an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_strimzi_of_which_nobody_can_tell_is_not_called_missing() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let reported = Arc::new(Mutex::new(String::new()));
    let heard = reported.clone();
    let witness = move |call: Call, body: Bytes| {
        if call.resource == "loginpipelines/status" {
            heard.lock().unwrap().push_str(&String::from_utf8_lossy(&body));
        }
        std::future::ready(()).boxed()
    };
    let proxy = Proxy::with_witness(world.client.clone(), Some(Box::new(witness))).await;
    let operator = proxy.operator(&world).await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    operator.quiet().await;
    drop(operator);
    reported.lock().unwrap().clear();

    // A failure at the start changes nothing.
    let mut failures = 0;
    proxy.plan(move |call| {
        failures += usize::from(call.resource == "/apis");
        if call.resource == "/apis" && failures <= 2 { INTERNAL } else { Fate::Through }
    });
    let operator = proxy.operator(&world).await;
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;
    world.wait_ready("logins").await;
    for reason in ["StrimziNotInstalled", "ApiServerFailed"] {
        assert!(!reported.lock().unwrap().contains(reason), "{reason}");
    }
    drop(operator);

    // A lasting failure is reported, and running pods still follow the spec.
    proxy.plan(|call| if call.resource == "/apis" { INTERNAL } else { Fate::Through });
    let _operator = proxy.operator(&world).await;
    let unknown = world.wait_condition("logins", "TopicsReady", Unknown, "ApiServerFailed").await;
    assert!(unknown.message.contains("whether it serves Strimzi's resources"), "{}", unknown.message);
    world.change("logins", json!({"processor": {"replicas": 2}})).await;
    world.wait_replicas(2).await;
    proxy.resume();
    world.wait_ready("logins").await;
    assert!(!reported.lock().unwrap().contains("StrimziNotInstalled"));
}
