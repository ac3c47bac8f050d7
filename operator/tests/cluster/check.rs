//! `operator check` on a real API server and a real Kafka.

use std::{path::Path, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::DeleteParams};
use operator::rights::{Place, rules};
use serde_json::{Value, json};
use testkit::{
    kafka::{self, LIMITED, PASSWORD, Secured},
    process::{Folder, Program},
    unique, wait_for_async,
};

use crate::support::{BOUND, EXAMPLE, World};

/// The output of a run, and its exit status.
async fn check(kubeconfig: &Path, arguments: &[&str]) -> (String, i32) {
    let folder = Folder::new("check").unwrap();
    let program = Program::new("operator", env!("CARGO_BIN_EXE_operator")).arg("check").args(arguments);
    let mut process = program.env("KUBECONFIG", kubeconfig).spawn(&folder).unwrap();
    let status = tokio::task::block_in_place(|| process.wait(Duration::from_secs(60))).unwrap();
    (process.log(), status)
}

async fn check_json(kubeconfig: &Path, arguments: &[&str]) -> (Value, i32) {
    let (text, status) = check(kubeconfig, &[arguments, &["-o", "json"]].concat()).await;
    // A line about the elapsed time may precede it.
    let report = text.lines().last().unwrap_or_default();
    (serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {text}")), status)
}

/// The first check whose description contains this.
fn find<'a>(report: &'a Value, what: &str) -> &'a Value {
    let categories = report["categories"].as_array().unwrap();
    let mut checks = categories.iter().flat_map(|category| category["checks"].as_array().unwrap());
    checks
        .find(|check| check["description"].as_str().unwrap().contains(what))
        .unwrap_or_else(|| panic!("{what}: {report:#}"))
}

fn on(servers: &str, source: &str) -> String {
    json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "logins"},
        "spec": {
            "kafka": {"external": {"bootstrapServers": servers}},
            "source": {"topic": source},
            "output": {"topic": output_of(source)},
        },
    })
    .to_string()
}

