//! Topics on a real Kafka without Strimzi, through its Admin API.

use std::time::Duration;

use crds::{
    pipeline::ConditionStatus::{False, True, Unknown},
    topics::Role,
};
use kube::{
    ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    client::DefaultClientContext,
};
use serde_json::json;
use testkit::{
    kafka::{self, Cluster},
    unique, wait_for_async,
};

use crate::support::{BOUND, Operator, StandIn, World};

/// Unique topic names for a pipeline.
pub struct Names {
    pub source: String,
    pub output: String,
    pub dead_letters: String,
    pub deltas: String,
    pub state: String,
    pub replays: String,
    pub aggregates: String,
    pub insights: String,
    pub alerts: String,
}

impl Names {
    pub fn new(world: &World) -> Self {
        let [source, output, dead_letters] = ["in", "out", "dead"].map(unique);
        let [aggregates, insights, alerts] = ["aggregates", "insights", "alerts"].map(unique);
        let [deltas, state, replays] =
            ["deltas", "state", "replays"].map(|topic| format!("{}.logins.{topic}", world.namespace));
        Self { source, output, dead_letters, deltas, state, replays, aggregates, insights, alerts }
    }

    pub fn manifest(&self, name: &str, servers: &str, partitions: i32) -> String {
        json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": name},
            "spec": {
                "kafka": {"external": {"bootstrapServers": servers}},
                "source": {"topic": self.source, "partitions": partitions},
                "output": {"topic": self.output},
                "deadLetters": {"topic": self.dead_letters},
                "results": {
                    "aggregates": {"topic": self.aggregates},
                    "insights": {"topic": self.insights},
                    "alerts": {"topic": self.alerts},
                },
            },
        })
        .to_string()
    }
}

pub async fn shared() -> &'static Cluster {
    tokio::task::spawn_blocking(kafka::shared).await.unwrap()
}

/// A topic's config, as Kafka has it.
pub async fn config(cluster: &Cluster, topic: &str, key: &str) -> Option<String> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    let answer = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await.unwrap();
    answer.into_iter().next()?.ok()?.get(key)?.value.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_becomes_topics_and_a_pipeline_and_both_grow() {
    let (world, cluster) = (World::new().await, shared().await);
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let names = Names::new(&world);
    world.apply(&names.manifest("logins", cluster.bootstrap(), 3)).unwrap();
    world.wait_ready("logins").await;

    for topic in [&names.source, &names.output, &names.dead_letters] {
        assert_eq!(cluster.partitions(topic).unwrap(), Some(3), "{topic}");
    }
    let compacted = [&names.aggregates, &names.insights, &names.alerts, &names.state, &names.replays];
    for topic in compacted.into_iter().chain([&names.deltas]) {
        assert_eq!(cluster.partitions(topic).unwrap(), Some(1), "{topic}");
    }
    assert_eq!(config(cluster, &names.source, "message.timestamp.type").await.as_deref(), Some("LogAppendTime"));
    assert_eq!(config(cluster, &names.source, "max.message.bytes").await.as_deref(), Some("1048588"));
    assert_eq!(config(cluster, &names.output, "max.message.bytes").await.as_deref(), Some("1114124"));
    assert_eq!(config(cluster, &names.deltas, "retention.ms").await.as_deref(), Some("-1"));
    assert_eq!(config(cluster, &names.deltas, "cleanup.policy").await.as_deref(), Some("delete"));
    for topic in compacted {
        assert_eq!(config(cluster, topic, "cleanup.policy").await.as_deref(), Some("compact"), "{topic}");
    }
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
    assert_eq!(status.topics.len(), Role::ALL.len());
    assert!(status.topics.iter().all(|topic| topic.created && topic.partitions.is_some()), "{:?}", status.topics);

    world.change("logins", json!({"source": {"partitions": 5}})).await;
    let grown = || async { (cluster.partitions(&names.source).unwrap() == Some(5)).then_some(()) };
    wait_for_async("the source's growth", BOUND, grown).await;
    for topic in [&names.output, &names.dead_letters] {
        assert_eq!(cluster.partitions(topic).unwrap(), Some(5), "{topic}");
    }
    world.wait_ready("logins").await;
    assert_eq!(world.config("logins").await.revision, world.first_revision("logins").await);
}

