//! Specs that are accepted and specs that are refused, by the API server's rules and by `crds::pipeline::check` alike.

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

/// A pipeline's name and spec, and the expected verdict: `None` for accepted, otherwise a part of the API server's
/// message.
type Case = (&'static str, Value, Option<&'static str>);

/// All cases.
pub fn cases() -> Vec<Case> {
    [names(), kafka(), security(), topics(), own_topics(), sizes(), pods(), counting(), alerts()].concat()
}

#[rustfmt::skip]
fn names() -> Vec<Case> {
    let long = "a".repeat(41);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let forty = &long[..40];
    vec![
        ("fine", spec(json!({})), None),
        (forty, spec(json!({})), None),
        (long, spec(json!({})), Some("metadata.name is longer than 40 characters")),
        ("a.dot", spec(json!({})), Some("metadata.name contains a dot")),
    ]
}

#[rustfmt::skip]
fn kafka() -> Vec<Case> {
    let servers = |servers: &str| spec(json!({"kafka": {"external": {"bootstrapServers": servers}}}));
    vec![
        ("neither", json!({"kafka": {}}), Some("set exactly one of kafka.strimzi")),
        ("both", json!({"kafka": {"strimzi": {"cluster": "a"}, "external": {"bootstrapServers": "a:1"}}}), Some("set exactly one of kafka.strimzi")),
        ("cluster-1", json!({"kafka": {"strimzi": {"cluster": ""}}}), Some("spec.kafka.strimzi.cluster")),
        ("cluster-2", json!({"kafka": {"strimzi": {"cluster": "My_Cluster"}}}), Some("spec.kafka.strimzi.cluster")),
        ("cluster-3", json!({"kafka": {"strimzi": {"cluster": "my.cluster-1", "listener": "tls"}}}), None),
        ("listener-1", json!({"kafka": {"strimzi": {"cluster": "a", "listener": "Plain"}}}), Some("spec.kafka.strimzi.listener")),
        ("listener-2", json!({"kafka": {"strimzi": {"cluster": "a", "listener": "twelveletter"}}}), Some("spec.kafka.strimzi.listener")),

        ("servers-1", servers("kafka:9092"), None),
        ("servers-2", servers("kafka_1.example.org:9092,[::1]:9093,10.0.0.1:1"), None),
        ("servers-3", servers("kafka"), Some("must be host:port, several separated")),
        ("servers-4", servers("kafka:9092, other:9092"), Some("must be host:port, several separated")),
        ("servers-5", servers("kafka:65536"), Some("must be host:port, several separated")),
        ("servers-6", servers("kafka:0"), Some("must be host:port, several separated")),
        ("servers-7", servers("kafka:65535"), None),
        ("servers-8", servers("kafka:+1"), Some("must be host:port, several separated")),
        ("servers-9", servers(&format!("kafka:9092{}", ",k:9".repeat(253))), None),
    ]
}

