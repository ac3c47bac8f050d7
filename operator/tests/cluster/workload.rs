//! The objects other than the Deployment: they follow the spec, are restored when deleted, and belong to one pipeline
//! alone.

use std::time::Duration;

use crds::pipeline::ConditionStatus;
use futures::FutureExt;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::wait_for_async;

use crate::{
    proxy::Proxy,
    support::{BOUND, Operator, StandIn, World, running, started},
};

/// Every option for pods, and a name that begins with a digit.
const EVERYTHING: &str = include_str!("../fixtures/everything.yaml");

/// A spec that the API server completes with defaults.
const NARROW: &str = include_str!("../fixtures/narrow.yaml");

const PROCESSOR: &str = "logins-processor";

#[tokio::test(flavor = "multi_thread")]
async fn every_choice_of_how_pods_run_is_taken_and_then_left_alone() {
    let (world, operator, _cluster) = started().await;
    world.apply(EVERYTHING).unwrap();
    let name = "0-everything";
    world.wait_ready(name).await;
    operator.look(&world, name, 1).await;
    let before = world.children().await;
    for kind in ["ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "Deployment"] {
        assert!(before.contains_key(&format!("{kind}/{name}-processor")), "{kind}: {before:?}");
    }
    assert!(before.contains_key(&format!("Service/processor-{name}")), "{before:?}");
    operator.look(&world, name, 3).await;
    assert_eq!(before, world.children().await);

    // A user's additions to the pods are removed when the user removes them.
    let nothing =
        json!({"processor": {"podLabels": null, "affinity": null, "tolerations": null, "nodeSelector": null}});
    world.change(name, nothing).await;
    let without = || async {
        let template = world.deployments().get("0-everything-processor").await.unwrap().spec.unwrap().template;
        let pod = template.spec.unwrap();
        let is_gone = pod.affinity.is_none() && pod.tolerations.is_none() && pod.node_selector.is_none();
        (is_gone && !template.metadata.unwrap().labels.unwrap().contains_key("team")).then_some(())
    };
    wait_for_async("pods without them", BOUND, without).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_over_a_settled_pipeline_only_reads_and_reads_little() {
    let world = World::new().await;
    let proxy = Proxy::start(world.client.clone()).await;
    let operator = proxy.operator(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;

    for (name, manifest) in [("0-everything", EVERYTHING), ("narrow", NARROW)] {
        world.apply(manifest).unwrap();
        world.wait_ready(name).await;
        operator.quiet().await;
        let before = proxy.calls().len();
        operator.look(&world, name, 1).await;
        operator.quiet().await;

        let mut calls: Vec<_> = proxy.calls()[before..].iter().map(|call| (call.verb, call.resource.clone())).collect();
        calls.retain(|(verb, _)| *verb != "watch");
        calls.sort();
        let expected = [
            ("get", "deployments"),
            ("get", "kafkas"),
            ("get", "loginpipelines"),
            ("get", "networkpolicies"),
            ("get", "poddisruptionbudgets"),
            ("get", "serviceaccounts"),
            ("get", "services"),
            ("list", "configmaps"),
            ("list", "kafkatopics"),
        ];
        assert_eq!(calls, expected.map(|(verb, resource)| (verb, resource.to_owned())), "{name}");
    }
}

/// The status says Ready before the pass deletes the config that no pod needs any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_that_still_deletes_is_not_over() {
    let world = World::new().await;
    let proxy = Proxy::start(world.client.clone()).await;
    let operator = proxy.operator(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(NARROW).unwrap();
    world.wait_ready("narrow").await;
    proxy.hold(|call| {
        let is_held = call.verb == "delete" && call.resource == "configmaps";
        is_held.then(|| tokio::time::sleep(Duration::from_secs(2)).boxed())
    });

    let configs = || async { world.config_maps().list(&ListParams::default()).await.unwrap().items.len() };
    for (count, interval) in [(2, "200ms"), (3, "300ms")] {
        world.change("narrow", json!({"processor": {"commitInterval": interval}})).await;
        wait_for_async("another config", BOUND, || async { (configs().await == count).then_some(()) }).await;
        world.wait_ready("narrow").await;
    }
    operator.quiet().await;

    assert_eq!(configs().await, 2, "the config of the pods, and the one before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_policy_goes_and_comes_with_the_spec() {
    let (world, operator, _cluster) = running().await;
    let policies = world.network_policies();
    assert!(policies.get_opt(PROCESSOR).await.unwrap().is_some());

    world.change("logins", json!({"networkPolicy": {"enabled": false}})).await;
    let gone = || async { policies.get_opt(PROCESSOR).await.unwrap().is_none().then_some(()) };
    wait_for_async("no NetworkPolicy", BOUND, gone).await;

    // Another owner's object with that name is not taken over, whether the spec wants one or not.
    let theirs = json!({"metadata": {"name": PROCESSOR}, "spec": {"podSelector": {}}});
    let theirs = policies.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    operator.look(&world, "logins", 2).await;
    world.wait_ready("logins").await;
    world.change("logins", json!({"networkPolicy": {"enabled": true}})).await;
    world.wait_condition("logins", "ProcessorAvailable", ConditionStatus::False, "NameTaken").await;
    let left = policies.get(PROCESSOR).await.unwrap();
    assert_eq!(left.uid(), theirs.uid());
    assert_eq!(left.resource_version(), theirs.resource_version());

    policies.delete(PROCESSOR, &DeleteParams::default()).await.unwrap();
    world.wait_ready("logins").await;
    assert_ne!(policies.get(PROCESSOR).await.unwrap().uid(), theirs.uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_the_deployment_comes_back_too() {
    let (world, operator, _cluster) = running().await;

    comes_back(&operator, &world.network_policies(), PROCESSOR).await;
    comes_back(&operator, &world.pod_disruption_budgets(), PROCESSOR).await;
    comes_back(&operator, &world.services(), "processor-logins").await;
    comes_back(&operator, &world.service_accounts(), PROCESSOR).await;

    let by_hand = Patch::Merge(json!({"spec": {"maxUnavailable": 2}}));
    world.pod_disruption_budgets().patch(PROCESSOR, &PatchParams::default(), &by_hand).await.unwrap();
    let restored = || async {
        let budget = json!(world.pod_disruption_budgets().get(PROCESSOR).await.unwrap());
        (budget["spec"]["maxUnavailable"] == 1).then_some(())
    };
    wait_for_async("one pod at a time", BOUND, restored).await;
}

async fn comes_back<K>(operator: &Operator, api: &Api<K>, name: &str)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    // So that only the deletion itself causes a pass.
    operator.quiet().await;
    let gone = api.get(name).await.unwrap();
    api.delete(name, &DeleteParams::default()).await.unwrap();
    let remade = || async { api.get_opt(name).await.unwrap().filter(|remade| remade.uid() != gone.uid()) };
    wait_for_async("what was deleted", BOUND, remade).await;
}
