//! Which Kafka, and how to prove to it who one is. Whatever is secret stands in Secrets of the pipeline's namespace.

use std::sync::LazyLock;

use kube::KubeSchema;
use regex_lite::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    pattern::{DNS_LABEL, DNS_NAME, LISTENER, SECRET_KEY},
    rule::{Broken, Rule, quoted},
};

/// The Kafka cluster that holds the pipeline's topics: exactly one of `strimzi` and `external`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ONE_KAFKA.validation())]
pub struct Kafka {
    /// A Kafka cluster that the Strimzi operator runs. Topics are created as `KafkaTopic` resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strimzi: Option<StrimziKafka>,
    /// Any other Kafka cluster, by its bootstrap servers. Topics are created through Kafka's Admin API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalKafka>,
}

pub(super) const ONE_KAFKA: Rule<Kafka> = Rule {
    cel: || "has(self.strimzi) != has(self.external)".to_owned(),
    message: "set exactly one of kafka.strimzi (a Kafka resource of the Strimzi operator) and kafka.external (bootstrap servers)",
    broken: |kafka| match (&kafka.strimzi, &kafka.external) {
        (Some(_), Some(_)) => Broken::value_if(true, "both strimzi and external"),
        (None, None) => Broken::value_if(true, "neither strimzi nor external"),
        _ => Vec::new(),
    },
};

/// A `Kafka` resource of the Strimzi operator.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.__namespace__) == has(oldSelf.__namespace__) && (!has(self.__namespace__) || self.__namespace__ == oldSelf.__namespace__)")
        .message("kafka.strimzi.namespace cannot change, for the pipeline's topics and offsets are in that cluster: create another LoginPipeline for another cluster")
)]
pub struct StrimziKafka {
    /// Name of the `Kafka` resource. It cannot change.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("kafka.strimzi.cluster cannot change, for the pipeline's topics and offsets are in that cluster: create another LoginPipeline for another cluster"))]
    pub cluster: String,
    /// Namespace of the `Kafka` resource; the pipeline's own when it is not set. Another namespace must allow it with
    /// the annotation `loginpipeline.dev/allow-namespaces` on the `Kafka` resource. It cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub namespace: Option<String>,
    /// Name of the listener to connect to, 1 to 11 lower case letters and digits. If the listener has TLS, its
    /// certificates are taken from the `Kafka` resource. Default: `plain`.
    #[serde(default = "plain")]
    #[schemars(length(min = 1, max = 11), regex(pattern = LISTENER))]
    pub listener: String,
    /// The user to authenticate as, for a listener with SASL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
    /// The client certificate, for a listener that asks for one (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateRef>,
}

fn plain() -> String {
    "plain".to_owned()
}

/// A Kafka cluster, by its bootstrap servers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalKafka {
    /// Addresses of brokers as `host:port`, several separated by commas without spaces. At most 1024 characters.
    #[schemars(length(min = 3, max = 1024))]
    #[x_kube(validation = SERVERS.validation())]
    pub bootstrap_servers: String,
    /// Encrypts the connections. `{}` trusts the certificate authorities in the processor's image. Connections are in
    /// plaintext when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The user to authenticate as; none when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

pub(super) const SERVERS: Rule<String> = Rule {
    // A backslash of the pattern is two in a text of CEL.
    cel: || format!("self.matches('{}')", servers_pattern().replace('\\', r"\\")),
    message: "must be host:port, several separated by commas without spaces",
    broken: |servers| {
        static SERVERS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&servers_pattern()).ok());
        let is_list = SERVERS.as_ref().is_some_and(|pattern| pattern.is_match(servers));
        Broken::value_if(!is_list, quoted(servers))
    },
};

fn servers_pattern() -> String {
    let port = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})";
    let server = format!(r"[A-Za-z0-9._:\[\]-]+:{port}");
    format!("^{server}(,{server})*$")
}

/// How connections are encrypted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificates, in PEM, of the authorities to trust. Without `key`, they are in the key `ca.crt` of the
    /// Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<KeyRef>,
    /// The client certificate, for brokers that ask for one (mutual TLS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<CertificateRef>,
}

/// A user of Kafka, and the Secret with its password.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Sasl {
    /// SASL mechanism: `Plain`, which needs TLS to protect the password, `ScramSha256` or `ScramSha512`.
    pub mechanism: SaslMechanism,
    /// Name of the user, 1 to 256 characters.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// The password. Without `key`, it is in the key `password` of the Secret.
    pub password: KeyRef,
}

/// SASL mechanism.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslMechanism {
    /// PLAIN: the password itself is sent, so the connection needs TLS.
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
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Key of the Secret's data; `ca.crt` for certificates and `password` for a password when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: Option<String>,
}

/// A certificate and its private key, in PEM, in a Secret of the pipeline's namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// Key of the certificate. In the Secret of a Strimzi `KafkaUser` it is `user.crt`. Default: `tls.crt`.
    #[serde(default = "tls_crt")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub certificate: String,
    /// Key of the private key. In the Secret of a Strimzi `KafkaUser` it is `user.key`. Default: `tls.key`.
    #[serde(default = "tls_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY))]
    pub key: String,
}

fn tls_crt() -> String {
    "tls.crt".to_owned()
}

fn tls_key() -> String {
    "tls.key".to_owned()
}
