//! A pipeline that is suspended and resumed, on a real Kafka: at rest it has no pod and no open transaction.

use std::time::Duration;

use crds::pipeline::ConditionStatus::{False, True};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::json;
use testkit::unique;

use crate::{
    external::{Names, shared},
    support::{Operator, StandIn, World},
};

const BOUND: Duration = Duration::from_secs(10);

/// A pod of the pipeline, as a real Deployment would create it.
async fn pod(pods: &Api<Pod>) {
    let pod = json!({
        "metadata": {"name": "logins-processor-1", "labels": {
            "app.kubernetes.io/component": "processor", "loginpipeline.dev/pipeline": "logins",
        }},
        "spec": {"containers": [{"name": "processor", "image": "processor"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_pauses_once_drained_and_resumes_at_its_old_size() {
    let (world, kafka) = (World::new().await, shared().await);
    let names = Names::new(&world);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.apply(&names.manifest("logins", kafka.bootstrap(), 2)).unwrap();
    world.wait_ready("logins").await;
    assert_eq!(world.condition("logins", "Paused").await.unwrap().reason, "NotSuspended");
    let template = world.deployments().get("logins-processor").await.unwrap().spec.unwrap().template;

    // What a killed pod leaves.
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("transactional.id", unique("open"))
        .create()
        .unwrap();
    producer.init_transactions(BOUND).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<str, str>::to(&names.output).partition(1).payload("a")).unwrap();
    producer.flush(BOUND).unwrap();
    let pods = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
    pod(&pods).await;

    world.change("logins", json!({"suspend": true})).await;
    let draining = world.wait_condition("logins", "Paused", False, "Draining").await;
    assert!(draining.message.contains("1 pod is draining"), "{}", draining.message);
    assert_eq!(world.deployments().get("logins-processor").await.unwrap().spec.unwrap().replicas, Some(0));
    assert_eq!(world.pipelines().get("logins").await.unwrap().spec.processor.replicas, 2);

    pods.delete("logins-processor-1", &DeleteParams::default().grace_period(0)).await.unwrap();
    let open = async || {
        let paused = world.condition("logins", "Paused").await?;
        paused.message.contains(&names.output).then_some(paused)
    };
    let open = testkit::wait_for_async("the open transaction", crate::support::BOUND, open).await;
    assert_eq!(open.status, False);
    assert_eq!(open.reason, "Draining");

    producer.abort_transaction(BOUND).unwrap();
    world.wait_condition("logins", "Paused", True, "Drained").await;
    world.wait_condition("logins", "Ready", False, "Suspended").await;
    assert_eq!(world.condition("logins", "Stalled").await.unwrap().status, False);
    assert_eq!(world.condition("logins", "Reconciling").await.unwrap().status, False);
    // A pipeline at rest is left alone.
    operator.quiet().await;
    let before = world.versions().await;
    operator.look(&world, "logins", 2).await;
    let mut after = world.versions().await;
    after.insert("LoginPipeline/logins".to_owned(), before["LoginPipeline/logins"].clone());
    assert_eq!(before, after);

    world.change("logins", json!({"suspend": false})).await;
    world.wait_ready("logins").await;
    let spec = world.deployments().get("logins-processor").await.unwrap().spec.unwrap();
    assert_eq!(spec.replicas, Some(2));
    assert_eq!(spec.template, template);
    assert_eq!(world.condition("logins", "Paused").await.unwrap().status, False);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_replicas_than_partitions_and_it_says_so() {
    let (world, kafka) = (World::new().await, shared().await);
    let names = Names::new(&world);
    let _operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.apply(&names.manifest("logins", kafka.bootstrap(), 2)).unwrap();
    world.wait_ready("logins").await;
    let scale = ["scale", "loginpipeline", "logins", "--replicas=5", "-n", &world.namespace];
    assert!(world.server.kubectl(&scale, "").unwrap().status.success());
    let capped = world.wait_condition("logins", "Degraded", True, "ReplicasCapped").await;
    assert!(capped.message.contains("5 replicas") && capped.message.contains("2 partitions"), "{}", capped.message);
    world.wait_ready("logins").await;
    assert_eq!(world.deployments().get("logins-processor").await.unwrap().spec.unwrap().replicas, Some(2));

    world.change("logins", json!({"source": {"partitions": 5}})).await;
    world.wait_condition("logins", "Degraded", False, "AsAsked").await;
    let grown = || async {
        (world.deployments().get("logins-processor").await.unwrap().spec?.replicas == Some(5)).then_some(())
    };
    testkit::wait_for_async("five replicas", crate::support::BOUND, grown).await;
}
