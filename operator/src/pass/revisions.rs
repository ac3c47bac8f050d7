//! What a pipeline's pods run, by number. Pure.
//!
//! ```text
//!   spec, Kafka, Secrets ──> inputs ──> the newest revision was made from them?  yes ──> it stays, whatever this operator
//!                               │                                                        would make today
//!                               no                                                yes, but its pods failed
//!                               v                                                                │
//!                 rendered, under the next number        the last healthy one, under the next number: a rollback
//! ```
//!
//! A revision is a job config with a pod template, in an immutable ConfigMap. It gets a number that no other ever had,
//! because the number is taken when that ConfigMap is written, before anything uses it: the newest existing one knows the
//! last number, and the status knows it when that was deleted by hand. The first is the time of the resource's creation, so
//! that a resource that is deleted and made anew goes on above the numbers of its predecessor.

use crds::{
    job::JobConfig,
    pipeline::{ConfigStatus, LoginPipelineSpec, UpgradePolicy},
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::inputs::Inputs;
use crate::{
    build::{Content, Revision, pod_template},
    validate::Valid,
};

/// The annotation of a pod that changes with the Secrets that it uses: a rotated one rolls the pods.
const SECRETS_ANNOTATION: &str = "loginpipeline.dev/secrets";

/// A revision whose pods did not become ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Name of its ConfigMap.
    pub config_map: String,
    /// Why, as a sentence.
    pub why: String,
}

/// The revision that the pods are to run.
#[must_use]
pub(crate) fn choose(
    valid: &Valid,
    inputs: &Inputs,
    existing: &[ConfigMap],
    reported: (Option<&ConfigStatus>, Option<&ConfigStatus>),
    failure: Option<&Failure>,
) -> Revision {
    let (current, last_healthy) = reported;
    let rendered = render(valid, inputs);
    let existing: Vec<_> = existing.iter().filter_map(Revision::read).collect();
    let newest = existing.iter().max_by_key(|revision| revision.number);
    if let Some(current) = current
        && newest.is_none_or(|newest| newest.number < current.revision)
    {
        return after_loss(valid, current, rendered);
    }
    let Some(newest) = newest else { return Revision::new(valid, valid.first_revision, rendered) };
    // Two operators that worked at once took it, each for another content: pods use neither.
    if existing.iter().filter(|revision| revision.number == newest.number).count() > 1 {
        return Revision::new(valid, newest.number.saturating_add(1), rendered);
    }
    let Content { job, template, inputs, rolled_back } = &newest.content;
    let is_asked_for = *inputs == rendered.inputs;
    if is_asked_for
        && rolled_back.is_none()
        && let Some(failure) = failure.filter(|failure| failure.config_map == newest.name)
        && let Some(healthy) = last_healthy.filter(|healthy| healthy.config_map != newest.name)
        && let Some(healthy) = existing.iter().find(|revision| revision.name == healthy.config_map)
    {
        let inputs = inputs.clone();
        let content = Content { inputs, rolled_back: Some(failure.why.clone()), ..healthy.content.clone() };
        return Revision::new(valid, newest.number.saturating_add(1), content);
    }
    if is_asked_for || (*job == rendered.job && *template == rendered.template) {
        return newest.clone();
    }
    Revision::new(valid, newest.number.saturating_add(1), rendered)
}

/// The ConfigMap that the status names is gone. Its name tells whether it held what is wanted now.
fn after_loss(valid: &Valid, reported: &ConfigStatus, rendered: Content) -> Revision {
    let same = Revision::new(valid, reported.revision, rendered);
    if same.name == reported.config_map {
        return same;
    }
    Revision::new(valid, reported.revision.saturating_add(1), same.content)
}

