//! A manifest becomes a running pipeline on a Kafka that Strimzi runs, and its status is correct at every step.

use std::time::Duration;

use crds::{
    job::JobConfig,
    pipeline::ConditionStatus::{False, True},
    strimzi::api_resource,
    topics::Role,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::json;
use testkit::{kafka, unique, wait_for_async};

use crate::support::{Answer, BOUND, EXAMPLE, Operator, StandIn, World, running, started};

const OUTPUTS: [&str; 8] = ["output", "dead-letters", "deltas", "aggregates", "insights", "alerts", "state", "replays"];

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_becomes_a_pipeline_ready_when_all_its_parts_are() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let cluster = StandIn::start(&world, &[("", Answer::Never)]);

    world.apply(EXAMPLE).unwrap();
    let waiting = world.wait_condition("logins", "Ready", False, "KafkaNotFound").await;
    assert!(waiting.message.contains("\"my-cluster\""), "{}", waiting.message);

    world.kafka("my-cluster").await;
    let waiting = world.wait_condition("logins", "TopicsReady", False, "TopicsNotReady").await;
    assert!(waiting.message.contains("has not answered"), "{}", waiting.message);
    // The outputs come first, and nothing that needs topics comes before them.
    operator.look(&world, "logins", 3).await;
    for role in OUTPUTS {
        assert!(world.topic(role).await.is_some(), "{role}");
    }
    assert!(world.topic("source").await.is_none());
    assert!(world.deployments().list(&ListParams::default()).await.unwrap().items.is_empty());

    for role in OUTPUTS {
        cluster.answer(role, Answer::Well);
    }
    wait_for_async("the source's KafkaTopic", BOUND, || world.topic("source")).await;
    operator.look(&world, "logins", 2).await;
    assert!(world.deployments().list(&ListParams::default()).await.unwrap().items.is_empty());

    cluster.answer("source", Answer::Well);
    world.wait_condition("logins", "TopicsReady", True, "AllTopicsReady").await;
    world.wait_condition("logins", "ProcessorAvailable", False, "Progressing").await;
    world.wait_condition("logins", "Ready", False, "Progressing").await;

    cluster.answer("-processor", Answer::Badly);
    let partly = wait_for_async("one replica", BOUND, || async {
        let condition = world.condition("logins", "ProcessorAvailable").await?;
        condition.message.starts_with("1 of 2").then_some(condition)
    });
    assert_eq!(partly.await.status, False);
    operator.look(&world, "logins", 2).await;
    assert_eq!(world.condition("logins", "Ready").await.unwrap().status, False);

    cluster.answer("-processor", Answer::Well);
    world.wait_ready("logins").await;
    check_objects(&world).await;
    // The watch reports it a moment later.
    let ready = "login_pipeline_operator_pipelines{ready=\"True\"}";
    wait_for_async("the metric", BOUND, || async { (operator.metric(ready) == 1.0).then_some(()) }).await;
}

