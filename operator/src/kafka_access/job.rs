//! What the job config tells replicas about credentials: the paths of files, never their contents. Pure.

use crds::job;

use super::{
    credentials::{Credentials, bundle},
    refs::Part,
};

impl Credentials {
    /// None if Kafka needs neither TLS nor SASL. `certificates` are those that Strimzi publishes of the listener.
    pub(crate) fn job(&self, certificates: &[String]) -> Option<job::Security> {
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
}
