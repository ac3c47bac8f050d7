//! The one way in which objects are written: server-side apply of what this pipeline owns, and of nothing else.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};

use super::applied::is_applied;
use crate::{
    build::OWNER_UID_LABEL,
    conditions::{reason::Reason, reported::Reported},
};

/// Names the operator in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "login-pipeline-operator";

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object that is not the pipeline's has the name.
    #[error("{kind} {name} exists and does not belong to this pipeline: delete or rename it, or rename the pipeline")]
    NameTaken { kind: String, name: String },
    /// The API server, or an admission webhook, refused it.
    #[error("the API server refused {kind} {name}: {message}")]
    Refused {
        kind: String,
        name: String,
        /// What the API server says.
        message: String,
    },
    /// Two operators took one number.
    #[error("revision {number} was taken by another operator at the same moment, as {other}: the next one is tried")]
    Contested {
        number: u64,
        /// The ConfigMap that has it, too.
        other: String,
    },
    /// The API server failed.
    #[error("the API server did not take {kind} {name}: {source}")]
    Api { kind: String, name: String, source: kube::Error },
}

impl ApplyError {
    /// A static label, for metrics.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NameTaken { .. } => "name-taken",
            Self::Refused { .. } => "apply-refused",
            Self::Contested { .. } => "revision-contested",
            Self::Api { .. } => "apply-api",
        }
    }

    fn new(kind: String, name: String, source: kube::Error) -> Self {
        match source {
            kube::Error::Api(status) if status.is_conflict() && status.message.contains("conflict") => {
                Self::NameTaken { kind, name }
            }
            kube::Error::Api(status) if status.is_invalid() || status.is_forbidden() || status.code == 400 => {
                Self::Refused { kind, name, message: status.message.clone() }
            }
            source => Self::Api { kind, name, source },
        }
    }
}

impl Reported for ApplyError {
    fn reason(&self) -> Reason {
        match self {
            Self::NameTaken { .. } => Reason::NameTaken,
            Self::Refused { .. } => Reason::ObjectRefused,
            Self::Contested { .. } | Self::Api { .. } => Reason::ApiServerFailed,
        }
    }

    fn category(&self) -> &'static str {
        Self::category(self)
    }
}

/// Whether an object belongs to the pipeline with this UID: its controller says so or, where it has none, its label.
#[must_use]
pub(crate) fn is_owned(object: &impl Resource, owner_uid: &str) -> bool {
    let mut references = object.meta().owner_references.iter().flatten();
    let controller = references.find(|reference| reference.controller == Some(true)).map(|reference| &reference.uid);
    controller.or_else(|| object.labels().get(OWNER_UID_LABEL)).is_some_and(|uid| uid == owner_uid)
}

/// Makes an object, or brings one that this pipeline owns to its desired state. Where nothing differs nothing is written.
///
/// # Errors
/// When another owns the name, or the API server refuses or fails.
pub(crate) async fn apply<K>(
    api: &Api<K>,
    kind: &str,
    mut desired: K,
    existing: Option<&K>,
    owner_uid: &str,
) -> Result<K, ApplyError>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let name = desired.name_any();
    let mut params = PatchParams::apply(FIELD_MANAGER);
    if let Some(existing) = existing {
        if !is_owned(existing, owner_uid) {
            return Err(ApplyError::NameTaken { kind: kind.to_owned(), name });
        }
        if is_applied(&desired, existing, FIELD_MANAGER) {
            return Ok(existing.clone());
        }
        // The UID is a precondition: an object that took this one's place meanwhile is left alone. Without an existing
        // object the same is reached by not forcing.
        desired.meta_mut().uid.clone_from(&existing.meta().uid);
        params = params.force();
    }
    let applied = api.patch(&name, &params, &Patch::Apply(&desired)).await;
    applied.map_err(|source| ApplyError::new(kind.to_owned(), name, source))
}

/// Deletes an object, but not one that took its place meanwhile. One that is gone already is no error.
///
/// # Errors
/// When the API server refuses or fails.
pub(crate) async fn delete<K>(api: &Api<K>, kind: &str, object: &K) -> Result<(), ApplyError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let preconditions = Preconditions { uid: object.uid(), resource_version: None };
    let params = DeleteParams::background().preconditions(preconditions);
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(source) => Err(ApplyError::new(kind.to_owned(), object.name_any(), source)),
    }
}
