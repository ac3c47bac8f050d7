//! Kubernetes Events: one for each transition, none for a state that stays. What they say is pure; publishing them is not.

use cli::exit::with_causes;
use crds::pipeline::{ConditionStatus, LoginPipelineStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::conditions::condition::{READY, condition};

/// What happened between two statuses of a pipeline: readiness or its reason changed, or a new config came into use.
#[must_use]
pub(crate) fn transitions(before: &LoginPipelineStatus, after: &LoginPipelineStatus) -> Vec<Event> {
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

/// A pipeline went, and left topics that its spec wanted deleted.
#[must_use]
pub(crate) fn retained(why: &str) -> Event {
    let note = format!("the pipeline is gone, and topics of it may be left with their data: {why}");
    event(true, "TopicsRetained", note, "Finalize")
}

/// Reasons that belong to a pipeline's normal life.
const EXPECTED: [&str; 4] = ["TopicsNotReady", "WaitingForTopics", "Progressing", "ScaledToZero"];

fn event(is_fault: bool, reason: &str, mut note: String, action: &str) -> Event {
    // The API server takes notes of up to 1 kB.
    note.truncate(note.floor_char_boundary(1000));
    Event {
        type_: if is_fault { EventType::Warning } else { EventType::Normal },
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
}

/// Publishes events about an object. A failure is only logged, because the status says the same.
pub(crate) async fn publish(recorder: &Recorder, events: &[Event], regarding: &ObjectReference) {
    for event in events {
        if let Err(error) = recorder.publish(event, regarding).await {
            tracing::warn!(error = with_causes(&error), reason = event.reason, "an Event was lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use crds::pipeline::{Condition, ConfigStatus};

    use super::*;

    fn status(ready: ConditionStatus, reason: &str, revision: u64) -> LoginPipelineStatus {
        let condition = Condition {
            type_: READY.to_owned(),
            status: ready,
            reason: reason.to_owned(),
            message: "é".repeat(2000),
            last_transition_time: "now".to_owned(),
            observed_generation: None,
        };
        LoginPipelineStatus {
            conditions: vec![condition],
            config: Some(ConfigStatus { revision, config_map: format!("config-{revision}"), image: None }),
            ..LoginPipelineStatus::default()
        }
    }

    fn published(before: &LoginPipelineStatus, after: &LoginPipelineStatus) -> Vec<(EventType, String)> {
        transitions(before, after).into_iter().map(|event| (event.type_, event.reason)).collect()
    }

    #[test]
    fn transitions_are_published_and_states_are_not() {
        use ConditionStatus::{False, True, Unknown};
        let none = LoginPipelineStatus::default();
        let running = status(True, "Running", 1);
        let normal = |reason: &str| (EventType::Normal, reason.to_owned());
        let warning = |reason: &str| (EventType::Warning, reason.to_owned());

        assert_eq!(published(&none, &running), [normal("Running"), normal("ConfigChanged")]);
        assert_eq!(published(&running, &LoginPipelineStatus { ready_replicas: 3, ..running.clone() }), []);
        assert_eq!(published(&running, &status(True, "Running", 2)), [normal("ConfigChanged")]);
        assert_eq!(published(&running, &status(False, "Progressing", 1)), [normal("Progressing")]);
        assert_eq!(published(&running, &status(Unknown, "KafkaUnreachable", 1)), [warning("KafkaUnreachable")]);

        // On the way up a topic is awaited, later it is missed.
        let waiting = status(False, "WaitingForTopics", 1);
        assert_eq!(published(&waiting, &status(False, "TopicsNotReady", 1)), [normal("TopicsNotReady")]);
        assert_eq!(published(&running, &status(False, "TopicsNotReady", 1)), [warning("TopicsNotReady")]);
    }

    #[test]
    fn a_note_is_cut_to_what_the_api_server_takes() {
        let events = transitions(&LoginPipelineStatus::default(), &status(ConditionStatus::True, "Running", 1));
        let note = events[0].note.as_ref().unwrap();
        assert!(note.len() <= 1024 && note.len() > 900, "{}", note.len());
    }
}
