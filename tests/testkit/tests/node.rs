//! The node is real: pods run, are probed, and reach each other, the API and this machine; and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "the helpers of the tests fail as the tests do")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use testkit::node::Node;
use testkit::process::{Folder, Program};
use testkit::{unique, wait_for};

/// For a pod to do what it is to do, on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// For a node to be there, behind one of another test.
const START: Duration = Duration::from_secs(500);

/// Two servers behind a Service, ready when they answer.
const SERVERS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: server}
spec:
  replicas: 2
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      containers:
        - name: server
          image: local/pod:1
          args: [serve, ':8080']
          readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports: [{port: 80, targetPort: 8080}]
";

/// A namespace of the node.
struct Place<'n> {
    node: &'n Node,
    namespace: String,
}

impl<'n> Place<'n> {
    fn new(node: &'n Node) -> Self {
        let place = Self { node, namespace: unique("node") };
        place.kubectl(&["create", "namespace", &place.namespace], "");
        // Pods are refused until a controller has made it.
        wait_for("the service account", BOUND, || place.says(&["get", "serviceaccount", "default"], ""));
        place
    }

    fn kubectl(&self, arguments: &[&str], stdin: &str) -> String {
        self.says(arguments, stdin).unwrap()
    }

    fn says(&self, arguments: &[&str], stdin: &str) -> Option<String> {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        let output = self.node.kubectl(&arguments, stdin).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if !output.status.success() {
            eprintln!("kubectl {arguments:?}: {}", text(output.stderr));
            return None;
        }
        Some(text(output.stdout))
    }

    /// What a pod prints that asks this URL, once it is answered: a Service takes a moment to route.
    fn get(&self, url: &str) -> String {
        wait_for(&format!("an answer of {url}"), BOUND, || {
            let name = unique("client");
            self.kubectl(&["run", &name, "--image=local/pod:1", "--restart=Never", "--", "get", url], "");
            let phase = ["get", "pod", &name, "-o=jsonpath={.status.phase}"];
            let ended = wait_for("the end of the client", BOUND, || {
                Some(self.kubectl(&phase, "")).filter(|phase| phase == "Succeeded" || phase == "Failed")
            });
            let said = self.kubectl(&["logs", &name], "");
            eprintln!("{url}: {ended}, {said}");
            (ended == "Succeeded").then(|| said.trim().to_owned())
        })
    }
}

#[test]
fn pods_run_and_reach_each_other_and_nothing_of_them_stays() {
    let before = traces();
    let began = Instant::now();
    let node = Node::start().unwrap();
    eprintln!("node: {:?}", began.elapsed());
    let place = Place::new(&node);
    a_service_routes_to_pods_that_are_ready(&place);
    this_machine_is_reached(&place);
    what_kubelet_is_for_waits_for_it(&place);
    let began = Instant::now();
    drop(node);
    eprintln!("node gone: {:?}", began.elapsed());
    nothing_stays(&before);
}

fn a_service_routes_to_pods_that_are_ready(place: &Place<'_>) {
    let began = Instant::now();
    place.kubectl(&["apply", "-f", "-"], SERVERS);
    place.kubectl(&["rollout", "status", "deployment/server", "--timeout=60s"], "");
    eprintln!("pods: {:?}", began.elapsed());
    let pods = place.kubectl(&["get", "pods", "-l", "app=server", "-o=jsonpath={.items[*].metadata.name}"], "");
    let pods: Vec<_> = pods.split(' ').collect();
    assert_eq!(pods.len(), 2);
    for url in ["http://server/", &format!("http://server.{}.svc.cluster.local/", place.namespace)] {
        let answer = place.get(url);
        assert!(pods.contains(&answer.as_str()), "{url}: {answer}, of {pods:?}");
    }
    // A probe that fails is noticed too.
    let spec =
        r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe/httpGet/port", "value": 9}]"#;
    place.kubectl(&["patch", "deployment", "server", "--type=json", "-p", spec], "");
    let unhealthy = ["get", "events", "--field-selector=reason=Unhealthy", "-o=jsonpath={.items[*].message}"];
    let seen = || Some(place.kubectl(&unhealthy, "")).filter(|message| message.contains("connection refused"));
    wait_for("the probe's failure", BOUND, seen);
}

