//! A pipeline from `helm install` to its deletion, under load: its results are correct after every change.

use std::time::{Duration, Instant, SystemTime};

use kube::ResourceExt;
use serde_json::{Value, json};
use testkit::{kafka::NewRecord, wait_for};

use crate::{
    place::{BOUND, NEXT, OPERATOR, Place, RELEASE, chart},
    watch::Watch,
};

/// Events a second: the rate that a build without optimization sustains on a busy machine.
const LOAD: u32 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn results_stay_correct_through_all_changes_and_failures() {
    let place = Place::new().await;

    // From installation to the first results.
    let began = Instant::now();
    place.apply_example();
    let partitions = wait_for("the source", BOUND, || place.kafka.partitions("user-login").unwrap());
    let _load = place.load(LOAD);
    let watch = Watch::start(place.kafka.bootstrap(), "processed-user-login", partitions);
    place.kubectl(&["wait", "--for=condition=Ready", "loginpipeline/logins", "--timeout=120s"], "");
    println!("apply to Ready: {:?}", began.elapsed());
    place.audit("at the start").await;
    let started = first_words(&place).await;
    the_page_shows_it(&place).await;

    // A new config is rolled out pod by pod.
    assert_eq!(place.pods().await.len(), 2);
    let before = place.pod_names().await;
    let rolling = Instant::now();
    place.change(&json!({"aggregation": {"allowedLateness": "1m"}}));
    place.settle().await;
    let rolled = Instant::now();
    assert!(place.pod_names().await.iter().all(|name| !before.contains(name)));
    place.audit("after a config roll").await;
    let arrivals = watch.stop();
    println!("start to first commit: {:?}", arrivals.first.unwrap().duration_since(started).unwrap());
    let (any, one) = arrivals.longest_gaps(rolling, rolled);
    println!("longest gap in a config roll of {:?}: {any:?} of all output, {one:?} of a partition", rolled - rolling);
    assert!(one < Duration::from_secs(30), "{one:?}");

    // Scaling down and up.
    for replicas in ["1", "3"] {
        place.kubectl(&["scale", "loginpipeline", "logins", "--replicas", replicas], "");
        place.settle().await;
        assert_eq!(place.pods().await.len().to_string(), replicas);
    }
    place.audit("after 1 and 3 replicas").await;

    // One pod ends in order; then all are killed at once.
    let names = place.pod_names().await;
    place.kubectl(&["delete", "pod", &names[0]], "");
    place.settle().await;
    place.kubectl(&["delete", "pods", "-l", "loginpipeline.dev/pipeline=logins", "--grace-period=0", "--force"], "");
    place.settle().await;
    assert!(place.pod_names().await.iter().all(|name| !names.contains(name)));
    place.audit("after pods were deleted").await;

    the_operator_is_upgraded(&place).await;
    place.audit("after an upgrade of the operator").await;
    assert!(place.sent() > 10_000);

    // The check that all of the above relies on: the audit detects a single surplus event.
    let stray = NewRecord { payload: Some(b"{}".to_vec()), ..NewRecord::default() };
    place.kafka.produce("processed-user-login", [stray]).unwrap();
    let (status, report) = place.report().await;
    assert_eq!(status, 1, "{report}");
}

/// The operator's page, and a replica's own page through it, as `kubectl proxy` serves them.
async fn the_page_shows_it(place: &Place) {
    let operator = place.kubectl(&["get", "pods", "-n", OPERATOR, "-o=jsonpath={.items[0].metadata.name}"], "");
    let read = |path: &str| {
        let address = format!("/api/v1/namespaces/{OPERATOR}/pods/{operator}:8080/proxy/{path}");
        place.kubectl(&["get", "--raw", &address], "")
    };
    let json = |path: &str| serde_json::from_str::<Value>(&read(path)).unwrap();
    assert!(read("").contains("<title>Login pipelines</title>"));
    let list = json("pipelines");
    let mut rows = list["pipelines"].as_array().unwrap().iter();
    let row = rows.find(|row| row["namespace"] == place.namespace.as_str() && row["name"] == "logins");
    assert_eq!(row.unwrap()["state"], "ready", "{list}");
    let opened = json(&format!("pipelines/{}/logins", place.namespace));
    let pods = opened["pods"]["found"].as_array().unwrap();
    assert_eq!(pods.iter().filter(|pod| pod["is_ready"] == true && pod["is_current"] == true).count(), 2, "{opened}");
    assert!(opened["events"]["found"].as_array().unwrap().iter().any(|event| event["reason"] == "Running"), "{opened}");
    let mut processed = 0;
    for pod in pods {
        let view = json(&format!("pods/{}/{}/view", place.namespace, pod["name"].as_str().unwrap()));
        assert_eq!(view["pipeline"]["namespace"], place.namespace.as_str(), "{view}");
        processed += view["totals"]["processed"].as_u64().unwrap();
    }
    assert!(processed > 0);
}

/// The upgrade restarts nothing of the pipeline, and later changes take effect.
async fn the_operator_is_upgraded(place: &Place) {
    let before = place.pod_names().await;
    // An existing cluster has no image with that tag: the same image then runs with another setting.
    let next = place.target.node().map_or("log.level=debug".to_owned(), |_| format!("image.tag={NEXT}"));
    let operators = ["get", "pods", "-n", OPERATOR, "-o=name"];
    let running = || String::from_utf8(place.target.kubectl(&operators, "").unwrap().stdout).unwrap();
    let of_before = running();
    let upgrade = ["upgrade", RELEASE, chart(), "--namespace", OPERATOR, "--wait", "--reuse-values", "--set", &next];
    let output = place.target.helm(&upgrade).unwrap();
    assert!(output.status.success(), "{output:?}");
    let upgraded = || {
        let running = running();
        (!running.is_empty() && running.lines().all(|pod| !of_before.contains(pod))).then_some(())
    };
    wait_for("the next operator alone", BOUND, upgraded);
    place.kubectl(&["scale", "loginpipeline", "logins", "--replicas", "2"], "");
    place.settle().await;
    let after = place.pods().await;
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|pod| before.contains(&pod.name_any())));
}

/// The time of the first replica's first log line.
async fn first_words(place: &Place) -> SystemTime {
    let mut times = Vec::new();
    for pod in place.pod_names().await {
        let log = place.kubectl(&["logs", &pod, "--timestamps"], "");
        let time: jiff::Timestamp = log.split(' ').next().unwrap().parse().unwrap();
        times.push(SystemTime::from(time));
    }
    times.into_iter().min().unwrap()
}
