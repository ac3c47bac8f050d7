//! Whatever happens to the operator and its requests, the final state is the same; and then no request changes
//! anything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Bytes, http::StatusCode};
use crds::{
    pipeline::{ConditionStatus, LoginPipeline},
    strimzi::api_resource,
    topics::Role,
};
use futures::{FutureExt, StreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client,
    api::{ApiResource, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{stand_in, unique, wait_for_async};

use crate::{
    proxy::{Call, Fate, Proxy, Witness},
    snapshot::{Snapshot, differences, snapshot, snapshots},
    support::{BOUND, EXAMPLE, StandIn, World},
};

/// A pipeline that becomes ready, changes everything that a rollout covers, and becomes ready again.
async fn history(client: &Client, namespace: &str) {
    let pipelines: Api<LoginPipeline> = Api::namespaced(client.clone(), namespace);
    pipelines.create(&PostParams::default(), &serde_yaml::from_str(EXAMPLE).unwrap()).await.unwrap();
    wait_current(&pipelines).await;
    let change = json!({
        "aggregation": {"allowedLateness": "1m"}, "source": {"partitions": 12}, "processor": {"replicas": 3},
    });
    pipelines.patch("logins", &PatchParams::default(), &Patch::Merge(json!({"spec": change}))).await.unwrap();
    wait_current(&pipelines).await;
}

async fn wait_current(pipelines: &Api<LoginPipeline>) {
    let is_current = || async { is_ready(&pipelines.get("logins").await.unwrap()).then_some(()) };
    wait_for_async("readiness", 4 * BOUND, is_current).await;
}

/// Whether it is ready for its current generation.
fn is_ready(pipeline: &LoginPipeline) -> bool {
    pipeline.status.iter().flat_map(|status| &status.conditions).any(|condition| {
        let is_current = condition.observed_generation == pipeline.metadata.generation;
        condition.type_ == "Ready" && condition.status == ConditionStatus::True && is_current
    })
}

/// Waits until the operator has written nothing for a while.
async fn wait_settled(proxy: &Proxy) {
    const QUIET: Duration = Duration::from_millis(1500);
    let mut writes = proxy.writes().len();
    loop {
        tokio::time::sleep(QUIET).await;
        let now = proxy.writes().len();
        if now == writes {
            return;
        }
        writes = now;
    }
}

/// The final state of a history when the operator is killed right after its n-th write, and whether it made that many
/// writes.
async fn killed_after(writes: usize) -> (Snapshot, bool) {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let (misdeeds, witness) = Misdeeds::witness(&world.client);
    let proxy = Proxy::with_witness(world.client.clone(), Some(witness)).await;
    let mut left = writes;
    proxy.plan(move |call| {
        left -= usize::from(call.is_write() && left > 0);
        if call.is_write() && left == 0 { Fate::Last } else { Fate::Through }
    });
    let mut operator = proxy.operator(&world).await;
    let history = history(&world.client, &world.namespace);
    let mut history = std::pin::pin!(history);
    let was_killed = tokio::select! {
        () = proxy.over() => true,
        () = &mut history => false,
    };
    if was_killed {
        operator.process.kill();
        proxy.resume();
        operator = proxy.operator(&world).await;
        history.await;
    }
    wait_settled(&proxy).await;
    drop(operator);
    misdeeds.lock().unwrap().are_none();
    (snapshot(&world.client, &world.namespace).await, was_killed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_operator_recovers_from_a_kill_after_any_write() {
    const AT_ONCE: usize = 6;
    let (undisturbed, _) = killed_after(usize::MAX).await;
    let mut writes = 0;
    loop {
        let batch = (writes + 1..=writes + AT_ONCE).map(|writes| async move { (writes, killed_after(writes).await) });
        let ends: Vec<_> = stream::iter(batch).buffered(AT_ONCE).collect().await;
        for (writes, (end, was_killed)) in &ends {
            let differences = differences(&undisturbed, end);
            assert!(differences.is_empty(), "killed after write {writes} ({was_killed}): {differences:#?}");
        }
        if ends.iter().any(|(_, (_, was_killed))| !was_killed) {
            break;
        }
        writes += AT_ONCE;
    }

    // Nine topics, created once and three of them grown; the other objects; a new config; the status.
    assert!(writes > 16, "{writes}");
}

const FAULTS: [Fate; 6] = [
    Fate::Answer(StatusCode::CONFLICT),
    Fate::Answer(StatusCode::TOO_MANY_REQUESTS),
    Fate::Answer(StatusCode::INTERNAL_SERVER_ERROR),
    Fate::Answer(StatusCode::FORBIDDEN),
    Fate::Stall,
    Fate::LoseReply,
];

/// A fault of one request in a pipeline's history.
#[derive(Clone, Debug)]
struct Fault {
    call: Call,
    /// Which one of the equal requests, from 1.
    which: usize,
    fate: Fate,
    met: usize,
}

/// The request without its namespace.
fn anywhere(call: &Call) -> Call {
    let mut call = call.clone();
    call.name = call.name.replace(&call.namespace, "the-namespace");
    if call.resource == "events" {
        call.name = "an-event".to_owned();
    }
    if let Some((pipeline, _)) = call.name.split_once("-config-") {
        call.name = format!("{pipeline}-config");
    }
    call.namespace = "the-namespace".to_owned();
    call
}

/// Every request of a history: the first of its kind with each fault, later ones with one fault each, in turn.
fn faults(calls: &[Call]) -> Vec<Fault> {
    const REPEATS: usize = 4;
    let mut counts = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, call) in calls.iter().map(anywhere).enumerate() {
        let which = *counts.entry(call.clone()).and_modify(|count| *count += 1).or_insert(1);
        let fates = if which == 1 { FAULTS.to_vec() } else { vec![FAULTS[index % FAULTS.len()]] };
        if which <= REPEATS {
            faults.extend(fates.into_iter().map(|fate| Fault { call: call.clone(), which, fate, met: 0 }));
        }
    }
    // An unanswered request occupies a pass for half a minute, and the number of concurrent passes is limited: stall
    // only one request of each kind.
    let mut stalled = std::collections::BTreeSet::new();
    faults.retain(|fault| {
        let mut is_new = || stalled.insert((fault.call.verb, fault.call.resource.clone()));
        fault.fate != Fate::Stall || is_new()
    });
    faults
}

/// Actions that must never happen.
#[derive(Default)]
struct Misdeeds {
    /// Pipelines that were reported ready while a part was missing, and the part.
    lies: Vec<String>,
    /// The distinct pod templates of Deployments, by namespace.
    templates: BTreeMap<String, Vec<Value>>,
}

impl Misdeeds {
    fn witness(client: &Client) -> (Arc<Mutex<Self>>, Witness) {
        let misdeeds = Arc::<Mutex<Self>>::default();
        let (client, shared) = (client.clone(), misdeeds.clone());
        let witness = move |call: Call, body: Bytes| {
            let (client, shared) = (client.clone(), shared.clone());
            async move {
                let body = || serde_json::from_slice::<Value>(&body).unwrap();
                if call.resource == "loginpipelines/status"
                    && says_ready(&body())
                    && let Some(missing) = missing(&client, &call.namespace).await
                {
                    shared.lock().unwrap().lies.push(format!("{}: {missing}", call.namespace));
                }
                if call.resource == "deployments" && call.is_write() {
                    let template = body()["spec"]["template"].take();
                    let mut misdeeds = shared.lock().unwrap();
                    let templates = misdeeds.templates.entry(call.namespace).or_default();
                    if templates.last() != Some(&template) {
                        templates.push(template);
                    }
                }
            }
            .boxed()
        };
        (misdeeds, Box::new(witness))
    }

    /// Asserts that none of it happened. A history has two pod templates.
    fn are_none(&self) {
        assert!(self.lies.is_empty(), "{:#?}", self.lies);
        assert!(!self.templates.is_empty());
        for (namespace, templates) in &self.templates {
            assert!(templates.len() <= 2, "{namespace}: pods were replaced more than once: {templates:#?}");
        }
    }
}

fn says_ready(body: &Value) -> bool {
    let mut conditions = body["status"]["conditions"].as_array().unwrap().iter();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The part that a pipeline lacks to be ready.
async fn missing(client: &Client, namespace: &str) -> Option<String> {
    let topics = Api::namespaced_with(client.clone(), namespace, &api_resource("v1", "KafkaTopic"));
    let topics = topics.list(&ListParams::default()).await.unwrap().items;
    let is_done = |topic: &kube::api::DynamicObject| topic.data["status"] == stand_in::ready_topic(topic);
    if topics.len() != Role::ALL.len() || !topics.iter().all(is_done) {
        return Some(format!("{} topics", topics.len()));
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let Some(deployment) = deployments.get_opt("logins-processor").await.unwrap() else {
        return Some("no Deployment".to_owned());
    };
    let (wanted, status) = (deployment.spec.unwrap().replicas, deployment.status.unwrap_or_default());
    let is_done = status.observed_generation == deployment.metadata.generation && status.available_replicas == wanted;
    (!is_done).then(|| format!("{status:?} of {wanted:?}"))
}

/// A separate API server with stand-ins for its controllers, and a proxy that checks each reported status.
async fn whole_server() -> (World, Proxy, [stand_in::StandIn; 2], Arc<Mutex<Misdeeds>>) {
    let world = World::bare().await;
    world.install_strimzi(&["v1"]);
    let topics = stand_in::StandIn::start(world.client.clone(), api_resource("v1", "KafkaTopic"), |topic| {
        Some(stand_in::ready_topic(topic))
    });
    let deployments =
        stand_in::StandIn::start(world.client.clone(), ApiResource::erase::<Deployment>(&()), |deployment| {
            Some(stand_in::available_deployment(deployment))
        });
    let (misdeeds, witness) = Misdeeds::witness(&world.client);
    let proxy = Proxy::with_witness(world.client.clone(), Some(witness)).await;
    (world, proxy, [topics, deployments], misdeeds)
}

/// A separate namespace on the same server, with a Kafka.
async fn namespace(world: &World) -> World {
    let namespace = unique("ns");
    let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
    Api::<Namespace>::all(world.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    let world = World { server: world.server, client: world.client.clone(), namespace };
    world.kafka("my-cluster").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_may_fail_once_in_any_way() {
    const AT_ONCE: usize = 32;
    let (world, proxy, _cluster, misdeeds) = whole_server().await;
    let operator = proxy.operator_of_all(&world).await;
    let first = namespace(&world).await;
    history(&world.client, &first.namespace).await;
    wait_settled(&proxy).await;
    let calls: Vec<_> = proxy.calls().into_iter().filter(|call| call.namespace == first.namespace).collect();
    let undisturbed = snapshot(&world.client, &first.namespace).await;

    let worlds: Vec<_> = stream::iter(faults(&calls))
        .map(|fault| namespace(&world).map(|world| (world.namespace, fault)))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let namespaces: Vec<_> = worlds.iter().map(|(namespace, _)| namespace.clone()).collect();
    let planned = Arc::new(Mutex::new(worlds.into_iter().collect::<BTreeMap<_, _>>()));
    let shared = planned.clone();
    proxy.plan(move |call| {
        let mut planned = shared.lock().unwrap();
        let Some(fault) = planned.get_mut(&call.namespace) else { return Fate::Through };
        fault.met += usize::from(fault.met < fault.which && anywhere(call) == fault.call);
        if fault.met != fault.which {
            return Fate::Through;
        }
        fault.met += 1;
        fault.fate
    });
    // Some at a time, so that a history waits for itself and not for all others.
    stream::iter(&namespaces).for_each_concurrent(AT_ONCE, |namespace| history(&world.client, namespace)).await;
    wait_settled(&proxy).await;

    let faults = planned.lock().unwrap().clone();
    let names: Vec<_> = namespaces.iter().map(String::as_str).collect();
    for (namespace, end) in names.iter().zip(snapshots(&world.client, &names).await) {
        let differences = differences(&undisturbed, &end);
        assert!(differences.is_empty(), "{:?}: {differences:#?}", faults[*namespace]);
    }
    misdeeds.lock().unwrap().are_none();
    let is_met = |fault: &&Fault| fault.met > fault.which;
    // Whether an Event is repeated depends on the timing of transitions.
    let is_sure = |fault: &&Fault| fault.which == 1 && fault.call.resource != "events";
    let unmet: Vec<_> = faults.values().filter(|fault| is_sure(fault) && !is_met(fault)).collect();
    assert!(unmet.is_empty(), "the operator no longer asks so: {unmet:?}");
    let met = faults.values().filter(is_met).count();
    assert!(met * 10 > faults.len() * 7, "{met} of {}", faults.len());
    drop(operator);
}

/// Requests that concern no single pipeline: what the API server serves, and the watches, which begin with a list.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_the_operator_itself_may_fail_once() {
    let ends = FAULTS.map(|fate| async move {
        let world = World::new().await;
        let _cluster = StandIn::start(&world, &[]);
        world.kafka("my-cluster").await;
        let proxy = Proxy::start(world.client.clone()).await;
        let mut met = std::collections::BTreeSet::new();
        proxy.plan(move |call| if call.name.is_empty() && met.insert(call.clone()) { fate } else { Fate::Through });

        let operator = proxy.operator(&world).await;
        history(&world.client, &world.namespace).await;
        for resource in ["loginpipelines", "deployments", "configmaps", "kafkas", "kafkatopics"] {
            let is_watched = |call: &&Call| call.verb == "watch" && call.resource == resource;
            let again = || async { (proxy.calls().iter().filter(is_watched).count() > 1).then_some(()) };
            wait_for_async(&format!("another watch of {resource} after {fate:?}"), BOUND, again).await;
        }
        drop(operator);
    });
    futures::future::join_all(ends).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_passes_over_a_settled_pipeline_write_nothing() {
    let world = World::new().await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    let proxy = Proxy::start(world.client.clone()).await;
    let operator = proxy.operator(&world).await;
    history(&world.client, &world.namespace).await;
    wait_settled(&proxy).await;

    let (writes, passes) = (proxy.writes().len(), operator.passes());
    assert!(writes > 16, "{writes}");
    operator.look(&world, "logins", 100).await;
    operator.quiet().await;
    assert!(operator.passes() >= passes + 100.0);
    assert_eq!(proxy.writes()[writes..], [], "nothing had changed");

    // A new process, which does not know what its predecessor did, does not write either.
    drop(operator);
    let operator = proxy.operator(&world).await;
    operator.look(&world, "logins", 2).await;
    operator.quiet().await;
    assert_eq!(proxy.writes()[writes..], [], "nothing had changed");
}
