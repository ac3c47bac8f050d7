//! How the API server serves LoginPipelines, and how they are read.

use crds::pipeline::LoginPipeline;
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DeserializeGuard, DynamicObject},
};

/// A LoginPipeline that may have another shape than this release's: one bad object must not hide the others.
pub(crate) type Guarded = DeserializeGuard<LoginPipeline>;

/// The annotation of a LoginPipeline that is being deleted: with the value `true` the topics that are not deleted yet stay.
pub(crate) const FORCE_DELETE: &str = "loginpipeline.dev/force-delete";

/// Namespace and name of a pipeline.
pub(crate) type Key = (String, String);

/// The namespace and the name of a pipeline, whether or not its spec can be read.
#[must_use]
pub(crate) fn key(pipeline: &Guarded) -> Key {
    let metadata = pipeline.meta();
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The kind, as the API server serves it.
#[must_use]
pub(crate) fn resource() -> ApiResource {
    ApiResource::erase::<LoginPipeline>(&())
}

/// The LoginPipelines of a namespace, as the API server holds them.
#[must_use]
pub(crate) fn resources(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource())
}

/// Why the state of a pipeline could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// The API server failed, or refused.
    #[error("the API server did not answer for {what}: {source}")]
    Api {
        /// What was asked for.
        what: &'static str,
        /// What failed.
        source: kube::Error,
    },
}

impl ObserveError {
    /// A static label, for metrics.
    #[must_use]
    pub(crate) const fn category(&self) -> &'static str {
        match self {
            Self::Api { .. } => "observe-api",
        }
    }
}
