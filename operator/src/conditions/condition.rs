//! The conditions of a LoginPipeline, by their types. Pure.

use crds::pipeline::{Condition, LoginPipelineStatus};

/// Condition: the pipeline does its work as its spec says.
pub(crate) const READY: &str = "Ready";
/// Condition: the spec can be run.
pub(crate) const CONFIG_VALID: &str = "ConfigValid";
/// Condition: every topic is there as it should be.
pub(crate) const TOPICS_READY: &str = "TopicsReady";
/// Condition: as many pods as wanted run the current config and are available.
pub(crate) const PROCESSOR_AVAILABLE: &str = "ProcessorAvailable";

/// Condition of kstatus: the operator is at work, or waits for what comes by itself.
pub(crate) const RECONCILING: &str = "Reconciling";
/// Condition of kstatus: only a person can help.
pub(crate) const STALLED: &str = "Stalled";
/// Condition: it works, but not in every respect as asked.
pub(crate) const DEGRADED: &str = "Degraded";
/// Condition: it is suspended and at rest.
pub(crate) const PAUSED: &str = "Paused";

/// The condition of a type, if it was ever reported.
#[must_use]
pub(crate) fn condition<'a>(status: &'a LoginPipelineStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}
