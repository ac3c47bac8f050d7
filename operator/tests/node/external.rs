//! A Kafka outside the cluster, with TLS and a password.

use testkit::{
    kafka::{PASSWORD, Secured},
    wait_for,
};

use crate::place::{BOUND, Place};

const EXAMPLE: &str = include_str!("../../../examples/tls-scram.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn the_secured_example_runs_with_no_change_but_the_address() {
    let mut shown = None;
    let place = Place::beside(|host| {
        let Secured { cluster, sasl_ssl, ca, .. } = Secured::start_on(host).unwrap();
        shown = Some((sasl_ssl, ca));
        cluster
    });
    let place = place.await;
    let (address, ca) = shown.unwrap();

    place.kubectl(&["create", "secret", "generic", "kafka-ca", &format!("--from-literal=ca.crt={ca}")], "");
    place.kubectl(&["create", "secret", "generic", "kafka-user", &format!("--from-literal=password={PASSWORD}")], "");
    let manifest = EXAMPLE.replace("kafka.example.com:9093", &address);
    assert_ne!(manifest, EXAMPLE);
    place.kubectl(&["apply", "-f", "-"], &manifest);
    place.settle().await;

    let _load = place.load(200);
    wait_for("events", BOUND, || (place.sent() > 2_000).then_some(()));
    place.audit("through TLS and a password").await;
}
