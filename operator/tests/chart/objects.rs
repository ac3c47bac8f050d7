//! The objects: the definition, the rights, and whether Kubernetes and the Prometheus operator accept every object.

use operator::rights::{Place, rules};
use serde_json::{Value, json};

use crate::{EVERYTHING, objects, of_kind, read, render, schemas};

#[test]
fn the_definition_is_that_of_the_operator() {
    let definition = include_str!("../../../crds/login-pipeline.yaml");
    assert!(read("files/crd.yaml") == definition, "charts/login-pipeline-operator/files/crd.yaml is stale: make crd");
    let rendered = objects("{}");
    let [rendered] = of_kind(&rendered, "CustomResourceDefinition")[..] else { panic!("one definition") };
    let definition: Value = serde_yaml::from_str(definition).unwrap();
    assert!(rendered["spec"] == definition["spec"], "rendering changes the definition");
    assert_eq!(rendered["metadata"]["name"], definition["metadata"]["name"]);
}

#[test]
fn the_chart_is_of_the_release() {
    let chart: Value = serde_yaml::from_str(&read("Chart.yaml")).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// Rules without their order.
fn sorted(rules: &Value) -> Vec<String> {
    let mut rules: Vec<_> = rules.as_array().unwrap().iter().map(Value::to_string).collect();
    rules.sort();
    rules
}

#[test]
fn the_rights_are_exactly_those_of_the_operator() {
    let (watched, lease) = (sorted(&json!(rules(Place::Watched))), sorted(&json!(rules(Place::Lease))));
    let objects_of_all = objects("{rbac: {aggregateToView: false, aggregateToEdit: false}}");
    let [cluster] = of_kind(&objects_of_all, "ClusterRole")[..] else { panic!("one ClusterRole") };
    assert_eq!(sorted(&cluster["rules"]), watched);
    let [role] = of_kind(&objects_of_all, "Role")[..] else { panic!("one Role") };
    assert_eq!(sorted(&role["rules"]), lease);
    assert_eq!(role["metadata"]["namespace"], "ops");

    let objects_of_some = objects(
        "{watchNamespaces: [a, b], kafkaNamespaces: [b, c], rbac: {aggregateToView: false, aggregateToEdit: false}}",
    );
    assert!(
        of_kind(&objects_of_some, "ClusterRole").is_empty()
            && of_kind(&objects_of_some, "ClusterRoleBinding").is_empty()
    );
    let roles = of_kind(&objects_of_some, "Role");
    let found: Vec<_> =
        roles.iter().map(|role| (role["metadata"]["namespace"].clone(), sorted(&role["rules"]))).collect();
    let kafka = sorted(&json!(rules(Place::Kafka)));
    let expected = [("a", watched.clone()), ("b", watched), ("c", kafka), ("ops", lease)];
    assert_eq!(found, expected.map(|(namespace, rules)| (json!(namespace), rules)));
}

/// The selectors of Services, monitors and policies are separate from the labels that they select.
#[test]
fn selectors_match_only_pods_of_the_operator_or_its_pipelines() {
    let objects = objects(EVERYTHING);
    let [deployment] = of_kind(&objects, "Deployment")[..] else { panic!("one Deployment") };
    let pods = &deployment["spec"]["template"]["metadata"]["labels"];
    let selects = |selector: &Value, labels: &Value| {
        let selector = selector.as_object().unwrap();
        !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
    };
    let [service] = of_kind(&objects, "Service")[..] else { panic!("one Service") };
    assert!(selects(&service["spec"]["selector"], pods));
    for (kind, pointer) in [
        ("Deployment", "/spec/selector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
    ] {
        assert!(selects(of_kind(&objects, kind)[0].pointer(pointer).unwrap(), pods), "{kind}");
    }
    let [monitor] = of_kind(&objects, "ServiceMonitor")[..] else { panic!("one ServiceMonitor") };
    assert!(selects(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]));

    let pipelines = include_str!("../snapshots/rendered__example.snap");
    let [monitor] = of_kind(&objects, "PodMonitor")[..] else { panic!("one PodMonitor") };
    let selector = &monitor["spec"]["selector"]["matchLabels"];
    assert!(!selects(selector, pods));
    for (key, value) in selector.as_object().unwrap() {
        assert!(pipelines.contains(&format!("        {key}: {}\n", value.as_str().unwrap())), "{key}: {value}");
    }
    // This label connects a series to its pipeline.
    assert!(pipelines.contains("        loginpipeline.dev/pipeline: "));
}

#[test]
fn every_object_is_what_kubernetes_and_prometheus_operator_take() {
    for values in ["{}", EVERYTHING, "{watchNamespaces: [a, b], crds: {keep: false}}"] {
        let (text, count) = (render(values, &[]).unwrap(), objects(values).len());
        let summary = schemas::check(&text).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(summary, json!({"valid": count, "invalid": 0, "errors": 0, "skipped": 0}), "{values}");
    }
}

#[test]
fn an_object_that_is_not_is_found() {
    let deployment = render(EVERYTHING, &["--show-only", "templates/deployment.yaml"]).unwrap();
    let rule = render(EVERYTHING, &["--show-only", "templates/prometheusrule.yaml"]).unwrap();
    for (object, from, to) in [
        (&deployment, "replicas: 2", "replicas: two"),
        (&deployment, "enableServiceLinks: false", "enableServiceLink: false"),
        (&rule, "alert: LoginPipelineOperatorDown", "alarm: LoginPipelineOperatorDown"),
    ] {
        let broken = object.replace(from, to);
        assert!(broken != **object, "{from}");
        let report = schemas::check(&broken).unwrap_err();
        assert!(report.contains("\"invalid\": 1"), "{to}: {report}");
    }
}