/// A pipeline of an earlier release's operator has no ledger of replays.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_a_new_release_needs_is_made_and_no_pod_restarts() {
    let (world, cluster) = (World::new().await, shared().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let names = Names::new(&world);
    world.apply(&names.manifest("logins", cluster.bootstrap(), 2)).unwrap();
    world.wait_ready("logins").await;
    operator.quiet().await;
    drop(operator);
    let mut topics = world.pipelines().get("logins").await.unwrap().status.unwrap().topics;
    topics.retain(|topic| topic.role != Role::Replays);
    let earlier = Patch::Merge(json!({"status": {"topics": topics}}));
    world.pipelines().patch_status("logins", &PatchParams::default(), &earlier).await.unwrap();
    cluster.delete_topic(&names.replays).unwrap();
    let gone = || async { cluster.partitions(&names.replays).unwrap().is_none().then_some(()) };
    wait_for_async("the end of the ledger", BOUND, gone).await;
    let generation = async || world.deployments().get("logins-processor").await.unwrap().metadata.generation;
    let (before, config) = (generation().await, world.config("logins").await);

    let operator = Operator::start(&world).await;
    let made = || async { (cluster.partitions(&names.replays).unwrap() == Some(1)).then_some(()) };
    wait_for_async("the ledger", BOUND, made).await;
    let listed = || async {
        let status = world.pipelines().get("logins").await.ok()?.status?;
        status.topics.iter().any(|topic| topic.role == Role::Replays && topic.created).then_some(())
    };
    wait_for_async("the ledger in the status", BOUND, listed).await;
    world.wait_ready("logins").await;
    operator.quiet().await;
    assert_eq!(generation().await, before);
    assert_eq!(world.config("logins").await, config);
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_topics_change_by_consent_and_outputs_match_source() {
    let (world, cluster) = (World::new().await, shared().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let names = Names::new(&world);
    cluster.create_topic(&names.source, 6, &[("max.message.bytes", "2000000"), ("retention.ms", "12345678")]).unwrap();
    cluster.create_topic(&names.dead_letters, 2, &[("max.message.bytes", "3000000")]).unwrap();
    world.apply(&names.manifest("logins", cluster.bootstrap(), 3)).unwrap();
    let listed = world.wait_condition("logins", "Ready", False, "AdoptionRequired").await;
    assert!(
        listed.message.contains("dead-letters topic") && listed.message.contains("partitions from 2 to 6"),
        "{}",
        listed.message
    );
    assert_eq!(cluster.partitions(&names.dead_letters).unwrap(), Some(2));
    world.change("logins", json!({"topics": {"adopt": true}})).await;
    world.wait_ready("logins").await;

    for topic in [&names.source, &names.output, &names.dead_letters] {
        assert_eq!(cluster.partitions(topic).unwrap(), Some(6), "{topic}");
    }
    assert_eq!(config(cluster, &names.source, "retention.ms").await.as_deref(), Some("12345678"));
    assert_eq!(config(cluster, &names.output, "max.message.bytes").await.as_deref(), Some("2065536"));
    assert_eq!(config(cluster, &names.dead_letters, "max.message.bytes").await.as_deref(), Some("3000000"));
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
    let used: Vec<_> = status.topics.iter().filter(|topic| !topic.created).map(|topic| &topic.name).collect();
    assert_eq!(used, [&names.dead_letters, &names.source]);

    // Partitions that a user adds to the source are followed, at the latest when it is read again.
    cluster.add_partitions(&names.source, 7).unwrap();
    operator.look(&world, "logins", 1).await;
    let followed = || async { (cluster.partitions(&names.output).unwrap() == Some(7)).then_some(()) };
    wait_for_async("the output's growth", BOUND, followed).await;
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_cannot_serve_are_named_with_their_remedy() {
    let (world, cluster) = (World::new().await, shared().await);
    let _operator = Operator::start(&world).await;
    let names = Names::new(&world);
    cluster.create_topic(&names.deltas, 2, &[]).unwrap();
    cluster.create_topic(&names.output, 3, &[("max.message.bytes", "1000")]).unwrap();
    world.apply(&names.manifest("logins", cluster.bootstrap(), 3)).unwrap();

    let stuck = wait_for_async("both messages", BOUND, || async {
        let condition = world.condition("logins", "TopicsReady").await?;
        let text = &condition.message;
        let is_said = text.contains("max.message.bytes from 1000 to 1114124") && text.contains("has 2 partitions");
        is_said.then_some(condition)
    });
    let stuck = stuck.await;

    assert_eq!(stuck.status, False);
    assert_eq!(stuck.reason, "AdoptionRequired");
    // Nothing starts on unsuitable topics.
    assert!(world.deployments().list(&ListParams::default()).await.unwrap().items.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_outage_makes_topics_ready_unknown_and_delays_nothing() {
    let world = World::new().await;
    let (cluster, shared) = (tokio::task::spawn_blocking(|| Cluster::start(1).unwrap()).await.unwrap(), shared().await);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    let names = Names::new(&world);
    world.apply(&names.manifest("logins", cluster.bootstrap(), 3)).unwrap();
    world.wait_ready("logins").await;
    let before = world.versions().await;

    cluster.kill_broker(0).unwrap();
    operator.look(&world, "logins", 1).await;
    let down = world.wait_condition("logins", "TopicsReady", Unknown, "KafkaUnreachable").await;
    assert!(down.message.contains(cluster.bootstrap()), "{}", down.message);
    assert_eq!(world.condition("logins", "Ready").await.unwrap().status, Unknown);
    assert_eq!(world.condition("logins", "ProcessorAvailable").await.unwrap().status, True);
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
    assert_eq!(status.topics.len(), Role::ALL.len(), "what was known of the topics is kept");

    // Another pipeline does not wait.
    let other = Names::new(&world);
    world.apply(&other.manifest("others", shared.bootstrap(), 2)).unwrap();
    world.wait_ready("others").await;

    // The running pods stay the same; their number can still be changed.
    let mut after = world.versions().await;
    after.retain(|name, _| before.contains_key(name) && !name.starts_with("LoginPipeline/"));
    assert!(after.len() >= 3 && after.iter().all(|(name, version)| before[name] == *version), "{before:?} {after:?}");
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;

    tokio::task::block_in_place(|| cluster.restart_broker(0)).unwrap();
    operator.look(&world, "logins", 1).await;
    world.wait_ready("logins").await;
    assert!(operator.metric("login_pipeline_operator_reconcile_errors_total{category=\"kafka-unreachable\"}") >= 1.0);
    assert_eq!(world.deployments().get("logins-processor").await.unwrap().name_any(), "logins-processor");
}
