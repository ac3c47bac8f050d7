use std::collections::BTreeMap;

use crds::{job::KafkaConfig, pipeline::LoginPipeline};
use proptest::prelude::*;

use super::*;
use crate::{
    build::{Shape, config_map},
    validate::check_pipeline,
};

/// A pipeline on some Kafka whose spec has these parts.
fn valid(parts: &Value) -> Valid {
    let mut spec = json!({"kafka": {"strimzi": {"cluster": "a"}}});
    spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
    check_pipeline(&LoginPipeline::new("logins", serde_json::from_value(spec).unwrap())).unwrap()
}

fn late(seconds: u8) -> Valid {
    valid(&json!({"aggregation": {"allowedLateness": format!("{seconds}s")}}))
}

fn inputs(image: &str) -> Inputs {
    Inputs {
        kafka: KafkaConfig { bootstrap_servers: "kafka:9092".to_owned(), security: None, max_message_bytes: None },
        shape: Shape { default_image: image.to_owned(), ..Shape::default() },
        secrets: Value::Null,
    }
}

/// What the API server holds.
#[derive(Clone, Debug, Default)]
struct Held {
    config_maps: Vec<ConfigMap>,
    config: Option<ConfigStatus>,
    last_healthy: Option<ConfigStatus>,
}

/// Where a pass ends: each writes what those before it write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reaches {
    Nothing,
    ConfigMap,
    Status,
    /// Its pods are available, and what is outdated is deleted.
    Healthy,
}

impl Held {
    fn pass(&mut self, valid: &Valid, inputs: &Inputs, failure: Option<&str>, reaches: Reaches) -> Revision {
        let failure =
            failure.map(|config_map| Failure { config_map: config_map.to_owned(), why: "a crash".to_owned() });
        let reported = (self.config.as_ref(), self.last_healthy.as_ref());
        let revision = choose(valid, inputs, &self.config_maps, reported, failure.as_ref());
        let object = config_map(valid, &revision);
        if reaches >= Reaches::ConfigMap && !self.config_maps.contains(&object) {
            self.config_maps.push(object);
        }
        if reaches >= Reaches::Status {
            self.config = Some(revision.status());
        }
        if reaches >= Reaches::Healthy {
            self.last_healthy = Some(revision.status());
            let gone = outdated(&self.config_maps, &revision.status());
            let gone: Vec<_> = gone.into_iter().cloned().collect();
            self.config_maps.retain(|config_map| !gone.contains(config_map));
        }
        revision
    }

    fn numbers(&self) -> Vec<u64> {
        self.config_maps.iter().filter_map(Revision::read).map(|revision| revision.number).collect()
    }
}

#[test]
fn a_config_map_holds_what_it_was_made_from() {
    let valid = late(5);
    let content = Content { rolled_back: Some("a crash".to_owned()), ..render(&valid, &inputs("a")) };
    for content in [content.clone(), Content { rolled_back: None, ..content }] {
        let revision = Revision::new(&valid, 7, content);
        let object = config_map(&valid, &revision);
        assert_eq!(Revision::read(&object), Some(revision));
        let job = JobConfig::parse(&object.data.unwrap()["job.json"]).unwrap();
        assert_eq!(job.revision, 7);
    }
}

#[test]
fn a_config_keeps_its_number_and_a_new_one_gets_the_next() {
    let mut held = Held::default();
    for (spec, expected) in [(1, 1), (1, 1), (2, 2), (2, 2), (1, 3), (3, 4), (3, 4)] {
        let revision = held.pass(&late(spec), &inputs("a"), None, Reaches::Healthy);
        assert_eq!(revision.number, expected);
        let predecessor = (expected > 1).then(|| expected - 1);
        assert_eq!(held.numbers(), predecessor.into_iter().chain([expected]).collect::<Vec<_>>());
    }
}