/// A unique name: on a Kafka that tests share, every pipeline would treat an existing topic as another owner's.
fn output_of(source: &str) -> String {
    format!("{source}-out")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_has_everything_passes_and_nothing_is_made() {
    let world = World::new().await;
    let cluster = tokio::task::spawn_blocking(kafka::shared).await.unwrap();
    let source = unique("in");
    world.apply(&on(cluster.bootstrap(), &source)).unwrap();
    let arguments = ["-n", &world.namespace];
    let (text, status) = check(world.server.kubeconfig(), &arguments).await;
    assert_eq!(status, 0, "{text}");
    assert!(text.ends_with("Status check results are √\n") && !text.contains('×'), "{text}");

    let (report, status) = check_json(world.server.kubeconfig(), &arguments).await;
    assert_eq!(status, 0);
    assert_eq!(report["success"], true);
    for what in [
        "Kubernetes 1.29 or later: v1",
        "loginpipelines.loginpipeline.dev is installed",
        "it serves v1alpha1",
        "it is the definition of this release",
        "may patch loginpipelines.loginpipeline.dev/status",
        "may get, create, update leases.coordination.k8s.io",
        "Strimzi's resources are served: kafka.strimzi.io/v1",
        "a broker answers within 5 s",
        "transactions may take 10000 ms (transaction.max.timeout.ms: 900000)",
        "the transactions' log fits 1 broker (",
        "transactional ids outlive a pause",
        "the pipeline's topics may be looked at",
    ] {
        assert_eq!(find(&report, what)["result"], "success", "{what}");
    }
    // Brokers create topics that clients ask for by name.
    assert_eq!(cluster.partitions(&source).unwrap(), None);
    assert_eq!(world.children().await.len(), 0);

    // Existing topics are checked.
    cluster.create_topic(&source, 1, &[("max.message.bytes", "2000000")]).unwrap();
    cluster.create_topic(&output_of(&source), 1, &[]).unwrap();
    let (report, status) =
        check_json(world.server.kubeconfig(), &[&arguments[..], &["--pipeline", "logins"]].concat()).await;
    let output = find(&report, "the output topic takes what the source takes");
    assert_eq!(status, 1, "{output}");
    assert_eq!(output["result"], "error", "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let world = World::new().await;
    let user = world.user();
    let mut rights = rules(Place::Watched);
    world.allow(&user, &rules(Place::Lease));
    let deployments = rights.iter_mut().find(|rule| rule["resources"] == json!(["deployments"])).unwrap();
    deployments["verbs"] = json!(["get", "list", "watch", "create", "delete"]);
    world.allow(&user, &rights);
    let arguments = ["-n", &world.namespace, "--lease-namespace", &world.namespace];
    let (report, status) = check_json(&user.kubeconfig, &arguments).await;
    assert_eq!(status, 1);
    assert_eq!(report["success"], false);
    let missing = find(&report, "deployments.apps");
    assert_eq!(missing["result"], "error");
    assert_eq!(missing["error"], format!("not patch in namespace {}", world.namespace));
    let hint = missing["hint"].as_str().unwrap();
    assert!(hint.contains("resources: [\"deployments\"], verbs: [get, list, watch, create, patch, delete]"), "{hint}");
    // One error, and a warning for the check that needs more rights.
    let categories = report["categories"].as_array().unwrap();
    let checks = categories.iter().flat_map(|category| category["checks"].as_array().unwrap());
    let failed: Vec<_> = checks.filter(|check| check["result"] == "error").collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(find(&report, "loginpipelines.loginpipeline.dev is installed")["result"], "warning");

    // The rights for the Kafka of another namespace are checked in that namespace.
    let owners = World::new().await;
    let elsewhere = format!("{{cluster: my-cluster, namespace: {}}}", owners.namespace);
    world.apply(&EXAMPLE.replace("{cluster: my-cluster}", &elsewhere)).unwrap();
    let (report, _) = check_json(&user.kubeconfig, &arguments).await;
    let missing = find(&report, "may get, list, create, patch, delete kafkatopics.kafka.strimzi.io in the namespace");
    let all = format!("not get, list, create, patch, delete in namespace {}", owners.namespace);
    assert_eq!(missing["result"], "error");
    assert_eq!(missing["error"], all);
    owners.allow(&user, &rules(Place::Kafka));
    let (report, _) = check_json(&user.kubeconfig, &arguments).await;
    for kind in ["kafkas", "kafkatopics"] {
        let allowed = find(&report, &format!("{kind}.kafka.strimzi.io in the namespace of another's Kafka"));
        assert_eq!(allowed["result"], "success", "{allowed}");
    }

    // In another namespace nothing is allowed.
    let (report, status) = check_json(&user.kubeconfig, &["-n", "default", "--lease-namespace", "default"]).await;
    assert_eq!(status, 1);
    assert_eq!(find(&report, "configmaps")["error"], "not list, watch, create, patch, delete in namespace default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_is_missing_or_another_release_s_is_found() {
    let world = World::bare().await;
    let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
    let name = "loginpipelines.loginpipeline.dev";
    let other =
        json!([{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/suspend"}]);
    let other = serde_json::from_value(other).unwrap();
    crds.patch(name, &Default::default(), &kube::api::Patch::<()>::Json(other)).await.unwrap();
    let (report, status) = check_json(world.server.kubeconfig(), &[]).await;
    // Strimzi is not installed there either, and is not needed.
    assert_eq!(status, 0);
    assert_eq!(find(&report, "Strimzi's resources are served")["result"], "warning");
    assert_eq!(find(&report, "it is the definition of this release")["result"], "warning");

    world.apply(EXAMPLE).unwrap();
    let (report, status) = check_json(world.server.kubeconfig(), &[]).await;
    assert_eq!(status, 1);
    assert_eq!(find(&report, "Strimzi's resources are served")["result"], "error");
    assert_eq!(find(&report, "its bootstrap servers are known")["error"], "Strimzi is not installed");

    crds.delete(name, &DeleteParams::default()).await.unwrap();
    wait_for_async("its end", BOUND, || async { crds.get_opt(name).await.unwrap().is_none().then_some(()) }).await;
    let (text, status) = check(world.server.kubeconfig(), &[]).await;
    assert_eq!(status, 1);
    assert!(
        text.contains("× loginpipelines.loginpipeline.dev is installed\n    it is not\n    hint: install it"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_checked_before_it_is_applied() {
    let world = World::new().await;
    let folder = Folder::new("manifest").unwrap();
    let file = folder.path().join("pipeline.yaml");
    std::fs::write(&file, on("127.0.0.1:1", "in")).unwrap();
    let file = file.to_str().unwrap();
    let (report, status) = check_json(world.server.kubeconfig(), &["--pipeline", file]).await;
    let away = find(&report, "a broker answers within 5 s: 127.0.0.1:1");
    assert_eq!(status, 1);
    assert_eq!(away["result"], "error");
    assert!(!away["error"].as_str().unwrap().is_empty() && !away["hint"].as_str().unwrap().is_empty());

    // A check that cannot be made neither passes nor fails.
    let (text, status) = check(world.server.kubeconfig(), &["-n", &world.namespace, "--pipeline", "nobody"]).await;
    assert_eq!(status, 2);
    assert!(text.contains("there is no LoginPipeline \"nobody\" in namespace"), "{text}");
    let (text, status) = check(Path::new("/nowhere"), &[]).await;
    assert_eq!(status, 2);
    assert!(text.contains("no API server is known"), "{text}");
    let elsewhere = folder.path().join("kubeconfig");
    let config = std::fs::read_to_string(world.server.kubeconfig()).unwrap();
    let address = config.split("server: \"").nth(1).unwrap().split('"').next().unwrap();
    std::fs::write(&elsewhere, config.replace(address, "https://127.0.0.1:1")).unwrap();
    let (report, status) = check_json(&elsewhere, &[]).await;
    assert_eq!(status, 1);
    assert_eq!(find(&report, "the API server answers")["result"], "error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_lets_nobody_in_or_not_everywhere_is_named() {
    let world = World::new().await;
    let kafka = tokio::task::spawn_blocking(|| Secured::start().unwrap()).await.unwrap();
    let pipeline = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "logins"},
        "spec": {"kafka": {"external": {
            "bootstrapServers": kafka.sasl_ssl,
            "tls": {"ca": {"name": "kafka"}},
            "sasl": {"mechanism": "ScramSha512", "username": LIMITED, "password": {"name": "kafka"}},
        }}},
    });
    world.apply(&pipeline.to_string()).unwrap();
    let arguments = ["-n", &world.namespace];
    let secret = |password: &str| {
        let data = json!({"ca.crt": kafka.ca, "password": password});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kafka"}, "stringData": data}).to_string()
    };
    let (report, status) = check_json(world.server.kubeconfig(), &arguments).await;
    let missing = find(&report, "its Secrets can be used");
    assert_eq!(status, 1);
    assert!(missing["error"].as_str().unwrap().contains("there is no Secret \"kafka\""), "{missing}");

    world.apply(&secret("wrong")).unwrap();
    let (report, status) = check_json(world.server.kubeconfig(), &arguments).await;
    let refused = find(&report, "a broker answers within 5 s");
    assert_eq!(status, 1);
    assert!(refused["error"].as_str().unwrap().contains("uthentication"), "{refused}");

    world.apply(&secret(PASSWORD)).unwrap();
    let (report, status) = check_json(world.server.kubeconfig(), &arguments).await;
    assert_eq!(status, 1);
    assert_eq!(find(&report, "a broker answers within 5 s")["result"], "success");
    let limits = find(&report, "the brokers' limits can be read");
    assert_eq!(limits["result"], "warning");
    let topics = find(&report, "the pipeline's topics may be looked at");
    assert!(
        topics["error"].as_str().unwrap().contains("source topic user-login: TopicAuthorizationFailed"),
        "{topics}"
    );
}
