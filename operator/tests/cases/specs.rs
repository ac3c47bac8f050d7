//! Specs of every accepted kind, composed of parts: each part sets one field, and names what the field may change.

use crds::pipeline::LoginPipeline;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

/// A field, values other than its default, and the parts of the objects that may change with it.
pub type Part = (&'static str, Vec<Value>, &'static [&'static str]);

/// The pod template, in the Deployment and in its stored copy.
const POD: &[&str] = &["Deployment.spec.template", "ConfigMap.pod-template", "ConfigMap.inputs"];
/// The job config.
const JOB: &[&str] = &["ConfigMap.job", "ConfigMap.inputs"];
/// A topic's name, in the job config and as an object.
const TOPIC: &[&str] = &["ConfigMap.job.topics", "ConfigMap.inputs", "KafkaTopic"];
const NETWORK: &[&str] = &["NetworkPolicy"];
const NOTHING: &[&str] = &[];

/// Every field that has more than one value.
#[rustfmt::skip]
pub fn parts() -> Vec<Part> {
    let peers = json!([{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"a": "b"}}, "podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]);
    let rules = json!([{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 9092}, {"port": "kafka", "protocol": "UDP"}, {"port": 1000, "endPort": 2000}]}, {}]);
    let affinity = json!({
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}},
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}}]},
    });
    let spread = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]);
    let tolerations = json!([{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 60}]);
    vec![
        ("/source/topic", vec![json!("logins-1")], TOPIC),
        ("/source/partitions", vec![json!(1), json!(64), json!(1024)], &["KafkaTopic", "Deployment.spec.replicas"]),
        ("/source/startFrom", vec![json!("Latest")], JOB),
        ("/source/deletionPolicy", vec![json!("Delete")], NOTHING),
        ("/output/topic", vec![json!("output-1")], TOPIC),
        ("/deadLetters/topic", vec![json!("dead-1")], TOPIC),
        ("/results/alerts/topic", vec![json!("alerts-1")], TOPIC),
        ("/topics/replicationFactor", vec![json!(1), json!(3)], &["KafkaTopic"]),
        ("/topics/adopt", vec![json!(true)], NOTHING),
        ("/validation/required", vec![json!([]), json!(["ip"])], JOB),
        ("/validation/ip", vec![json!("Valid")], JOB),
        ("/aggregation/windows", vec![json!(["1m", "5m", "all"]), json!(["1m"])], JOB),
        ("/aggregation/dimensions", vec![json!([]), json!(["locale"])], JOB),
        ("/aggregation/uniqueUsers", vec![json!(false)], JOB),
        ("/aggregation/maxValues", vec![json!(10)], JOB),
        ("/alerts", vec![json!([{"name": "a", "window": "1m", "above": 1}])], JOB),
        ("/processor/replicas", vec![json!(0), json!(1), json!(7)], &["Deployment.spec.replicas"]),
        ("/processor/threads", vec![json!(4)], JOB),
        ("/processor/commitInterval", vec![json!("1s")], JOB),
        ("/processor/image", vec![json!("registry.example.org/a:1@sha256:0123")], POD),
        ("/processor/imagePullPolicy", vec![json!("Always")], POD),
        ("/processor/imagePullSecrets", vec![json!([{"name": "a"}])], POD),
        ("/processor/resources", vec![json!({"limits": {"cpu": "1000m", "memory": "0.5Gi"}}), json!({"requests": {"cpu": 1, "memory": "1e9"}}), json!({})], POD),
        ("/processor/nodeSelector", vec![json!({"a": "b"})], POD),
        ("/processor/tolerations", vec![tolerations], POD),
        ("/processor/affinity", vec![affinity, json!({})], POD),
        ("/processor/topologySpreadConstraints", vec![json!([]), spread], POD),
        ("/processor/podLabels", vec![json!({"team": "a"})], POD),
        ("/processor/podAnnotations", vec![json!({"a/b": "{}"})], POD),
        ("/processor/upgradePolicy", vec![json!("Automatic")], &["ConfigMap.inputs"]),
        ("/processor/rollback", vec![json!("Never")], NOTHING),
        ("/processor/progressDeadline", vec![json!("30s")], &["Deployment.spec.progressDeadlineSeconds"]),
        ("/networkPolicy/enabled", vec![json!(false)], NETWORK),
        ("/networkPolicy/ingressFrom", vec![json!([]), peers], NETWORK),
        ("/networkPolicy/egressTo", vec![json!([]), rules], NETWORK),
        ("/deletionPolicy", vec![json!("Delete")], NOTHING),
        ("/suspend", vec![json!(true)], &["Deployment.spec.replicas"]),
    ]
}

/// A pipeline with these values, by the paths of their fields.
pub fn pipeline<'a>(values: impl IntoIterator<Item = (&'a str, Value)>) -> LoginPipeline {
    let mut spec = json!({"kafka": {"strimzi": {"cluster": "my-cluster"}}});
    for (path, value) in values {
        let mut at = &mut spec;
        for name in path.trim_start_matches('/').split('/') {
            at = &mut at[name];
        }
        *at = value;
    }
    let manifest = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
        "metadata": {"name": "logins", "namespace": "streams", "uid": "00000000-0000-0000-0000-000000000001"}, "spec": spec,
    });
    serde_json::from_value(manifest).unwrap()
}

/// Any pipeline: each field has its default, half the time, or one of its other values.
pub fn any_pipeline() -> impl Strategy<Value = LoginPipeline> {
    vec(any::<(bool, u8)>(), parts().len()).prop_map(|choices| {
        let chosen = choices.into_iter().zip(parts()).filter(|((is_default, _), _)| !is_default);
        pipeline(
            chosen.map(|((_, choice), (path, values, _))| (path, values[usize::from(choice) % values.len()].clone())),
        )
    })
}
