//! The values: each is documented, in the schema, set in a suite, and changes what is rendered.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{EVERYTHING, chart, read, render};

/// A value, as values.yaml has it.
struct Documented {
    /// Its keys, joined by dots.
    path: String,
    default: Value,
    comment: String,
}

fn defaults() -> Value {
    serde_yaml::from_str(&read("values.yaml")).unwrap()
}

fn at<'a>(values: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(values, |value, key| &value[key])
}

/// The values with a comment that begins with `# --`.
fn documented() -> Vec<Documented> {
    let (text, defaults) = (read("values.yaml"), defaults());
    let mut found = Vec::new();
    let mut above: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<String> = None;
    for line in text.lines() {
        let (content, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if let Some(start) = content.strip_prefix("# -- ") {
            comment = Some(start.to_owned());
        } else if let (Some(comment), Some(more)) = (&mut comment, content.strip_prefix("# ")) {
            comment.push(' ');
            comment.push_str(more);
        } else if let Some((key, _)) = content.split_once(':').filter(|_| !content.starts_with('#')) {
            above.retain(|(outer, _)| *outer < indent);
            above.push((indent, key));
            if let Some(comment) = comment.take() {
                let path = above.iter().map(|(_, key)| *key).collect::<Vec<_>>().join(".");
                found.push(Documented { default: at(&defaults, &path).clone(), path, comment });
            }
        }
    }
    found
}

/// The paths of everything that is not an object, or is an empty one.
fn leaves(values: &Value, path: &str, found: &mut Vec<String>) {
    match values.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

fn is_within(path: &str, outer: &str) -> bool {
    path == outer || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

#[test]
fn every_value_is_documented() {
    let documented = documented();
    let mut all = Vec::new();
    leaves(&defaults(), "", &mut all);
    assert!(all.len() > 60, "{all:?}");
    let is_documented = |path: &&String| !documented.iter().any(|value| is_within(path, &value.path));
    let missing: Vec<_> = all.iter().filter(is_documented).collect();
    assert!(missing.is_empty(), "no comment that begins with `# --`: {missing:?}");
}

#[test]
fn the_readme_has_the_table_of_values() {
    let mut table = "| Value | Default | |\n|---|---|---|\n".to_owned();
    for Documented { path, default, comment } in documented() {
        table.push_str(&format!("| `{path}` | `{default}` | {comment} |\n"));
    }
    assert!(read("README.md").contains(&table), "charts/login-pipeline-operator/README.md needs:\n{table}");
}

#[test]
fn the_schema_names_each_value_and_no_other() {
    let (schema, documented): (Value, _) = (serde_json::from_str(&read("values.schema.json")).unwrap(), documented());
    compare(&schema, &defaults(), "", &documented);
}

fn compare(schema: &Value, values: &Value, path: &str, documented: &[Documented]) {
    if documented.iter().any(|value| value.path == path) {
        return;
    }
    assert_eq!(schema["additionalProperties"], json!(false), "{path:?} takes values that nobody uses");
    let properties = schema["properties"].as_object().unwrap();
    // Helm itself sets `global`.
    let named: BTreeSet<_> = properties.keys().filter(|key| *key != "global").collect();
    let values = values.as_object().unwrap();
    assert_eq!(named, values.keys().collect(), "{path:?}");
    for (key, value) in values {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        compare(&properties[key], value, &path, documented);
    }
}

#[test]
fn every_value_is_set_in_a_suite() {
    let mut set = BTreeSet::new();
    for entry in std::fs::read_dir(chart().join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with("_test.yaml") {
            let suite: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            for test in suite["tests"].as_array().unwrap() {
                set.extend(test["set"].as_object().into_iter().flat_map(Map::keys).cloned());
            }
        }
    }

    let is_unset = |value: &&Documented| !set.iter().any(|path| is_within(path, &value.path));
    let documented = documented();
    let missing: Vec<_> = documented.iter().filter(is_unset).map(|value| &value.path).collect();
    assert!(missing.is_empty(), "no suite sets {missing:?}");
}

#[test]
fn every_value_changes_what_is_rendered() {
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let everything: Value = serde_yaml::from_str(EVERYTHING).unwrap();
    let unchanged = render(EVERYTHING, &[]).unwrap();
    let mut idle = Vec::new();

    for Documented { path, default, .. } in documented() {
        let rule = path.split('.').fold(&schema, |schema, key| &schema["properties"][key]);
        let now = Some(at(&everything, &path)).filter(|value| !value.is_null()).unwrap_or(&default);
        let other = format!("{path}={}", another(rule, now));
        // Three values refuse the defaults of other values.
        let beside: &[&str] = match path.as_str() {
            "leaderElection.enabled" => &["--set", "replicaCount=1"],
            "kafkaNamespaces" => &["--set", "watchNamespaces={a}"],
            "metrics.enabled" => &["--set", "serviceMonitor.enabled=false"],
            _ => &[],
        };
        let before = if beside.is_empty() { unchanged.clone() } else { render(EVERYTHING, beside).unwrap() };
        let after = render(EVERYTHING, &[beside, &["--set-json", &other]].concat());
        if after.unwrap_or_else(|error| panic!("{other}: {error}")) == before {
            idle.push(path);
        }
    }

    assert!(idle.is_empty(), "these change nothing: {idle:?}");
}

/// Another value that a schema's rule allows.
fn another(rule: &Value, now: &Value) -> Value {
    if let Some(allowed) = rule["enum"].as_array() {
        return allowed.iter().find(|value| *value != now).unwrap().clone();
    }
    let rule = rule["oneOf"].as_array().map_or(rule, |rules| &rules[0]);
    let pattern = rule["pattern"].as_str().unwrap_or_default();
    match rule["type"].as_str().unwrap() {
        "boolean" => json!(!now.as_bool().unwrap()),
        "integer" => json!(now.as_u64().unwrap() + 1),
        "string" if pattern.contains("sha256") => json!(format!("sha256:{}", "a".repeat(64))),
        "string" if pattern.contains("ms|s|m|h") => json!("7m"),
        "string" => json!("another"),
        "array" => json!([element(&rule["items"])]),
        _ if rule["properties"].is_object() => json!({"limits": {"cpu": "7"}}),
        _ => json!({"another": "value"}),
    }
}

fn element(rule: &Value) -> Value {
    match rule["enum"].as_array() {
        Some(allowed) => allowed[0].clone(),
        None if rule["type"] == "string" => json!("another"),
        None => json!({"name": "another"}),
    }
}

#[test]
fn the_values_that_are_documented_are_read_whole() {
    let documented = documented();
    assert!(documented.len() > 60);
    let probe = documented.iter().find(|value| value.path == "livenessProbe.periodSeconds").unwrap();
    assert_eq!(probe.default, json!(10));
    assert!(probe.comment.starts_with("Liveness probe interval") && probe.comment.ends_with('.'), "{}", probe.comment);
    // A comment without a full stop at its end was cut.
    assert!(documented.iter().all(|value| value.comment.ends_with('.')));
    let yaml = serde_yaml::Deserializer::from_str(EVERYTHING).map(Value::deserialize);
    assert_eq!(yaml.count(), 1);
}
