//! Lag and rate: from answering pods to a status that is written no more often than documented.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use crds::pipeline::LoginPipelineStatus;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use operator::rights::{Place, rules};
use serde_json::json;
use testkit::wait_for_async;

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, World};

/// A pod in the API server that answers at its own address.
struct TestPod {
    name: String,
    api: Api<Pod>,
    /// Its metrics: events, and the lag of each of the eight partitions. `None`: it does not answer.
    counted: Arc<Mutex<Option<(u64, i64)>>>,
}

impl TestPod {
    async fn start(world: &World, name: &str, partitions: std::ops::Range<i32>) -> Self {
        let (listener, address) = listen();
        let counted = Arc::new(Mutex::new(Some((0, 0))));
        let shared = counted.clone();
        thread::spawn(move || serve(&listener, &partitions, &shared));
        let api = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
        let pod = json!({
            "metadata": {"name": name, "labels": {
                "loginpipeline.dev/pipeline": "logins", "app.kubernetes.io/component": "processor",
            }},
            "spec": {"containers": [{"name": "processor", "image": "processor"}]},
        });
        api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status = json!({"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        Self { name: name.to_owned(), api, counted }
    }

    fn counts(&self, events: u64, lag: i64) {
        *self.counted.lock().unwrap() = Some((events, lag));
    }

    async fn delete(self) {
        self.api.delete(&self.name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }
}

/// Loopback has many addresses, and each has a port 8080.
fn listen() -> (TcpListener, Ipv4Addr) {
    loop {
        let [a, b, c]: [u8; 3] = rand::random();
        let address = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        if let Ok(listener) = TcpListener::bind((address, 8080)) {
            return (listener, address);
        }
    }
}

fn serve(listener: &TcpListener, partitions: &std::ops::Range<i32>, counted: &Mutex<Option<(u64, i64)>>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let counted = *counted.lock().unwrap();
        let Some((events, lag)) = counted else { continue };
        let _ = stream.read(&mut [0; 1024]);
        let lag = |partition: i32| format!("login_processor_lag_records{{partition=\"{partition}\"}} {lag}\n");
        let lags: String = partitions.clone().map(lag).collect();
        let body = format!("login_processor_events_processed_total {events}\n{lags}# EOF\n");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(format!("{head}{body}").as_bytes());
    }
}

/// An operator that measures at this interval, and may not read one of the namespaces that it watches.
async fn measuring(world: &World, pause: Duration) -> Operator {
    let user = world.user();
    world.allow(&user, &rules(Place::Watched));
    let namespaces = format!("default,{}", world.namespace);
    let pause = format!("{}s", pause.as_secs());
    let arguments = ["--leader-election=false", "--watch-namespaces", &namespaces, "--measure-interval", &pause];
    Operator::start_unready(world, &user.kubeconfig, &arguments).await
}

async fn figures(world: &World) -> (Option<i64>, Option<i64>) {
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap_or_default();
    (status.lag, status.rate)
}

async fn wait_figures(world: &World, what: &str, is_so: impl Fn((Option<i64>, Option<i64>)) -> bool) {
    let seen = || async { is_so(figures(world).await).then_some(()) };
    wait_for_async(what, BOUND, seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_and_rate_are_what_the_pods_count() {
    const PAUSE: Duration = Duration::from_secs(1);
    let world = World::new().await;
    let operator = measuring(&world, PAUSE).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    let (one, other) = (TestPod::start(&world, "a", 0..5).await, TestPod::start(&world, "b", 5..8).await);
    one.counts(1000, 10);
    other.counts(5000, 100);
    wait_figures(&world, "the lag of eight partitions", |(lag, _)| lag == Some(350)).await;
    wait_figures(&world, "no event in a second", |figures| figures == (Some(350), Some(0))).await;

    // Without a difference there is no write.
    let version = world.pipelines().get("logins").await.unwrap().metadata.resource_version;
    tokio::time::sleep(PAUSE * 4).await;
    // A change of less than a step causes no write either.
    one.counts(1000, 14);
    tokio::time::sleep(PAUSE * 4).await;
    assert_eq!(world.pipelines().get("logins").await.unwrap().metadata.resource_version, version);

    // A restarted operator keeps the reported values until it has new ones.
    drop(operator);
    let _operator = measuring(&world, PAUSE).await;
    tokio::time::sleep(PAUSE * 4).await;
    assert_eq!(world.pipelines().get("logins").await.unwrap().metadata.resource_version, version);

    // The lag of a partition that no pod reports is unknown.
    *other.counted.lock().unwrap() = None;
    wait_figures(&world, "no figures", |figures| figures == (None, None)).await;
    other.delete().await;
    wait_figures(&world, "the rate of the pod that is left", |figures| figures == (None, Some(0))).await;
    one.delete().await;
    wait_figures(&world, "no figures without pods", |figures| figures == (None, None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_not_written_more_often_than_it_says() {
    const PAUSE: Duration = Duration::from_secs(3);
    let world = World::new().await;
    let _operator = measuring(&world, PAUSE).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    let pod = TestPod::start(&world, "a", 0..8).await;
    wait_figures(&world, "the first figures", |(lag, rate)| lag == Some(0) && rate.is_some()).await;

    let only = watcher::Config::default().fields("metadata.name=logins");
    let mut changes = watcher(world.pipelines(), only).applied_objects().boxed();
    let (started, mut events, mut seen) = (Instant::now(), 0_u64, Vec::new());
    while started.elapsed() < PAUSE * 5 {
        // Thousands of events a second, and a lag that keeps growing by half.
        events += 500;
        let steps = i32::try_from(started.elapsed().as_millis() / 250).unwrap();
        pod.counts(events, (10.0 * 1.5_f64.powi(steps)) as i64);
        let next = tokio::time::timeout(Duration::from_millis(50), changes.next()).await;
        let Ok(Some(Ok(pipeline))) = next else { continue };
        let LoginPipelineStatus { lag, rate, .. } = pipeline.status.unwrap();
        if seen.last() != Some(&(lag, rate)) {
            seen.push((lag, rate));
        }
    }
    // The first one is the earlier value.
    assert!((3..=6).contains(&seen.len()), "{seen:?}");
    let rate = seen.last().unwrap().1.unwrap();
    assert!((1_000..=10_000).contains(&rate), "{seen:?}");
}
