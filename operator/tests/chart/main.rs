//! The Helm chart, rendered by Helm: what it installs, what its values do, and what its alerts and dashboards query.
//! Its own suites are next to it, and `tests/cluster/chart.rs` installs it on an API server.

#![expect(clippy::panic, clippy::unwrap_used, reason = "assertions of tests")]

mod promql;
mod schemas;
mod values;

mod metrics;
mod objects;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use testkit::tools::Tools;

/// Values that enable everything.
const EVERYTHING: &str = include_str!("everything.yaml");

fn chart() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/login-pipeline-operator"))
}

fn read(path: &str) -> String {
    let path = chart().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text that Helm renders with these values, or its error.
fn render(values: &str, arguments: &[&str]) -> Result<String, String> {
    let folder = testkit::process::Folder::new("values").unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    let (chart, file) = (chart().display().to_string(), file.display().to_string());
    let fixed = ["template", "rel", &chart, "--namespace", "ops", "--values", &file];
    let output = Tools::find().unwrap().helm(None, &[&fixed, arguments].concat()).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The same, as objects.
fn objects(values: &str) -> Vec<Value> {
    let text = render(values, &[]).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|document| !document.is_null()).collect()
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}
