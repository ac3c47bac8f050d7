//! Which keys of which Secrets a spec names. Pure.

use crds::{
    job::SECRETS_FOLDER,
    pipeline::{CertificateRef, ExternalKafka, Kafka, KeyRef, Sasl, StrimziKafka, Tls},
};

/// What a key of a Secret holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Authorities,
    Certificate,
    Key,
    Password,
}

impl Part {
    /// Folder and file below [`SECRETS_FOLDER`], whatever the key's name in the Secret.
    pub(super) const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Authorities => ("ca", "ca.crt"),
            Self::Certificate => ("client", "tls.crt"),
            Self::Key => ("client", "tls.key"),
            Self::Password => ("sasl", "password"),
        }
    }

    pub(super) fn path(self) -> String {
        let (folder, file) = self.place();
        format!("{SECRETS_FOLDER}/{folder}/{file}")
    }
}

/// A key of a Secret that the spec names.
#[derive(Clone, Debug)]
pub(super) struct Reference<'a> {
    pub(super) part: Part,
    /// The field of the spec, below `spec.kafka`.
    pub(super) field: &'static str,
    pub(super) secret: &'a str,
    pub(super) key: &'a str,
}

/// What a spec asks for, whichever kind of Kafka it names.
pub(super) struct Asked<'a> {
    pub(super) tls: bool,
    pub(super) sasl: Option<&'a Sasl>,
    pub(super) references: Vec<Reference<'a>>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(kafka: &'a Kafka) -> Self {
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
        let mut references = Vec::new();
        if let Some(KeyRef { name, key }) = ca {
            let key = key.as_deref().unwrap_or("ca.crt");
            references.push(Reference { part: Part::Authorities, field: ca_field, secret: name, key });
        }
        if let Some(CertificateRef { name, certificate, key }) = client {
            let refer = |part, key| Reference { part, field: client_field, secret: name, key };
            references.extend([refer(Part::Certificate, certificate), refer(Part::Key, key)]);
        }
        if let Some(Sasl { password: KeyRef { name, key }, .. }) = sasl {
            let key = key.as_deref().unwrap_or("password");
            references.push(Reference { part: Part::Password, field: password_field, secret: name, key });
        }
        Self { tls, sasl, references }
    }
}

/// Whether a spec names Secrets.
pub(crate) fn has_secrets(kafka: &Kafka) -> bool {
    !Asked::of(kafka).references.is_empty()
}
