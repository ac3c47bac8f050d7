//! Runs the commands of the README, the runbook and the pages on Kubernetes, tools and migrating in a cluster,
//! unchanged: the namespace is `kafka`, its Kafka is `my-cluster`, and pods find it as Strimzi would name it.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crds::job::JobConfig;
use serde_json::json;
use testkit::{
    docs::{Checkout, Script},
    process::Process,
    wait_for,
};

use crate::place::{BOUND, OPERATOR, Place, RELEASE};

const README: &str = "README.md";
const KUBERNETES: &str = "docs/kubernetes.md";
const TOOLS: &str = "docs/tools.md";

/// The Service that Strimzi creates for a Kafka, here for one outside of pods.
fn bootstrap_service(place: &Place) {
    let (address, port) = place.kafka.bootstrap().rsplit_once(':').unwrap();
    let name = "my-cluster-kafka-bootstrap";
    let ports = json!([{"name": "plain", "port": 9092, "targetPort": port.parse::<u16>().unwrap()}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}});
    let endpoints = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "endpoints": [{"addresses": [address]}], "ports": [{"name": "plain", "port": port.parse::<u16>().unwrap()}],
    });
    place.kubectl(&["apply", "-f", "-"], &format!("{service}\n---\n{endpoints}"));
}

/// Requests the operator's page through `kubectl port-forward`.
fn the_page_is_there(forward: &Process) {
    let address = wait_for("the forwarded port", BOUND, || {
        let log = forward.log();
        let (_, rest) = log.split_once("Forwarding from ")?;
        Some(rest.split(' ').next()?.to_owned())
    });
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /pipelines HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"logins\""), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_cluster() {
    let mut script = Script::of("operator/tests/node/readme.rs: what_is_told_of_a_cluster");
    let place = Place::named("kafka".to_owned()).await;
    bootstrap_service(&place);
    let checkout = Checkout::new().unwrap().cluster(place.target.kubeconfig()).unwrap();
    // Any free port of this machine, instead of one that may be in use.
    let mut checkout = checkout.replace("login-pipeline-operator 8080", "login-pipeline-operator :8080");
    let forward = script.take("docs/monitoring.md", "kubectl -n login-pipeline port-forward");
    let (runbook, migrating) = (script.take_all("docs/runbook.md"), script.take_all("docs/migrating.md"));
    let mut type_ =
        |page: &str, begins: &str| tokio::task::block_in_place(|| checkout.succeed(&script.take(page, begins)));

    // The tests share an operator, which is installed under the same names: uninstall it first.
    let uninstall = ["uninstall", RELEASE, "--namespace", OPERATOR, "--wait"];
    assert!(place.target.helm(&uninstall).unwrap().status.success());
    type_(README, "helm install");
    type_(README, "kubectl apply");
    type_(KUBERNETES, "kubectl wait");
    type_(KUBERNETES, "kubectl exec -n kafka deploy/logins-processor -- processor generate");
    type_(KUBERNETES, "kubectl exec -n kafka deploy/logins-processor -- processor audit");
    let shown = type_(KUBERNETES, "kubectl get lp");
    assert!(shown.contains("logins") && shown.contains("True"), "{shown}");

    type_(TOOLS, "config=");
    type_(TOOLS, "kubectl get cm");
    let job = std::fs::read_to_string(checkout.path().join("job.json")).unwrap();
    assert_eq!(JobConfig::parse(&job).unwrap().topics.source, "user-login");

    for command in runbook {
        let said = tokio::task::block_in_place(|| checkout.succeed(&command));
        println!("{}\n{said}", command.text);
        if command.text.starts_with("kubectl scale") {
            place.settle().await;
        }
    }
    assert_eq!(place.pods().await.len(), 3, "one of the commands scales to three");
    the_page_is_there(&checkout.start(&forward).unwrap());
    for command in migrating {
        tokio::task::block_in_place(|| checkout.succeed(&command));
    }
}
