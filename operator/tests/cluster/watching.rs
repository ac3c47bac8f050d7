//! Which namespaces are watched, with which rights.

use crds::pipeline::ConditionStatus::False;
use operator::rights::{Place, RIGHTS, rules};
use testkit::wait_for_async;

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaces_that_are_named_are_watched_with_the_rights_of_the_table_and_no_others() {
    let (a, b, c) = (World::new().await, World::new().await, World::new().await);
    let _clusters = [&a, &b, &c].map(|world| StandIn::start(world, &[]));
    let user = a.user();
    a.allow(&user, &rules(Place::Watched));
    a.allow(&user, &rules(Place::Lease));
    b.allow(&user, &rules(Place::Watched));
    let namespaces = format!("{},{}", a.namespace, b.namespace);
    let arguments = ["--watch-namespaces", &namespaces, "--lease-namespace", &a.namespace];
    let operator = Operator::start_with(&a, &user.kubeconfig, &arguments).await;
    for world in [&a, &b, &c] {
        world.apply(EXAMPLE).unwrap();
    }
    for world in [&a, &b] {
        world.wait_condition("logins", "Ready", False, "KafkaNotFound").await;
        // Strimzi's resources are watched in both, too.
        world.kafka("my-cluster").await;
        world.wait_ready("logins").await;
    }
    assert_eq!(c.condition("logins", "Ready").await, None);

    let metrics = operator.get("/metrics");
    assert!(!operator.process.log().contains("forbidden"), "{}", operator.process.log());
    let label = |line: &str, name: &str| {
        line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    for line in metrics.lines().filter(|line| line.contains("_api_requests_total{")) {
        let (verb, resource) = (label(line, "verb"), label(line, "resource"));
        let is_listed = |resource: &str| {
            RIGHTS.iter().any(|right| right.resource == resource && right.verbs.contains(&verb.as_str()))
        };
        assert!(resource.starts_with('/') || is_listed(&resource), "{verb} {resource} is in no right");
    }
    for right in RIGHTS.iter().filter(|right| right.verbs.contains(&"watch")) {
        let watched =
            format!("login_pipeline_operator_api_requests_total{{verb=\"watch\",resource=\"{}\"}}", right.resource);
        assert!(operator.metric(&watched) >= 2.0, "{} is watched nowhere", right.resource);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_watched_keeps_the_others_from_nothing() {
    let (a, b) = (World::new().await, World::new().await);
    let _clusters = [&a, &b].map(|world| StandIn::start(world, &[]));
    let user = a.user();
    a.allow(&user, &rules(Place::Watched));
    let namespaces = format!("{},{}", a.namespace, b.namespace);
    let arguments = ["--watch-namespaces", &namespaces, "--leader-election=false"];
    let operator = Operator::start_unready(&a, &user.kubeconfig, &arguments).await;
    for world in [&a, &b] {
        world.kafka("my-cluster").await;
        world.apply(EXAMPLE).unwrap();
    }
    a.wait_ready("logins").await;
    assert!(operator.get("/readyz").starts_with("HTTP/1.1 503"));
    assert!(operator.get("/healthz").starts_with("HTTP/1.1 200"));
    b.allow(&user, &rules(Place::Watched));
    b.wait_ready("logins").await;
    let ready = || async { operator.get("/readyz").starts_with("HTTP/1.1 200").then_some(()) };
    wait_for_async("readiness", BOUND, ready).await;
}
