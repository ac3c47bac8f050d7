//! Pipelines that fail do not slow down the others.

use std::time::{Duration, Instant};

use kube::api::{ListParams, PostParams};
use serde_json::json;
use testkit::wait_for_async;

use crate::support::{BOUND, EXAMPLE, started};

/// Pipelines whose Kafka does not answer: more than the operator reconciles at once, and each pass waits 5 s.
const FAILING: u16 = 80;

/// The minimum time of one round over the failing ones: three times 32 passes of seven seconds.
const ROUND: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn many_pipelines_waiting_for_kafka_do_not_delay_another_one() {
    let (world, operator, _cluster) = started().await;
    for number in 0..FAILING {
        let pipeline = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": format!("away-{number}")},
            // Two pipelines may not write to one topic.
            "spec": {
                "kafka": {"external": {"bootstrapServers": "127.0.0.1:1"}},
                "output": {"topic": format!("out-{number}")},
                "deadLetters": {"topic": format!("dead-{number}")},
                "results": {
                    "aggregates": {"topic": format!("aggregates-{number}")},
                    "insights": {"topic": format!("insights-{number}")},
                    "alerts": {"topic": format!("alerts-{number}")},
                },
            },
        });
        let pipeline = serde_json::from_value(pipeline).unwrap();
        world.pipelines_as_they_are().create(&PostParams::default(), &pipeline).await.unwrap();
    }
    let failed = "login_pipeline_operator_reconcile_errors_total{category=\"kafka-unreachable\"}";
    let all_failed = || async { (operator.metric(failed) >= f64::from(FAILING)).then_some(()) };
    wait_for_async("a failure of each", BOUND, all_failed).await;
    assert_eq!(world.pipelines().list(&ListParams::default()).await.unwrap().items.len(), usize::from(FAILING));

    let started = Instant::now();
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    for replicas in 3..6 {
        world.change("logins", json!({"processor": {"replicas": replicas}})).await;
        world.wait_replicas(replicas).await;
    }
    // A second or two for each of the four steps. In a queue after the failing ones, each step would take a round of
    // half a minute.
    assert!(started.elapsed() < ROUND, "{:?}", started.elapsed());
    assert!(operator.metric("login_pipeline_operator_passes_waiting") > 0.0, "the failing ones were too few");
    assert!(operator.metric("login_pipeline_operator_passes_in_flight") <= 32.0 + 16.0);
    assert!(operator.get("/healthz").starts_with("HTTP/1.1 200"));

    // A repaired one is reconciled at once.
    let mended = Instant::now();
    world.change("away-7", json!({"kafka": {"external": null, "strimzi": {"cluster": "my-cluster"}}})).await;
    let looked_at = || async {
        let pipeline = world.pipelines().get("away-7").await.unwrap();
        let status = pipeline.status.unwrap();
        (status.observed_generation == pipeline.metadata.generation).then_some(())
    };
    wait_for_async("another look", BOUND, looked_at).await;
    // A running pass ends first, which takes seven seconds when no broker answers.
    assert!(mended.elapsed() < ROUND, "{:?}", mended.elapsed());
}
