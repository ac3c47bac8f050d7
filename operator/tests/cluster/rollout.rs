//! What pods run: a failed change that is rolled back, what an operator's restart leaves alone, and the number of pods.

use crds::pipeline::{ConditionStatus::False, ConditionStatus::True, LoginPipelineStatus};
use serde_json::json;
use testkit::wait_for_async;

use crate::{
    fates::Fate,
    support::{Answer, BOUND, EXAMPLE, Operator, StandIn, World},
};

const PROCESSOR: &str = "logins-processor";

/// A namespace in which the example runs.
async fn running(arguments: &[&str]) -> (World, Operator, StandIn) {
    let world = World::new().await;
    let operator = operator(&world, arguments).await;
    let cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    (world, operator, cluster)
}

async fn operator(world: &World, arguments: &[&str]) -> Operator {
    let arguments = [&["--leader-election=false"], arguments].concat();
    Operator::start_with(world, world.server.kubeconfig(), &arguments).await
}

async fn status(world: &World) -> LoginPipelineStatus {
    world.pipelines().get("logins").await.unwrap().status.unwrap()
}

/// The image that the Deployment's pods run.
async fn image(world: &World) -> String {
    let deployment = world.deployments().get(PROCESSOR).await.unwrap();
    deployment.spec.unwrap().template.spec.unwrap().containers[0].image.clone().unwrap()
}

async fn replicas(world: &World) -> i32 {
    world.deployments().get(PROCESSOR).await.unwrap().spec.unwrap().replicas.unwrap()
}