fn this_machine_is_reached(place: &Place<'_>) {
    let listener = TcpListener::bind((place.node.address(), 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let (mut stream, from) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 1000]).unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nthis machine").unwrap();
        from.ip().to_string()
    });
    assert_eq!(place.get(&url), "this machine");
    let from = answering.join().unwrap();
    assert!(from.starts_with("10.244.0."), "{from}");
}

fn what_kubelet_is_for_waits_for_it(place: &Place<'_>) {
    place.node.stop_kubelet().unwrap();
    place.kubectl(&["run", "late", "--image=local/pod:1"], "");
    let phase = ["get", "pod", "late", "-o=jsonpath={.status.phase} {.spec.nodeName}"];
    let assigned = || Some(place.kubectl(&phase, "")).filter(|phase| phase == "Pending node");
    wait_for("the pod's assignment", BOUND, assigned);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(place.kubectl(&phase, ""), "Pending node");
    place.node.start_kubelet().unwrap();
    wait_for("the pod", BOUND, || (place.kubectl(&phase, "") == "Running node").then_some(()));
    place.node.wait_ready("True", BOUND).unwrap();
}

#[test]
fn nothing_outlives_a_test_that_is_killed() {
    let before = traces();
    let folder = Folder::new("test").unwrap();
    let temporary = folder.path().join("temporary");
    fs::create_dir(&temporary).unwrap();

    let mut helper = Program::new("helper", std::env::current_exe().unwrap())
        .args(["--exact", "the_helper", "--ignored", "--nocapture"])
        .env("TMPDIR", &temporary)
        .spawn(&folder)
        .unwrap();
    wait_for("the helper's pods", START, || {
        helper.check_running().unwrap();
        helper.log().contains("all is up").then_some(())
    });

    helper.kill();
    wait_for("the end of the helper's folders", BOUND, || {
        (fs::read_dir(&temporary).unwrap().count() == 0).then_some(())
    });
    nothing_stays(&before);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn the_helper() {
    let node = Node::start().unwrap();
    let place = Place::new(&node);
    place.kubectl(&["apply", "-f", "-"], SERVERS);
    place.kubectl(&["rollout", "status", "deployment/server", "--timeout=60s"], "");
    eprintln!("all is up");
    loop {
        thread::park();
    }
}

/// Nothing that was not there before; what was there may have gone. A process that was killed is there until its parent has
/// seen it.
fn nothing_stays(before: &[String]) {
    let began = Instant::now();
    loop {
        let mut left = traces();
        left.retain(|trace| !before.contains(trace));
        if left.is_empty() {
            return;
        }
        assert!(began.elapsed() < BOUND, "{left:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// What this machine has of nodes while there is none: links, routes, rules, mounts, cgroups, processes; and the settings
/// that the programs of a node change.
fn traces() -> Vec<String> {
    let seen = "ip -o link; ip route; iptables-save; cat /proc/mounts; find /sys/fs/cgroup -type d; cat /proc/[0-9]*/comm;
        cd /proc/sys; grep '' kernel/panic kernel/panic_on_oops kernel/keys/root_max* vm/overcommit_memory vm/panic_on_oom";
    let arguments = ["/run/login-pipeline-node.lock", "sh", "-c", seen];
    let output = Command::new("flock").args(arguments).output().unwrap();
    let of_a_node = ["lp-node", "login-pipeline-node", "cni0", "10.244.", "KUBE-"];
    let of_its_programs = ["kubelet", "kube-proxy", "containerd", "coredns", "kernel/", "vm/"];
    let words = [&of_a_node[..], &of_its_programs].concat();
    let seen = String::from_utf8(output.stdout).unwrap();
    seen.lines().filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}
