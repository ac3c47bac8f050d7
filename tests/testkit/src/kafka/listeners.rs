//! The secured listeners of a broker, its users, and the certificates of both sides.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::port::Port;

/// A user that every mechanism knows, with all rights.
pub const USER: &str = "logins";

/// A user that SCRAM-SHA-512 knows, with only the rights that [`Secured::allow`] grants.
pub const LIMITED: &str = "limited";

/// The password of both users.
pub const PASSWORD: &str = "correct horse battery staple";

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    /// The key, not encrypted.
    pub key: String,
}

/// The settings of a broker's secured listeners.
pub(super) struct Listeners {
    pub(super) host: &'static str,
    pub(super) sasl_ssl: Port,
    pub(super) mutual_tls: Port,
    pub(super) broker: Identity,
    pub(super) ca: String,
}

impl Listeners {
    /// Text to append to the setting `listeners`.
    pub(super) fn addresses(&self) -> String {
        let (host, sasl_ssl, mutual_tls) = (self.host, self.sasl_ssl.number, self.mutual_tls.number);
        format!(",SASL_SSL://{host}:{sasl_ssl},SSL://{host}:{mutual_tls}")
    }

    /// Writes keys and certificates, and returns the settings that name them.
    pub(super) fn write(&self, folder: &Path) -> std::io::Result<String> {
        let file = |name: &str| -> PathBuf { folder.join(name) };
        fs::write(file("keystore.pem"), format!("{}{}", self.broker.key, self.broker.certificate))?;
        fs::write(file("truststore.pem"), &self.ca)?;
        let (keys, trusted) = (file("keystore.pem"), file("truststore.pem"));
        let security = "org.apache.kafka.common.security";
        Ok(format!(
            "\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={}
ssl.truststore.type=PEM
ssl.truststore.location={}
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{USER};User:CN={USER}
",
            keys.display(),
            trusted.display(),
        ))
    }

    /// The users, for `kafka-storage format`.
    pub(super) fn users() -> Vec<String> {
        let scram = |mechanism: &str, user: &str| {
            ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={PASSWORD}]")]
        };
        let users = [("SCRAM-SHA-256", USER), ("SCRAM-SHA-512", USER), ("SCRAM-SHA-512", LIMITED)];
        users.into_iter().flat_map(|(mechanism, user)| scram(mechanism, user)).collect()
    }
}