/// Everything that a pipeline of the example's manifest consists of.
async fn check_objects(world: &World) {
    let pipeline = world.pipelines().get("logins").await.unwrap();
    let status = pipeline.status.clone().unwrap();
    assert_eq!(status.observed_generation, pipeline.metadata.generation);
    assert_eq!(status.replicas, 2);
    assert_eq!(status.ready_replicas, 2);
    let roles: Vec<_> = status.topics.iter().map(|topic| topic.role).collect();
    assert_eq!(roles, Role::ALL);
    assert!(status.topics.iter().all(|topic| topic.created && topic.topic_id.is_some() && topic.partitions.is_some()));

    let config = status.config.unwrap();
    let config_map = world.config_maps().get(&config.config_map).await.unwrap();
    assert_eq!(config_map.immutable, Some(true));
    let job = JobConfig::parse(&config_map.data.as_ref().unwrap()["job.json"]).unwrap();
    assert_eq!(job.revision, world.first_revision("logins").await);
    let kafka = tokio::task::spawn_blocking(kafka::shared).await.unwrap();
    assert_eq!(job.kafka.bootstrap_servers, kafka.bootstrap());

    let deployment = world.deployments().get("logins-processor").await.unwrap();
    let pod = deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    assert_eq!(pod.volumes.as_ref().unwrap()[0].config_map.as_ref().unwrap().name, config.config_map);
    assert_eq!(pod.service_account_name.as_deref(), Some("logins-processor"));
    let labels = deployment.spec.as_ref().unwrap().template.metadata.as_ref().unwrap().labels.as_ref().unwrap();
    for pair in status.selector.unwrap().split(',') {
        let (key, value) = pair.split_once('=').unwrap();
        assert_eq!(labels[key], value);
    }

    // They are deleted with the pipeline: Kubernetes' garbage collector follows these.
    let uid = pipeline.uid().unwrap();
    let service_account = world.service_accounts().get("logins-processor").await.unwrap();
    for owner in [deployment.owner_references(), config_map.owner_references(), service_account.owner_references()] {
        assert_eq!(owner.len(), 1);
        assert_eq!(owner[0].uid, uid);
        assert_eq!(owner[0].controller, Some(true));
    }
    // And these stay.
    let topics = world.topics().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(topics.len(), Role::ALL.len());
    for topic in topics {
        assert_eq!(topic.labels()["strimzi.io/cluster"], "my-cluster");
        assert_eq!(topic.labels()["loginpipeline.dev/owner-uid"], uid);
        assert_eq!(topic.metadata.owner_references, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_deleted_leaves_its_topics() {
    let (world, operator, _cluster) = running().await;
    operator.quiet().await;
    // With the resource version, which is that of the whole object.
    let metadata = async || {
        let topics = world.topics().list(&ListParams::default()).await.unwrap();
        topics.into_iter().map(|topic| topic.metadata).collect::<Vec<_>>()
    };
    let before = metadata().await;
    let first = world.pipelines().get("logins").await.unwrap().uid().unwrap();

    world.delete("loginpipeline", "logins").unwrap();
    operator.quiet().await;
    assert_eq!(before.len(), Role::ALL.len());
    assert_eq!(metadata().await, before);
    assert!(before.iter().all(|topic| topic.owner_references.is_none()));
    world.collect_garbage("logins");

    // A successor with the same name uses them, and takes none over.
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    operator.quiet().await;
    let successor = world.pipelines().get("logins").await.unwrap();
    assert_ne!(successor.uid().unwrap(), first);
    let topics = successor.status.unwrap().topics;
    assert_eq!(topics.len(), Role::ALL.len());
    assert!(topics.iter().all(|topic| !topic.created && topic.topic_id.is_some()));

    world.change("logins", json!({"source": {"partitions": 12}})).await;
    let small = world.wait_condition("logins", "Ready", False, "TopicUnsuitable").await;
    let remedy = "its KafkaTopic is not this pipeline's and must be changed there: partitions from 8 to 12";
    assert!(small.message.contains(remedy), "{}", small.message);
    operator.quiet().await;
    assert_eq!(metadata().await, before);
    for role in ["output", "dead-letters", "source"] {
        let patch = Patch::Merge(json!({"spec": {"partitions": 12}}));
        let name = world.topic(role).await.unwrap().name_any();
        world.topics().patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }
    world.wait_ready("logins").await;
}

/// A pipeline with the same name finds what its predecessor left in Kafka: in its log, a revision must keep its one
/// config.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_numbers_its_configs_above_its_predecessor() {
    let (world, operator, _cluster) = running().await;
    world.change("logins", json!({"aggregation": {"allowedLateness": "1m"}})).await;
    let changed = || async {
        let config = world.config("logins").await;
        (config.revision > world.first_revision("logins").await).then_some(config)
    };
    let last = wait_for_async("the second revision", BOUND, changed).await;
    let created = last.revision - 1;
    assert_eq!(created, world.first_revision("logins").await);

    world.delete("loginpipeline", "logins").unwrap();
    operator.quiet().await;
    world.collect_garbage("logins");
    // Creation times have a resolution of seconds, and the numbers allow at most one change a second.
    tokio::time::sleep(Duration::from_secs(2)).await;

    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    let successor = world.config("logins").await;
    assert_eq!(successor.revision, world.first_revision("logins").await);
    assert!(successor.revision > last.revision, "{successor:?} {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_is_lost_with_a_topic_or_replica_and_returns_with_it() {
    let (world, operator, cluster) = running().await;
    operator.quiet().await;
    let since = world.condition("logins", "ConfigValid").await.unwrap().last_transition_time;

    cluster.answer("-output", Answer::Badly);
    let lost = world.wait_condition("logins", "Ready", False, "TopicNotSupported").await;
    assert!(lost.message.contains("output topic processed-user-login"), "{}", lost.message);
    assert!(lost.message.contains("Decreasing partitions not supported"), "{}", lost.message);
    // The pods keep running.
    assert_eq!(world.condition("logins", "ProcessorAvailable").await.unwrap().status, True);
    cluster.answer("-output", Answer::Well);
    world.wait_ready("logins").await;
    operator.quiet().await;

    cluster.answer("-processor", Answer::Badly);
    world.wait_condition("logins", "Ready", False, "Progressing").await;
    cluster.answer("-processor", Answer::Well);
    world.wait_ready("logins").await;
    operator.quiet().await;

    assert_eq!(world.condition("logins", "ConfigValid").await.unwrap().last_transition_time, since);
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_grow_before_the_source() {
    let (world, operator, cluster) = running().await;
    let partitions = async |role: &str| world.topic(role).await.unwrap().spec.partitions.unwrap();

    cluster.answer("-dead-letters", Answer::Never);
    world.change("logins", json!({"source": {"partitions": 12}})).await;
    let grown = || async { (partitions("dead-letters").await == 12).then_some(()) };
    wait_for_async("the dead letters' growth", BOUND, grown).await;
    operator.look(&world, "logins", 3).await;
    assert_eq!(partitions("source").await, 8);
    world.wait_condition("logins", "Ready", False, "TopicsNotReady").await;

    cluster.answer("-dead-letters", Answer::Well);
    wait_for_async("the source's growth", BOUND, || async { (partitions("source").await == 12).then_some(()) }).await;
    world.wait_ready("logins").await;
    assert_eq!(partitions("output").await, 12);
    assert_eq!(partitions("deltas").await, 1);
    // Partitions are not part of the config: nothing restarted.
    assert_eq!(world.config("logins").await.revision, world.first_revision("logins").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_of_others_are_used_and_never_taken() {
    let (world, operator, cluster) = started().await;
    // A source of 16 partitions and larger messages, described by another owner's object.
    let theirs = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {"name": "theirs", "labels": {"strimzi.io/cluster": "my-cluster"}},
        "spec": {"topicName": "user-login", "partitions": 16, "config": {"max.message.bytes": 2_000_000}},
    });
    let create = async |object: serde_json::Value| {
        world.topics().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    };
    create(theirs).await;
    // And an object with the name of ours, for another topic.
    let name = format!("{}-logins-deltas", world.namespace);
    let taken = json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": {"name": name}, "spec": {"partitions": 3},
    });
    create(taken).await;
    let before = world.versions().await;

    world.apply(EXAMPLE).unwrap();
    let stuck = wait_for_async("the name that is taken", BOUND, || async {
        let condition = world.condition("logins", "TopicsReady").await?;
        condition.message.contains("is not this pipeline's").then_some(condition)
    });
    assert!(stuck.await.message.contains(&name));
    operator.look(&world, "logins", 2).await;
    assert!(world.topic("source").await.is_none());

    world.topics().delete(&name, &DeleteParams::default()).await.unwrap();
    world.wait_ready("logins").await;
    for role in ["output", "dead-letters"] {
        let topic = world.topic(role).await.unwrap();
        assert_eq!(topic.spec.partitions, Some(16), "{role}");
        assert_eq!(topic.spec.config["max.message.bytes"], 2_000_000 + 65_536, "{role}");
    }
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
    let created: Vec<_> = status.topics.iter().filter(|topic| topic.created).map(|topic| topic.role).collect();
    assert_eq!(created, Role::ALL[..8]);
    let theirs = world.topics().get("theirs").await.unwrap();
    assert!(theirs.owner_references().is_empty() && theirs.spec.partitions == Some(16));
    assert!(theirs.managed_fields().iter().all(|entry| entry.manager.as_deref() != Some("login-pipeline-operator")));
    assert!(before.contains_key("KafkaTopic/theirs"));

    // The topic fails, and so does the pipeline.
    cluster.answer("theirs", Answer::Badly);
    world.wait_condition("logins", "Ready", False, "TopicNotSupported").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_not_there_is_named() {
    let (world, _operator, _cluster) = started().await;
    world.apply(&EXAMPLE.replace("{cluster: my-cluster}", "{cluster: my-cluster, listener: internal}")).unwrap();
    let missing = world.wait_condition("logins", "Ready", False, "ListenerNotFound").await;
    assert!(missing.message.contains("\"internal\"") && missing.message.contains("tls, plain"), "{}", missing.message);
    world.change("logins", json!({"kafka": {"strimzi": {"listener": "plain"}}})).await;
    world.wait_ready("logins").await;

    // While pods run, a missing listener stops none of them: they can even be scaled.
    let status = Patch::Merge(json!({"status": {"listeners": []}}));
    world.dynamic("Kafka").patch_status("my-cluster", &PatchParams::default(), &status).await.unwrap();
    world.wait_condition("logins", "Ready", False, "ListenerNotFound").await;
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;
    assert_eq!(world.config("logins").await.revision, world.first_revision("logins").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn strimzi_may_come_later_and_in_an_older_version() {
    let world = World::bare().await;
    let _operator = Operator::start(&world).await;
    let _deployed = StandIn::start(&world, &[]);
    world.apply(EXAMPLE).unwrap();
    let missing = world.wait_condition("logins", "Ready", False, "StrimziNotInstalled").await;
    assert!(missing.message.contains("install it"), "{}", missing.message);
    // The others do not need it.
    let kafka = tokio::task::spawn_blocking(kafka::shared).await.unwrap();
    let elsewhere = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "elsewhere"},
        "spec": {
            "kafka": {"external": {"bootstrapServers": kafka.bootstrap()}},
            "source": {"topic": unique("in"), "partitions": 1},
            "output": {"topic": unique("out")},
            "deadLetters": {"topic": unique("dead")},
            "results": {
                "aggregates": {"topic": unique("aggregates")},
                "insights": {"topic": unique("insights")},
                "alerts": {"topic": unique("alerts")},
            },
        },
    });
    world.apply(&elsewhere.to_string()).unwrap();
    world.wait_ready("elsewhere").await;

    world.install_strimzi(&["v1beta2"]);
    world.wait_condition("logins", "Ready", False, "KafkaNotFound").await;
    let kafka = r#"{"apiVersion": "kafka.strimzi.io/v1beta2", "kind": "Kafka", "metadata": {"name": "my-cluster"}, "spec": {}}"#;
    world.apply(kafka).unwrap();
    // Nothing is created before it is known whether it already exists.
    world.wait_condition("logins", "Ready", False, "ListenerNotFound").await;
    let kafka = tokio::task::spawn_blocking(kafka::shared).await.unwrap();
    let status = json!({"status": {"listeners": [{"name": "plain", "bootstrapServers": kafka.bootstrap()}]}});
    let kafkas = Api::<DynamicObject>::namespaced_with(
        world.client.clone(),
        &world.namespace,
        &api_resource("v1beta2", "Kafka"),
    );
    kafkas.patch_status("my-cluster", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let made = async |count: usize| {
        let list = ["get", "kafkatopics", "-n", &world.namespace, "-o", "name"];
        let names = world.server.kubectl(&list, "").unwrap().stdout;
        (String::from_utf8_lossy(&names).lines().count() == count).then_some(())
    };
    wait_for_async("the outputs' KafkaTopics", BOUND, || made(OUTPUTS.len())).await;

    // An upgrade of Strimzi: the same objects in another version, with answers of the stand-in.
    world.install_strimzi(&["v1", "v1beta2"]);
    wait_for_async("the source's KafkaTopic", BOUND, || made(Role::ALL.len())).await;
    world.wait_ready("logins").await;
}
