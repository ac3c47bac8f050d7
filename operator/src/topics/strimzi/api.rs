//! What the API server says of Strimzi's resources.

use tokio::sync::watch;

use crate::topics::catalog::Catalog;

#[derive(Clone, Debug)]
pub enum Strimzi {
    /// The API server was not asked yet, or did not answer.
    Unknown,
    /// It serves none of Strimzi's resources.
    NotInstalled,
    Served(StrimziApi),
}

impl Strimzi {
    /// The served version, if there is one; None while that is not known.
    pub(crate) const fn version(&self) -> Option<Option<&'static str>> {
        match self {
            Self::Unknown => None,
            Self::NotInstalled => Some(None),
            Self::Served(api) => Some(Some(api.version)),
        }
    }
}

/// Strimzi's API, as the API server serves it.
#[derive(Clone, Debug)]
pub struct StrimziApi {
    pub version: &'static str,
    /// The existing `KafkaTopic` objects, as the watch last reported.
    pub catalog: watch::Receiver<Catalog>,
}
