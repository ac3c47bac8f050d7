//! The job config as an immutable ConfigMap that is named by its content: a pod template that names it cannot come to
//! mean another config.

use crds::job::JobConfig;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::metadata;
use crate::validate::Valid;

/// The key that holds the job config.
pub const CONFIG_KEY: &str = "job.json";

/// The label that shows the revision to people. The operator reads the content instead, which cannot change.
pub const REVISION_LABEL: &str = "loginpipeline.dev/config-revision";

/// The job config of a pipeline in a revision.
#[must_use]
pub fn config_map(valid: &Valid, bootstrap_servers: &str, revision: u64) -> ConfigMap {
    let job = JobConfig::new(valid.id.clone(), &valid.spec, revision, bootstrap_servers.to_owned());
    let text = format!("{:#}\n", json!(job));
    let digest = Sha256::digest(&text);
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let mut metadata = metadata(valid, format!("{}-config-{hash}", valid.id.name));
    metadata.labels.get_or_insert_default().insert(REVISION_LABEL.to_owned(), revision.to_string());
    ConfigMap { metadata, data: Some([(CONFIG_KEY.to_owned(), text)].into()), immutable: Some(true), binary_data: None }
}

/// What a ConfigMap of this kind holds: the revision, and all else. None when it is no job config.
#[must_use]
pub fn content(config_map: &ConfigMap) -> Option<(u64, Value)> {
    let text = config_map.data.as_ref()?.get(CONFIG_KEY)?;
    let mut job: Value = serde_json::from_str(text).ok()?;
    let revision = job.as_object_mut()?.remove("revision")?.as_u64()?;
    Some((revision, job))
}
