//! How a pipeline proves to Kafka who it is: by Secrets, which the spec names. Pure, but for [`read`].
//!
//! ```text
//!   spec.kafka ──> the parts that stand in Secrets ──read──> credentials ─┬─> job config: paths, never a secret
//!                                                                         ├─> volumes of the pods
//!   certificates of the listener, which Strimzi publishes ────────────────┤
//!                                                                         ├─> fingerprint, which a rotation changes
//!                                                                         └─> settings of the operator's own clients
//! ```
//!
//! Secrets are read by name, so that the operator needs no right to list or watch them, and are kept for one pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crds::{
    job::{self, Mechanism, SECRETS_FOLDER},
    pipeline::{CertificateRef, ExternalKafka, Kafka, KeyRef, Sasl, SaslMechanism, StrimziKafka, Tls},
};
use k8s_openapi::api::core::v1::{KeyToPath, Secret, SecretVolumeSource, Volume, VolumeMount};
use kube::{Api, Client};
use rdkafka::ClientConfig;
use serde_json::{Value, json};

/// What a key of a Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Authorities,
    Certificate,
    Key,
    Password,
}

impl Part {
    /// Folder and file below [`SECRETS_FOLDER`], whatever the Secret calls it.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Authorities => ("ca", "ca.crt"),
            Self::Certificate => ("client", "tls.crt"),
            Self::Key => ("client", "tls.key"),
            Self::Password => ("sasl", "password"),
        }
    }

    fn path(self) -> String {
        let (folder, file) = self.place();
        format!("{SECRETS_FOLDER}/{folder}/{file}")
    }

    /// librdkafka's setting that takes it as a text.
    const fn setting(self) -> &'static str {
        match self {
            Self::Authorities => "ssl.ca.pem",
            Self::Certificate => "ssl.certificate.pem",
            Self::Key => "ssl.key.pem",
            Self::Password => "sasl.password",
        }
    }

    /// What a text is that cannot be it, and what it should be.
    fn fault(self, text: &str) -> Option<(&'static str, &'static str)> {
        let holds = |what: &str| text.contains("-----BEGIN ") && text.contains(what);
        match self {
            _ if text.is_empty() => Some(("is empty", "put the value there")),
            _ if text.contains('\0') => Some(("contains a zero byte", "put a text there")),
            Self::Authorities | Self::Certificate if !holds("CERTIFICATE-----") => {
                Some(("holds no certificate", "put one there in PEM"))
            }
            Self::Key if holds("ENCRYPTED") => Some(("is an encrypted key", "put it there without encryption, in PEM")),
            Self::Key if !holds("PRIVATE KEY-----") => Some(("holds no private key", "put it there in PEM")),
            _ => None,
        }
    }
}

/// Where the spec says that a part stands.
#[derive(Clone, Debug)]
struct Reference<'a> {
    part: Part,
    /// The field of the spec.
    field: &'static str,
    secret: &'a str,
    key: &'a str,
}

/// What a spec says, of whichever kind of Kafka.
struct Asked<'a> {
    tls: bool,
    sasl: Option<&'a Sasl>,
    references: Vec<Reference<'a>>,
}

impl<'a> Asked<'a> {
    fn of(kafka: &'a Kafka) -> Self {
        match (&kafka.external, &kafka.strimzi) {
            (Some(ExternalKafka { tls, sasl, .. }), _) => {
                let fields = ["external.tls.ca", "external.tls.clientCertificate", "external.sasl.password"];
                let (ca, client) = match tls {
                    Some(Tls { ca, client_certificate }) => (ca.as_ref(), client_certificate.as_ref()),
                    None => (None, None),
                };
                Self::new(tls.is_some(), ca, client, sasl.as_ref(), fields)
            }
            (None, Some(StrimziKafka { sasl, client_certificate: client, .. })) => {
                let fields = ["", "strimzi.clientCertificate", "strimzi.sasl.password"];
                Self::new(client.is_some(), None, client.as_ref(), sasl.as_ref(), fields)
            }
            (None, None) => Self::new(false, None, None, None, [""; 3]),
        }
    }

    fn new(
        tls: bool,
        ca: Option<&'a KeyRef>,
        client: Option<&'a CertificateRef>,
        sasl: Option<&'a Sasl>,
        [ca_field, client_field, password_field]: [&'static str; 3],
    ) -> Self {
        let refer = |part, field, secret, key| Reference { part, field, secret, key };
        let one = |part, field, reference: &'a KeyRef, default| {
            refer(part, field, reference.name.as_str(), reference.key.as_deref().unwrap_or(default))
        };
        let ca = ca.map(|ca| one(Part::Authorities, ca_field, ca, "ca.crt"));
        let pair = client.map(|CertificateRef { name, certificate, key }| {
            [refer(Part::Certificate, client_field, name, certificate), refer(Part::Key, client_field, name, key)]
        });
        let password = sasl.map(|sasl| one(Part::Password, password_field, &sasl.password, "password"));
        let references = ca.into_iter().chain(pair.into_iter().flatten()).chain(password).collect();
        Self { tls, sasl, references }
    }
}