/// Waits until a condition has this message, which may change a moment after its reason.
async fn wait_words(world: &World, type_: &str, reason: &str, words: &str) {
    let said = || async {
        let condition = world.condition("logins", type_).await?;
        (condition.reason == reason && condition.message.contains(words)).then_some(())
    };
    wait_for_async(&format!("{type_} {reason}: {words}"), BOUND, said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_is_rolled_back_once_with_the_pods_reason() {
    let (world, operator, cluster) = running(&["--processor-image", "processor:1"]).await;
    let first = world.config("logins").await;
    cluster.fate("no-such-image", Some(Fate::NoImage));
    world.change("logins", json!({"processor": {"image": "no-such-image:1"}, "source": {"partitions": 9}})).await;
    let back = world.wait_condition("logins", "Ready", False, "RolledBack").await;
    assert!(back.message.contains("1 of 1 pods: the image no-such-image:1 cannot be had"), "{}", back.message);
    assert_eq!(world.condition("logins", "Stalled").await.unwrap().status, True);

    // Config, image and template are those of before, under a new number; topics grew all the same.
    let status = status(&world).await;
    let (config, healthy) = (status.config.unwrap(), status.last_healthy.unwrap());
    assert_eq!(config.revision, first.revision + 2);
    assert_eq!(config.image.as_deref(), Some("processor:1"));
    assert_eq!(image(&world).await, "processor:1");
    assert_eq!(healthy.config_map, config.config_map);
    assert_eq!(world.topic("source").await.unwrap().spec.partitions, Some(9));
    assert_eq!(world.pipelines().get("logins").await.unwrap().spec.processor.image.unwrap(), "no-such-image:1");

    // Only one attempt: neither time nor another operator nor the image's arrival cause a second one.
    operator.look(&world, "logins", 1).await;
    let before = world.children().await;
    cluster.fate("no-such-image", None);
    operator.look(&world, "logins", 3).await;
    drop(operator);
    let operator = self::operator(&world, &["--processor-image", "processor:1"]).await;
    operator.look(&world, "logins", 2).await;
    assert_eq!(world.children().await, before);
    world.wait_condition("logins", "Ready", False, "RolledBack").await;
    // A change that does not reach the pods does not cause one either.
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;
    operator.quiet().await;
    world.wait_condition("logins", "Ready", False, "RolledBack").await;

    // Another spec is another change.
    world.change("logins", json!({"processor": {"image": "processor:2"}})).await;
    world.wait_ready("logins").await;
    assert_eq!(image(&world).await, "processor:2");
    assert_eq!(world.config("logins").await.revision, first.revision + 3);
    assert_eq!(world.condition("logins", "Stalled").await.unwrap().status, False);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_crashes_pods_is_rolled_back_with_their_output() {
    let (world, _operator, cluster) = running(&[]).await;
    let deployment = world.deployments().get(PROCESSOR).await.unwrap();
    cluster.fate("\"threads\": 64", Some(Fate::Crash("INFO started\nprocessor: too many threads\n")));
    world.change("logins", json!({"processor": {"threads": 64}})).await;
    let back = world.wait_condition("logins", "Ready", False, "RolledBack").await;
    assert!(back.message.contains("it ends with exit code 2: processor: too many threads"), "{}", back.message);
    let config_map = world.config_maps().get(&world.config("logins").await.config_map).await.unwrap();
    assert!(config_map.data.unwrap()["job.json"].contains("\"threads\": 1"));
    // The same template as before, except for the name of the config.
    let [before, after] = [deployment, world.deployments().get(PROCESSOR).await.unwrap()].map(|deployment| {
        let mut pod = deployment.spec.unwrap().template.spec.unwrap();
        pod.volumes.as_mut().unwrap()[0].config_map.as_mut().unwrap().name = String::new();
        pod
    });
    assert_eq!(before, after);

    // The way back is a change too.
    world.change("logins", json!({"processor": {"threads": 1}})).await;
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_rolled_back_while_the_topics_may_be_to_blame() {
    let (world, operator, cluster) = running(&[]).await;
    cluster.fate("no-such-image", Some(Fate::NoImage));
    cluster.answer("-state", Answer::Badly);
    world.wait_condition("logins", "TopicsReady", False, "TopicNotSupported").await;
    world.change("logins", json!({"processor": {"image": "no-such-image"}})).await;
    let words = "1 of 1 pods: the image no-such-image cannot be had";
    wait_words(&world, "ProcessorAvailable", "ProgressDeadlineExceeded", words).await;
    operator.look(&world, "logins", 3).await;
    assert_eq!(image(&world).await, "no-such-image");

    // Not even without any Kafka.
    world.delete("kafka", "my-cluster").unwrap();
    world.wait_condition("logins", "TopicsReady", False, "KafkaNotFound").await;
    cluster.answer("-state", Answer::Well);
    operator.look(&world, "logins", 3).await;
    assert_eq!(image(&world).await, "no-such-image");

    world.kafka("my-cluster").await;
    world.wait_condition("logins", "Ready", False, "RolledBack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_stays_where_the_spec_wants_no_rollback() {
    let (world, operator, cluster) = running(&[]).await;
    cluster.fate("no-such-image", Some(Fate::NoImage));
    world.change("logins", json!({"processor": {"image": "no-such-image", "rollback": "Never"}})).await;
    wait_words(&world, "Ready", "ProgressDeadlineExceeded", "cannot be had: no-such-image: not found").await;
    operator.look(&world, "logins", 3).await;
    assert_eq!(image(&world).await, "no-such-image");
    // As soon as the spec allows it, it is rolled back.
    world.change("logins", json!({"processor": {"rollback": "OnFailure"}})).await;
    world.wait_condition("logins", "Ready", False, "RolledBack").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_never_ran_report_why_and_are_not_rolled_back() {
    let world = World::new().await;
    let operator = Operator::start(&world).await;
    let cluster = StandIn::start(&world, &[]);
    cluster.fate("job.json", Some(Fate::Crash("processor: no such topic\n")));
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    wait_words(&world, "Ready", "ProgressDeadlineExceeded", "it ends with exit code 2: processor: no such topic").await;
    let first = status(&world).await;
    assert_eq!(first.last_healthy, None);
    operator.look(&world, "logins", 3).await;
    assert_eq!(status(&world).await.config, first.config);

    cluster.fate("job.json", Some(Fate::NoNode));
    world.change("logins", json!({"processor": {"threads": 2}})).await;
    let words = "no node takes it: 0/3 nodes are available: 3 Insufficient cpu.";
    wait_words(&world, "Ready", "ProgressDeadlineExceeded", words).await;
    cluster.fate("job.json", Some(Fate::Starting));
    world.change("logins", json!({"processor": {"threads": 3}})).await;
    wait_words(&world, "Ready", "Progressing", "1 of 1 pods: it is being started").await;
    cluster.fate("job.json", None);
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operator_restarts_no_pod_unless_the_spec_demands_it() {
    let (world, operator, _cluster) = running(&["--processor-image", "processor:1"]).await;
    let before = world.children().await;
    drop(operator);
    let operator = self::operator(&world, &["--processor-image", "processor:2"]).await;
    operator.look(&world, "logins", 2).await;
    assert_eq!(world.children().await, before);
    // A change that does not reach the pods has no effect either.
    world.change("logins", json!({"processor": {"replicas": 3}, "source": {"partitions": 9}})).await;
    world.wait_replicas(3).await;
    world.wait_ready("logins").await;
    assert_eq!(image(&world).await, "processor:1");

    world.change("logins", json!({"processor": {"commitInterval": "200ms"}})).await;
    let renewed = || async { (image(&world).await == "processor:2").then_some(()) };
    wait_for_async("the image of the operator at the change", BOUND, renewed).await;
    world.wait_ready("logins").await;

    world.change("logins", json!({"processor": {"upgradePolicy": "Automatic"}})).await;
    operator.quiet().await;
    drop(operator);
    let operator = self::operator(&world, &["--processor-image", "processor:3"]).await;
    let renewed = || async { (image(&world).await == "processor:3").then_some(()) };
    wait_for_async("the image of the new operator", BOUND, renewed).await;
    world.wait_ready("logins").await;
    // Pinned again: nothing happens.
    operator.quiet().await;
    let before = world.children().await;
    world.change("logins", json!({"processor": {"upgradePolicy": "Pinned"}})).await;
    operator.look(&world, "logins", 2).await;
    assert_eq!(world.children().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_keeps_the_count_and_resume_returns_to_it() {
    let (world, operator, _cluster) = running(&[]).await;
    world.change("logins", json!({"processor": {"replicas": 3}})).await;
    world.wait_replicas(3).await;
    world.wait_ready("logins").await;
    let config = world.config("logins").await;

    world.change("logins", json!({"suspend": true})).await;
    world.wait_replicas(0).await;
    world.wait_condition("logins", "Ready", False, "Suspended").await;
    let scale = ["scale", "loginpipeline", "logins", "--replicas=4", "-n", &world.namespace];
    assert!(world.server.kubectl(&scale, "").unwrap().status.success());
    operator.look(&world, "logins", 2).await;
    assert_eq!(replicas(&world).await, 0);
    assert_eq!(world.pipelines().get("logins").await.unwrap().spec.processor.replicas, 4);

    world.change("logins", json!({"suspend": false})).await;
    world.wait_replicas(4).await;
    world.wait_ready("logins").await;
    assert_eq!(world.config("logins").await, config);
    assert_eq!(world.condition("logins", "Paused").await.unwrap().status, False);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_scales_the_pipeline_up_to_its_partitions() {
    let (world, operator, _cluster) = running(&[]).await;
    let config = world.config("logins").await;
    // What an autoscaler reads and writes.
    let path = format!("/apis/loginpipeline.dev/v1alpha1/namespaces/{}/loginpipelines/logins/scale", world.namespace);
    let scale = || {
        let output = world.server.kubectl(&["get", "--raw", &path], "").unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let seen = scale();
    assert_eq!(seen["spec"]["replicas"], 2);
    assert_eq!(seen["status"]["replicas"], 2);
    let selector = "app.kubernetes.io/component=processor,loginpipeline.dev/pipeline=logins";
    assert_eq!(seen["status"]["selector"], selector);
    for wanted in [5, 1, 12] {
        // Like an autoscaler, it retries when a status was written between its read and its write.
        let put = || async {
            let mut asked = scale();
            asked["spec"]["replicas"] = wanted.into();
            let put = world.server.kubectl(&["replace", "--raw", &path, "-f", "-"], &asked.to_string()).unwrap();
            let refused = String::from_utf8_lossy(&put.stderr);
            assert!(put.status.success() || refused.contains("Conflict"), "{refused}");
            put.status.success().then_some(())
        };
        wait_for_async("a scale that nothing came in between", BOUND, put).await;
        world.wait_replicas(wanted.min(8)).await;
        world.wait_ready("logins").await;
    }
    let capped = world.wait_condition("logins", "Degraded", True, "ReplicasCapped").await;
    assert!(
        capped.message.starts_with("12 replicas are asked for, but the source has 8 partitions"),
        "{}",
        capped.message
    );
    let reached = || async { (scale()["status"]["replicas"] == 8).then_some(()) };
    wait_for_async("eight replicas in the scale subresource", BOUND, reached).await;

    // Scaling the Deployment directly is corrected.
    let by_hand = ["scale", "deployment", PROCESSOR, "--replicas=1", "-n", &world.namespace];
    assert!(world.server.kubectl(&by_hand, "").unwrap().status.success());
    world.wait_replicas(8).await;

    world.change("logins", json!({"source": {"partitions": 12}})).await;
    world.wait_replicas(12).await;
    world.wait_condition("logins", "Degraded", False, "AsAsked").await;
    operator.quiet().await;
    assert_eq!(world.config("logins").await, config);
}
