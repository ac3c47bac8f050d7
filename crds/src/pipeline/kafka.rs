//! Which Kafka, and how to prove to it who one is. Whatever is secret stands in Secrets of the pipeline's namespace.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which Kafka: exactly one of `strimzi` and `external`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.strimzi) != has(self.external)").message(
        "set exactly one of kafka.strimzi (a Kafka resource of the Strimzi operator) and kafka.external (bootstrap servers)"
    )
)]
pub struct Kafka {
    /// A Kafka cluster that the Strimzi operator runs; topics are made as `KafkaTopic` resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strimzi: Option<StrimziKafka>,
    /// Any other Kafka; topics are made through Kafka's Admin API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
}

/// A `Kafka` resource of the Strimzi operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)")
        .message("kafka.strimzi.namespace cannot change, for the pipeline's topics and offsets are in that cluster: create another LoginPipeline for another cluster")
)]
pub struct StrimziKafka {
    /// Name of the `Kafka` resource. It cannot change.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("kafka.strimzi.cluster cannot change, for the pipeline's topics and offsets are in that cluster: create another LoginPipeline for another cluster"))]
    pub cluster: String,
    /// Namespace of the `Kafka` resource; the pipeline's own when it is not set. Another one must allow it: by the annotation
    /// `loginpipeline.dev/allow-namespaces` on the `Kafka`. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
    /// Name of the listener to connect to. If it has TLS, its certificates are taken from the `Kafka` resource.
    #[serde(default = "plain")]
    #[schemars(length(min = 1, max = 11), regex(pattern = "^[a-z0-9]+$"))]
    pub listener: String,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// The certificate to show to a listener that asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateRef>,
}

fn plain() -> String {
    "plain".to_owned()
}

/// A Kafka known by its bootstrap servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafka {
    /// `host:port`, several separated by commas.
    #[schemars(length(min = 3, max = 1024))]
    #[x_kube(
        validation = Rule::new(servers_rule())
            .message("kafka.external.bootstrapServers must be host:port, several separated by commas without spaces")
    )]
    pub bootstrap_servers: String,
    /// Encrypts the connections; `{}` trusts the authorities that the processor's image knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

fn servers_rule() -> String {
    let port = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";
    let server = format!("[A-Za-z0-9._:\\\\[\\\\]-]+:{port}");
    format!("self.matches('^{server}(,{server})*$')")
}

/// How connections are encrypted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificates of the authorities to trust, in PEM, in a key that is `ca.crt` when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<KeyRef>,
    /// The certificate to show to brokers that ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateRef>,
}

/// A user of Kafka.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: SaslMechanism,
    /// The user's name.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// The password, in a key that is `password` when none is named.
    pub password: KeyRef,
}

/// How a password is proven.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// As it is: for connections with TLS.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

/// A key of a Secret in the pipeline's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// A certificate and its private key, in PEM, in a Secret in the pipeline's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// The key with the certificate. Strimzi names it `user.crt`.
    #[serde(default = "tls_crt")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub certificate: String,
    /// The key with the private key. Strimzi names it `user.key`.
    #[serde(default = "tls_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn tls_crt() -> String {
    "tls.crt".to_owned()
}

fn tls_key() -> String {
    "tls.key".to_owned()
}
