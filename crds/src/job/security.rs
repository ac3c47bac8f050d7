//! How replicas prove to Kafka who they are, and know that it is Kafka. Nothing secret stands here: keys and passwords
//! are in files, mounted from Secrets, and this names the files.

use serde::{Deserialize, Serialize};

use super::error::JobError;

/// Where the operator mounts Secrets, each kind in a folder of its own.
pub const SECRETS_FOLDER: &str = "/etc/login-pipeline-secrets";

/// The line that begins a certificate in a text of PEM.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// How to reach a Kafka that is protected by TLS, by SASL, or by both.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Security {
    /// Encrypts the connection and verifies Kafka's certificate; absent for plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Authenticates the replica with a name and a password; absent without SASL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<Sasl>,
}

/// Certificates. Without certificate authorities here, those of the image are trusted.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Certificates of the authorities to trust, in PEM. They are public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// File with the certificates of the authorities to trust, instead of `ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// File with the replica's own certificate in PEM, where Kafka asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<String>,
    /// File with the private key of that certificate in PEM, not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

/// A user, and the file with its password.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sasl {
    /// SASL mechanism.
    pub mechanism: Mechanism,
    /// Name of the user.
    pub username: String,
    /// File with the password.
    pub password_file: String,
}

/// SASL mechanism, under Kafka's own name.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself is sent; only TLS hides it.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Challenge and response, hashed with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Challenge and response, hashed with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// Kafka's name of it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A password as it stands in a file or a Secret: an editor's newline at the end is no part of it.
#[must_use]
pub fn password(text: &str) -> &str {
    text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)
}

impl Security {
    /// Reads what stands at `kafka.security` of a job config.
    ///
    /// # Errors
    /// When the text is not JSON of this shape, or says what makes no sense.
    pub fn parse(text: &str) -> Result<Self, JobError> {
        let security: Self = serde_json::from_str(text)?;
        security.check().map(|()| security)
    }

    /// Refuses what librdkafka would refuse later, or silently leave out.
    pub(super) fn check(&self) -> Result<(), JobError> {
        let refuse = |field, value: &str, remedy| Err(JobError::Value { field, value: value.to_owned(), remedy });
        if self.tls.is_none() && self.sasl.is_none() {
            return refuse("kafka.security", "{}", "give tls, sasl or both, or leave it out");
        }
        if let Some(Tls { ca, ca_file, certificate_file, key_file }) = &self.tls {
            if ca.is_some() && ca_file.is_some() {
                return refuse("kafka.security.tls.ca", "there beside caFile", "give one of them");
            }
            if ca.as_ref().is_some_and(|ca| !ca.contains(CERTIFICATE)) {
                return refuse("kafka.security.tls.ca", "a text without a certificate", "give certificates in PEM");
            }
            match (certificate_file, key_file) {
                (Some(_), None) => return refuse("kafka.security.tls.keyFile", "absent", "give the certificate's key"),
                (None, Some(_)) => {
                    return refuse("kafka.security.tls.certificateFile", "absent", "give the key's certificate");
                }
                _ => {}
            }
            let files = [
                ("kafka.security.tls.caFile", ca_file),
                ("kafka.security.tls.certificateFile", certificate_file),
                ("kafka.security.tls.keyFile", key_file),
            ];
            if let Some((field, _)) = files.into_iter().find(|(_, file)| file.as_ref().is_some_and(String::is_empty)) {
                return refuse(field, "empty", "give a path");
            }
        }
        match &self.sasl {
            Some(sasl) if sasl.username.is_empty() => {
                refuse("kafka.security.sasl.username", "empty", "give the name of the user")
            }
            Some(sasl) if sasl.password_file.is_empty() => {
                refuse("kafka.security.sasl.passwordFile", "empty", "give a path")
            }
            _ => Ok(()),
        }
    }
}
