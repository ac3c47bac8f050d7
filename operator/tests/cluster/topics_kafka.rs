//! Topics of a real Kafka that others have created, changed or deleted.

use crds::{
    pipeline::{
        ConditionStatus::{False, True},
        LoginPipelineStatus,
    },
    topics::{Role, Topic},
};
use operator::topics::admin::{Access, Admin};
use serde_json::json;
use testkit::{kafka::Cluster, wait_for_async};

use crate::{
    external::{Names, config, shared},
    support::{BOUND, Operator, StandIn, World},
};

async fn status(world: &World) -> LoginPipelineStatus {
    world.pipelines().get("logins").await.unwrap().status.unwrap()
}

async fn id_of(world: &World, role: Role) -> String {
    let status = status(world).await;
    status.topics.into_iter().find(|topic| topic.role == role).unwrap().topic_id.unwrap()
}

/// Sets configs of a topic as a user of Kafka's own tools would.
async fn set(cluster: &Cluster, topic: &str, configs: &[(&str, &str)]) {
    let admin = Admin::new(Access { servers: cluster.bootstrap().to_owned(), ..Access::default() });
    let topic = Topic { role: Role::Output, name: topic.to_owned(), partitions: 1, config: Vec::new() };
    let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    admin.alter(&topic, configs).await.unwrap();
}