#[test]
fn what_shapes_no_pod_makes_no_revision() {
    let mut held = Held::default();
    let first = held.pass(&valid(&json!({})), &inputs("a"), None, Reaches::Healthy);

    for parts in [
        json!({"processor": {"replicas": 9}}),
        json!({"processor": {"rollback": "Never", "progressDeadline": "1m", "upgradePolicy": "Automatic"}}),
        json!({"source": {"partitions": 9, "deletionPolicy": "Delete"}, "deletionPolicy": "Delete"}),
        json!({"suspend": true, "networkPolicy": {"enabled": false}, "topics": {"adopt": true}}),
        json!({"aggregation": {"allowedLateness": "30s"}}),
    ] {
        assert_eq!(held.pass(&valid(&parts), &inputs("a"), None, Reaches::Healthy), first, "{parts}");
    }

    for parts in [
        json!({"processor": {"threads": 2}}),
        json!({"processor": {"image": "b"}}),
        json!({"processor": {"podLabels": {"team": "a"}}}),
        json!({"source": {"startFrom": "Latest"}}),
        json!({"alerts": [{"name": "a", "window": "1m", "above": 1}]}),
    ] {
        assert_ne!(held.clone().pass(&valid(&parts), &inputs("a"), None, Reaches::Healthy), first, "{parts}");
    }

    let secrets = Inputs { secrets: json!({"logins": "2"}), ..inputs("a") };
    assert_eq!(held.pass(&valid(&json!({})), &secrets, None, Reaches::Healthy).number, first.number + 1);
}

#[test]
fn an_operator_upgrade_restarts_nothing_until_the_spec_changes() {
    let mut held = Held::default();
    let first = held.pass(&late(1), &inputs("old"), None, Reaches::Healthy);
    assert_eq!(held.pass(&late(1), &inputs("new"), None, Reaches::Healthy), first);
    let changed = held.pass(&late(2), &inputs("new"), None, Reaches::Healthy);
    assert_eq!(changed.number, 2);
    assert_eq!(changed.status().image.as_deref(), Some("new"));

    let automatic = valid(&json!({"processor": {"upgradePolicy": "Automatic"}}));
    let mut held = Held::default();
    let first = held.pass(&automatic, &inputs("old"), None, Reaches::Healthy);
    assert_eq!(held.pass(&automatic, &inputs("old"), None, Reaches::Healthy), first);
    assert_eq!(held.pass(&automatic, &inputs("new"), None, Reaches::Healthy).status().image.as_deref(), Some("new"));
}

#[test]
fn a_failed_change_is_rolled_back_once() {
    let mut held = Held::default();
    let good = held.pass(&late(1), &inputs("a"), None, Reaches::Healthy);
    let bad = held.pass(&late(2), &inputs("a"), None, Reaches::Status);
    let back = held.pass(&late(2), &inputs("a"), Some(&bad.name), Reaches::Status);
    assert_eq!(back.number, 3);
    assert_eq!(back.content.job, good.content.job);
    assert_eq!(back.content.template, good.content.template);
    assert_eq!(rolled_back(&back, &late(2), &inputs("a")), Some("a crash"));

    // It stays, whether its pods fail too or not, and another operator changes nothing about it.
    assert_eq!(held.pass(&late(2), &inputs("a"), Some(&back.name), Reaches::Status), back);
    assert_eq!(held.pass(&late(2), &inputs("b"), None, Reaches::Healthy), back);
    // A late word of the failed one is no reason either.
    assert_eq!(held.pass(&late(2), &inputs("a"), Some(&bad.name), Reaches::Healthy), back);

    // The spec that was healthy asks for what runs; another one is tried.
    let same = held.pass(&late(1), &inputs("a"), None, Reaches::Healthy);
    assert_eq!(same, back);
    assert_eq!(rolled_back(&same, &late(1), &inputs("a")), None);
    let next = held.pass(&late(3), &inputs("a"), None, Reaches::Status);
    assert_eq!(next.number, 4);
    assert_eq!(rolled_back(&next, &late(3), &inputs("a")), None);
    let again = held.pass(&late(3), &inputs("a"), Some(&next.name), Reaches::Status);
    assert_eq!(again.number, 5);
    assert_eq!(again.content.job, good.content.job);
}

