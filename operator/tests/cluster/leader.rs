//! One of several operators works, and the next one takes over: soon after an orderly end, in time after any other.

use std::time::{Duration, Instant};

use crds::pipeline::ConditionStatus::Unknown;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use operator::rights::{Place, rules};
use serde_json::{Value, json};
use testkit::wait_for_async;

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, World};

/// The exit code of an operator that lost leadership.
const LEADERSHIP_LOST: i32 = 3;

async fn candidate(world: &World) -> Operator {
    Operator::start_with(world, world.server.kubeconfig(), &["--lease-namespace", &world.namespace]).await
}

fn leads(operator: &Operator) -> bool {
    operator.metric("login_pipeline_operator_leader") == 1.0
}

/// The first leader. It may not have looked at any pipeline yet.
async fn leader_of(world: &World) -> Operator {
    let operator = candidate(world).await;
    wait_for_async("a leader", BOUND, || async { leads(&operator).then_some(()) }).await;
    operator
}

/// A Lease that is not renewed expires 15 s after its last renewal, which was up to 2 s ago.
const EXPIRES: Duration = Duration::from_secs(12);

fn leases(world: &World) -> Api<Lease> {
    Api::namespaced(world.client.clone(), &world.namespace)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_one_leads_and_hands_over_when_terminated() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let mut first = leader_of(&world).await;
    let second = candidate(&world).await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    assert!(!leads(&second) && second.metric("login_pipeline_operator_reconciliations_total") == 0.0);
    // A standby asks only for the Lease.
    let metrics = second.get("/metrics");
    let asked: Vec<_> = metrics.lines().filter(|line| line.contains("_api_requests_total{")).collect();
    assert!(matches!(asked[..], [line] if line.contains("resource=\"leases\"")), "{asked:?}");
    assert!(second.get("/readyz").starts_with("HTTP/1.1 200") && second.get("/healthz").starts_with("HTTP/1.1 200"));

    let asked = Instant::now();
    first.process.signal("TERM");
    let looks = || async { (second.metric("login_pipeline_operator_reconciliations_total") >= 1.0).then_some(()) };
    wait_for_async("the successor's first pass", BOUND, looks).await;
    let took = asked.elapsed();
    assert_eq!(first.process.wait(BOUND).unwrap(), 0);
    assert!(took < EXPIRES, "the Lease was not handed over, it expired: {took:?}");

    // And it works.
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;
    let lease = leases(&world).get("login-pipeline-operator").await.unwrap().spec.unwrap();
    assert_eq!(lease.lease_transitions, Some(2));
}

