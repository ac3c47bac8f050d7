//! The page: the API server's state as it changes, without more requests than viewers need; and the pages of pods of
//! its pipelines, and of no others.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::wait_for_async;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::support::{BOUND, EXAMPLE, Operator, World, running, started};

/// The JSON at a path.
fn read(operator: &Operator, path: &str) -> Value {
    let answer = operator.get(path);
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

/// The events of a stream, one after the other.
struct Updates(BufReader<TcpStream>);

impl Updates {
    fn by(operator: &Operator, path: &str) -> Self {
        Self(BufReader::new(operator.begin("GET", path, "").unwrap()))
    }

    /// The next event with this name; skips others.
    fn next(&mut self, event: &str) -> Value {
        let mut is_wanted = false;
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            if let Some(name) = line.trim_end().strip_prefix("event: ") {
                is_wanted = name == event;
            } else if let Some(data) = line.strip_prefix("data: ").filter(|_| is_wanted) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

/// The number of the operator's requests of this kind to the API server.
fn asked(operator: &Operator, verb: &str, resource: &str) -> f64 {
    operator.metric(&format!("login_pipeline_operator_api_requests_total{{verb=\"{verb}\",resource=\"{resource}\"}}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_what_the_api_server_has_and_follows_it() {
    let (world, operator, _cluster) = running().await;
    // The operator's watch may be a moment behind the API server.
    let current = || async {
        let (listed, pipeline) = (read(&operator, "/pipelines"), world.pipelines().get("logins").await.unwrap());
        let is_current = listed["pipelines"][0]["resource_version"] == json!(pipeline.metadata.resource_version);
        is_current.then_some((listed, pipeline))
    };
    let (listed, pipeline) = wait_for_async("the list of now", BOUND, current).await;
    let mut told = Updates::by(&operator, "/pipelines/events");
    let first = told.next("pipelines");

    for list in [&first, &listed] {
        assert_eq!(list["version"], 1);
        assert_eq!(list["state"], "leads");
        assert_eq!(list["leader"], Value::Null);
        assert_eq!(list["namespaces"], json!([world.namespace]));
    }
    assert_eq!(first["pipelines"], listed["pipelines"]);
    let (status, row) = (pipeline.status.unwrap(), &listed["pipelines"][0]);
    let expected = json!({
        "namespace": world.namespace, "name": "logins", "state": "ready", "reason": "Running", "is_current": true,
        "source": "user-login", "replicas": {"wanted": 2, "exist": status.replicas, "ready": status.ready_replicas},
        "revision": status.config.as_ref().unwrap().revision, "resource_version": pipeline.metadata.resource_version,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&row[field], value, "{field}: {row}");
    }

    world.change("logins", json!({"suspend": true})).await;
    let paused = || told.next("changes")["changed"].as_array().unwrap().iter().any(|row| row["state"] == "paused");
    assert!(std::iter::repeat_with(paused).take(20).any(|is_so| is_so));
    world.delete("loginpipeline", "logins").unwrap();
    let gone = json!([[world.namespace, "logins"]]);
    assert!(std::iter::repeat_with(|| told.next("changes")["gone"] == gone).take(20).any(|is_so| is_so));
    assert_eq!(read(&operator, "/pipelines")["pipelines"], json!([]));
    // No viewer has asked for one pipeline.
    assert_eq!(asked(&operator, "list", "events"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_opens_to_its_conditions_topics_and_events() {
    let (world, operator, _cluster) = running().await;
    // It reports its own state too, separately.
    world.apply(&EXAMPLE.replace("name: logins", "name: others")).unwrap();
    world.wait_condition("others", "Stalled", crds::pipeline::ConditionStatus::True, "Conflict").await;
    let path = format!("/pipelines/{}/logins", world.namespace);
    let events = || async {
        let shown = read(&operator, &path);
        assert_eq!(shown["events"]["problem"], Value::Null, "{shown}");
        let found = shown["events"]["found"].as_array().unwrap().clone();
        found.iter().any(|event| event["reason"] == "Running").then_some((shown, found))
    };
    let (shown, found) = wait_for_async("its Events", BOUND, events).await;
    let status = json!(world.pipelines().get("logins").await.unwrap().status.unwrap());
    let (conditions, topics) = (shown["conditions"].as_array().unwrap(), shown["topics"].as_array().unwrap());
    assert!(conditions.len() == 8 && topics.len() > 5, "{shown}");
    for (shown, condition) in conditions.iter().zip(status["conditions"].as_array().unwrap()) {
        for field in ["type", "status", "reason", "message"] {
            assert_eq!(shown[field], condition[field]);
        }
        assert_eq!(shown["since"], condition["lastTransitionTime"]);
    }
    for (shown, topic) in topics.iter().zip(status["topics"].as_array().unwrap()) {
        assert_eq!(shown["name"], topic["name"]);
        assert_eq!(shown["partitions"], topic["partitions"]);
        assert_eq!(shown["is_created"], topic["created"]);
    }
    assert_eq!(shown["config"]["config_map"], status["config"]["configMap"]);
    assert!(!found.iter().any(|event| event["reason"] == "Conflict"), "{found:?}");
    let times: Vec<_> = found.iter().map(|event| event["last"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    // Each reports its own state.
    let others = read(&operator, &format!("/pipelines/{}/others", world.namespace));
    assert_eq!(others["state"], "stalled");
    assert_eq!(others["reason"], "Conflict");
    assert!(others["events"]["found"].as_array().unwrap().iter().all(|event| event["reason"] != "Running"), "{others}");

    // Regardless of the number of viewers, the API server is asked once in two seconds.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (asked(&operator, "list", "events"), Instant::now());
    while began.elapsed() < Duration::from_secs(1) {
        read(&operator, &path);
    }
    let more = asked(&operator, "list", "events") - before;
    assert!((1.0..=1.0 + (began.elapsed().as_secs_f64() / 2.0).floor()).contains(&more), "{more}");
    assert_eq!(self::status(&operator.get(&format!("/pipelines/{}/nobody", world.namespace))), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_by_says_who_leads_and_shows_nothing() {
    let world = World::new().await;
    let arguments = ["--lease-namespace", world.namespace.as_str()];
    let mut first = Operator::start_with(&world, world.server.kubeconfig(), &arguments).await;
    let leads = || async { (read(&first, "/pipelines")["state"] == "leads").then_some(()) };
    wait_for_async("a leader", BOUND, leads).await;
    let second = Operator::start_with(&world, world.server.kubeconfig(), &arguments).await;
    let stands_by = || async { Some(read(&second, "/pipelines")).filter(|list| list["state"] == "stands-by") };
    let list = wait_for_async("one that stands by", BOUND, stands_by).await;

    let leader = std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    assert_eq!(list["leader"], leader);
    assert_eq!(list["leader_namespace"], world.namespace);
    assert_eq!(list["pipelines"], json!([]));
    for path in [
        format!("/pipelines/{}/logins", world.namespace),
        format!("/pods/{}/logins-processor-1-a/view", world.namespace),
    ] {
        let answer = second.get(&path);
        assert!(status(&answer) == 503 && answer.contains(&format!("the one that leads, pod {leader}")), "{answer}");
    }

    // A viewer of the standby sees it take over.
    let mut told = Updates::by(&second, "/pipelines/events");
    assert_eq!(told.next("pipelines")["state"], "stands-by");
    first.process.signal("TERM");
    assert!(std::iter::repeat_with(|| told.next("changes")["state"] == "leads").take(5).any(|leads| leads));
}

/// A pod in the API server that answers at its own address.
struct TestPod {
    /// The requests it received, with their heads.
    asked: Arc<Mutex<Vec<String>>>,
    readers: Readers,
    api: Api<Pod>,
    name: String,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Says {
    asked: Arc<Mutex<Vec<String>>>,
    readers: Readers,
}

/// Streams of a pod that have a reader.
#[derive(Clone, Default)]
struct Readers(Arc<AtomicUsize>);

struct Reader(Readers);

impl Readers {
    fn come(&self) -> Reader {
        self.0.fetch_add(1, Ordering::Relaxed);
        Reader(self.clone())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TestPod {
    /// Starts it, with `metadata` merged into its metadata.
    async fn start(world: &World, name: &str, metadata: Value) -> Self {
        let (listener, address) = listen().await;
        let says = Says { asked: Arc::default(), readers: Readers::default() };
        let router = Router::new().fallback(say).with_state(says.clone());
        let serving = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        let api = Api::<Pod>::namespaced(world.client.clone(), &world.namespace);
        let mut whole = json!({
            "name": name,
            "labels": {
                "loginpipeline.dev/pipeline": "logins", "app.kubernetes.io/component": "processor", "pod-template-hash": "7d9",
            },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "logins-processor-7d9", "uid": "1", "controller": true,
            }],
        });
        whole.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        let pod = json!({"metadata": whole, "spec": {"containers": [{"name": "processor", "image": "processor"}]}});
        api.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
        let status = json!({"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [{"type": "Ready", "status": "True"}],
        }});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
        Self { asked: says.asked, readers: says.readers, api, name: name.to_owned(), serving }
    }

    fn path(&self, world: &World, path: &str) -> String {
        format!("/pods/{}/{}/{path}", world.namespace, self.name)
    }

    async fn wait_readers(&self, count: usize) {
        let seen = || async { (self.readers.0.load(Ordering::Relaxed) == count).then_some(()) };
        wait_for_async(&format!("{count} readers"), BOUND, seen).await;
    }
}

/// Loopback has many addresses, and each has a port 8080.
async fn listen() -> (TcpListener, Ipv4Addr) {
    loop {
        let [a, b, c]: [u8; 3] = rand::random();
        let address = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        if let Ok(listener) = TcpListener::bind((address, 8080)).await {
            return (listener, address);
        }
    }
}

/// Answers of a malicious pod.
async fn say(State(says): State<Says>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().to_string());
    says.asked.lock().unwrap().push(format!("{method} {path} {:?}", request.headers()));
    let evil =
        [(header::CONTENT_TYPE, "text/html"), (header::SET_COOKIE, "a=b"), (header::LOCATION, "http://elsewhere/")];
    match path.as_str() {
        "/view" => (evil, r#"{"version":1}"#).into_response(),
        "/view/history" => (StatusCode::TEMPORARY_REDIRECT, evil).into_response(),
        "/view/events" => {
            let events = stream::unfold((says.readers.come(), 0), |(reader, count)| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, String>(format!("event: view\ndata: {{\"count\":{count}}}\n\n")), (reader, count + 1)))
            });
            (evil, Body::from_stream(events.boxed())).into_response()
        }
        "/metrics" => (StatusCode::NOT_FOUND, "no\n").into_response(),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
        _ => "secret\n".into_response(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_passed_through_as_data_and_told_nothing() {
    let (world, operator, _cluster) = running().await;
    let pod = TestPod::start(&world, "logins-processor-7d9-a", json!({})).await;
    let secrets = "cookie: a=b\r\nauthorization: Bearer secret\r\nx-forwarded-for: 1.2.3.4\r\naccept: text/html\r\n";
    let answer = operator.ask("GET", &pod.path(&world, "view?secret=1"), secrets);
    assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\n{\"version\":1}"), "{answer}");
    let (head, asked) = (answer.to_lowercase(), pod.asked.lock().unwrap().join("\n"));
    assert!(
        head.contains("content-type: application/json\r\n") && head.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    assert!(
        head.contains("content-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n"),
        "{answer}"
    );
    assert!(!head.contains("set-cookie") && !head.contains("elsewhere") && !head.contains("text/html"), "{answer}");
    assert!(asked.starts_with("GET /view {\"host\": \"127.") && !asked.contains(','), "{asked}");

    // The page is this release's, whatever the pod itself would answer.
    let page = operator.get(&pod.path(&world, ""));
    assert!(status(&page) == 200 && page.contains("<!doctype html>") && page.contains("script-src 'nonce-"), "{page}");
    assert_eq!(pod.asked.lock().unwrap().len(), 1);
    let unready = operator.get(&pod.path(&world, "readyz"));
    assert!(status(&unready) == 503 && unready.ends_with("not ready\n"), "{unready}");
    for (path, expected) in [("metrics", "answers 404 Not Found"), ("view/history", "answers 307 Temporary Redirect")] {
        let answer = operator.get(&pod.path(&world, path));
        assert!(status(&answer) == 502 && answer.contains(expected) && !answer.contains("elsewhere"), "{answer}");
    }

    // Nothing else of the pod can be read, and nothing can be done to it.
    let asked = pod.asked.lock().unwrap().len();
    for path in
        ["secret", "healthz", "view/", "view/secret", "../secret", "%2e%2e/secret", "view%2f..%2fsecret", "//secret"]
    {
        let answer = operator.get(&pod.path(&world, path));
        assert!(status(&answer) == 404 && !answer.contains("secret\n"), "{path}: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        for path in [pod.path(&world, "view"), pod.path(&world, ""), "/pipelines".to_owned(), "/".to_owned()] {
            assert_eq!(status(&operator.ask(method, &path, "content-length: 0\r\n")), 405, "{method} {path}");
        }
    }
    assert_eq!(pod.asked.lock().unwrap().len(), asked);

    // A pod that is gone is not asked; a silent pod is not waited for.
    pod.serving.abort();
    let has_ended = || async { pod.serving.is_finished().then_some(()) };
    wait_for_async("its end", BOUND, has_ended).await;
    let answer = operator.get(&pod.path(&world, "view"));
    assert!(status(&answer) == 502 && answer.contains("pod logins-processor-7d9-a: it cannot be reached"), "{answer}");
    pod.api.delete(&pod.name, &DeleteParams::default().grace_period(0)).await.unwrap();
    let gone = || async { (status(&operator.get(&pod.path(&world, "view"))) == 404).then_some(()) };
    wait_for_async("its end", BOUND, gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_others_is_not_asked() {
    let (world, operator, _cluster) = running().await;
    let labels =
        |pipeline: &str| json!({"labels": {"loginpipeline.dev/pipeline": pipeline, "pod-template-hash": "7d9"}});
    let strangers = [
        ("somebody", json!({})),
        ("logins-processor-7d9-b", json!({"ownerReferences": []})),
        ("logins-processor-7d9-c", labels("logins")),
        ("logins-processor-7d9-d", labels("others")),
    ];
    let mut pods = Vec::new();
    for (name, metadata) in strangers {
        pods.push(TestPod::start(&world, name, metadata).await);
    }
    // A pod in a namespace that is not watched.
    let elsewhere = World::new().await;
    let far = TestPod::start(&elsewhere, "logins-processor-7d9-a", json!({})).await;

    for (world, pod) in pods.iter().map(|pod| (&world, pod)).chain([(&elsewhere, &far)]) {
        for path in ["", "view", "view/events", "metrics"] {
            let answer = operator.get(&pod.path(world, path));
            assert!(status(&answer) == 404 && answer.contains("no replica"), "{}: {answer}", pod.name);
        }
        assert_eq!(*pod.asked.lock().unwrap(), [""; 0], "{}", pod.name);
    }
    let opened = read(&operator, &format!("/pipelines/{}/logins", world.namespace));
    assert_eq!(opened["pods"], json!({"found": [], "problem": null}));

    // Invalid names: no request is made for them.
    for path in [
        "/pods/%2e%2e/%2e%2e/view",
        "/pods/127.0.0.1:6443/a/view",
        "/pods/a/http:%2f%2f127.0.0.1/view",
        "/pods/a%00/b/view",
    ] {
        assert_eq!(status(&operator.get(path)), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_passed_on_as_they_come_and_end_with_their_reader() {
    const AT_ONCE: usize = 32;
    let (world, mut operator, _cluster) = started().await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    let pod = TestPod::start(&world, "logins-processor-7d9-a", json!({})).await;
    let path = pod.path(&world, "view/events");
    let mut told = Updates::by(&operator, &path);
    for count in 0..3 {
        assert_eq!(told.next("view")["count"], count);
    }
    pod.wait_readers(1).await;
    drop(told);
    pod.wait_readers(0).await;

    let mut all: Vec<_> = (0..AT_ONCE).map(|_| Updates::by(&operator, &path)).collect();
    for told in &mut all {
        told.next("view");
    }
    let answer = operator.get(&path);
    assert!(status(&answer) == 503 && answer.contains("32 answers of pods"), "{answer}");
    assert!(operator.get("/readyz").starts_with("HTTP/1.1 200"));
    all.truncate(AT_ONCE - 1);
    pod.wait_readers(AT_ONCE - 1).await;
    Updates::by(&operator, &path).next("view");

    // Open streams do not delay an operator that ends.
    let _list = Updates::by(&operator, "/pipelines/events");
    operator.process.signal("TERM");
    assert_eq!(operator.process.wait(BOUND).unwrap(), 0);
    assert!(!operator.process.log().contains("connections were still open"), "{}", operator.process.log());
    pod.wait_readers(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_page_there_are_metrics_and_health_alone() {
    let world = World::new().await;
    let arguments = ["--leader-election=false", "--page=false"];
    let operator = Operator::start_with(&world, world.server.kubeconfig(), &arguments).await;
    for path in ["/", "/pipelines", "/pipelines/events", "/pods/a/b/view"] {
        assert_eq!(status(&operator.get(path)), 404, "{path}");
    }
    assert_eq!(status(&operator.get("/metrics")), 200);
}