#[test]
fn without_a_healthy_one_there_is_nothing_to_return_to() {
    let mut held = Held::default();
    let first = held.pass(&late(1), &inputs("a"), None, Reaches::Status);
    assert_eq!(held.pass(&late(1), &inputs("a"), Some(&first.name), Reaches::Status), first);
    // Nor for one that was healthy, and is not any more.
    held.pass(&late(1), &inputs("a"), None, Reaches::Healthy);
    assert_eq!(held.pass(&late(1), &inputs("a"), Some(&first.name), Reaches::Status), first);
}

#[test]
fn a_config_map_that_was_deleted_comes_back_under_its_number() {
    let mut held = Held::default();
    for spec in [1, 2, 3] {
        held.pass(&late(spec), &inputs("a"), None, Reaches::Healthy);
    }
    let before = held.clone();
    held.config_maps.clear();
    held.pass(&late(3), &inputs("a"), None, Reaches::Healthy);
    assert_eq!(held.config, before.config);
    held.config_maps.clear();
    assert_eq!(held.pass(&late(4), &inputs("a"), None, Reaches::Healthy).number, 4);
}

#[test]
fn a_number_that_two_operators_took_at_once_is_used_by_neither() {
    let mut held = Held::default();
    held.pass(&late(1), &inputs("a"), None, Reaches::Healthy);
    let mut other = held.clone();
    let ours = held.pass(&late(2), &inputs("a"), None, Reaches::ConfigMap);
    let theirs = other.pass(&late(3), &inputs("a"), None, Reaches::ConfigMap);
    assert_eq!(ours.number, 2);
    assert_eq!(theirs.number, 2);

    held.config_maps.push(config_map(&late(3), &theirs));
    for spec in [2, 3, 3] {
        assert_eq!(held.clone().pass(&late(spec), &inputs("a"), None, Reaches::Healthy).number, 3);
    }
    let settled = held.pass(&late(3), &inputs("a"), None, Reaches::Healthy);
    assert_eq!(held.pass(&late(3), &inputs("a"), None, Reaches::Healthy), settled);
}

/// A log knows the configs of all resources that ever had the name.
#[test]
fn a_successor_goes_on_above_its_predecessor() {
    let created = |second: u64| Valid { first_revision: second, ..late(1) };
    let first = choose(&created(1_720_576_825), &inputs("a"), &[], (None, None), None);
    assert_eq!(first.number, 1_720_576_825);
}

proptest! {
    /// Whatever changes or fails, wherever passes break off, whatever the operator's version, and whatever is deleted by hand
    /// afterwards: a revision never means two configs, and the end is the same as without accidents.
    #[test]
    fn a_revision_never_means_two_configs(
        history in prop::collection::vec(
            (0..4_u8, any::<bool>(), any::<bool>(), prop_oneof![
                Just(Reaches::Nothing), Just(Reaches::ConfigMap), Just(Reaches::Status), Just(Reaches::Healthy),
            ], prop::option::of(0..3_usize)),
            1..40,
        ),
    ) {
        let mut held = Held::default();
        let mut meanings = BTreeMap::new();
        let mut last = 0;
        for (spec, upgraded, fails, reaches, deleted) in history {
            let failing = held.config.clone().filter(|_| fails).map(|config| config.config_map);
            let inputs = inputs(if upgraded { "new" } else { "old" });
            held.pass(&late(spec), &inputs, failing.as_deref(), reaches);
            for config_map in &held.config_maps {
                let Revision { number, content, .. } = Revision::read(config_map).unwrap();
                let meaning = meanings.entry(number).or_insert_with(|| content.job.clone());
                prop_assert_eq!(&*meaning, &content.job, "revision {}", number);
            }
            // What nothing but a ConfigMap knows cannot be known without it.
            if let Some(index) = deleted.filter(|_| reaches >= Reaches::Status)
                && index < held.config_maps.len()
            {
                held.config_maps.remove(index);
            }
            if let Some(config) = &held.config {
                prop_assert!(config.revision >= last);
                last = config.revision;
            }
        }

        let settled = held.pass(&late(9), &inputs("new"), None, Reaches::Healthy);
        prop_assert_eq!(&settled.content.job, &render(&late(9), &inputs("new")).job);
        prop_assert_eq!(held.pass(&late(9), &inputs("old"), None, Reaches::Healthy), settled);
    }
}
