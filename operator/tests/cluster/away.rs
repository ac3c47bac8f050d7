//! Failures around the operator stop no pods: during a failure nothing that runs is changed or deleted, and afterwards
//! the operator continues.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use crds::pipeline::ConditionStatus::{False, True};
use futures::FutureExt;
use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::{unique, wait_for_async};

use crate::{
    proxy::{Fate, Proxy},
    support::{BOUND, EXAMPLE, Operator, StandIn, World},
};

/// The length of a fault: the operator retries after one, two and four seconds.
const FAULT: Duration = Duration::from_secs(2);

/// A pipeline whose pods run.
struct Running {
    world: World,
    proxy: Proxy,
    operator: Operator,
    _cluster: StandIn,
    deployment: Deployment,
    replicas: i32,
}

impl Running {
    async fn on(world: World) -> Self {
        let cluster = StandIn::start(&world, &[]);
        world.kafka("my-cluster").await;
        let proxy = Proxy::start(world.client.clone()).await;
        let operator = proxy.operator(&world).await;
        world.apply(EXAMPLE).unwrap();
        world.wait_ready("logins").await;
        operator.quiet().await;
        let deployment = world.deployments().get("logins-processor").await.unwrap();
        Self { world, proxy, operator, _cluster: cluster, deployment, replicas: 2 }
    }

