//! Reads the Secrets that a spec names.

use std::collections::BTreeSet;

use crds::pipeline::Kafka;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::{refs::Asked, secrets::Secrets};

/// A Secret could not be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the API server did not serve Secret {name}: {source}; the operator needs the right to get Secrets in this \
     namespace"
)]
pub struct ReadError {
    name: String,
    source: kube::Error,
}

impl ReadError {
    /// A static label, for metrics.
    pub(crate) const fn category(&self) -> &'static str {
        "secrets-api"
    }
}

/// Reads the Secrets that a spec names, and no others. A missing one is not an error here.
///
/// # Errors
/// When the API server fails or refuses.
pub(crate) async fn read(client: &Client, namespace: &str, kafka: &Kafka) -> Result<Secrets, ReadError> {
    let names: BTreeSet<_> = Asked::of(kafka).references.iter().map(|reference| reference.secret).collect();
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let mut secrets = Secrets::default();
    for name in names {
        let secret = api.get_opt(name).await.map_err(|source| ReadError { name: name.to_owned(), source })?;
        secrets.0.insert(name.to_owned(), secret);
    }
    Ok(secrets)
}
