//! `operator crd`, `operator validate`, the examples, the logs, and the allowed imports.

#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "assertions of tests")]

mod cases;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use crds::pipeline::{LoginPipeline, LoginPipelineSpec, NetworkPolicy, Processor, check};
use kube::CustomResourceExt;
use serde::Deserialize;
use serde_json::Value;

const CRD: &str = include_str!("../../crds/login-pipeline.yaml");
const REFERENCE: &str = include_str!("../../examples/reference.yaml");

fn operator(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Command::new(env!("CARGO_BIN_EXE_operator")).args(arguments).current_dir(root).output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_committed_crd_is_the_generated_one() {
    let printed = operator(&["crd"]);
    assert!(printed.status.success());
    assert!(
        String::from_utf8_lossy(&printed.stdout) == CRD,
        "crds/login-pipeline.yaml is stale: cargo run -p operator -- crd > crds/login-pipeline.yaml"
    );
}

#[test]
fn the_examples_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut arguments = vec!["validate"];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));

    let output = operator(&arguments);
    assert_eq!(lines(&output), [""; 0]);
    assert_eq!(output.status.code(), Some(0));

    let names: Vec<_> = paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    let uses = ["alerts", "demo", "external", "high-availability", "pipeline", "reference", "suspended", "tls-scram"];
    assert_eq!(names, uses);
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        if path.ends_with("pipeline.yaml") {
            assert_eq!(text.lines().count(), 6, "six lines that work");
        } else {
            assert!(text.starts_with("# "), "{} does not say what for", path.display());
        }
    }
}

