//! `docs/resource.md`: every field of a LoginPipeline, as the CustomResourceDefinition defines it.

use std::fmt::Write as _;

use crds::pipeline::LoginPipeline;
use kube::CustomResourceExt;
use serde_json::Value;

/// The text before the tables of fields.
const HEAD: &str = "\
# The resource

Every field of a `LoginPipeline` (`loginpipeline.dev/v1alpha1`, short `lp`). `make docs` writes this page from the resource's definition.
The API server refuses a resource that breaks a rule; `operator validate` reports it without a cluster.
[examples/reference.yaml](../examples/reference.yaml) shows every field in use.

A duration is written in `h`, `m`, `s` and `ms`: `30s`, `1h30m`, `250ms`.
";

/// Fields with types of Kubernetes, which its own documentation describes.
const KUBERNETES: [&str; 7] = [
    "affinity",
    "egressTo",
    "imagePullSecrets",
    "ingressFrom",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
];

/// The page.
///
/// # Errors
/// When the definition cannot be written as JSON.
pub fn page() -> Result<String, serde_json::Error> {
    Ok(page_of(&serde_json::to_value(LoginPipeline::crd())?))
}

fn page_of(definition: &Value) -> String {
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut page = HEAD.to_owned();
    let (spec, status) = (&schema["spec"], &schema["status"]);
    section(&mut page, "spec", spec, |name| is_simple(&spec["properties"][name]));
    for (name, field) in properties(spec).filter(|(_, field)| !is_simple(field)) {
        section(&mut page, &format!("spec.{name}"), field, |_| true);
    }
    section(&mut page, "status", status, |_| true);
    page
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn is_simple(schema: &Value) -> bool {
    properties(item(schema)).next().is_none()
}

/// A list's item schema; any other schema unchanged.
fn item(schema: &Value) -> &Value {
    schema.get("items").unwrap_or(schema)
}

/// A heading, the description and rules of the object, and a table of its `wanted` fields.
fn section(page: &mut String, path: &str, schema: &Value, wanted: impl Fn(&str) -> bool) {
    let _ = writeln!(page, "\n## `{path}`\n\n{}", sentence(schema));
    let rules = rules(schema);
    if !rules.is_empty() {
        let _ = writeln!(page, "\nRules: {rules}.");
    }
    if item(schema) != schema {
        let _ = writeln!(page, "\nA list; of each item:");
    }
    page.push_str("\n| Field | Type | Default | |\n|---|---|---|---|\n");
    let whole = &schema["default"];
    let schema = item(schema);
    for (name, field) in properties(schema).filter(|(name, _)| wanted(name)) {
        let inner = if field["default"].is_null() { &whole[name] } else { &field["default"] };
        rows(page, name, field, inner, &default_of(schema, name, whole));
    }
}

/// The value of a field that is not set, in words. `whole` is the default of the object that the field is in.
fn default_of(schema: &Value, name: &str, whole: &Value) -> String {
    let is_required = schema["required"].as_array().is_some_and(|all| all.iter().any(|field| field == name));
    match (&schema["properties"][name]["default"], &whole[name], is_required) {
        (Value::Null, Value::Null, true) => "required".to_owned(),
        (Value::Null, Value::Null, false) => String::new(),
        // The fields of an object have rows of their own.
        (Value::Object(_), ..) | (Value::Null, Value::Object(_), _) => String::new(),
        (Value::Null, value, true) => format!("`{value}`; required where its object is given"),
        (Value::Null, value, false) | (value, ..) => format!("`{value}`"),
    }
}

/// The row of a field, and then the rows of the fields in it.
fn rows(page: &mut String, path: &str, schema: &Value, whole: &Value, default: &str) {
    let name = path.rsplit('.').next().unwrap_or(path);
    let rules = rules(schema);
    let rules = if rules.is_empty() { rules } else { format!(" Rules: {rules}.") };
    let text = sentence(schema);
    // The column before it shows the default.
    let text = text.split_once(" Default: ").map_or(&*text, |(text, _)| text);
    let _ = writeln!(page, "| `{path}` | {} | {default} | {text}{rules} |", type_of(name, schema));
    if KUBERNETES.contains(&name) {
        return;
    }
    let inner = item(schema);
    let mark = if inner == schema { "" } else { "[]" };
    for (name, field) in properties(inner) {
        let default = default_of(inner, name, whole);
        rows(page, &format!("{path}{mark}.{name}"), field, &whole[name], &default);
    }
}

/// A description in one line of a table.
fn sentence(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn type_of(name: &str, schema: &Value) -> String {
    if KUBERNETES.contains(&name) {
        return "Kubernetes' own".to_owned();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`"));
        return values.collect::<Vec<_>>().join(", ");
    }
    match schema["type"].as_str().unwrap_or("any") {
        "string" if is_duration(schema) => "duration".to_owned(),
        "array" => format!("list of {}", type_of("", item(schema))),
        "object" if schema.get("additionalProperties").is_some() => "map of strings".to_owned(),
        other => other.to_owned(),
    }
}

fn is_duration(schema: &Value) -> bool {
    schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("ms)?$"))
}

/// The rules of a value, in words.
fn rules(schema: &Value) -> String {
    let mut rules = Vec::new();
    let limit = |name: &str| schema[name].as_f64();
    let mut between = |least: Option<f64>, most: Option<f64>, of: &str| match (least, most) {
        (Some(least), Some(most)) => rules.push(format!("{least} to {most}{of}")),
        (Some(least), None) => rules.push(format!("at least {least}{of}")),
        (None, Some(most)) => rules.push(format!("at most {most}{of}")),
        (None, None) => {}
    };
    between(limit("minimum"), limit("maximum"), "");
    between(limit("minItems"), limit("maxItems"), " items");
    if !is_duration(schema) {
        between(limit("minLength"), limit("maxLength"), " characters");
        let pattern = schema["pattern"].as_str();
        rules.extend(pattern.map(|pattern| format!("matches `{}`", escaped(pattern))));
    }
    let judged = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.extend(judged.filter_map(|rule| rule["message"].as_str()).map(escaped));
    rules.join("; ")
}
