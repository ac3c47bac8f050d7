//! The walls between crates, as their manifests have them: what is not a dependency cannot be imported.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn manifest(folder: &str) -> Table {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
}

fn members() -> Vec<String> {
    let members = manifest("")["workspace"]["members"].as_array().unwrap().clone();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = manifest(folder);
    manifest.get("dependencies").and_then(Value::as_table).into_iter().flat_map(Table::keys).cloned().collect()
}

/// Everything that the cores depend on: none of it reaches a broker, a clock, a log or chance.
#[test]
fn the_cores_depend_on_nothing_impure() {
    let expected = ["crds", "datasketches", "foldhash", "itoa", "jiff", "memchr", "serde", "serde_json", "thiserror"];
    assert_eq!(dependencies("libs/stages"), expected.map(str::to_owned).into());
}

#[test]
fn the_audit_does_not_know_the_cores() {
    let found = dependencies("libs/audit");
    assert!(!found.contains("stages") && !found.contains("processor"), "{found:?}");
}

#[test]
fn operator_and_processor_do_not_know_each_other() {
    assert!(!dependencies("operator").contains("processor"));
    assert!(!dependencies("processor").contains("operator"));
    for library in members().iter().filter(|member| member.starts_with("libs/") || *member == "crds") {
        let found = dependencies(library);
        assert!(!found.contains("operator") && !found.contains("processor"), "{library}: {found:?}");
    }
}

/// `forbid` cannot be taken back by an attribute: the compiler refuses unsafe code everywhere but in `libs/kafka`, which has
/// the same lints but for that one.
#[test]
fn unsafe_code_is_allowed_in_one_crate() {
    let workspace = manifest("")["workspace"]["lints"].as_table().unwrap().clone();
    assert_eq!(workspace["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in members() {
        let lints = manifest(&member)["lints"].as_table().unwrap().clone();
        if member == "libs/kafka" {
            let mut expected = workspace.clone();
            expected["rust"].as_table_mut().unwrap().insert("unsafe_code".to_owned(), "deny".into());
            assert_eq!(lints, expected, "libs/kafka has lints of its own");
        } else {
            assert_eq!(lints.get("workspace"), Some(&Value::Boolean(true)), "{member}");
        }
    }
}