#[test]
fn every_problem_is_named_with_field_value_and_remedy() {
    let output = operator(&["validate", "operator/tests/fixtures/bad.yaml"]);
    insta::assert_snapshot!(lines(&output).join("\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_cannot_be_read_is_another_exit_code() {
    let output = operator(&["validate", "examples/pipeline.yaml", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(lines(&output)[0].starts_with("nowhere.yaml: there is no such file"), "{:?}", lines(&output));
    let output = operator(&["validate", "operator/tests/fixtures/broken.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(lines(&output)[0].contains("document 1: is not YAML"), "{:?}", lines(&output));
}

#[test]
fn a_manifest_without_pipelines_says_what_was_skipped() {
    let output = operator(&["validate", "crds/login-pipeline.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = "crds/login-pipeline.yaml: document 1: skipped: apiVersion is apiextensions.k8s.io/v1, kind is CustomResourceDefinition";
    assert_eq!(lines(&output), [expected]);
}

#[test]
fn the_reference_names_every_field() {
    let crd = serde_json::to_value(LoginPipeline::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut fields = BTreeSet::new();
    schema_fields("spec", schema, &mut fields);
    let mut named = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(REFERENCE) {
        value_fields("spec", &Value::deserialize(document).unwrap()["spec"], &mut named);
    }
    let missing: Vec<_> = fields.difference(&named).collect();
    assert!(missing.is_empty(), "examples/reference.yaml does not name {missing:?}");
    assert!(fields.len() > 20, "{fields:?}");
}

/// Kubernetes documents its own types.
const FOREIGN: [&str; 7] = [
    "spec.processor.resources",
    "spec.processor.imagePullSecrets",
    "spec.processor.tolerations",
    "spec.processor.affinity",
    "spec.processor.topologySpreadConstraints",
    "spec.networkPolicy.ingressFrom",
    "spec.networkPolicy.egressTo",
];

fn schema_fields(path: &str, schema: &Value, fields: &mut BTreeSet<String>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        fields.insert(path.clone());
        if !FOREIGN.contains(&path.as_str()) {
            schema_fields(&path, schema, fields);
            schema_fields(&path, &schema["items"], fields);
        }
    }
}

fn value_fields(path: &str, value: &Value, fields: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        fields.insert(path.clone());
        value_fields(&path, value, fields);
        for item in value.as_array().into_iter().flatten() {
            value_fields(&path, item, fields);
        }
    }
}

#[test]
fn the_check_judges_every_case_as_the_api_server_does() {
    for (name, spec, verdict) in cases::cases() {
        let spec: LoginPipelineSpec = serde_json::from_value(spec).unwrap();
        let problems = check(name, &spec);
        assert_eq!(problems.is_empty(), verdict.is_none(), "{name}: {problems:?}");
    }
}

/// A rule that no case breaks is untested.
#[test]
fn every_rule_of_the_resource_is_broken_by_cases() {
    let mut rules = Vec::new();
    find_rules(&serde_json::to_value(LoginPipeline::crd()).unwrap(), &mut rules);
    assert!(rules.len() > 35, "{rules:?}");
    let refused: Vec<_> = cases::cases().into_iter().filter_map(|(_, _, verdict)| verdict).collect();
    let unchangeable: Vec<_> = cases::changes().into_iter().map(|(_, _, verdict)| verdict).collect();
    for (message, rule) in &rules {
        let verdicts = if rule.contains("oldSelf") { &unchangeable } else { &refused };
        let same = rules.iter().filter(|(other, _)| other == message).count();
        let broken = verdicts.iter().filter(|verdict| message.contains(**verdict)).count();
        assert!(broken >= same, "{broken} cases for {same} rules: {message}");
    }
}

/// Every CEL rule of a schema, with its message.
fn find_rules(schema: &Value, rules: &mut Vec<(String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        rules.push((rule["message"].as_str().unwrap().to_owned(), rule["rule"].as_str().unwrap().to_owned()));
    }
    match schema {
        Value::Object(members) => members.values().for_each(|schema| find_rules(schema, rules)),
        Value::Array(items) => items.iter().for_each(|schema| find_rules(schema, rules)),
        _ => {}
    }
}

/// The reference shows the default of every field that has one.
#[test]
fn the_reference_shows_the_defaults() {
    let document = serde_yaml::Deserializer::from_str(REFERENCE).next().unwrap();
    let shown = LoginPipeline::deserialize(document).unwrap().spec;
    let mut spec: LoginPipelineSpec =
        serde_json::from_str(r#"{"kafka": {"strimzi": {"cluster": "my-cluster"}}}"#).unwrap();
    spec.alerts.clone_from(&shown.alerts);
    let (kafka, shown_kafka) = (spec.kafka.strimzi.as_mut().unwrap(), shown.kafka.strimzi.as_ref().unwrap());
    kafka.namespace.clone_from(&shown_kafka.namespace);
    kafka.sasl.clone_from(&shown_kafka.sasl);
    kafka.client_certificate.clone_from(&shown_kafka.client_certificate);
    spec.topics.replication_factor = shown.topics.replication_factor;
    spec.processor = Processor {
        replicas: spec.processor.replicas,
        threads: spec.processor.threads,
        commit_interval: spec.processor.commit_interval,
        upgrade_policy: spec.processor.upgrade_policy,
        rollback: spec.processor.rollback,
        progress_deadline: spec.processor.progress_deadline,
        ..shown.processor.clone()
    };
    spec.network_policy = NetworkPolicy { enabled: spec.network_policy.enabled, ..shown.network_policy.clone() };

    assert_eq!(shown, spec);
}

#[test]
fn a_log_that_no_terminal_shows_is_plain_and_names_the_cause() {
    let kubeconfig = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "a", "users": [{"name": "a", "user": {}}],
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}"#;
    let file = std::env::temp_dir().join(format!("kubeconfig-{}", std::process::id()));
    std::fs::write(&file, kubeconfig).unwrap();
    let mut operator = Command::new(env!("CARGO_BIN_EXE_operator"))
        .args(["run", "--listen", "127.0.0.1:0", "--leader-election=false"])
        .env("KUBECONFIG", &file)
        .env_remove("RUST_LOG")
        .env_remove("NO_COLOR")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    let log = BufReader::new(operator.stderr.take().unwrap()).lines().map(Result::unwrap);
    let failed: Vec<_> = log.filter(|line| line.contains("a watch failed")).take(1).collect();
    operator.kill().unwrap();
    operator.wait().unwrap();
    std::fs::remove_file(file).unwrap();

    assert!(failed[0].contains("Connection refused") && !failed[0].contains('\u{1b}'), "{failed:?}");
}
