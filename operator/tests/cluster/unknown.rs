//! Ready is no lie either when nobody can look: a state that is not known is reported as that.

use axum::http::StatusCode;
use crds::pipeline::ConditionStatus::{True, Unknown};

use crate::{
    proxy::{Fate, Proxy},
    support::{EXAMPLE, Operator, StandIn, World},
};

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

    // One hiccup is none.
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