/// Why the pods run something else than what the spec asks for; none when they run that.
#[must_use]
pub(crate) fn rolled_back<'r>(revision: &'r Revision, valid: &Valid, inputs: &Inputs) -> Option<&'r str> {
    let is_asked_for = revision.content.inputs == render(valid, inputs).inputs;
    revision.content.rolled_back.as_deref().filter(|_| is_asked_for)
}

/// The revision that was asked for last, or rolled back to.
#[must_use]
pub(crate) fn newest(existing: &[ConfigMap]) -> Option<Revision> {
    existing.iter().filter_map(Revision::read).max_by_key(|revision| revision.number)
}

/// The ConfigMaps that nothing needs once all pods run the current one, which is the last healthy one then: all but that and
/// its predecessor, which a ReplicaSet still names.
#[must_use]
pub(crate) fn outdated<'a>(existing: &'a [ConfigMap], current: &ConfigStatus) -> Vec<&'a ConfigMap> {
    let mut others: Vec<_> = existing
        .iter()
        .map(|config_map| (Revision::read(config_map).map(|revision| revision.number), config_map))
        .filter(|(_, config_map)| config_map.metadata.name.as_ref() != Some(&current.config_map))
        .collect();
    others.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    others.into_iter().skip(1).map(|(_, config_map)| config_map).collect()
}

/// What this operator makes of a spec.
#[must_use]
pub(crate) fn render(valid: &Valid, inputs: &Inputs) -> Content {
    let Inputs { kafka, shape, secrets } = inputs;
    let mut job = JobConfig::new(valid.id.clone(), &valid.spec, 0, kafka.bootstrap_servers.clone());
    job.kafka.clone_from(kafka);
    let mut job = json!(job);
    if let Some(job) = job.as_object_mut() {
        job.remove("revision");
    }
    let mut template = pod_template(valid, shape);
    if !secrets.is_null() {
        let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
        annotations.insert(SECRETS_ANNOTATION.to_owned(), fingerprint(secrets));
    }
    let mut inputs = json!({"spec": shaping(&valid.spec), "kafka": kafka});
    if !secrets.is_null() {
        inputs["secrets"].clone_from(secrets);
    }
    if valid.spec.processor.upgrade_policy == UpgradePolicy::Automatic {
        inputs["operator"] = fingerprint(&json!(template)).into();
    }
    Content { job, template, inputs, rolled_back: None }
}

/// A short hash of a value.
fn fingerprint(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The part of a spec that shapes pods and their config. Defaults are left out, so that a field that a later release adds
/// changes nothing for specs that do not set it.
fn shaping(spec: &LoginPipelineSpec) -> Value {
    let default = LoginPipelineSpec::on(spec.kafka.clone());
    let mut shaping = beyond(&json!(spec), &json!(default)).unwrap_or_else(|| json!({}));
    if let Some(spec) = shaping.as_object_mut() {
        // What these do happens elsewhere: in topics, in other objects, in how many pods there are.
        for field in ["topics", "networkPolicy", "deletionPolicy", "suspend"] {
            spec.remove(field);
        }
        for (part, fields) in [
            ("source", &["partitions", "deletionPolicy"][..]),
            ("processor", &["replicas", "upgradePolicy", "rollback", "progressDeadline"][..]),
        ] {
            if let Some(part) = spec.get_mut(part).and_then(Value::as_object_mut) {
                part.retain(|field, _| !fields.contains(&field.as_str()));
            }
        }
        spec.retain(|_, value| value.as_object().is_none_or(|fields| !fields.is_empty()));
    }
    shaping
}

/// What a value has beyond a default; none when it is the default.
fn beyond(value: &Value, default: &Value) -> Option<Value> {
    if value == default {
        return None;
    }
    let (Value::Object(value), Value::Object(default)) = (value, default) else { return Some(value.clone()) };
    let fields = value.iter().filter_map(|(field, value)| {
        let default = default.get(field).unwrap_or(&Value::Null);
        Some((field.clone(), beyond(value, default)?))
    });
    Some(Value::Object(fields.collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests;