/// A namespace with unique names on the Kafka that tests share, an operator, and a stand-in.
async fn started() -> (World, &'static Cluster, Names, Operator, StandIn) {
    let (world, cluster) = (World::new().await, shared().await);
    let operator = Operator::start(&world).await;
    let pods = StandIn::start(&world, &[]);
    let names = Names::new(&world);
    (world, cluster, names, operator, pods)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_deleted_or_made_again_waits_for_a_person() {
    let (world, cluster, names, operator, _pods) = started().await;
    world.apply(&names.manifest("logins", cluster.bootstrap(), 1)).unwrap();
    world.wait_ready("logins").await;
    let first = id_of(&world, Role::Output).await;
    let pods = world.deployments().get("logins-processor").await.unwrap();

    // A deleted topic is not created again.
    cluster.delete_topic(&names.output).unwrap();
    operator.look(&world, "logins", 1).await;
    let lost = world.wait_condition("logins", "Ready", False, "TopicLost").await;
    let accept = format!("loginpipeline.dev/accept-lost-topic: output={first}");
    assert!(lost.message.contains("it was deleted (its id was") && lost.message.contains(&accept), "{}", lost.message);
    world.wait_condition("logins", "Stalled", True, "TopicLost").await;
    operator.look(&world, "logins", 2).await;
    assert_eq!(cluster.partitions(&names.output).unwrap(), None);

    // A topic that another user creates again is another topic.
    cluster.create_topic(&names.output, 1, &[("max.message.bytes", "2000000")]).unwrap();
    operator.look(&world, "logins", 1).await;
    let again = wait_for_async("another topic", BOUND, || async {
        let condition = world.condition("logins", "TopicsReady").await?;
        condition.message.contains("made again").then_some(condition)
    });
    assert_eq!(again.await.reason, "TopicLost");
    assert_eq!(id_of(&world, Role::Output).await, first, "the topic that is lost is remembered");
    assert_eq!(world.deployments().get("logins-processor").await.unwrap().metadata.uid, pods.metadata.uid);

    world.accept_losses("logins").await;
    world.wait_ready("logins").await;
    let second = id_of(&world, Role::Output).await;
    assert_ne!(second, first);
    let output = status(&world).await.topics.into_iter().find(|topic| topic.role == Role::Output).unwrap();
    assert!(!output.created, "this pipeline did not make it");

    // A consent applies to that topic only.
    cluster.delete_topic(&names.output).unwrap();
    operator.look(&world, "logins", 1).await;
    world.wait_condition("logins", "Ready", False, "TopicLost").await;
    world.accept_losses("logins").await;
    world.wait_ready("logins").await;
    assert_eq!(cluster.partitions(&names.output).unwrap(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn configs_that_were_set_are_brought_back_and_no_others() {
    let (world, cluster, names, operator, _pods) = started().await;
    world.apply(&names.manifest("logins", cluster.bootstrap(), 1)).unwrap();
    world.wait_ready("logins").await;

    set(cluster, &names.deltas, &[("retention.ms", "1000"), ("segment.ms", "123456")]).await;
    set(cluster, &names.output, &[("cleanup.policy", "compact"), ("retention.ms", "7654321")]).await;
    operator.look(&world, "logins", 1).await;
    let returned = || async {
        let retention = config(cluster, &names.deltas, "retention.ms").await;
        let policy = config(cluster, &names.output, "cleanup.policy").await;
        (retention.as_deref() == Some("-1") && policy.as_deref() == Some("delete")).then_some(())
    };
    wait_for_async("the configs", BOUND, returned).await;
    assert_eq!(config(cluster, &names.deltas, "segment.ms").await.as_deref(), Some("123456"));
    assert_eq!(config(cluster, &names.output, "retention.ms").await.as_deref(), Some("7654321"));
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_topics_are_changed_only_by_consent_and_as_listed() {
    let (world, cluster, names, operator, _pods) = started().await;
    let odd = [("cleanup.policy", "compact"), ("max.message.bytes", "1000"), ("retention.ms", "7654321")];
    cluster.create_topic(&names.dead_letters, 1, &odd).unwrap();
    world.apply(&names.manifest("logins", cluster.bootstrap(), 2)).unwrap();
    let listed = world.wait_condition("logins", "Ready", False, "AdoptionRequired").await;
    let changes =
        "cleanup.policy from compact to delete, max.message.bytes from 1000 to 1114124, partitions from 1 to 2";
    assert!(listed.message.contains(changes), "{}", listed.message);
    operator.look(&world, "logins", 2).await;
    for (key, value) in odd {
        assert_eq!(config(cluster, &names.dead_letters, key).await.as_deref(), Some(value));
    }
    assert_eq!(cluster.partitions(&names.dead_letters).unwrap(), Some(1));
    assert_eq!(cluster.partitions(&names.source).unwrap(), None, "the source comes last");

    world.change("logins", json!({"topics": {"adopt": true}})).await;
    world.wait_ready("logins").await;
    for (key, value) in [("cleanup.policy", "delete"), ("max.message.bytes", "1114124"), ("retention.ms", "7654321")] {
        assert_eq!(config(cluster, &names.dead_letters, key).await.as_deref(), Some(value));
    }
    assert_eq!(cluster.partitions(&names.dead_letters).unwrap(), Some(2));
    let status = status(&world).await;
    let made: Vec<_> = status.topics.iter().filter(|topic| !topic.created).map(|topic| topic.role).collect();
    assert_eq!(made, [Role::DeadLetters]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_times_nobody_checks_is_a_caveat() {
    let (world, cluster, names, operator, _pods) = started().await;
    let any_time =
        [("message.timestamp.type", "CreateTime"), ("message.timestamp.after.max.ms", "9223372036854775807")];
    cluster.create_topic(&names.source, 2, &any_time).unwrap();
    world.apply(&names.manifest("logins", cluster.bootstrap(), 2)).unwrap();
    world.wait_ready("logins").await;
    let caveat = world.wait_condition("logins", "Degraded", True, "SourceCreateTime").await;
    assert!(caveat.message.contains("set message.timestamp.after.max.ms"), "{}", caveat.message);
    assert_eq!(config(cluster, &names.source, "message.timestamp.type").await.as_deref(), Some("CreateTime"));

    set(cluster, &names.source, &[("message.timestamp.after.max.ms", "300000")]).await;
    operator.look(&world, "logins", 1).await;
    world.wait_condition("logins", "Degraded", False, "AsAsked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_replicas_than_brokers_are_refused_in_kafkas_words() {
    let (world, cluster) = (World::new().await, shared().await);
    let _operator = Operator::start(&world).await;
    let names = Names::new(&world);
    let mut manifest: serde_json::Value =
        serde_json::from_str(&names.manifest("logins", cluster.bootstrap(), 1)).unwrap();
    manifest["spec"]["topics"] = json!({"replicationFactor": 300});
    world.apply(&manifest.to_string()).unwrap();
    let refused = world.wait_condition("logins", "TopicsReady", False, "TopicRefused").await;
    assert!(refused.message.contains("replication factor"), "{}", refused.message);
    assert_eq!(cluster.partitions(&names.output).unwrap(), None);
}
