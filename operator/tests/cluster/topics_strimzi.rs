//! Every state of a `KafkaTopic`, topics without one, and their owners.

use std::time::Duration;

use crds::{
    pipeline::ConditionStatus::{False, True},
    topics::Role,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use operator::rights::{Place, rules};
use serde_json::{Value, json};
use testkit::{kafka::shared, unique, wait_for_async};

use crate::support::{Answer, BOUND, EXAMPLE, Operator, StandIn, World, running};

/// A pipeline on Strimzi with a unique output.
fn manifest(name: &str, output: &str) -> String {
    json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": name},
        "spec": {"kafka": {"strimzi": {"cluster": "my-cluster"}}, "output": {"topic": output}},
    })
    .to_string()
}

async fn annotate(world: &World, role: &str, key: &str, value: Option<&str>) {
    let name = world.topic(role).await.unwrap().name_any();
    let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
    world.topics().patch(&name, &PatchParams::default(), &patch).await.unwrap();
}

/// The topic operator takes over an existing topic as the output, with its existing identifier.
async fn take_over(world: &World) {
    wait_for_async("the output's KafkaTopic", BOUND, || world.topic("output")).await;
    let known = || async {
        let topics = world.pipelines().get("logins").await.unwrap().status?.topics;
        topics.into_iter().find(|topic| topic.role == Role::Output)?.topic_id
    };
    let id = wait_for_async("the output's identifier", BOUND, known).await;
    let generation = world.topic("output").await.unwrap().metadata.generation;
    let ready = json!([{"type": "Ready", "status": "True"}]);
    report(world, json!({"observedGeneration": generation, "conditions": ready, "topicId": id})).await;
}

