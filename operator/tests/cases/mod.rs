//! Specs that are accepted and specs that are refused: by the API server's rules and by `crds::pipeline::check` alike.

use serde_json::{Value, json};

const STRIMZI: &str = r#"{"strimzi": {"cluster": "my-cluster"}}"#;

/// A spec on Strimzi with these parts.
pub fn spec(part: Value) -> Value {
    let mut spec = json!({"kafka": serde_json::from_str::<Value>(STRIMZI).unwrap()});
    for (key, value) in part.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

/// The verdict on a pipeline: `None` is accepted, else a part of the API server's message.
#[rustfmt::skip]
pub fn cases() -> Vec<(&'static str, Value, Option<&'static str>)> {
    let long = "a".repeat(41);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let forty = &long[..40];
    let servers = |servers: &str| spec(json!({"kafka": {"external": {"bootstrapServers": servers}}}));
    let windows = |windows: Value| spec(json!({"aggregation": {"windows": windows}}));
    let topic = |field: &str, name: &str| spec(json!({field: {"topic": name}}));
    vec![
        ("fine", spec(json!({})), None),
        (forty, spec(json!({})), None),
        (long, spec(json!({})), Some("metadata.name is longer than 40 characters")),
        ("a.dot", spec(json!({})), Some("metadata.name contains a dot")),

        ("neither", json!({"kafka": {}}), Some("set exactly one of kafka.strimzi")),
        ("both", json!({"kafka": {"strimzi": {"cluster": "a"}, "external": {"bootstrapServers": "a:1"}}}), Some("set exactly one of kafka.strimzi")),
        ("cluster-1", json!({"kafka": {"strimzi": {"cluster": ""}}}), Some("spec.kafka.strimzi.cluster")),
        ("cluster-2", json!({"kafka": {"strimzi": {"cluster": "My_Cluster"}}}), Some("spec.kafka.strimzi.cluster")),
        ("cluster-3", json!({"kafka": {"strimzi": {"cluster": "my.cluster-1", "listener": "tls"}}}), None),
        ("listener-1", json!({"kafka": {"strimzi": {"cluster": "a", "listener": "Plain"}}}), Some("spec.kafka.strimzi.listener")),
        ("listener-2", json!({"kafka": {"strimzi": {"cluster": "a", "listener": "twelveletter"}}}), Some("spec.kafka.strimzi.listener")),

        ("servers-1", servers("kafka:9092"), None),
        ("servers-2", servers("kafka_1.example.org:9092,[::1]:9093,10.0.0.1:1"), None),
        ("servers-3", servers("kafka"), Some("bootstrapServers must be host:port")),
        ("servers-4", servers("kafka:9092, other:9092"), Some("bootstrapServers must be host:port")),
        ("servers-5", servers("kafka:65536"), Some("bootstrapServers must be host:port")),
        ("servers-6", servers("kafka:0"), Some("bootstrapServers must be host:port")),
        ("servers-7", servers("kafka:65535"), None),
        ("servers-8", servers("kafka:+1"), Some("bootstrapServers must be host:port")),
        ("servers-9", servers(&format!("kafka:9092{}", ",k:9".repeat(253))), None),

        ("topic-1", topic("source", "user login"), Some("spec.source.topic")),
        ("topic-2", topic("output", ""), Some("spec.output.topic")),
        ("topic-3", topic("deadLetters", &"x".repeat(250)), Some("spec.deadLetters.topic")),
        ("topic-4", topic("deadLetters", &"x".repeat(249)), None),
        ("topic-5", topic("source", ".."), Some("source.topic is no name that Kafka takes")),
        ("topic-6", topic("output", "."), Some("output.topic is no name that Kafka takes")),
        ("topic-7", topic("deadLetters", "."), Some("deadLetters.topic is no name that Kafka takes")),
        ("topic-8", topic("source", "processed-user-login"), Some("must be three different topics")),
        ("topic-9", topic("deadLetters", "user-login"), Some("must be three different topics")),
        ("topic-10", topic("deadLetters", "processed-user-login"), Some("must be three different topics")),

        ("partitions-1", spec(json!({"source": {"partitions": 0}})), Some("spec.source.partitions")),
        ("partitions-2", spec(json!({"source": {"partitions": 1024}})), None),
        ("partitions-3", spec(json!({"source": {"partitions": 1025}})), Some("spec.source.partitions")),

        ("required-1", spec(json!({"validation": {"required": []}})), None),
        ("required-2", spec(json!({"validation": {"required": ["ip", "ip"]}})), Some("spec.validation.required")),

        ("windows-1", windows(json!(["1m", "1h", "24h", "all"])), None),
        ("windows-2", windows(json!(["all", "1m"])), Some("must begin with the smallest finite window")),
        ("windows-3", windows(json!(["1h", "1m"])), Some("must begin with the smallest finite window")),
        ("windows-4", windows(json!(["1m", "90s"])), Some("must be a multiple of the first one")),
        ("windows-5", windows(json!(["1500ms"])), Some("must be whole seconds")),
        ("windows-6", windows(json!(["100ms"])), Some("must be whole seconds")),
        ("windows-7", windows(json!(["0s"])), Some("must be whole seconds")),
        ("windows-8", windows(json!([])), Some("spec.aggregation.windows")),
        ("windows-9", windows(json!(["all"])), Some("must begin with the smallest finite window")),
        ("windows-10", windows(json!(["60s", "1m"])), Some("60s and 1m are the same")),
        ("windows-11", windows(json!(["1s", "2s", "3s", "4s", "5s", "6s", "7s", "8s"])), None),
        ("windows-12", windows(json!(["1s", "2s", "3s", "4s", "5s", "6s", "7s", "8s", "9s"])), Some("spec.aggregation.windows")),
        ("windows-13", windows(json!(["1m", "all", "all"])), Some("aggregation.windows")),
        ("dimensions-1", spec(json!({"aggregation": {"dimensions": []}})), None),
        ("dimensions-2", spec(json!({"aggregation": {"dimensions": ["locale", "locale"]}})), Some("spec.aggregation.dimensions")),
        ("idle-1", spec(json!({"aggregation": {"idleTimeout": "999ms"}})), Some("idleTimeout must be at least 1s")),
        ("idle-2", spec(json!({"aggregation": {"idleTimeout": "1s"}})), None),

        ("replicas-1", spec(json!({"processor": {"replicas": 0}})), None),
        ("replicas-2", spec(json!({"processor": {"replicas": -1}})), Some("spec.processor.replicas")),
        ("replicas-3", spec(json!({"processor": {"replicas": 1025}})), Some("spec.processor.replicas")),
        ("threads-1", spec(json!({"processor": {"threads": 0}})), Some("spec.processor.threads")),
        ("threads-2", spec(json!({"processor": {"threads": 65}})), Some("spec.processor.threads")),
        ("commit-1", spec(json!({"processor": {"commitInterval": "9ms"}})), Some("commitInterval must lie between")),
        ("commit-2", spec(json!({"processor": {"commitInterval": "5001ms"}})), Some("commitInterval must lie between")),
        ("commit-3", spec(json!({"processor": {"commitInterval": "5s"}})), None),
        ("image-1", spec(json!({"processor": {"image": ""}})), Some("spec.processor.image")),
    ]
}
