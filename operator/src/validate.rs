//! The resource as a model that the builders can trust, or everything that is wrong with it. Pure.

use crds::{
    pipeline::{LoginPipeline, LoginPipelineSpec, check},
    topics::{PipelineId, Topic, topics},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, core::DynamicObject};

use super::conditions::{reason::Reason, reported::Reported};

/// A pipeline whose spec can run. Builders see nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Valid {
    /// The pipeline's namespace and name.
    pub id: PipelineId,
    /// The owner reference of the pipeline's objects, by which Kubernetes deletes them with it.
    pub owner: OwnerReference,
    /// The spec, checked.
    pub spec: LoginPipelineSpec,
    /// The revision of its first config: the Unix time at which the resource was created. A predecessor of the same
    /// name wrote into the same log, with revisions that began at an earlier time.
    pub first_revision: u64,
}

impl Valid {
    /// The topics that the pipeline needs, in the order in which they are created and grown.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        topics(&self.id, &self.spec)
    }

    /// For a pipeline on Strimzi: the namespace of its `Kafka` and of its `KafkaTopic` objects.
    #[must_use]
    pub fn kafka_namespace(&self) -> &str {
        let strimzi = self.spec.kafka.strimzi.as_ref();
        strimzi.and_then(|strimzi| strimzi.namespace.as_deref()).unwrap_or(&self.id.namespace)
    }
}

/// Why a pipeline cannot run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValidateError {
    /// The spec does not have the shape of this release's resource: a field has another type, or is missing.
    #[error("the resource cannot be read: {problem}")]
    Shape {
        /// The field and what is wrong with it.
        problem: String,
    },
    /// Values that cannot be used, each with its remedy.
    #[error("{}", problems.join("; "))]
    Values {
        /// Every problem found.
        problems: Vec<String>,
    },
}

impl Reported for ValidateError {
    fn reason(&self) -> Reason {
        Reason::SpecInvalid
    }

    fn category(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "spec-shape",
            Self::Values { .. } => "spec-values",
        }
    }
}

/// Reads and checks a resource as the API server holds it.
///
/// # Errors
/// When the spec has another shape, or values that cannot be used.
pub fn validate(resource: &DynamicObject) -> Result<Valid, ValidateError> {
    let spec = resource.data.get("spec").cloned().unwrap_or_default();
    let spec = serde_path_to_error::deserialize(spec).map_err(|error| ValidateError::Shape {
        problem: format!("spec.{} does not fit: {}", error.path(), error.inner()),
    })?;
    let pipeline = LoginPipeline { metadata: resource.metadata.clone(), spec, status: None };
    check_pipeline(&pipeline)
}

/// Checks a resource that has the right shape.
///
/// # Errors
/// When values cannot be used.
pub fn check_pipeline(pipeline: &LoginPipeline) -> Result<Valid, ValidateError> {
    let name = pipeline.metadata.name.clone().unwrap_or_default();
    let problems = check(&name, &pipeline.spec);
    if !problems.is_empty() {
        return Err(ValidateError::Values { problems: problems.iter().map(ToString::to_string).collect() });
    }
    // A manifest that no API server holds has no UID yet, which only matters to objects that are applied.
    let owner = OwnerReference {
        api_version: LoginPipeline::api_version(&()).into_owned(),
        kind: LoginPipeline::kind(&()).into_owned(),
        name: name.clone(),
        uid: pipeline.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    let namespace = pipeline.metadata.namespace.clone().unwrap_or_default();
    // It has no time of creation either.
    let created = pipeline.metadata.creation_timestamp.as_ref().map(|created| created.0.as_second());
    let first_revision = created.and_then(|created| u64::try_from(created).ok()).unwrap_or(1);
    Ok(Valid { id: PipelineId { namespace, name }, owner, spec: pipeline.spec.clone(), first_revision })
}
