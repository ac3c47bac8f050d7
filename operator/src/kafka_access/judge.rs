//! Whether the Secrets hold what the spec says they hold. Pure.

use crds::job;

use super::{
    refs::{Part, Reference},
    secrets::Secrets,
};

/// Everything that is wrong with the Secrets of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SecretsError(pub(super) Vec<SecretProblem>);

impl SecretsError {
    /// A static label, for metrics.
    pub(crate) const fn category(&self) -> &'static str {
        "secret-unusable"
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SecretProblem {
    #[error(
        "there is no Secret {secret:?} in the pipeline's namespace: create it with {keys}, or correct \
         spec.kafka.{field}"
    )]
    NoSecret {
        secret: String,
        /// The keys that it should have.
        keys: String,
        field: &'static str,
    },
    #[error("Secret {secret} has no key {key:?} (it has: {found}): add it, or correct spec.kafka.{field}")]
    NoKey {
        secret: String,
        key: String,
        /// The keys that it has.
        found: String,
        field: &'static str,
    },
    #[error("key {key:?} of Secret {secret} {}: {}, or correct spec.kafka.{field}", .fault.what, .fault.remedy)]
    Unusable { secret: String, key: String, fault: Fault, field: &'static str },
}

/// Why a text cannot be used, and what to do, as parts of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    what: &'static str,
    remedy: &'static str,
}

/// The text at a reference. `all` are the references of the same spec.
pub(super) fn find(
    reference: &Reference<'_>,
    secrets: &Secrets,
    all: &[Reference<'_>],
) -> Result<String, SecretProblem> {
    let &Reference { part, field, .. } = reference;
    let (secret, key) = (reference.secret.to_owned(), reference.key.to_owned());
    let Some(found) = secrets.get(reference.secret) else {
        let of_same = all.iter().filter(|other| (other.field, other.secret) == (field, reference.secret));
        let keys = of_same.map(|other| format!("{:?}", other.key)).collect::<Vec<_>>().join(" and ");
        return Err(SecretProblem::NoSecret { secret, keys, field });
    };
    let Some(value) = found.data.as_ref().and_then(|data| data.get(reference.key)) else {
        let keys: Vec<_> = found.data.iter().flatten().map(|(key, _)| key.as_str()).collect();
        let found = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        return Err(SecretProblem::NoKey { secret, key, found, field });
    };
    usable(part, &value.0).map_err(|fault| SecretProblem::Unusable { secret, key, fault, field })
}

/// The text of a key, if it can be what it should be.
fn usable(part: Part, value: &[u8]) -> Result<String, Fault> {
    let not_text = Fault { what: "is not UTF-8", remedy: "put a text there" };
    let text = std::str::from_utf8(value).map(job::password).map_err(|_| not_text)?;
    match fault(part, text) {
        Some((what, remedy)) => Err(Fault { what, remedy }),
        None => Ok(text.to_owned()),
    }
}

fn fault(part: Part, text: &str) -> Option<(&'static str, &'static str)> {
    let holds = |what: &str| text.contains("-----BEGIN ") && text.contains(what);
    match part {
        _ if text.is_empty() => Some(("is empty", "put the value there")),
        _ if text.contains('\0') => Some(("contains a zero byte", "put a text there")),
        Part::Authorities | Part::Certificate if !holds("CERTIFICATE-----") => {
            Some(("holds no certificate", "put one there in PEM"))
        }
        Part::Key if holds("ENCRYPTED") => Some(("is an encrypted key", "put it there without encryption, in PEM")),
        Part::Key if !holds("PRIVATE KEY-----") => Some(("holds no private key", "put it there in PEM")),
        _ => None,
    }
}
