//! What was read of a pipeline's Kafka and its `KafkaTopic` objects, before anything is judged. Pure.

use std::collections::BTreeMap;

use crds::{
    pipeline::StrimziKafka,
    strimzi::{Kafka, KafkaTopic},
};
use jiff::Timestamp;

use crate::topics::{
    seen::{Listener, NoListener},
    shape::Existing,
};

/// Everything that one pass has read. Nothing changes it afterwards.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) listener: Result<Listener, NoListener>,
    /// The `KafkaTopic` objects in the namespace of the `Kafka` that concern the pipeline.
    pub(super) objects: Vec<KafkaTopic>,
    /// When the objects were read.
    pub(super) at: Timestamp,
    /// The topics that exist, of those about which Kafka had to be asked; or why it could not be asked.
    pub(super) existing: Result<BTreeMap<String, Existing>, String>,
}

/// The listener that the pipeline names, as the `Kafka` publishes it.
pub(super) fn listener(wanted: &StrimziKafka, kafka: &Kafka) -> Result<Listener, NoListener> {
    let listeners = kafka.status.iter().flat_map(|status| &status.listeners);
    let named = listeners.clone().find(|listener| listener.name.as_deref() == Some(wanted.listener.as_str()));
    let published = named.and_then(|listener| {
        let bootstrap_servers = listener.bootstrap_servers.clone()?;
        Some(Listener { bootstrap_servers, certificates: listener.certificates.clone() })
    });
    published.ok_or_else(|| {
        let names: Vec<_> = listeners.clone().filter_map(|listener| listener.name.as_deref()).collect();
        NoListener {
            cluster: wanted.cluster.clone(),
            listener: wanted.listener.clone(),
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_listener_is_what_the_kafka_publishes() {
        let of = |name: &str, kafka: Value| {
            let wanted = serde_json::from_value(json!({"cluster": "my-cluster", "listener": name})).unwrap();
            listener(&wanted, &serde_json::from_value(kafka).unwrap())
        };
        let kafka = || {
            json!({"metadata": {"name": "my-cluster"}, "spec": {}, "status": {"listeners": [
                {"name": "plain", "bootstrapServers": "a:9092"},
                {"name": "tls", "bootstrapServers": "a:9093", "certificates": ["one", "two"]},
                {"name": "new"},
            ]}})
        };

        let plain = Listener::without_certificates("a:9092");
        assert_eq!(of("plain", kafka()).unwrap(), plain);
        let tls =
            Listener { bootstrap_servers: "a:9093".to_owned(), certificates: vec!["one".to_owned(), "two".to_owned()] };
        assert_eq!(of("tls", kafka()).unwrap(), tls);
        assert_eq!(of("external", kafka()).unwrap_err().found, "plain, tls, new");
        assert!(of("new", kafka()).is_err());
        assert_eq!(of("plain", json!({"metadata": {}, "spec": {}})).unwrap_err().found, "none");
    }
}
