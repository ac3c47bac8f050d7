//! The watched namespaces, and the rights that they need.

use std::collections::BTreeSet;

use crds::pipeline::ConditionStatus::{False, True};
use operator::rights::{Place, RIGHTS, Right, rules};
use serde_json::json;
use testkit::wait_for_async;

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaces_given_are_watched_with_documented_rights_only() {
    let (a, b, c) = (World::new().await, World::new().await, World::new().await);
    let _clusters = [&a, &b, &c].map(|world| StandIn::start(world, &[]));
    let user = a.user();
    a.allow(&user, &rules(Place::Watched));
    a.allow(&user, &rules(Place::Lease));
    b.allow(&user, &rules(Place::Watched));
    let namespaces = format!("{},{}", a.namespace, b.namespace);
    let measuring = ["--measure-interval", "1s"];
    let arguments = [&["--watch-namespaces", &namespaces, "--lease-namespace", &a.namespace], &measuring[..]].concat();
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

    // Exercises pruning, requests to pods, and deletion.
    for change in 1..=3 {
        a.change("logins", json!({"aggregation": {"allowedLateness": format!("{change}m")}})).await;
        a.wait_condition("logins", "Ready", True, "Running").await;
        operator.quiet().await;
    }
    a.change("logins", json!({"networkPolicy": {"enabled": false}})).await;
    operator.quiet().await;
    // The page's requests, for a viewer of a pipeline.
    let opened = operator.get(&format!("/pipelines/{}/logins", a.namespace));
    assert_eq!(opened.matches("\"problem\":null").count(), 2, "{opened}");
    let requests = requests(&operator);
    assert!(!operator.process.log().contains("forbidden"), "{}", operator.process.log());
    for (verb, resource) in &requests {
        let is_allowed = |right: &&Right| right.resource == resource && right.verbs.contains(&verb.as_str());
        assert!(resource.starts_with('/') || RIGHTS.iter().any(|right| is_allowed(&right)), "{verb} {resource}");
    }
    // Every granted right is used: objects are created by patches, and other tests exercise the rest.
    let elsewhere = [
        ("patch", "loginpipelines"),
        ("get", "secrets"),
        ("get", "namespaces"),
        ("get", "kafkatopics"),
        ("delete", "kafkatopics"),
        ("delete", "deployments"),
    ];
    for (verb, resource) in RIGHTS.iter().flat_map(|right| right.verbs.iter().map(|verb| (*verb, right.resource))) {
        let is_used = requests.contains(&(verb.to_owned(), resource.to_owned()));
        assert!(
            is_used || verb == "create" || elsewhere.contains(&(verb, resource)),
            "{verb} {resource} is not needed"
        );
    }
    for right in RIGHTS.iter().filter(|right| right.verbs.contains(&"watch")) {
        let watched =
            format!("login_pipeline_operator_api_requests_total{{verb=\"watch\",resource=\"{}\"}}", right.resource);
        assert!(operator.metric(&watched) >= 2.0, "{} is watched nowhere", right.resource);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_cannot_be_watched_does_not_block_the_others() {
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

/// An operator's requests to the API server: verb and resource.
fn requests(operator: &Operator) -> BTreeSet<(String, String)> {
    let metrics = operator.get("/metrics");
    let lines =
        metrics.lines().filter_map(|line| line.strip_prefix("login_pipeline_operator_api_requests_total{verb=\""));
    let request = |line: &str| {
        let mut parts = line.split('"');
        (parts.next().unwrap().to_owned(), parts.nth(1).unwrap().to_owned())
    };
    lines.map(request).collect()
}