#[rustfmt::skip]
fn security() -> Vec<Case> {
    let strimzi = |part: Value| {
        let mut kafka = json!({"cluster": "a"});
        kafka.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        spec(json!({"kafka": {"strimzi": kafka}}))
    };
    let external = |part: Value| {
        let mut kafka = json!({"bootstrapServers": "a:1"});
        kafka.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        spec(json!({"kafka": {"external": kafka}}))
    };
    let sasl = |username: &str, password: Value| json!({"sasl": {"mechanism": "ScramSha512", "username": username, "password": password}});
    let certificate = |part: Value| json!({"clientCertificate": part});
    let long = "a".repeat(254);
    vec![
        ("namespace-1", strimzi(json!({"namespace": "kafka"})), None),
        ("namespace-2", strimzi(json!({"namespace": ""})), Some("spec.kafka.strimzi.namespace")),
        ("namespace-3", strimzi(json!({"namespace": "a.b"})), Some("spec.kafka.strimzi.namespace")),
        ("namespace-4", strimzi(json!({"namespace": "a".repeat(64)})), Some("spec.kafka.strimzi.namespace")),
        ("sasl-1", strimzi(sasl("user", json!({"name": "secret"}))), None),
        ("sasl-2", external(sasl("user", json!({"name": "se.cret", "key": "Pass_word-1.x"}))), None),
        ("sasl-3", strimzi(sasl("", json!({"name": "secret"}))), Some("spec.kafka.strimzi.sasl.username")),
        ("sasl-4", external(sasl(&"ä".repeat(256), json!({"name": "secret"}))), None),
        ("sasl-5", external(sasl(&"a".repeat(257), json!({"name": "secret"}))), Some("spec.kafka.external.sasl.username")),
        ("sasl-6", external(sasl("user", json!({"name": "Secret"}))), Some("spec.kafka.external.sasl.password.name")),
        ("sasl-7", external(sasl("user", json!({"name": ""}))), Some("spec.kafka.external.sasl.password.name")),
        ("sasl-8", strimzi(sasl("user", json!({"name": long}))), Some("spec.kafka.strimzi.sasl.password.name")),
        ("sasl-9", strimzi(sasl("user", json!({"name": "secret", "key": "a/b"}))), Some("spec.kafka.strimzi.sasl.password.key")),
        ("sasl-10", strimzi(sasl("user", json!({"name": "secret", "key": ""}))), Some("spec.kafka.strimzi.sasl.password.key")),
        ("mtls-1", strimzi(certificate(json!({"name": "secret"}))), None),
        ("mtls-2", external(json!({"tls": certificate(json!({"name": "secret", "certificate": "user.crt", "key": "user.key"}))})), None),
        ("mtls-3", strimzi(certificate(json!({"name": "a_b"}))), Some("spec.kafka.strimzi.clientCertificate.name")),
        ("mtls-4", external(json!({"tls": certificate(json!({"name": "a", "certificate": ""}))})), Some("spec.kafka.external.tls.clientCertificate.certificate")),
        ("mtls-5", external(json!({"tls": certificate(json!({"name": "a", "key": "a b"}))})), Some("spec.kafka.external.tls.clientCertificate.key")),
        ("tls-1", external(json!({"tls": {}})), None),
        ("tls-2", external(json!({"tls": {"ca": {"name": "secret", "key": "root.pem"}}})), None),
        ("tls-3", external(json!({"tls": {"ca": {"name": "-a"}}})), Some("spec.kafka.external.tls.ca.name")),
        ("tls-4", external(json!({"tls": {"ca": {"name": "a", "key": long}}})), Some("spec.kafka.external.tls.ca.key")),
    ]
}

#[rustfmt::skip]
fn topics() -> Vec<Case> {
    let topic = |field: &str, name: &str| spec(json!({field: {"topic": name}}));
    let results = |field: &str, name: &str| spec(json!({"results": {field: {"topic": name}}}));
    vec![
        ("topic-1", topic("source", "user login"), Some("spec.source.topic")),
        ("topic-2", topic("output", ""), Some("spec.output.topic")),
        ("topic-3", topic("deadLetters", &"x".repeat(250)), Some("spec.deadLetters.topic")),
        ("topic-4", topic("deadLetters", &"x".repeat(249)), None),
        ("topic-5", topic("source", ".."), Some("which Kafka refuses as names")),
        ("topic-6", topic("output", "."), Some("which Kafka refuses as names")),
        ("topic-7", topic("deadLetters", "."), Some("which Kafka refuses as names")),
        ("topic-8", topic("source", "processed-user-login"), Some("must be six different ones")),
        ("topic-9", topic("deadLetters", "user-login"), Some("must be six different ones")),
        ("topic-10", topic("deadLetters", "processed-user-login"), Some("must be six different ones")),
        ("topic-11", topic("source", "login-insights"), Some("must be six different ones")),

        ("results-1", spec(json!({"results": {}})), None),
        ("results-2", results("aggregates", "a"), None),
        ("results-3", results("aggregates", &"x".repeat(249)), None),
        ("results-4", results("aggregates", &"x".repeat(250)), Some("spec.results.aggregates.topic")),
        ("results-5", results("insights", "a b"), Some("spec.results.insights.topic")),
        ("results-6", results("alerts", ""), Some("spec.results.alerts.topic")),
        ("results-7", results("alerts", ".."), Some("which Kafka refuses as names")),
        ("results-11", results("aggregates", "."), Some("which Kafka refuses as names")),
        ("results-12", results("insights", "."), Some("which Kafka refuses as names")),
        ("results-8", results("alerts", "login-insights"), Some("must be six different ones")),
        ("results-9", results("aggregates", "login-alerts"), Some("must be six different ones")),
        ("results-10", results("insights", "user-login-dead-letters"), Some("must be six different ones")),
    ]
}

