//! The schemas for kubeconform, from Kubernetes' own description of its API and the Prometheus operator's definitions.
//! A field that they do not name is an error.

use std::{fs, path::Path};

use serde_json::{Map, Value, json};
use testkit::{process::Folder, tools::Tools};

const DEFINITIONS: &str = "definitions.json";

/// kubeconform's counts for valid manifests; its report for others.
pub fn check(manifests: &str) -> Result<Value, String> {
    let tools = Tools::find().unwrap();
    let folder = Folder::new("schemas").unwrap();
    write(&tools, folder.path());
    let file = folder.path().join("manifests.yaml");
    fs::write(&file, manifests).unwrap();
    let schemas =
        format!("{}/{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}-{{{{.ResourceKind}}}}.json", folder.path().display());
    let file = file.display().to_string();
    let arguments = ["-strict", "-summary", "-output", "json", "-schema-location", &schemas, &file];
    let output = tools.kubeconform(&arguments).unwrap();
    let report = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        return Err(report);
    }
    Ok(serde_json::from_str::<Value>(&report).unwrap()["summary"].clone())
}

fn write(tools: &Tools, folder: &Path) {
    let api: Value = serde_json::from_str(&tools.kubernetes_api().unwrap()).unwrap();
    let mut definitions = api["definitions"].as_object().unwrap().clone();
    for (name, definition) in &mut definitions {
        for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            let field = |name: &str| kind[name].as_str().unwrap();
            let schema = json!({"$ref": format!("{DEFINITIONS}#/definitions/{name}")});
            put(folder, field("group"), field("version"), field("kind"), &schema);
        }
        if name.ends_with(".IntOrString") || name.ends_with(".Quantity") {
            *definition = json!({"type": ["string", "number"]});
        }
        make_strict(definition);
    }
    fs::write(folder.join(DEFINITIONS), json!({"definitions": definitions}).to_string()).unwrap();

    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let definition: Value = serde_yaml::from_str(&tools.monitoring_definition(plural).unwrap()).unwrap();
        let spec = &definition["spec"];
        for version in spec["versions"].as_array().unwrap() {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            make_strict(&mut schema);
            let field = |value: &Value| value.as_str().unwrap().to_owned();
            put(folder, &field(&spec["group"]), &field(&version["name"]), &field(&spec["names"]["kind"]), &schema);
        }
    }
}

fn put(folder: &Path, group: &str, version: &str, kind: &str, schema: &Value) {
    // kubeconform's name for the core group.
    let group = if group.is_empty() { version } else { group };
    fs::write(folder.join(format!("{group}-{version}-{}.json", kind.to_lowercase())), schema.to_string()).unwrap();
}

/// Makes every object refuse properties that its schema does not name.
fn make_strict(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    let is_open = schema.contains_key("additionalProperties")
        || schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if schema.contains_key("properties") && !is_open {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    for key in ["items", "additionalProperties"] {
        schema.get_mut(key).into_iter().for_each(make_strict);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(make_strict);
}
