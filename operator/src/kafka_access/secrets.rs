//! The Secrets of a spec, as they were read. Pure.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

/// The Secrets that a spec names, by name; None for one that does not exist.
#[derive(Clone, Default)]
pub struct Secrets(pub BTreeMap<String, Option<Secret>>);

/// Shows names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secrets {
    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name).and_then(Option::as_ref)
    }
}

/// Identifies a Secret and its version, without its contents.
pub(super) fn version(secret: &Secret) -> Value {
    json!({"uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version})
}
