//! A secured broker: certificates, made for this run only, and users.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

pub use super::listeners::{Identity, LIMITED, PASSWORD, USER};
use super::{
    Cluster,
    broker::{Broker, tool},
    listeners::Listeners,
};
use crate::port::Port;
use crate::{Error, cache};

/// A broker with three listeners: the plain one of every [`Cluster`], one with TLS and a password (SASL_SSL: PLAIN,
/// SCRAM-SHA-256, SCRAM-SHA-512), and one with TLS that asks for a client's certificate (SSL).
pub struct Secured {
    /// The plain listener of the same broker, for the test's own checks.
    pub cluster: Cluster,
    /// `host:port` of the listener with a password.
    pub sasl_ssl: String,
    /// `host:port` of the listener that asks for a certificate.
    pub mutual_tls: String,
    /// The certificate of the authority that signed the broker's, in PEM.
    pub ca: String,
    /// A client identity that the broker trusts.
    pub client: Identity,
}

impl Secured {
    /// Starts the broker on 127.0.0.1, and returns when it serves requests.
    ///
    /// # Errors
    /// Those of [`Cluster::start`].
    pub fn start() -> Result<Self, Error> {
        Self::start_on("127.0.0.1")
    }

    /// Starts it on another address of this machine, such as [`Node::address`](crate::node::Node::address).
    ///
    /// # Errors
    /// Those of [`Cluster::start`].
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

    /// Grants rights to [`LIMITED`]: options of `kafka-acls --add`, operations and resources.
    ///
    /// # Errors
    /// The tool's output.
    pub fn allow(&self, options: &[&str]) -> Result<(), Error> {
        let principal = format!("User:{LIMITED}");
        let add = ["--bootstrap-server", self.cluster.bootstrap(), "--add", "--allow-principal", &principal];
        let arguments: Vec<_> = add.iter().chain(options).map(|argument| (*argument).to_owned()).collect();
        tool(&cache::kafka()?, "org.apache.kafka.tools.AclCommand", &arguments)
    }
}

impl Identity {
    /// An identity of an untrusted authority.
    ///
    /// # Errors
    /// [`Error::Keys`].
    pub fn unknown() -> Result<Self, Error> {
        Authority::new()?.sign(USER, &[], ExtendedKeyUsagePurpose::ClientAuth)
    }
}

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