/// How a pipeline's topics are made, and which names it owns alone.
#[rustfmt::skip]
fn own_topics() -> Vec<Case> {
    let own = "between dots, as its own topics do";
    let results = |field: &str, name: &str| spec(json!({"results": {field: {"topic": name}}}));
    vec![
        ("factor-1", spec(json!({"topics": {"replicationFactor": 1}})), None),
        ("factor-2", spec(json!({"topics": {"replicationFactor": 32767, "adopt": true}})), None),
        ("factor-3", spec(json!({"topics": {"replicationFactor": 0}})), Some("spec.topics.replicationFactor")),
        ("factor-4", spec(json!({"topics": {"replicationFactor": 32768}})), Some("spec.topics.replicationFactor")),
        ("own-1", spec(json!({"source": {"topic": "streams.own-1.deltas"}})), Some(own)),
        ("own-2", spec(json!({"output": {"topic": "any.own-2.state"}})), Some(own)),
        ("own-3", spec(json!({"deadLetters": {"topic": "streams.other.deltas"}})), None),
        ("own-4", results("aggregates", "streams.own-4.deltas"), Some(own)),
        ("own-5", results("insights", "streams.own-5.state"), Some(own)),
        ("own-6", results("alerts", "streams.own-6.deltas.more"), None),
        ("own-7", results("alerts", "streams.own-7.replays"), Some(own)),
    ]
}

#[rustfmt::skip]
fn sizes() -> Vec<Case> {
    vec![
        ("partitions-1", spec(json!({"source": {"partitions": 0}})), Some("spec.source.partitions")),
        ("partitions-2", spec(json!({"source": {"partitions": 1024}})), None),
        ("partitions-3", spec(json!({"source": {"partitions": 1025}})), Some("spec.source.partitions")),

        ("replicas-1", spec(json!({"processor": {"replicas": 0}})), None),
        ("replicas-2", spec(json!({"processor": {"replicas": -1}})), Some("spec.processor.replicas")),
        ("replicas-3", spec(json!({"processor": {"replicas": 1025}})), Some("spec.processor.replicas")),
        ("threads-1", spec(json!({"processor": {"threads": 0}})), Some("spec.processor.threads")),
        ("threads-2", spec(json!({"processor": {"threads": 65}})), Some("spec.processor.threads")),
        ("commit-1", spec(json!({"processor": {"commitInterval": "9ms"}})), Some("must lie between 10ms and 5s")),
        ("commit-2", spec(json!({"processor": {"commitInterval": "5001ms"}})), Some("must lie between 10ms and 5s")),
        ("commit-3", spec(json!({"processor": {"commitInterval": "5s"}})), None),
        ("labels-1", spec(json!({"processor": {"podLabels": {"app.kubernetes.io": "a", "team": "b"}}})), None),
        ("labels-2", spec(json!({"processor": {"podLabels": {"app.kubernetes.io/component": "a"}}})), Some("must not have keys of loginpipeline.dev/ and app.kubernetes.io/")),
        ("labels-3", spec(json!({"processor": {"podLabels": {"loginpipeline.dev/pipeline": "a"}}})), Some("must not have keys of loginpipeline.dev/ and app.kubernetes.io/")),
        ("annotations-1", spec(json!({"processor": {"podAnnotations": {"app.kubernetes.io/a": "b"}}})), None),
        ("annotations-2", spec(json!({"processor": {"podAnnotations": {"loginpipeline.dev/secrets": "a"}}})), Some("must not have keys of loginpipeline.dev/ and container.apparmor")),
        ("annotations-3", spec(json!({"processor": {"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/processor": "unconfined"}}})), Some("must not have keys of loginpipeline.dev/ and container.apparmor")),
        ("image-1", spec(json!({"processor": {"image": ""}})), Some("spec.processor.image")),
    ]
}

