//! Who may reach the processor's pods, and whom they may reach.

use std::collections::{BTreeMap, BTreeSet};

use crds::{pipeline::StrimziKafka, strimzi};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{HTTP_PORT, metadata, processor_name, selector};
use crate::validate::Valid;

/// The label that Kubernetes gives each namespace, with its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

const DNS_PORT: i32 = 53;

/// The NetworkPolicy of a pipeline; none where its spec wants none.
///
/// The pods can be asked for metrics, health and the live page, and for nothing else. Whom they reach is limited where it is known: to
/// Strimzi's brokers, to DNS, and to what the spec names. An empty list means what it means to Kubernetes: no limit.
#[must_use]
pub fn network_policy(valid: &Valid, bootstrap_servers: &str) -> Option<NetworkPolicy> {
    let wanted = &valid.spec.network_policy;
    if !wanted.enabled {
        return None;
    }
    let ingress = NetworkPolicyIngressRule {
        from: wanted.ingress_from.clone().filter(|peers| !peers.is_empty()),
        ports: Some(vec![port("TCP", HTTP_PORT)]),
    };
    let egress = egress(valid, bootstrap_servers);
    let types = [Some("Ingress"), egress.is_some().then_some("Egress")];
    Some(NetworkPolicy {
        metadata: metadata(valid, processor_name(&valid.id.name)),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selecting(selector(&valid.id.name))),
            policy_types: Some(types.into_iter().flatten().map(str::to_owned).collect()),
            ingress: Some(vec![ingress]),
            egress,
        }),
    })
}

/// None where nothing is limited: an external Kafka can be anywhere.
fn egress(valid: &Valid, bootstrap_servers: &str) -> Option<Vec<NetworkPolicyEgressRule>> {
    let named = valid.spec.network_policy.egress_to.iter().flatten().cloned().map(with_protocols);
    let brokers = valid.spec.kafka.strimzi.as_ref().map(|kafka| brokers(valid, kafka, bootstrap_servers));
    let rules: Vec<_> = brokers.into_iter().chain(named).collect();
    (!rules.is_empty()).then(|| [dns()].into_iter().chain(rules).collect())
}

/// The listener's port of the cluster's pods. A listener that does not lead there straight, as one of nodes' ports, needs a
/// rule of the spec's.
fn brokers(valid: &Valid, kafka: &StrimziKafka, bootstrap_servers: &str) -> NetworkPolicyEgressRule {
    let namespace = kafka.namespace.as_ref().unwrap_or(&valid.id.namespace);
    let pods = [(strimzi::CLUSTER_LABEL, kafka.cluster.as_str()), (strimzi::KIND_LABEL, "Kafka")];
    let peer = NetworkPolicyPeer {
        namespace_selector: Some(selecting([(NAMESPACE_LABEL.to_owned(), namespace.clone())].into())),
        pod_selector: Some(selecting(pods.map(|(key, value)| (key.to_owned(), value.to_owned())).into())),
        ip_block: None,
    };
    let ports: BTreeSet<i32> =
        bootstrap_servers.split(',').filter_map(|server| server.rsplit_once(':')?.1.parse().ok()).collect();
    NetworkPolicyEgressRule {
        to: Some(vec![peer]),
        ports: (!ports.is_empty()).then(|| ports.into_iter().map(|number| port("TCP", number)).collect()),
    }
}

/// The API server would write the default into what is ours, and so differ from it for ever.
fn with_protocols(mut rule: NetworkPolicyEgressRule) -> NetworkPolicyEgressRule {
    for port in rule.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
    rule
}

/// Wherever it is: clusters answer on nodes and in pods, and under names of their own.
fn dns() -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule { to: None, ports: Some(vec![port("UDP", DNS_PORT), port("TCP", DNS_PORT)]) }
}

fn port(protocol: &str, number: i32) -> NetworkPolicyPort {
    NetworkPolicyPort { protocol: Some(protocol.to_owned()), port: Some(IntOrString::Int(number)), end_port: None }
}

fn selecting(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), match_expressions: None }
}

#[cfg(test)]
mod tests {
    use crds::pipeline::LoginPipeline;
    use serde_json::{Value, json};

    use super::*;
    use crate::validate::check_pipeline;

    fn policy(spec: &Value, servers: &str) -> Option<Value> {
        let mut pipeline = LoginPipeline::new("logins", serde_json::from_value(spec.clone()).unwrap());
        pipeline.metadata.namespace = Some("streams".to_owned());
        network_policy(&check_pipeline(&pipeline).unwrap(), servers).map(|policy| json!(policy)["spec"].clone())
    }

    #[test]
    fn a_spec_that_wants_none_gets_none() {
        let spec = json!({"kafka": {"strimzi": {"cluster": "a"}}, "networkPolicy": {"enabled": false}});
        assert_eq!(policy(&spec, "a:9092"), None);
    }

    #[test]
    fn strimzi_brokers_are_selected_by_namespace_labels_and_port() {
        let strimzi = |part: Value| {
            let mut kafka = json!({"cluster": "a"});
            kafka.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
            policy(&json!({"kafka": {"strimzi": kafka}}), "a-kafka-bootstrap.b.svc:9093").unwrap()
        };

        let brokers = strimzi(json!({}))["egress"][1].clone();
        assert_eq!(brokers["ports"], json!([{"port": 9093, "protocol": "TCP"}]));
        assert_eq!(
            brokers["to"],
            json!([{
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "streams"}},
                "podSelector": {"matchLabels": {"strimzi.io/cluster": "a", "strimzi.io/kind": "Kafka"}},
            }])
        );

        let elsewhere = strimzi(json!({"namespace": "kafka"}));
        let labels = &elsewhere["egress"][1]["to"][0]["namespaceSelector"]["matchLabels"];
        assert_eq!(labels["kubernetes.io/metadata.name"], "kafka");
    }

    #[test]
    fn an_external_kafka_limits_nothing_until_the_spec_does() {
        let external = |network: Value| {
            let spec = json!({"kafka": {"external": {"bootstrapServers": "a:1"}}, "networkPolicy": network});
            policy(&spec, "a:1").unwrap()
        };

        for unlimited in [json!({}), json!({"egressTo": []})] {
            let policy = external(unlimited);
            assert_eq!(policy["policyTypes"], json!(["Ingress"]));
            assert_eq!(policy.get("egress"), None);
        }

        let rule = json!({"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 9092}]});
        let limited = external(json!({"egressTo": [rule]}));
        let rule = json!({"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 9092, "protocol": "TCP"}]});
        assert_eq!(limited["policyTypes"], json!(["Ingress", "Egress"]));
        let dns = json!({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]});
        assert_eq!(limited["egress"], json!([dns, rule]));
    }

    #[test]
    fn only_the_port_of_metrics_can_be_reached() {
        let ingress = |network: Value| {
            let spec = json!({"kafka": {"strimzi": {"cluster": "a"}}, "networkPolicy": network});
            policy(&spec, "a:9092").unwrap()["ingress"].clone()
        };
        let ports = json!([{"port": 8080, "protocol": "TCP"}]);
        assert_eq!(ingress(json!({})), json!([{"ports": ports}]));
        assert_eq!(ingress(json!({"ingressFrom": []})), json!([{"ports": ports}]));
        let from = json!([{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}]);
        assert_eq!(ingress(json!({"ingressFrom": from})), json!([{"from": from, "ports": ports}]));
    }
}
