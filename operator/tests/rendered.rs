//! Every object that a pipeline becomes, for several specs: review shows each change of any of them.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use crds::pipeline::{Kafka, LoginPipeline};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use operator::{
    build::kafka_topic,
    kafka_access::Secrets,
    pass::desired::render,
    topics::{Control, Listener, Seen, State, growth::wanted},
    validate::check_pipeline,
};
use serde::Deserialize;

fn pipelines(text: &str) -> Vec<LoginPipeline> {
    serde_yaml::Deserializer::from_str(text).map(|document| LoginPipeline::deserialize(document).unwrap()).collect()
}

fn manifest(text: &str) -> LoginPipeline {
    let mut pipeline = pipelines(text).remove(0);
    pipeline.metadata.namespace = Some("streams".to_owned());
    pipeline.metadata.uid = Some("00000000-0000-0000-0000-000000000001".to_owned());
    pipeline
}

/// A value that is in Secrets only.
const HUSH: &str = "hush";

/// The Secrets that the specs name.
fn secrets() -> Secrets {
    let pem = |what: &str| format!("-----BEGIN {what}-----\n{HUSH}\n-----END {what}-----\n");
    let (certificate, key) = (pem("CERTIFICATE"), pem("PRIVATE KEY"));
    let secret = |version: &str, keys: &[(&str, &str)]| {
        let data = keys.iter().map(|(name, value)| ((*name).to_owned(), ByteString(value.as_bytes().to_vec())));
        let (uid, resource_version) = (Some(format!("uid-{version}")), Some(version.to_owned()));
        let metadata = ObjectMeta { uid, resource_version, ..ObjectMeta::default() };
        Some(Secret { metadata, data: Some(data.collect()), ..Secret::default() })
    };
    let pairs = [("user.crt", &*certificate), ("user.key", &*key), ("tls.crt", &*certificate), ("tls.key", &*key)];
    let user = [&pairs[..], &[("password", HUSH), ("secret", HUSH)]].concat();
    let secrets = [
        ("kafka-ca", secret("1", &[("ca.crt", &certificate)])),
        ("kafka-user", secret("2", &user)),
        ("logins", secret("3", &user)),
    ];
    Secrets(secrets.map(|(name, secret)| (name.to_owned(), secret)).into())
}

/// The listener that a spec names, as the operator sees it.
fn listener(kafka: &Kafka) -> Listener {
    if let Some(external) = &kafka.external {
        return Listener::without_certificates(&external.bootstrap_servers);
    }
    let mut listener = Listener::without_certificates("my-cluster-kafka-bootstrap.kafka.svc:9093");
    if kafka.strimzi.as_ref().is_some_and(|strimzi| strimzi.listener == "tls") {
        listener.certificates.push("-----BEGIN CERTIFICATE-----\npublished\n-----END CERTIFICATE-----\n".to_owned());
    }
    listener
}

const EXAMPLE: &str = include_str!("../../examples/pipeline.yaml");
const REFERENCE: &str = include_str!("../../examples/reference.yaml");

/// Specs that together use every field that shapes an object.
const SPECS: [(&str, &str); 9] = [
    ("example", EXAMPLE),
    ("reference", REFERENCE),
    ("small", include_str!("fixtures/small.yaml")),
    ("secured", include_str!("fixtures/secured.yaml")),
    ("elsewhere", include_str!("fixtures/elsewhere.yaml")),
    ("everything", include_str!("fixtures/everything.yaml")),
    ("open", include_str!("fixtures/open.yaml")),
    ("suspended", include_str!("fixtures/suspended.yaml")),
    ("capped", include_str!("fixtures/capped.yaml")),
];

#[test]
fn every_object_of_several_specs() {
    for (name, text) in SPECS {
        let pipeline = manifest(text);
        let valid = check_pipeline(&pipeline).unwrap();
        let desired = render("streams", &pipeline, &listener(&valid.spec.kafka), &secrets(), 7).unwrap();
        assert_eq!(Some(&desired.config.config_map), desired.config_map.metadata.name.as_ref());
        let mut objects = vec![serde_yaml::to_string(&desired.service_account)];
        objects.extend(desired.network_policy.as_ref().map(serde_yaml::to_string));
        objects.extend([
            serde_yaml::to_string(&desired.pod_disruption_budget),
            serde_yaml::to_string(&desired.service),
            serde_yaml::to_string(&desired.config_map),
            serde_yaml::to_string(&desired.deployment),
        ]);
        if let Some(kafka) = &valid.spec.kafka.strimzi {
            let topics = wanted(&valid, &[]);
            let topic = |topic| serde_yaml::to_string(&kafka_topic(&valid, &kafka.cluster, "v1", topic, false));
            objects.extend(topics.iter().map(topic));
        }

        let objects: Vec<_> = objects.into_iter().map(Result::unwrap).collect();
        let objects = objects.join("---\n");
        assert!(!objects.contains(HUSH), "{objects}");
        insta::assert_snapshot!(name, objects);
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
        config: [("max.message.bytes".to_owned(), "5000000".to_owned())].into(),
        topic_id: None,
        expected_id: None,
        created: false,
        control: Control::Theirs,
    }];

    let objects: Vec<_> =
        wanted(&valid, &seen).iter().map(|topic| kafka_topic(&valid, "my-cluster", "v1beta2", topic, false)).collect();
    insta::assert_yaml_snapshot!("large-source-kafka-topics", objects);
}

#[test]
fn only_what_shapes_the_pods_is_in_the_config() {
    let on = |servers: &str, text: &str, number| {
        let listener = Listener::without_certificates(servers);
        render("streams", &manifest(text), &listener, &Secrets::default(), number).unwrap()
    };
    let rendered = |text: &str| on("kafka:9092", text, 1);
    let name = |text: &str| rendered(text).config.config_map;
    let with = |section: &str| name(&format!("{EXAMPLE}  {section}\n"));
    let example = name(EXAMPLE);

    assert_eq!(example, with("processor: {replicas: 9}"));
    assert_ne!(example, with("processor: {image: other}"));
    assert_eq!(example, with("source: {partitions: 9}"));
    assert_ne!(example, with("processor: {threads: 9}"));
    assert_ne!(example, with("processor: {commitInterval: 1s}"));
    assert_ne!(example, with("validation: {maxFutureSkew: 1s}"));
    assert_ne!(example, with("aggregation: {uniqueUsers: false}"));
    assert_ne!(example, on("other:9092", EXAMPLE, 1).config.config_map);
    assert_ne!(example, on("kafka:9092", EXAMPLE, 2).config.config_map);
}