/// Sets the topic operator's report on the output, which no stand-in changes.
async fn report(world: &World, status: Value) {
    let name = world.topic("output").await.unwrap().name_any();
    let patch = Patch::Merge(json!({"status": status}));
    world.topics().patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_a_kafka_topic_is_recognized_and_stops_no_pod() {
    let (world, operator, cluster) = running().await;
    operator.quiet().await;
    let pods = world.deployments().get("logins-processor").await.unwrap();

    for (key, value, reason) in
        [("strimzi.io/pause-reconciliation", "true", "TopicPaused"), ("strimzi.io/managed", "false", "TopicUnmanaged")]
    {
        annotate(&world, "output", key, Some(value)).await;
        let found = world.wait_condition("logins", "Ready", False, reason).await;
        assert!(found.message.contains(key), "{}", found.message);
        world.wait_condition("logins", "Stalled", True, reason).await;
        annotate(&world, "output", key, None).await;
        world.wait_ready("logins").await;
    }

    cluster.answer("-output", Answer::Never);
    let failing = |reason: &str, message: &str| json!({"conditions": [{"type": "Ready", "status": "False", "reason": reason, "message": message}]});
    for (status, reason, said) in [
        (failing("ResourceConflict", "Managed by Ref{name='other'}"), "TopicContested", "Managed by Ref"),
        (failing("NotSupported", "Decreasing partitions not supported"), "TopicNotSupported", "source.partitions"),
        (
            failing("NotSupported", "Replication factor change not supported, but required for partitions [0]"),
            "TopicNotSupported",
            "spec.topics.replicationFactor",
        ),
        (failing("KafkaError", "no brokers"), "TopicFailed", "no brokers"),
        (json!({"conditions": [{"type": "ReconciliationPaused", "status": "True"}]}), "TopicPaused", "paused"),
        (json!({"conditions": [{"type": "Ready", "status": "True"}], "topicId": "another"}), "TopicLost", "made again"),
    ] {
        report(&world, status).await;
        let found = wait_for_async(reason, BOUND, || async {
            let condition = world.condition("logins", "Ready").await?;
            (condition.reason == reason && condition.message.contains(said)).then_some(condition)
        });
        assert_eq!(found.await.status, False);
    }
    world.accept_losses("logins").await;
    world.wait_ready("logins").await;
    let now = world.deployments().get("logins-processor").await.unwrap();
    assert_eq!(now.uid(), pods.uid());
    assert_eq!(now.metadata.generation, pods.metadata.generation);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmanaged_kafka_topic_is_reported_after_a_minute() {
    let world = World::new().await;
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[("", Answer::Never)]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();

    let waiting = world.wait_condition("logins", "TopicsReady", False, "TopicsNotReady").await;
    assert!(waiting.message.contains("has not answered"), "{}", waiting.message);
    world.wait_condition("logins", "Stalled", False, "TopicsNotReady").await;

    let ignored = wait_for_async("what nobody answers", Duration::from_secs(120), || async {
        world.condition("logins", "TopicsReady").await.filter(|condition| condition.reason == "TopicIgnored")
    });
    let ignored = ignored.await;
    assert!(ignored.message.contains("strimzi.io/cluster: my-cluster"), "{}", ignored.message);
    assert!(ignored.message.contains(&format!("watches namespace {}", world.namespace)), "{}", ignored.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_kafka_topic_stays_absent_until_loss_is_accepted() {
    let (world, operator, _cluster) = running().await;
    let before = world.topic("source").await.unwrap();
    world.topics().delete(&before.name_any(), &DeleteParams::default()).await.unwrap();
    let lost = world.wait_condition("logins", "Ready", False, "TopicLost").await;
    assert!(lost.message.contains("source topic user-login: it was deleted"), "{}", lost.message);
    operator.look(&world, "logins", 2).await;
    assert!(world.topic("source").await.is_none());

    world.accept_losses("logins").await;
    world.wait_ready("logins").await;
    assert_ne!(world.topic("source").await.unwrap().uid(), before.uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_topic_gets_an_object_if_unchanged_or_by_consent() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[("-output", Answer::Never)]);
    let kafka = tokio::task::spawn_blocking(shared).await.unwrap();
    let (output, kept) = (unique("out"), unique("out"));
    let as_ours = [("cleanup.policy", "delete"), ("max.message.bytes", "1114124")];
    kafka.create_topic(&output, 8, &[as_ours[0], as_ours[1], ("retention.ms", "7654321")]).unwrap();
    kafka.create_topic(&kept, 8, &as_ours).unwrap();
    world.kafka("my-cluster").await;
    world.apply(&manifest("logins", &output)).unwrap();
    let listed = world.wait_condition("logins", "TopicsReady", False, "AdoptionRequired").await;
    assert!(listed.message.contains("retention.ms from 7654321 to the brokers' default"), "{}", listed.message);
    world.wait_condition("logins", "Stalled", True, "AdoptionRequired").await;
    operator.look(&world, "logins", 2).await;
    assert!(world.topic("output").await.is_none());
    assert!(world.topic("deltas").await.is_some(), "the others are made");
    assert!(world.deployments().list(&ListParams::default()).await.unwrap().items.is_empty());

    world.change("logins", json!({"topics": {"adopt": true}})).await;
    take_over(&world).await;
    world.wait_ready("logins").await;
    let adopted = world.topic("output").await.unwrap();
    assert_eq!(adopted.annotations()["loginpipeline.dev/adopted"], "true");
    let topics = world.pipelines().get("logins").await.unwrap().status.unwrap().topics;
    let others: Vec<_> = topics.iter().filter(|topic| !topic.created).map(|topic| topic.role).collect();
    // The source's object was created under the same consent, without a query.
    assert_eq!(others, [Role::Output, Role::Source]);

    // A suitable topic needs no consent.
    let second = World::new().await;
    let _operator = Operator::start(&second).await;
    let _cluster = StandIn::start(&second, &[("-output", Answer::Never)]);
    second.kafka("my-cluster").await;
    second.apply(&manifest("logins", &kept)).unwrap();
    take_over(&second).await;
    second.wait_ready("logins").await;
    let topics = second.pipelines().get("logins").await.unwrap().status.unwrap().topics;
    let others: Vec<_> = topics.iter().filter(|topic| !topic.created).map(|topic| topic.role).collect();
    assert_eq!(others, [Role::Output]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_while_nobody_can_tell_whether_it_is_there() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka_at("my-cluster", "127.0.0.1:1").await;
    world.apply(EXAMPLE).unwrap();
    let unknown = world.wait_condition("logins", "Ready", False, "AdoptionUnknown").await;
    assert!(unknown.message.contains("127.0.0.1:1") && unknown.message.contains("adopt: true"), "{}", unknown.message);
    operator.look(&world, "logins", 1).await;
    assert!(world.topics().list(&ListParams::default()).await.unwrap().items.is_empty());
    world.change("logins", json!({"topics": {"adopt": true}})).await;
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_of_another_namespace_is_used_while_its_owner_agrees() {
    let (world, owners) = (World::new().await, World::new().await);
    // With only the rights that the table lists for that.
    let user = world.user();
    world.allow(&user, &rules(Place::Watched));
    owners.allow(&user, &rules(Place::Kafka));
    let operator = Operator::start_with(&world, &user.kubeconfig, &["--leader-election=false"]).await;
    let (_pods, _topics) = (StandIn::start(&world, &[]), StandIn::start(&owners, &[]));
    owners.kafka("my-cluster").await;
    let grant = async |namespaces: Option<&str>| {
        let patch =
            Patch::Merge(json!({"metadata": {"annotations": {"loginpipeline.dev/allow-namespaces": namespaces}}}));
        owners.dynamic("Kafka").patch("my-cluster", &PatchParams::default(), &patch).await.unwrap();
    };
    let elsewhere = format!("{{cluster: my-cluster, namespace: {}}}", owners.namespace);
    world.apply(&EXAMPLE.replace("{cluster: my-cluster}", &elsewhere)).unwrap();
    let refused = world.wait_condition("logins", "Ready", False, "NamespaceNotAllowed").await;
    let remedy = format!("loginpipeline.dev/allow-namespaces: {}", world.namespace);
    assert!(refused.message.contains(&remedy), "{}", refused.message);
    grant(Some("another")).await;
    operator.look(&world, "logins", 2).await;
    world.wait_condition("logins", "Stalled", True, "NamespaceNotAllowed").await;
    assert!(owners.topics().list(&ListParams::default()).await.unwrap().items.is_empty());

    grant(Some(&format!("another, {}", world.namespace))).await;
    operator.look(&world, "logins", 1).await;
    // Nothing in that namespace is watched here.
    let ready = wait_for_async("a pipeline that is ready", 2 * BOUND, || async {
        world.condition("logins", "Ready").await.filter(|ready| ready.status == True)
    });
    ready.await;
    let topics = owners.topics().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(topics.len(), Role::ALL.len());
    assert!(topics.iter().all(|topic| topic.name_any().starts_with(&format!("{}-logins-", world.namespace))));
    assert!(world.topics().list(&ListParams::default()).await.unwrap().items.is_empty());
    let pods = world.deployments().get("logins-processor").await.unwrap();
    let before = owners.children().await;

    // A withdrawn grant stops no running pod, and changes no topic.
    grant(None).await;
    operator.look(&world, "logins", 1).await;
    world.wait_condition("logins", "Ready", False, "NamespaceNotAllowed").await;
    let now = world.deployments().get("logins-processor").await.unwrap();
    assert_eq!(now.uid(), pods.uid());
    assert_eq!(now.metadata.generation, pods.metadata.generation);
    assert_eq!(owners.children().await, before);
    assert!(!operator.process.log().contains("forbidden"), "{}", operator.process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pipelines_that_write_one_topic_the_later_one_waits() {
    let (world, operator, _cluster) = running().await;
    let (_, before) = (operator.quiet().await, world.children().await);

    // Another output, but the same results.
    world.apply(&manifest("second", &unique("out"))).unwrap();
    let conflict = world.wait_condition("second", "Stalled", True, "Conflict").await;
    let other = format!("LoginPipeline {}/logins writes topic", world.namespace);
    assert!(conflict.message.contains(&other), "{}", conflict.message);
    world.wait_condition("second", "Ready", False, "Conflict").await;
    operator.look(&world, "second", 2).await;
    assert_eq!(world.children().await, before, "nothing of it is made, and nothing of the other is touched");
    world.wait_ready("logins").await;

    // After the deletion of the first one, the second one gets its topics within seconds.
    world.delete("loginpipeline", "logins").unwrap();
    world.wait_ready("second").await;
}
