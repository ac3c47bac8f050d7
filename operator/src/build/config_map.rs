//! A revision of what a pipeline's pods run, as an immutable ConfigMap that is named by its content: a pod template that
//! names it cannot come to mean another config.

use crds::pipeline::ConfigStatus;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec};
use kube::ResourceExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::metadata;
use crate::validate::Valid;

/// The key that holds the job config, the one that pods see.
pub const CONFIG_KEY: &str = "job.json";

/// The key that holds the pod template: a pipeline whose spec stays keeps it, whatever a later operator would make.
const TEMPLATE_KEY: &str = "pod-template.json";

/// The key that holds what the two were made from.
const INPUTS_KEY: &str = "inputs.json";

/// The key that says why pods run this instead of what the spec asks for. Only in what a rollback made.
const ROLLBACK_KEY: &str = "rolled-back.txt";

/// The label that shows the revision to people. The operator reads the content instead, which cannot change.
pub const REVISION_LABEL: &str = "loginpipeline.dev/config-revision";

/// What a pipeline's pods run, without its number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The job config, without its revision.
    pub job: Value,
    /// The pods. Their config's volume names no ConfigMap yet.
    pub template: PodTemplateSpec,
    /// What the two were made from; after a rollback, what was asked for.
    pub inputs: Value,
    /// Why pods run this instead of what was asked for.
    pub rolled_back: Option<String>,
}

impl Content {
    /// The image that the pods run.
    #[must_use]
    pub fn image(&self) -> Option<String> {
        self.template.spec.as_ref()?.containers.first()?.image.clone()
    }
}

/// A numbered content, and its ConfigMap's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The number that replicas write into the delta log.
    pub number: u64,
    /// What it stands for.
    pub content: Content,
    /// Name of the ConfigMap.
    pub name: String,
}

impl Revision {
    /// Numbers a content of a pipeline.
    #[must_use]
    pub fn new(valid: &Valid, number: u64, content: Content) -> Self {
        let mut hash = Sha256::new();
        for (key, text) in data(number, &content) {
            hash.update(key);
            hash.update([0]);
            hash.update(text);
            hash.update([0]);
        }
        let hash: String = hash.finalize().iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        Self { number, content, name: format!("{}-config-{hash}", valid.id.name) }
    }

    /// What a ConfigMap of this kind holds; none when it is something else.
    #[must_use]
    pub fn read(config_map: &ConfigMap) -> Option<Self> {
        let data = config_map.data.as_ref()?;
        let value = |key: &str| serde_json::from_str::<Value>(data.get(key)?).ok();
        let mut job = value(CONFIG_KEY)?;
        let number = job.as_object_mut()?.remove("revision")?.as_u64()?;
        let template = value(TEMPLATE_KEY).and_then(|template| serde_json::from_value(template).ok())?;
        let inputs = value(INPUTS_KEY)?;
        let content = Content { job, template, inputs, rolled_back: data.get(ROLLBACK_KEY).cloned() };
        Some(Self { number, content, name: config_map.name_any() })
    }

    /// What the status says of it.
    #[must_use]
    pub fn status(&self) -> ConfigStatus {
        ConfigStatus { revision: self.number, config_map: self.name.clone(), image: self.content.image() }
    }
}

/// The ConfigMap of a revision.
#[must_use]
pub fn config_map(valid: &Valid, revision: &Revision) -> ConfigMap {
    let mut metadata = metadata(valid, revision.name.clone());
    metadata.labels.get_or_insert_default().insert(REVISION_LABEL.to_owned(), revision.number.to_string());
    let data = data(revision.number, &revision.content);
    let data = data.into_iter().map(|(key, text)| (key.to_owned(), text)).collect();
    ConfigMap { metadata, data: Some(data), immutable: Some(true), binary_data: None }
}

fn data(number: u64, content: &Content) -> Vec<(&'static str, String)> {
    let mut job = content.job.clone();
    if let Some(job) = job.as_object_mut() {
        job.insert("revision".to_owned(), number.into());
    }
    let text = |value: &Value| format!("{value:#}\n");
    let mut data = vec![
        (CONFIG_KEY, text(&job)),
        (INPUTS_KEY, text(&content.inputs)),
        (TEMPLATE_KEY, text(&json!(content.template))),
    ];
    data.extend(content.rolled_back.clone().map(|why| (ROLLBACK_KEY, why)));
    data
}
