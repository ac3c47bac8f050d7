//! Every object that a pipeline becomes, over several specs: a change of any of them shows in review.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use crds::pipeline::LoginPipeline;
use operator::{
    build::kafka_topic,
    desired::{Desired, render},
    topics::{Seen, State, wanted},
    validate::check_pipeline,
};
use serde::Deserialize;

fn pipelines(text: &str) -> Vec<LoginPipeline> {
    serde_yaml::Deserializer::from_str(text).map(|document| LoginPipeline::deserialize(document).unwrap()).collect()
}

/// A manifest, as if an API server held it.
fn manifest(text: &str) -> LoginPipeline {
    let mut pipeline = pipelines(text).remove(0);
    pipeline.metadata.namespace = Some("streams".to_owned());
    pipeline.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    pipeline
}

const EXAMPLE: &str = include_str!("../../examples/pipeline.yaml");
const REFERENCE: &str = include_str!("../../examples/reference.yaml");
const SMALL: &str = include_str!("fixtures/small.yaml");

#[test]
fn the_workload_of_several_specs() {
    for (name, text) in [("example", EXAMPLE), ("reference", REFERENCE), ("small", SMALL)] {
        let Desired { service_account, config_map, deployment, config } =
            render("streams", &manifest(text), "kafka:9092", 7).unwrap();
        assert_eq!(Some(&config.config_map), config_map.metadata.name.as_ref());
        insta::assert_yaml_snapshot!(format!("{name}-service-account"), service_account);
        insta::assert_yaml_snapshot!(format!("{name}-config-map"), config_map);
        insta::assert_yaml_snapshot!(format!("{name}-deployment"), deployment);
    }
}

#[test]
fn the_kafka_topics_of_several_specs() {
    for (name, text) in [("example", EXAMPLE), ("small", SMALL)] {
        let valid = check_pipeline(&manifest(text)).unwrap();
        let objects: Vec<_> =
            wanted(&valid, &[]).iter().map(|topic| kafka_topic(&valid, "my-cluster", "v1", topic)).collect();
        insta::assert_yaml_snapshot!(format!("{name}-kafka-topics"), objects);
    }
}

#[test]
fn the_outputs_fit_a_source_that_is_there() {
    let valid = check_pipeline(&manifest(EXAMPLE)).unwrap();
    let seen = [Seen {
        role: crds::topics::Role::Source,
        name: "user-login".to_owned(),
        state: State::Ready,
        partitions: Some(20),
        max_message_bytes: Some(5_000_000),
        topic_id: None,
        created: false,
        can_grow: false,
    }];
    let objects: Vec<_> =
        wanted(&valid, &seen).iter().map(|topic| kafka_topic(&valid, "my-cluster", "v1beta2", topic)).collect();
    insta::assert_yaml_snapshot!("large-source-kafka-topics", objects);
}

#[test]
fn only_what_the_pods_are_told_is_in_the_config() {
    let rendered = |text: &str| render("streams", &manifest(text), "kafka:9092", 1).unwrap();
    let name = |text: &str| rendered(text).config.config_map;
    let with = |section: &str| name(&format!("{EXAMPLE}  {section}\n"));
    let example = name(EXAMPLE);
    assert_eq!(example, with("processor: {replicas: 9}"));
    assert_eq!(example, with("processor: {image: other}"));
    assert_eq!(example, with("source: {partitions: 9}"));
    assert_ne!(example, with("processor: {threads: 9}"));
    assert_ne!(example, with("processor: {commitInterval: 1s}"));
    assert_ne!(example, with("validation: {maxFutureSkew: 1s}"));
    assert_ne!(example, with("aggregation: {uniqueUsers: false}"));
    assert_ne!(example, render("streams", &manifest(EXAMPLE), "other:9092", 1).unwrap().config.config_map);
    assert_ne!(example, render("streams", &manifest(EXAMPLE), "kafka:9092", 2).unwrap().config.config_map);
}