/// The users' settings for the pods.
#[rustfmt::skip]
fn pods() -> Vec<Case> {
    let processor = |field: &str, value: Value| spec(json!({"processor": {field: value}}));
    let network = |field: &str, count: usize| spec(json!({"networkPolicy": {field: vec![json!({}); count]}}));
    let many = |count: usize| (0..count).map(|index| (format!("key-{index}"), json!("a"))).collect::<serde_json::Map<_, _>>();
    let spread = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
    vec![
        ("deadline-1", processor("progressDeadline", json!("10s")), None),
        ("deadline-2", processor("progressDeadline", json!("24h")), None),
        ("deadline-3", processor("progressDeadline", json!("9s")), Some("must be whole seconds between 10s and 24h")),
        ("deadline-4", processor("progressDeadline", json!("24h1s")), Some("must be whole seconds between 10s and 24h")),
        ("deadline-5", processor("progressDeadline", json!("10500ms")), Some("must be whole seconds between 10s and 24h")),
        ("policies-1", spec(json!({"processor": {"upgradePolicy": "Automatic", "rollback": "Never", "imagePullPolicy": "Always"}})), None),
        ("policies-2", spec(json!({"suspend": true, "deletionPolicy": "Delete", "source": {"deletionPolicy": "Delete"}})), None),
        ("secrets-1", processor("imagePullSecrets", json!(vec![json!({"name": "a"}); 16])), None),
        ("secrets-2", processor("imagePullSecrets", json!(vec![json!({"name": "a"}); 17])), Some("spec.processor.imagePullSecrets")),
        ("tolerations-1", processor("tolerations", json!([{"operator": "Exists"}])), None),
        ("tolerations-2", processor("tolerations", json!(vec![json!({"operator": "Exists"}); 65])), Some("spec.processor.tolerations")),
        ("spread-1", processor("topologySpreadConstraints", json!([])), None),
        ("spread-2", processor("topologySpreadConstraints", json!(vec![spread; 17])), Some("spec.processor.topologySpreadConstraints")),
        ("priority-1", processor("priorityClassName", json!("high")), None),
        ("priority-2", processor("priorityClassName", json!("")), Some("spec.processor.priorityClassName")),
        ("priority-3", processor("priorityClassName", json!("a".repeat(254))), Some("spec.processor.priorityClassName")),
        ("many-1", processor("podLabels", json!(many(64))), None),
        ("many-2", processor("podLabels", json!(many(65))), Some("spec.processor.podLabels")),
        ("many-3", processor("podAnnotations", json!(many(65))), Some("spec.processor.podAnnotations")),
        ("network-1", spec(json!({"networkPolicy": {"enabled": false}})), None),
        ("network-2", network("ingressFrom", 64), None),
        ("network-3", network("ingressFrom", 65), Some("spec.networkPolicy.ingressFrom")),
        ("network-4", network("egressTo", 65), Some("spec.networkPolicy.egressTo")),
    ]
}

#[rustfmt::skip]
fn counting() -> Vec<Case> {
    let windows = |windows: Value| spec(json!({"aggregation": {"windows": windows}}));
    vec![
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
        ("values-1", spec(json!({"aggregation": {"maxValues": 0}})), Some("spec.aggregation.maxValues")),
        ("values-2", spec(json!({"aggregation": {"maxValues": 1}})), None),
        ("values-3", spec(json!({"aggregation": {"maxValues": 10_000}})), None),
        ("values-4", spec(json!({"aggregation": {"maxValues": 10_001}})), Some("spec.aggregation.maxValues")),
        ("idle-1", spec(json!({"aggregation": {"idleTimeout": "999ms"}})), Some("must be at least 1s")),
        ("idle-2", spec(json!({"aggregation": {"idleTimeout": "1s"}})), None),
    ]
}

