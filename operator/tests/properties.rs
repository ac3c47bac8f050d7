//! Properties of the objects of every spec.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

#[path = "cases/specs.rs"]
mod specs;

use std::collections::BTreeMap;

use crds::{
    pipeline::{LoginPipeline, check},
    topics::Role,
};
use operator::{
    build::kafka_topic,
    kafka_access::Secrets,
    pass::desired::render,
    topics::{Listener, growth::wanted},
    validate::check_pipeline,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every object of a pipeline by its kind. A job config is shown by its content, and names derived from the content are
/// left out.
fn objects(pipeline: &LoginPipeline) -> BTreeMap<String, Value> {
    let listener = Listener::without_certificates("kafka:9092");
    let desired = render("streams", pipeline, &listener, &Secrets::default(), 7).unwrap();
    let held = desired.config_map.data.as_ref().unwrap().iter();
    let held: serde_json::Map<_, _> = held
        .map(|(name, text)| (name.trim_end_matches(".json").to_owned(), serde_json::from_str(text).unwrap()))
        .collect();
    let name = desired.config.config_map.as_str();
    let mut objects = BTreeMap::from([
        ("ServiceAccount".to_owned(), json!(desired.service_account)),
        ("NetworkPolicy".to_owned(), json!(desired.network_policy)),
        ("PodDisruptionBudget".to_owned(), json!(desired.pod_disruption_budget)),
        ("Service".to_owned(), json!(desired.service)),
        ("ConfigMap".to_owned(), Value::Object(held)),
        (
            "Deployment".to_owned(),
            serde_json::from_str(&json!(desired.deployment).to_string().replace(name, "it")).unwrap(),
        ),
    ]);
    let valid = check_pipeline(pipeline).unwrap();
    for topic in wanted(&valid, &[]) {
        let object = kafka_topic(&valid, "my-cluster", "v1", &topic, false);
        objects.insert(format!("KafkaTopic {}", topic.role), json!(object));
    }
    objects
}

/// The paths at which two objects differ.
fn differences(path: &str, one: &Value, other: &Value, paths: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys().filter(|key| !one.contains_key(*key))) {
                let get = |object: &serde_json::Map<_, _>| object.get(key).cloned().unwrap_or(Value::Null);
                differences(&format!("{path}.{key}"), &get(one), &get(other), paths);
            }
        }
        _ if one != other => paths.push(path.to_owned()),
        _ => {}
    }
}

proptest! {
    #[test]
    fn the_same_spec_gives_the_same_objects(pipeline in specs::any_pipeline()) {
        prop_assert_eq!(check("logins", &pipeline.spec), []);
        let again: LoginPipeline = serde_json::from_str(&serde_json::to_string(&pipeline).unwrap()).unwrap();
        prop_assert_eq!(objects(&pipeline), objects(&again));
    }

    /// For any spec that it changes.
    #[test]
    fn a_field_changes_only_what_depends_on_it(
        values in prop::collection::vec(any::<(bool, u8)>(), specs::parts().len()),
        changed in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let parts = specs::parts();
        let changed = changed.index(parts.len());
        let (path, choices, may_change) = &parts[changed];
        let others = values.iter().zip(&parts).enumerate().filter(|(index, ((is_default, _), _))| *index != changed && !is_default);
        let others: Vec<_> = others
            .map(|(_, ((_, choice), (path, values, _)))| (*path, values[usize::from(*choice) % values.len()].clone()))
            .collect();
        let before = specs::pipeline(others.clone());
        let after = specs::pipeline(others.into_iter().chain([(*path, to.get(choices).clone())]));
        // Some values need others.
        prop_assume!(check("logins", &before.spec).is_empty() && check("logins", &after.spec).is_empty());

        let mut paths = Vec::new();
        let (before, after) = (objects(&before), objects(&after));
        for kind in before.keys().chain(after.keys().filter(|kind| !before.contains_key(*kind))) {
            let get = |objects: &BTreeMap<String, Value>| objects.get(kind).cloned().unwrap_or_default();
            differences(kind, &get(&before), &get(&after), &mut paths);
        }

        for found in paths {
            prop_assert!(may_change.iter().any(|prefix| found.starts_with(prefix)), "{} changes {}", path, found);
        }
    }
}

#[test]
fn each_field_that_may_change_an_object_does() {
    let before = objects(&specs::pipeline([]));
    for (path, values, may_change) in specs::parts() {
        let changes = values.into_iter().any(|value| objects(&specs::pipeline([(path, value)])) != before);
        assert_eq!(changes, !may_change.is_empty(), "{path}");
    }
    assert_eq!(before.keys().filter(|kind| kind.starts_with("KafkaTopic")).count(), Role::ALL.len());
}