/// A stopped machine is like a dead one, until it resumes.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_leader_is_succeeded_and_exits_when_it_resumes() {
    let world = World::new().await;
    let mut first = leader_of(&world).await;
    let second = candidate(&world).await;
    let stopped = Instant::now();
    first.process.signal("STOP");
    wait_for_async("the successor", BOUND, || async { leads(&second).then_some(()) }).await;
    let took = stopped.elapsed();
    assert!(took > EXPIRES, "{took:?}");
    first.process.signal("CONT");
    assert_eq!(first.process.wait(BOUND).unwrap(), LEADERSHIP_LOST);
    assert!(leads(&second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_is_succeeded() {
    let world = World::new().await;
    let mut first = leader_of(&world).await;
    let second = candidate(&world).await;
    let killed = Instant::now();
    first.process.kill();
    wait_for_async("the successor", BOUND, || async { leads(&second).then_some(()) }).await;
    let took = killed.elapsed();
    assert!(took > EXPIRES, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_renew_stops_before_another_starts() {
    let world = World::new().await;
    let user = world.user();
    world.allow(&user, &rules(Place::Watched));
    let binding = world.allow(&user, &rules(Place::Lease));
    let arguments = ["--lease-namespace", &world.namespace];
    let mut first = Operator::start_with(&world, &user.kubeconfig, &arguments).await;
    wait_for_async("a leader", BOUND, || async { leads(&first).then_some(()) }).await;
    let second = candidate(&world).await;

    world.delete("rolebinding", &binding).unwrap();
    let revoked = Instant::now();
    let ended = wait_for_async("its end", BOUND, || {
        let status = first.process.status();
        assert!(status.is_some() || !leads(&second), "both lead");
        async move { status }
    });
    assert_eq!(ended.await, LEADERSHIP_LOST);
    let took = revoked.elapsed();
    assert!(took > Duration::from_secs(7), "it gave up too early: {took:?}");
    assert!(first.process.log().contains("the Lease could not be renewed"), "{}", first.process.log());
    wait_for_async("the successor", BOUND, || async { leads(&second).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_lease_is_taken_or_deleted_ends() {
    let world = World::new().await;
    let mut first = leader_of(&world).await;
    let taken = Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
    leases(&world).patch("login-pipeline-operator", &PatchParams::default(), &taken).await.unwrap();
    assert_eq!(first.process.wait(BOUND).unwrap(), LEADERSHIP_LOST);
    assert!(first.process.log().contains("the Lease was taken by \"somebody\""), "{}", first.process.log());

    leases(&world).delete("login-pipeline-operator", &DeleteParams::default()).await.unwrap();
    let mut second = leader_of(&world).await;
    // Another writer that does not take the Lease is no reason to stop.
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    leases(&world).patch("login-pipeline-operator", &PatchParams::default(), &label).await.unwrap();
    let renewed = leases(&world).get("login-pipeline-operator").await.unwrap().resource_version();
    let again = || async {
        let lease = leases(&world).get("login-pipeline-operator").await.unwrap();
        (lease.resource_version() != renewed && lease.labels().contains_key("a")).then_some(())
    };
    wait_for_async("a renewal", BOUND, again).await;
    leases(&world).delete("login-pipeline-operator", &DeleteParams::default()).await.unwrap();
    assert_eq!(second.process.wait(BOUND).unwrap(), LEADERSHIP_LOST);
}

/// The worst result of two leaders at once: none.
#[tokio::test(flavor = "multi_thread")]
async fn two_operators_without_election_converge_then_write_nothing() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let (first, second) = tokio::join!(Operator::start(&world), Operator::start(&world));
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    for change in 1..=5 {
        let spec =
            json!({"aggregation": {"allowedLateness": format!("{change}m")}, "source": {"partitions": 8 + change}});
        world.change("logins", spec).await;
    }
    let config = wait_for_async("the last config", BOUND, || async {
        let pipeline = world.pipelines().get("logins").await.unwrap();
        let status = pipeline.status.clone().unwrap();
        let config = world.config_maps().get_opt(&status.config?.config_map).await.unwrap()?;
        let is_last = config.data.unwrap()["job.json"].contains("\"5m\"");
        (is_last && status.observed_generation == pipeline.metadata.generation).then_some(config.metadata.name)
    })
    .await;
    world.wait_ready("logins").await;
    first.quiet().await;
    second.quiet().await;
    let deployment = world.deployments().get("logins-processor").await.unwrap();
    let volumes = deployment.spec.unwrap().template.spec.unwrap().volumes.unwrap();
    assert_eq!(volumes[0].config_map.as_ref().map(|source| &source.name), config.as_ref());
    assert!(world.config_maps().list(&ListParams::default()).await.unwrap().items.len() <= 2);

    let before = world.versions().await;
    first.look(&world, "logins", 3).await;
    second.look(&world, "logins", 3).await;
    let mut after = world.versions().await;
    // The test's own annotation.
    after.insert("LoginPipeline/logins".to_owned(), before["LoginPipeline/logins"].clone());
    assert_eq!(before, after);
}

/// As if another operator had used the same number for another content at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_taken_twice_is_used_by_no_pod() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    let number = world.first_revision("logins").await;
    let uid = world.pipelines().get("logins").await.unwrap().uid().unwrap();
    let theirs = |name: &str, data: &Value| {
        let owner = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "name": "logins", "uid": uid, "controller": true,
        });
        let labels =
            json!({"loginpipeline.dev/pipeline": "logins", "loginpipeline.dev/config-revision": number.to_string()});
        let metadata = json!({"name": name, "labels": labels, "ownerReferences": [owner]});
        serde_json::from_value(json!({"metadata": metadata, "data": data})).unwrap()
    };
    // One that did not exist when the pass looked.
    world.config_maps().create(&PostParams::default(), &theirs("theirs", &json!({}))).await.unwrap();
    let operator = Operator::start(&world).await;
    let contested = world.wait_condition("logins", "ProcessorAvailable", Unknown, "ApiServerFailed").await;
    assert!(contested.message.contains(&format!("revision {number} was taken by another operator")), "{contested:?}");
    assert!(world.deployments().list(&ListParams::default()).await.unwrap().items.is_empty());
    world.config_maps().delete("theirs", &DeleteParams::default()).await.unwrap();
    world.wait_ready("logins").await;
    assert_eq!(world.config("logins").await.revision, number);

    // One that exists when the next pass looks.
    let ours = world.config_maps().get(&world.config("logins").await.config_map).await.unwrap();
    let mut data = ours.data.unwrap();
    data.insert("inputs.json".to_owned(), "{}".to_owned());
    world.config_maps().create(&PostParams::default(), &theirs("theirs", &json!(data))).await.unwrap();
    operator.look(&world, "logins", 1).await;
    let next = || async { (world.config("logins").await.revision == number + 1).then_some(()) };
    wait_for_async("the next number", BOUND, next).await;
    world.wait_ready("logins").await;
}