    /// Makes the operator reconcile the pipeline, if it can.
    async fn poke(&self) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"test/look": unique("look")}}}));
        self.world.pipelines().patch("logins", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Asserts that the pods run as before, and that the operator has deleted nothing.
    async fn is_untouched(&self, during: &str) {
        let now = self.world.deployments().get("logins-processor").await.unwrap();
        assert_eq!(now.uid(), self.deployment.uid(), "{during}");
        let template = |deployment: &Deployment| deployment.spec.clone().unwrap().template;
        assert_eq!(template(&now), template(&self.deployment), "{during}");
        assert_eq!(now.spec.unwrap().replicas, Some(self.replicas), "{during}");
        let writes = self.proxy.writes();
        let deletes: Vec<_> = writes.iter().filter(|call| call.verb == "delete").collect();
        assert!(deletes.is_empty(), "{during}: {deletes:?}");
    }

    /// Asserts that the operator works again: a change takes effect.
    async fn goes_on(&mut self, after: &str) {
        self.replicas += 1;
        self.world.change("logins", json!({"processor": {"replicas": self.replicas}})).await;
        let scaled = || async {
            let deployment = self.world.deployments().get("logins-processor").await.unwrap();
            (deployment.spec.unwrap().replicas == Some(self.replicas)).then_some(())
        };
        wait_for_async(after, BOUND, scaled).await;
        self.world.wait_ready("logins").await;
        self.is_untouched(after).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_revoked_stop_nothing_and_return() {
    let mut running = Running::on(World::new().await).await;
    let calls = running.proxy.calls();
    let is_kind = |resource: &&String| !resource.starts_with('/') && *resource != "leases";
    let resources: BTreeSet<_> = calls.iter().map(|call| &call.resource).filter(is_kind).cloned().collect();
    assert!(resources.len() >= 8, "{resources:?}");

    for revoked in resources {
        let kind = revoked.clone();
        running.proxy.plan(move |call| {
            let is_meant = call.resource == kind;
            if is_meant { Fate::Answer(StatusCode::FORBIDDEN) } else { Fate::Through }
        });
        // An open watch stays allowed; the next one is refused.
        running.proxy.cut();
        running.poke().await;
        tokio::time::sleep(FAULT).await;
        running.is_untouched(&revoked).await;
        running.proxy.resume();
    }

    running.proxy.plan(|_| Fate::Answer(StatusCode::FORBIDDEN));
    running.proxy.cut();
    running.poke().await;
    tokio::time::sleep(FAULT).await;
    running.is_untouched("no rights at all").await;
    running.proxy.resume();
    running.goes_on("rights that are back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_stops_nothing_and_returns() {
    let mut running = Running::on(World::new().await).await;
    for (how, fate) in
        [("nobody listens", Fate::Cut), ("it is starting", Fate::Answer(StatusCode::SERVICE_UNAVAILABLE))]
    {
        running.proxy.plan(move |_| fate);
        running.proxy.cut();
        running.poke().await;
        tokio::time::sleep(2 * FAULT).await;
        running.is_untouched(how).await;
        running.proxy.resume();
        running.goes_on(how).await;
    }

    // A new operator that reaches no API server waits.
    running.proxy.plan(|_| Fate::Cut);
    running.proxy.cut();
    running.operator.process.kill();
    let starting = running.proxy.operator(&running.world);
    let proxy = &running.proxy;
    let returning = async {
        tokio::time::sleep(FAULT).await;
        proxy.resume();
    };
    let (operator, ()) = futures::join!(starting, returning);
    running.operator = operator;
    running.goes_on("an operator that started before the API server").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_and_a_strimzi_that_are_gone_stop_nothing_and_return() {
    let world = World::bare().await;
    world.install_strimzi(&["v1"]);
    let mut running = Running::on(world).await;
    running.world.dynamic("Kafka").delete("my-cluster", &DeleteParams::default()).await.unwrap();
    running.world.wait_condition("logins", "TopicsReady", False, "KafkaNotFound").await;
    assert_eq!(running.world.condition("logins", "ProcessorAvailable").await.unwrap().status, True);
    running.operator.look(&running.world, "logins", 2).await;
    running.is_untouched("no Kafka").await;
    running.world.kafka("my-cluster").await;
    running.goes_on("a Kafka that is back").await;

    let crds = Api::<CustomResourceDefinition>::all(running.world.client.clone());
    for plural in ["kafkas", "kafkatopics"] {
        crds.delete(&format!("{plural}.kafka.strimzi.io"), &DeleteParams::default()).await.unwrap();
    }
    running.world.wait_condition("logins", "TopicsReady", False, "StrimziNotInstalled").await;
    assert_eq!(running.world.condition("logins", "ProcessorAvailable").await.unwrap().status, True);
    running.operator.look(&running.world, "logins", 2).await;
    running.is_untouched("no Strimzi").await;
    running.world.install_strimzi(&["v1"]);
    running.world.kafka("my-cluster").await;
    // The objects were deleted with the definition, and the topics with the objects: a person accepts that loss.
    let lost = running.world.wait_condition("logins", "TopicsReady", False, "TopicLost").await;
    assert!(lost.message.contains("its records are lost"), "{}", lost.message);
    running.operator.look(&running.world, "logins", 2).await;
    running.is_untouched("topics that are lost").await;
    running.world.accept_losses("logins").await;
    running.goes_on("a Strimzi that is back").await;
}

/// Between a pass's read and its write, an object may have been deleted and replaced by another owner's of the same
/// name.
#[tokio::test(flavor = "multi_thread")]
async fn what_took_an_objects_place_meanwhile_is_left_alone() {
    let running = Running::on(World::new().await).await;
    let (world, proxy) = (&running.world, &running.proxy);
    let is_met = Arc::new(AtomicBool::new(false));
    let met = is_met.clone();

    // The first write of the Deployment waits until the test has replaced it.
    let replaced = Arc::new(tokio::sync::Notify::new());
    let (waiting, go) = (Arc::new(tokio::sync::Notify::new()), replaced.clone());
    let reached = waiting.clone();
    proxy.hold(move |call| {
        let is_first = call.verb == "patch" && call.resource == "deployments" && !met.swap(true, Ordering::Relaxed);
        let (reached, go) = (reached.clone(), go.clone());
        is_first.then(|| {
            async move {
                reached.notify_one();
                go.notified().await;
            }
            .boxed()
        })
    });

    world.change("logins", json!({"processor": {"threads": 2}})).await;
    waiting.notified().await;
    world.deployments().delete("logins-processor", &DeleteParams::default()).await.unwrap();

    // So similar to the pipeline's that an apply would succeed.
    let selector = &running.deployment.spec.as_ref().unwrap().selector;
    let theirs = json!({
        "metadata": {"name": "logins-processor"},
        "spec": {
            "selector": selector,
            "template": {"metadata": {"labels": selector.match_labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        },
    });
    let theirs: Deployment = serde_json::from_value(theirs).unwrap();
    let theirs = world.deployments().create(&PostParams::default(), &theirs).await.unwrap();

    replaced.notify_one();
    world.wait_condition("logins", "ProcessorAvailable", False, "NameTaken").await;
    assert!(is_met.load(Ordering::Relaxed));
    let left = world.deployments().get("logins-processor").await.unwrap();
    assert_eq!(left.uid(), theirs.uid());
    assert_eq!(left.spec, theirs.spec);
    assert_eq!(left.metadata.labels, None);
}
