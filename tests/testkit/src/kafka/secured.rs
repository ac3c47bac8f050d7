//! What a broker needs to be more than open: certificates, made for this run alone, and users.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::Cluster;
use super::broker::{Broker, tool};
use crate::port::Port;
use crate::{Error, cache};

/// A user whom every mechanism knows, and who may do everything.
pub const USER: &str = "logins";

/// A user whom SCRAM-SHA-512 knows, and who may do what [`Secured::allow`] says, nothing else.
pub const LIMITED: &str = "limited";

/// The password of both.
pub const PASSWORD: &str = "correct horse battery staple";

/// A broker with three listeners: the plain one of every [`Cluster`], one with TLS and a password (SASL_SSL: PLAIN,
/// SCRAM-SHA-256, SCRAM-SHA-512), and one with TLS that asks for a client's certificate (SSL).
pub struct Secured {
    /// The same broker's plain listener, for what a test wants to see.
    pub cluster: Cluster,
    /// `host:port` of the listener with a password.
    pub sasl_ssl: String,
    /// `host:port` of the listener that asks for a certificate.
    pub mutual_tls: String,
    /// The certificate of the authority that signed the broker's, in PEM.
    pub ca: String,
    /// What a client shows that the broker trusts.
    pub client: Identity,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key, not encrypted.
    pub key: String,
}

impl Secured {
    /// Starts the broker on 127.0.0.1, and returns when it serves requests.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start() -> Result<Self, Error> {
        Self::start_on("127.0.0.1")
    }

    /// The same on another address of this machine, such as [`Node::address`](crate::node::Node::address).
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_on(host: &'static str) -> Result<Self, Error> {
        let authority = Authority::new()?;
        let broker = authority.sign("broker", &[host, "localhost"], ExtendedKeyUsagePurpose::ServerAuth)?;
        let client = authority.sign(USER, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        let ca = authority.certificate.pem();
        let listeners = Listeners { host, sasl_ssl: Port::claim(), mutual_tls: Port::claim(), broker, ca: ca.clone() };
        let address = |port: &Port| format!("{host}:{}", port.number);
        let (sasl_ssl, mutual_tls) = (address(&listeners.sasl_ssl), address(&listeners.mutual_tls));
        let cluster =
            Cluster::start_with(|installation, folder| Broker::prepare_secured(listeners, installation, folder))?;
        Ok(Self { cluster, sasl_ssl, mutual_tls, ca, client })
    }

    /// Allows something to [`LIMITED`]: options of `kafka-acls --add`, operations and resources.
    ///
    /// # Errors
    /// What the tool says.
    pub fn allow(&self, options: &[&str]) -> Result<(), Error> {
        let principal = format!("User:{LIMITED}");
        let add = ["--bootstrap-server", self.cluster.bootstrap(), "--add", "--allow-principal", &principal];
        let arguments: Vec<_> = add.iter().chain(options).map(|argument| (*argument).to_owned()).collect();
        tool(&cache::kafka()?, "org.apache.kafka.tools.AclCommand", &arguments)
    }
}

impl Identity {
    /// One of an authority that nobody trusts.
    ///
    /// # Errors
    /// [`Error::Keys`].
    pub fn unknown() -> Result<Self, Error> {
        Authority::new()?.sign(USER, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// Signs certificates.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, crate::unique("authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        Ok(Self { certificate: params.self_signed(&key)?, issuer: Issuer::new(params, key) })
    }

    fn sign(&self, name: &str, hosts: &[&str], usage: ExtendedKeyUsagePurpose) -> Result<Identity, Error> {
        let mut params = CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// What a broker is told of its secured listeners.
pub(super) struct Listeners {
    pub(super) host: &'static str,
    sasl_ssl: Port,
    mutual_tls: Port,
    broker: Identity,
    ca: String,
}

impl Listeners {
    /// For the setting `listeners`, behind others.
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

    /// Users for `kafka-storage format`.
    pub(super) fn users() -> Vec<String> {
        let scram = |mechanism: &str, user: &str| {
            ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={PASSWORD}]")]
        };
        let users = [("SCRAM-SHA-256", USER), ("SCRAM-SHA-512", USER), ("SCRAM-SHA-512", LIMITED)];
        users.into_iter().flat_map(|(mechanism, user)| scram(mechanism, user)).collect()
    }
}
