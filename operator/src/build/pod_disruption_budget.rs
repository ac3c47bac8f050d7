//! How many pods a drained node may take at once.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

use super::{metadata, processor_name, selector};
use crate::validate::Valid;

/// The PodDisruptionBudget of a pipeline: one pod at a time. What it processed goes on with the others.
#[must_use]
pub fn pod_disruption_budget(valid: &Valid) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(valid, processor_name(&valid.id.name)),
        spec: Some(PodDisruptionBudgetSpec {
            // A number of pods that must stay would keep a pipeline with one pod from ever leaving its node.
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector { match_labels: Some(selector(&valid.id.name)), match_expressions: None }),
            // A pod that is not ready does no work that would be missed; without this it could block a drain for ever.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}