/// The Secrets that a spec names, by name; none where there is none of that name.
#[derive(Clone, Default)]
pub struct Secrets(pub BTreeMap<String, Option<Secret>>);

/// Names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether a spec names Secrets.
#[must_use]
pub fn has_secrets(kafka: &Kafka) -> bool {
    !Asked::of(kafka).references.is_empty()
}

/// A Secret could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the API server did not serve Secret {name}: {source}; the operator needs the right to get Secrets in this namespace"
)]
pub struct ReadError {
    /// Which.
    pub name: String,
    /// What failed.
    pub source: kube::Error,
}

/// Reads the Secrets that a spec names, and no others. One that does not exist is no error here.
///
/// # Errors
/// When the API server fails or refuses.
pub async fn read(client: &Client, namespace: &str, kafka: &Kafka) -> Result<Secrets, ReadError> {
    let names: BTreeSet<_> = Asked::of(kafka).references.iter().map(|reference| reference.secret).collect();
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut secrets = Secrets::default();
    for name in names {
        let secret = api.get_opt(name).await.map_err(|source| ReadError { name: name.to_owned(), source })?;
        secrets.0.insert(name.to_owned(), secret);
    }
    Ok(secrets)
}

/// Everything that is wrong with the Secrets of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SecurityError(pub Vec<SecretProblem>);

/// What is wrong with a Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// It does not exist.
    #[error(
        "there is no Secret {secret:?} in the pipeline's namespace: create it with {keys}, or correct spec.kafka.{field}"
    )]
    NoSecret {
        /// Its name.
        secret: String,
        /// The keys that it should have.
        keys: String,
        /// The field of the spec.
        field: &'static str,
    },
    /// It lacks a key.
    #[error("Secret {secret} has no key {key:?} (it has: {found}): add it, or correct spec.kafka.{field}")]
    NoKey {
        /// Its name.
        secret: String,
        /// The key that it should have.
        key: String,
        /// The keys that it has.
        found: String,
        /// The field of the spec.
        field: &'static str,
    },
    /// What a key holds cannot be used.
    #[error("key {key:?} of Secret {secret} {fault}: {remedy}, or correct spec.kafka.{field}")]
    Unusable {
        /// Its name.
        secret: String,
        /// Which key.
        key: String,
        /// What it is.
        fault: &'static str,
        /// What it should be.
        remedy: &'static str,
        /// The field of the spec.
        field: &'static str,
    },
}

/// What a pipeline needs to be let in by its Kafka.
#[derive(Clone, Default)]
pub struct Credentials {
    tls: bool,
    user: Option<(Mechanism, String)>,
    /// What stands in the Secrets.
    parts: BTreeMap<Part, String>,
    volumes: Vec<Volume>,
    fingerprint: BTreeMap<String, Value>,
}

/// None of it is shown.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// The credentials that a spec names.
    ///
    /// # Errors
    /// When a Secret or a key is missing, or cannot be what it should be: all that is wrong.
    pub fn new(kafka: &Kafka, secrets: &Secrets) -> Result<Self, SecurityError> {
        let Asked { tls, sasl, references } = Asked::of(kafka);
        let user = sasl.map(|sasl| (mechanism(sasl.mechanism), sasl.username.clone()));
        let mut credentials = Self { tls, user, ..Self::default() };
        let mut problems = Vec::new();
        for reference in &references {
            match find(reference, secrets, &references) {
                Ok(text) => drop(credentials.parts.insert(reference.part, text)),
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
            let secret = secrets.0.get(reference.secret).and_then(Option::as_ref);
            credentials.fingerprint.extend(secret.map(|secret| (reference.secret.to_owned(), state(secret))));
        }
        credentials.volumes = volumes(&references);
        if problems.is_empty() { Ok(credentials) } else { Err(SecurityError(problems)) }
    }

    /// What replicas are told; none where Kafka is open. `certificates` are those that Strimzi publishes of the listener.
    #[must_use]
    pub fn job(&self, certificates: &[String]) -> Option<job::Security> {
        let path = |part| self.parts.contains_key(&part).then(|| Part::path(part));
        let tls = self.has_tls(certificates).then(|| job::Tls {
            ca: (!certificates.is_empty()).then(|| bundle(certificates)),
            ca_file: path(Part::Authorities),
            certificate_file: path(Part::Certificate),
            key_file: path(Part::Key),
        });
        let sasl = self.user.as_ref().map(|(mechanism, username)| job::Sasl {
            mechanism: *mechanism,
            username: username.clone(),
            password_file: Part::Password.path(),
        });
        (tls.is_some() || sasl.is_some()).then_some(job::Security { tls, sasl })
    }

    /// The Secrets as volumes of the pods.
    #[must_use]
    pub fn volumes(&self) -> Vec<Volume> {
        self.volumes.clone()
    }

    /// Where the container has them.
    #[must_use]
    pub fn volume_mounts(&self) -> Vec<VolumeMount> {
        let mount = |volume: &Volume| VolumeMount {
            mount_path: format!("{SECRETS_FOLDER}/{}", volume.name.trim_start_matches(VOLUME_PREFIX)),
            name: volume.name.clone(),
            read_only: Some(true),
            ..VolumeMount::default()
        };
        self.volumes.iter().map(mount).collect()
    }

    /// What changes when a Secret is rotated: its UID and version, never what is in it. Null without Secrets.
    #[must_use]
    pub fn fingerprint(&self) -> Value {
        if self.fingerprint.is_empty() { Value::Null } else { json!(self.fingerprint) }
    }

    /// Settings with which the operator's own clients reach this Kafka.
    #[must_use]
    pub fn settings(&self, certificates: &[String]) -> Settings {
        let protocol = match (self.has_tls(certificates), self.user.is_some()) {
            (true, true) => "SASL_SSL",
            (true, false) => "SSL",
            (false, true) => "SASL_PLAINTEXT",
            (false, false) => return Settings::default(),
        };
        let mut settings = vec![("security.protocol", protocol.to_owned())];
        if !certificates.is_empty() {
            settings.push((Part::Authorities.setting(), bundle(certificates)));
        }
        if let Some((mechanism, username)) = &self.user {
            settings.push(("sasl.mechanism", mechanism.as_str().to_owned()));
            settings.push(("sasl.username", username.clone()));
        }
        settings.extend(self.parts.iter().map(|(part, text)| (part.setting(), text.clone())));
        Settings(settings)
    }

    /// Strimzi publishes certificates of listeners with TLS only.
    const fn has_tls(&self, certificates: &[String]) -> bool {
        self.tls || !certificates.is_empty()
    }
}

