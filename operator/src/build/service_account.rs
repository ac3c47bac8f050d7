//! The processor's ServiceAccount. It has no rights and no token: a processor speaks to Kafka alone.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::{metadata, processor_name};
use crate::validate::Valid;

/// The ServiceAccount under which a pipeline's pods run.
#[must_use]
pub fn service_account(valid: &Valid) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(valid, processor_name(&valid.id.name)),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
