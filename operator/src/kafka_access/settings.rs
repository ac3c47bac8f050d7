//! Credentials as librdkafka's settings, for the operator's own clients.

use std::fmt;

use rdkafka::ClientConfig;

use super::{
    credentials::{Credentials, bundle},
    refs::Part,
};

/// Settings of a Kafka client. Their values are secret and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings(pub(super) Vec<(&'static str, String)>);

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Settings {
    pub(crate) fn apply(&self, config: &mut ClientConfig) {
        for (name, value) in &self.0 {
            config.set(*name, value);
        }
    }
}

impl Credentials {
    /// The settings with which the operator's own clients reach this Kafka. `certificates` are those that Strimzi
    /// publishes of the listener.
    pub(crate) fn settings(&self, certificates: &[String]) -> Settings {
        let protocol = match (self.has_tls(certificates), self.user.is_some()) {
            (true, true) => "SASL_SSL",
            (true, false) => "SSL",
            (false, true) => "SASL_PLAINTEXT",
            (false, false) => return Settings::default(),
        };
        let mut settings = vec![("security.protocol", protocol.to_owned())];
        if !certificates.is_empty() {
            settings.push((setting(Part::Authorities), bundle(certificates)));
        }
        if let Some((mechanism, username)) = &self.user {
            settings.push(("sasl.mechanism", mechanism.as_str().to_owned()));
            settings.push(("sasl.username", username.clone()));
        }
        settings.extend(self.parts.iter().map(|(part, text)| (setting(*part), text.clone())));
        Settings(settings)
    }
}

/// The setting that takes a part as a text.
const fn setting(part: Part) -> &'static str {
    match part {
        Part::Authorities => "ssl.ca.pem",
        Part::Certificate => "ssl.certificate.pem",
        Part::Key => "ssl.key.pem",
        Part::Password => "sasl.password",
    }
}