#[rustfmt::skip]
fn alerts() -> Vec<Case> {
    let alert = |part: Value| {
        let mut alert = json!({"name": "a", "window": "1m"});
        alert.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        spec(json!({"alerts": [alert]}))
    };
    let many = |count: usize| {
        let value = "v".repeat(256);
        let alert = |index| json!({"name": format!("a{index}"), "window": "1m", "above": 1, "dimension": "locale", "value": value});
        spec(json!({"alerts": (0..count).map(alert).collect::<Vec<_>>()}))
    };
    vec![
        ("alert-1", alert(json!({"above": 0})), None),
        ("alert-2", alert(json!({"above": 1_000_000_000_000_i64, "dimension": "locale"})), None),
        ("alert-3", alert(json!({"above": 1_000_000_000_001_i64})), Some("spec.alerts[0].above")),
        ("alert-4", alert(json!({"above": -1})), Some("spec.alerts[0].above")),
        ("alert-5", alert(json!({"above": 1, "dimension": "app_version", "value": "2.3.0", "window": "all"})), None),
        ("alert-6", alert(json!({"deviation": 0.1})), None),
        ("alert-7", alert(json!({"deviation": 1000, "dimension": "device_type"})), None),
        ("alert-8", alert(json!({"deviation": 0.09})), Some("spec.alerts[0].deviation")),
        ("alert-9", alert(json!({"deviation": 1000.5})), Some("spec.alerts[0].deviation")),
        ("alert-10", alert(json!({"deviation": 0})), Some("must be at least 0.1 standard deviations")),
        ("alert-11", alert(json!({})), Some("set exactly one of above")),
        ("alert-12", alert(json!({"above": 1, "deviation": 1})), Some("set exactly one of above")),
        ("alert-13", alert(json!({"deviation": 3, "window": "all"})), Some("choose a finite window")),
        ("alert-14", alert(json!({"above": 1, "value": "RI"})), Some("needs the dimension that has it")),
        ("alert-15", alert(json!({"above": 1, "dimension": "locale", "value": ""})), Some("spec.alerts[0].value")),
        ("alert-16", alert(json!({"above": 1, "dimension": "locale", "value": "ä".repeat(256)})), None),
        ("alert-17", alert(json!({"above": 1, "dimension": "locale", "value": "ä".repeat(257)})), Some("spec.alerts[0].value")),
        ("alert-18", alert(json!({"above": 1, "dimension": "locale", "value": "_missing"})), None),
        ("alert-19", alert(json!({"above": 1, "dimension": "locale", "value": "_other"})), Some("an alert cannot name _other")),
        ("alert-20", alert(json!({"above": 1, "window": "60s"})), None),
        ("alert-21", alert(json!({"above": 1, "window": "0h60m0s"})), None),
        ("alert-22", alert(json!({"above": 1, "window": "2m"})), Some("must be one of aggregation.windows")),
        ("alert-23", alert(json!({"name": "Upper", "above": 1})), Some("spec.alerts[0].name")),
        ("alert-24", alert(json!({"name": "a".repeat(63), "above": 1})), None),
        ("alert-25", alert(json!({"name": "a".repeat(64), "above": 1})), Some("spec.alerts[0].name")),
        ("alert-26", alert(json!({"name": "a-", "above": 1})), Some("spec.alerts[0].name")),
        ("alert-27", alert(json!({"name": "", "above": 1})), Some("spec.alerts[0].name")),
        ("alert-28", spec(json!({
            "aggregation": {"dimensions": ["locale"]}, "alerts": [{"name": "a", "window": "1m", "above": 1, "dimension": "app_version"}],
        })), Some("must be one of aggregation.dimensions")),
        ("alert-29", spec(json!({
            "aggregation": {"windows": ["1h"]}, "alerts": [{"name": "a", "window": "all", "above": 1}],
        })), Some("must be one of aggregation.windows")),
        ("alert-30", alert(json!({"above": 1, "deviation": null, "dimension": null, "value": null})), None),
        ("alerts-1", spec(json!({"alerts": []})), None),
        ("alerts-2", many(64), None),
        ("alerts-3", many(65), Some("spec.alerts")),
        ("alerts-4", spec(json!({"alerts": [
            {"name": "a", "window": "1m", "above": 1}, {"name": "a", "window": "1h", "above": 1},
        ]})), Some("spec.alerts[1]")),
    ]
}

/// A change that is refused: a part of the spec before, what changes, and a part of the message.
type Change = (Value, Value, &'static str);

/// Refused changes, each to a resource that was created with the first part.
#[rustfmt::skip]
pub fn changes() -> Vec<Change> {
    let strimzi = |part: Value| json!({"kafka": {"strimzi": part}});
    let elsewhere = || strimzi(json!({"cluster": "my-cluster", "namespace": "kafka"}));
    vec![
        (json!({}), json!({"source": {"topic": "other"}}), "source.topic cannot change"),
        (json!({}), json!({"output": {"topic": "other"}}), "output.topic cannot change"),
        (json!({}), json!({"deadLetters": {"topic": "other"}}), "deadLetters.topic cannot change"),
        (json!({}), json!({"results": {"aggregates": {"topic": "other"}}}), "a results topic cannot change"),
        (json!({}), json!({"results": {"insights": {"topic": "other"}}}), "a results topic cannot change"),
        (json!({}), json!({"results": {"alerts": {"topic": "other"}}}), "a results topic cannot change"),
        (json!({}), strimzi(json!({"cluster": "other"})), "kafka.strimzi.cluster cannot change"),
        (json!({}), strimzi(json!({"namespace": "kafka"})), "kafka.strimzi.namespace cannot change"),
        (elsewhere(), strimzi(json!({"namespace": "other"})), "kafka.strimzi.namespace cannot change"),
        (elsewhere(), strimzi(json!({"namespace": null})), "kafka.strimzi.namespace cannot change"),
        (json!({}), json!({"source": {"partitions": 7}}), "source.partitions cannot shrink"),
        (json!({}), json!({"topics": {"replicationFactor": 3}}), "topics.replicationFactor cannot change"),
        (json!({"topics": {"replicationFactor": 3}}), json!({"topics": {"replicationFactor": 2}}), "topics.replicationFactor cannot change"),
        (json!({"topics": {"replicationFactor": 3}}), json!({"topics": {"replicationFactor": null}}), "topics.replicationFactor cannot change"),
    ]
}
