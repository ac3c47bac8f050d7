//! The descriptions of the definition, which `kubectl explain` and `docs/resource.md` show, name what the schema says.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use crds::pipeline::LoginPipeline;
use kube::CustomResourceExt;
use serde_json::Value;

/// Fields of Kubernetes' own types, which describe themselves.
const KUBERNETES: [&str; 7] = [
    "affinity",
    "egressTo",
    "imagePullSecrets",
    "ingressFrom",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
];

/// Each field below a schema, with its path.
fn fields(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push((path.clone(), field.clone()));
        if !KUBERNETES.contains(&name.as_str()) {
            fields(&path, field, found);
            fields(&format!("{path}[]"), &field["items"], found);
        }
    }
}

fn all_fields() -> Vec<(String, Value)> {
    let definition = serde_json::to_value(LoginPipeline::crd()).unwrap();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    fields("", schema, &mut found);
    assert!(found.len() > 80, "{found:?}");
    found
}

/// A default as a description writes it; none for an object, whose fields have defaults of their own, and an empty
/// list.
fn written(default: &Value) -> Option<String> {
    match default {
        Value::Bool(_) | Value::Number(_) => Some(default.to_string()),
        Value::String(text) => Some(format!("`{text}`")),
        Value::Array(items) if !items.is_empty() => {
            Some(items.iter().filter_map(written).collect::<Vec<_>>().join(", "))
        }
        _ => None,
    }
}

#[test]
fn a_description_is_a_sentence() {
    for (path, field) in all_fields() {
        let text = field["description"].as_str().unwrap_or_default();
        assert!(text.ends_with('.') && text.contains(' '), "{path}: {text:?}");
    }
}

#[test]
fn a_description_names_the_default() {
    for (path, field) in all_fields().into_iter().filter(|(path, _)| path.starts_with(".spec")) {
        let text = field["description"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(default) = written(&field["default"]) {
            assert!(text.contains(&format!("Default: {default}.")), "{path} has the default {default}: {text}");
        }
    }
}

#[test]
fn a_description_names_the_range() {
    for (path, field) in all_fields().into_iter().filter(|(path, _)| path.starts_with(".spec")) {
        let text = field["description"].as_str().unwrap();
        if let (Some(least), Some(most)) = (field["minimum"].as_f64(), field["maximum"].as_f64()) {
            assert!(text.contains(&format!("{least} to {most}")), "{path} is {least} to {most}: {text}");
        }
        if field["pattern"].as_str().is_some_and(|pattern| pattern.starts_with("^([0-9]")) {
            assert!(text.contains("A duration"), "{path} is a duration: {text}");
        }
    }
}
