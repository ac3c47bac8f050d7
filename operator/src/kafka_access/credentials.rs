//! What a pipeline needs to be admitted by its Kafka. Pure.

use std::{collections::BTreeMap, fmt};

use crds::{
    job::Mechanism,
    pipeline::{Kafka, SaslMechanism},
};
use k8s_openapi::api::core::v1::{Volume, VolumeMount};
use serde_json::{Value, json};

use super::{
    judge::{SecretsError, find},
    refs::{Asked, Part},
    secrets::{Secrets, version},
    volumes::{mounts, volumes},
};

#[derive(Clone, Default)]
pub struct Credentials {
    tls: bool,
    pub(super) user: Option<(Mechanism, String)>,
    /// The texts of the Secrets.
    pub(super) parts: BTreeMap<Part, String>,
    volumes: Vec<Volume>,
    fingerprint: BTreeMap<String, Value>,
}

/// Shows nothing, for all of it may be secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// The credentials that a spec names.
    ///
    /// # Errors
    /// Everything that is wrong: Secrets and keys that are missing or do not hold what they should.
    pub(crate) fn new(kafka: &Kafka, secrets: &Secrets) -> Result<Self, SecretsError> {
        let Asked { tls, sasl, references } = Asked::of(kafka);
        let user = sasl.map(|sasl| (mechanism(sasl.mechanism), sasl.username.clone()));
        let mut credentials = Self { tls, user, volumes: volumes(&references), ..Self::default() };
        let mut problems = Vec::new();
        for reference in &references {
            match find(reference, secrets, &references) {
                Ok(text) => drop(credentials.parts.insert(reference.part, text)),
                Err(problem) if problems.contains(&problem) => {}
                Err(problem) => problems.push(problem),
            }
            let secret = secrets.get(reference.secret);
            credentials.fingerprint.extend(secret.map(|secret| (reference.secret.to_owned(), version(secret))));
        }
        if problems.is_empty() { Ok(credentials) } else { Err(SecretsError(problems)) }
    }

    /// The Secrets as volumes of the pods.
    pub(crate) fn volumes(&self) -> Vec<Volume> {
        self.volumes.clone()
    }

    /// Where the container finds the volumes.
    pub(crate) fn volume_mounts(&self) -> Vec<VolumeMount> {
        mounts(&self.volumes)
    }

    /// UID and version of each Secret, which change when it is rotated, without its contents. Null if there are no
    /// Secrets.
    pub(crate) fn fingerprint(&self) -> Value {
        if self.fingerprint.is_empty() { Value::Null } else { json!(self.fingerprint) }
    }

    /// Whether the listener has TLS. Strimzi publishes certificates only of listeners with TLS.
    pub(super) const fn has_tls(&self, certificates: &[String]) -> bool {
        self.tls || !certificates.is_empty()
    }
}

const fn mechanism(mechanism: SaslMechanism) -> Mechanism {
    match mechanism {
        SaslMechanism::Plain => Mechanism::Plain,
        SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
        SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
    }
}

/// Certificates as one PEM text.
pub(super) fn bundle(certificates: &[String]) -> String {
    certificates.iter().flat_map(|certificate| [certificate.trim_end(), "\n"]).collect()
}
