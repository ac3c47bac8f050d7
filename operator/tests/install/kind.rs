//! `kind-config.yaml`, `scripts/kind` and `scripts/kafka.yaml`. kind is real; docker and the resulting cluster are
//! played.

use serde::Deserialize;
use serde_json::Value;

use crate::{machine::Machine, path, read, said};

/// Asserts that these texts occur in this order.
fn assert_in_order(calls: &str, texts: &[&str]) {
    let mut rest = calls;
    for text in texts {
        let Some((_, after)) = rest.split_once(text) else { panic!("no {text:?} in what is left:\n{rest}") };
        rest = after;
    }
}

#[test]
fn kind_creates_the_config_cluster_and_refuses_unknown_fields() {
    let machine = Machine::new();
    said(machine.run("kind", &["create", "cluster", "--config", "kind-config.yaml", "--wait", "5s"]));
    let calls = machine.calls();
    let image = "kindest/node:v1.36.4@sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed\n";
    let nodes: Vec<_> = calls.lines().filter(|call| call.starts_with("docker run ")).collect();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    assert!(format!("{}\n", nodes[0]).ends_with(image), "{nodes:?}");
    // kind's own merge of the patch.
    assert_in_order(
        &calls,
        &[
            "cp /dev/stdin /etc/containerd/config.toml\nversion = 2\n",
            "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n      config_path = \"/etc/containerd/certs.d\"\n",
        ],
    );

    let wrong = machine.folder.path().join("wrong.yaml");
    std::fs::write(&wrong, read("kind-config.yaml").replace("role:", "rool: worker\n    role:")).unwrap();
    let refused = machine.run("kind", &["create", "cluster", "--name", "other", "--config", wrong.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("field rool not found"), "{error}");
}

#[test]
fn kind_up_creates_everything_once_and_kind_down_removes_it_all() {
    let machine = Machine::new();
    let script = path("scripts/kind");
    said(machine.run(&script, &["up"]));
    let calls = machine.calls();
    assert_in_order(
        &calls,
        &[
            "docker run --detach --restart=always --publish 127.0.0.1:5001:5000 --network bridge --name login-pipeline-registry registry:3\n",
            "docker run --name login-pipeline-control-plane ",
            "docker exec -i login-pipeline-control-plane cp /dev/stdin /etc/containerd/certs.d/localhost:5001/hosts.toml\n[host.\"http://login-pipeline-registry:5000\"]\n",
            "docker network connect kind login-pipeline-registry\n",
            "kubectl --context kind-login-pipeline apply -f -\n",
            "{name: local-registry-hosting, namespace: kube-public}",
            "host: \"localhost:5001\"",
            "helm --kube-context kind-login-pipeline upgrade --install strimzi oci://quay.io/strimzi-helm/strimzi-kafka-operator --version 1.0.1 --namespace kafka --create-namespace --wait",
            "kubectl --context kind-login-pipeline apply -f scripts/kafka.yaml\n",
            "kubectl --context kind-login-pipeline wait --namespace kafka kafka/my-cluster --for=condition=Ready",
        ],
    );

    said(machine.run(&script, &["up"]));
    let runs = |calls: &str| calls.lines().filter(|call| call.starts_with("docker run ")).count();
    assert_eq!(runs(&calls), 2);
    assert_eq!(runs(&machine.calls()), 2);

    said(machine.run(&script, &["down"]));
    let left = |name: &str| machine.folder.path().join(name).exists();
    assert!(!left("node"));
    assert!(!left("registry"));
    said(machine.run(&script, &["down"]));
}

#[test]
fn strimzi_and_kafka_are_installed_in_kubectls_current_context() {
    let machine = Machine::new();
    said(machine.run(path("scripts/kind"), &["kafka"]));
    assert_in_order(&machine.calls(), &["helm --kube-context somewhere ", "kubectl --context somewhere apply "]);
}

/// The Kafka version that the tests run, under the name that the example uses.
#[test]
fn the_kafka_is_the_examples_and_of_the_version_that_is_tested() {
    let documents = |text: &str| -> Vec<Value> {
        serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
    };

    let made = documents(&read("scripts/kafka.yaml"));
    let kafka = made.iter().find(|object| object["kind"] == "Kafka").unwrap();
    let tested = read("tests/testkit/services/versions");
    assert!(tested.contains(&format!("\nKAFKA_VERSION={}\n", kafka["spec"]["kafka"]["version"].as_str().unwrap())));

    let example = &documents(&read("examples/pipeline.yaml"))[0];
    let cluster = &example["spec"]["kafka"]["strimzi"]["cluster"];
    assert_eq!(&kafka["metadata"]["name"], cluster);
    for object in made.iter().filter(|object| object["kind"] != "Kafka") {
        assert_eq!(&object["metadata"]["labels"]["strimzi.io/cluster"], cluster);
    }
    // The default listener of a spec that names none.
    assert_eq!(kafka["spec"]["kafka"]["listeners"][0]["name"], "plain");
}
