//! Kubernetes Events: one for each transition, never for a state that stays. What to say is pure; publishing is not.

use crds::pipeline::{ConditionStatus, LoginPipelineStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::status::{READY, condition};

/// What happened between two statuses of a pipeline: readiness or its reason changed, or a new config came into use.
#[must_use]
pub fn transitions(before: &LoginPipelineStatus, after: &LoginPipelineStatus) -> Vec<Event> {
    let mut events = Vec::new();
    let old = condition(before, READY);
    if let Some(new) = condition(after, READY)
        && old.is_none_or(|old| old.status != new.status || old.reason != new.reason)
    {
        let was_ready = old.is_some_and(|old| old.status == ConditionStatus::True);
        let is_expected = new.status == ConditionStatus::True || EXPECTED.contains(&new.reason.as_str());
        let is_fault = !is_expected || (was_ready && new.reason == "TopicsNotReady");
        events.push(event(is_fault, &new.reason, new.message.clone(), "Reconcile"));
    }
    if let Some(config) = after.config.as_ref().filter(|config| before.config.as_ref() != Some(*config)) {
        let note = format!("config revision {} is in use, from ConfigMap {}", config.revision, config.config_map);
        events.push(event(false, "ConfigChanged", note, "Apply"));
    }
    events
}

/// Reasons that belong to a pipeline's normal life.
const EXPECTED: [&str; 4] = ["TopicsNotReady", "WaitingForTopics", "Progressing", "ScaledToZero"];

fn event(is_fault: bool, reason: &str, mut note: String, action: &str) -> Event {
    // The API server takes notes of up to 1 kB.
    if let Some((end, _)) = note.char_indices().take_while(|(start, _)| *start < 1000).last() {
        let end = end + note[end..].chars().next().map_or(0, char::len_utf8);
        note.truncate(end);
    }
    Event {
        type_: if is_fault { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
}

/// Publishes events about an object. A lost one is logged: the status says the same.
pub async fn publish(recorder: &Recorder, events: &[Event], regarding: &ObjectReference) {
    for event in events {
        if let Err(error) = recorder.publish(event, regarding).await {
            tracing::warn!(%error, reason = event.reason, "an Event was lost");
        }
    }
}