/// Settings of a client of Kafka, secrets among them: they are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<(&'static str, String)>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Settings {
    /// Adds them to those of a client.
    pub fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.0 {
            config.set(*name, value);
        }
    }
}

const fn mechanism(mechanism: SaslMechanism) -> Mechanism {
    match mechanism {
        SaslMechanism::Plain => Mechanism::Plain,
        SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
    }
}

/// The text at a reference, which is one of several.
fn find(reference: &Reference<'_>, secrets: &Secrets, all: &[Reference<'_>]) -> Result<String, SecretProblem> {
    let &Reference { part, field, .. } = reference;
    let (secret, key) = (reference.secret.to_owned(), reference.key.to_owned());
    let Some(found) = secrets.0.get(reference.secret).and_then(Option::as_ref) else {
        let of_same = all.iter().filter(|other| (other.field, other.secret) == (field, reference.secret));
        let keys = of_same.map(|other| format!("{:?}", other.key)).collect::<Vec<_>>().join(" and ");
        return Err(SecretProblem::NoSecret { secret, keys, field });
    };
    let Some(value) = found.data.as_ref().and_then(|data| data.get(reference.key)) else {
        let keys: Vec<_> = found.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        let found = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        return Err(SecretProblem::NoKey { secret, key, found, field });
    };
    let text = std::str::from_utf8(&value.0).map(job::password);
    let fault = text.map_or(Some(("is not UTF-8", "put a text there")), |text| part.fault(text));
    match (text, fault) {
        (Ok(text), None) => Ok(text.to_owned()),
        (_, fault) => {
            let (fault, remedy) = fault.unwrap_or_default();
            Err(SecretProblem::Unusable { secret, key, fault, remedy, field })
        }
    }
}

/// Which Secret it is, and in which version.
fn state(secret: &Secret) -> Value {
    json!({"uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version})
}

/// Begins the name of each volume; its folder follows.
const VOLUME_PREFIX: &str = "kafka-";

/// A volume for each folder, with nothing but the keys that are referred to, under names of our own.
fn volumes(references: &[Reference<'_>]) -> Vec<Volume> {
    let folders: BTreeMap<&str, Vec<&Reference<'_>>> =
        references.iter().fold(BTreeMap::new(), |mut folders, reference| {
            folders.entry(reference.part.place().0).or_default().push(reference);
            folders
        });
    let item = |reference: &&Reference<'_>| KeyToPath {
        key: reference.key.to_owned(),
        path: reference.part.place().1.to_owned(),
        mode: None,
    };
    let volume = |(folder, references): (&str, Vec<&Reference<'_>>)| Volume {
        name: format!("{VOLUME_PREFIX}{folder}"),
        secret: Some(SecretVolumeSource {
            secret_name: references.first().map(|reference| reference.secret.to_owned()),
            items: Some(references.iter().map(item).collect()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    folders.into_iter().map(volume).collect()
}

fn bundle(certificates: &[String]) -> String {
    certificates.iter().flat_map(|certificate| [certificate.trim_end(), "\n"]).collect()
}

#[cfg(test)]
mod tests;
