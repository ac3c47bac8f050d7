//! Why pods do not become ready, from what stands in them. Pure.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod};
use kube::ResourceExt;

use crate::build::{CONFIG_VOLUME, CONTAINER};

/// How much of a pod's own words is repeated, in characters. They are of the kubelet, of the scheduler, or the last line
/// of a log; in none of them does a processor write a secret.
const WORDS: usize = 400;

/// How long a container that starts again after a crash still counts as crashing. It is how long it must run until the
/// kubelet forgets the crash too.
const CRASH_LASTS: SignedDuration = SignedDuration::from_mins(10);

/// What keeps a pod from being ready, from the most harmless to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// Nothing yet: its containers are being made.
    Starting,
    /// It runs, and says that it is not ready.
    NotReady,
    /// No node takes it.
    Unschedulable,
    /// It was ended from outside, as by an eviction.
    Failed,
    /// Its container ends by itself, again and again.
    Crash,
    /// Its container needs more memory than it may have.
    OutOfMemory,
    /// Its container cannot be made, as where a Secret is missing.
    Container,
    /// Its image cannot be had.
    Image,
    /// Its image has no possible name: nothing but another spec can help.
    ImageName,
}

impl Trouble {
    /// Whether it is the pod's own, whatever the state of Kafka and of the nodes: only another pod template helps, or what
    /// that names.
    #[must_use]
    pub(crate) const fn is_definite(self) -> bool {
        match self {
            Self::Image | Self::ImageName | Self::Container => true,
            Self::Starting | Self::NotReady | Self::Unschedulable | Self::Failed | Self::Crash | Self::OutOfMemory => {
                false
            }
        }
    }
}

/// Why pods do not become ready: the newest of those in the worst trouble speaks for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodReason {
    /// What keeps them from being ready.
    pub trouble: Trouble,
    /// Which pod speaks.
    pub pod: String,
    /// How many are in this trouble.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// What is wrong, in the pod's own words, with the remedy where there is one in the spec.
    pub text: String,
}

impl fmt::Display for PodReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} pods: {}", self.count, self.of, self.text)
    }
}

/// Why the pods that run this ConfigMap's job config do not all become ready. None when they do, or when there are none.
#[must_use]
pub(crate) fn reason(pods: &[Pod], config_map: &str, now: Timestamp) -> Option<PodReason> {
    let current: Vec<_> =
        pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && runs(pod, config_map)).collect();
    let troubled: Vec<_> = current.iter().filter_map(|pod| Some((trouble(pod, now)?, *pod))).collect();
    let rank = |((trouble, _), pod): &&((Trouble, String), &Pod)| (*trouble, pod.creation_timestamp(), pod.name_any());
    let ((trouble, text), pod) = troubled.iter().max_by_key(rank)?;
    let count = troubled.iter().filter(|((other, _), _)| other == trouble).count();
    Some(PodReason { trouble: *trouble, pod: pod.name_any(), count, of: current.len(), text: text.clone() })
}

/// Whether a pod runs the job config of this ConfigMap.
fn runs(pod: &Pod, config_map: &str) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut configs =
        volumes.filter(|volume| volume.name == CONFIG_VOLUME).filter_map(|volume| volume.config_map.as_ref());
    configs.any(|config| config.name == config_map)
}

/// None for a pod that is ready.
fn trouble(pod: &Pod, now: Timestamp) -> Option<(Trouble, String)> {
    let Some(status) = &pod.status else { return Some(starting()) };
    let condition = |type_: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == type_);
    if condition("Ready").is_some_and(|ready| ready.status == "True") {
        return None;
    }
    if status.phase.as_deref() == Some("Failed") {
        let reason = status.reason.as_deref().unwrap_or("without a reason");
        return Some((Trouble::Failed, with_words(&format!("it failed: {reason}"), status.message.as_deref())));
    }
    if let Some(unscheduled) = condition("PodScheduled").filter(|scheduled| scheduled.status == "False") {
        return Some((Trouble::Unschedulable, with_words("no node takes it", unscheduled.message.as_deref())));
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let worst = containers.filter_map(|container| of_container(container, now)).max_by_key(|(trouble, _)| *trouble);
    Some(worst.unwrap_or_else(starting))
}

fn starting() -> (Trouble, String) {
    (Trouble::Starting, "it is being started".to_owned())
}

fn of_container(container: &ContainerStatus, now: Timestamp) -> Option<(Trouble, String)> {
    let state = container.state.as_ref()?;
    let last =
        container.last_state.as_ref().and_then(|last| last.terminated.as_ref()).filter(|last| last.exit_code != 0);
    let (trouble, text) = if let Some(waiting) = &state.waiting {
        waits(container, waiting, last)
    } else if let Some(ended) = &state.terminated {
        // An init container ends with 0, and is done.
        (ended.exit_code != 0).then(|| crashed(ended))?
    } else if container.ready {
        return None;
    } else {
        let started = state.running.as_ref().and_then(|running| running.started_at.as_ref());
        let is_new = started.is_none_or(|started| now.duration_since(started.0) < CRASH_LASTS);
        last.filter(|_| is_new).map_or_else(|| (Trouble::NotReady, "it runs and is not ready".to_owned()), crashed)
    };
    let is_ours = container.name == CONTAINER;
    Some((trouble, if is_ours { text } else { format!("container {}: {text}", container.name) }))
}

fn waits(
    container: &ContainerStatus,
    waiting: &ContainerStateWaiting,
    last: Option<&ContainerStateTerminated>,
) -> (Trouble, String) {
    let words = waiting.message.as_deref();
    match waiting.reason.as_deref().unwrap_or_default() {
        "InvalidImageName" => {
            let text = format!("no image can have the name {:?}; correct spec.processor.image", container.image);
            (Trouble::ImageName, text)
        }
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            let text = format!("the image {} cannot be had", container.image);
            // Between attempts the kubelet says how long it waits, then the same again.
            let words = words.map(|words| words.split_once("ErrImagePull: ").map_or(words, |(_, cause)| cause));
            (Trouble::Image, with_words(&text, words))
        }
        reason @ ("CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError") => {
            (Trouble::Container, with_words(&format!("its container cannot be made ({reason})"), words))
        }
        _ => last.map_or_else(starting, crashed),
    }
}

fn crashed(ended: &ContainerStateTerminated) -> (Trouble, String) {
    if ended.reason.as_deref() == Some("OOMKilled") {
        let text = "it needs more memory than its limit (OOMKilled); raise spec.processor.resources.limits.memory";
        return (Trouble::OutOfMemory, text.to_owned());
    }
    let words = ended.message.as_deref().and_then(last_words);
    (Trouble::Crash, with_words(&format!("it ends with exit code {}", ended.exit_code), words))
}

/// The last line of a log that says something: a processor that gives up says why there. A panic adds a note for
/// developers.
fn last_words(log: &str) -> Option<&str> {
    log.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with("note: "))
}

fn with_words(text: &str, words: Option<&str>) -> String {
    let Some(words) = words.map(str::trim).filter(|words| !words.is_empty()) else { return text.to_owned() };
    // One line: it becomes a part of a sentence.
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{text}: {}…", &words[..end]),
        None => format!("{text}: {words}"),
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-05-01T12:00:00Z";

    fn pod(name: &str, created: &str, status: Value) -> Pod {
        let pod = json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"containers": [], "volumes": [{"name": "config", "configMap": {"name": "current"}}]},
            "status": status,
        });
        serde_json::from_value(pod).unwrap()
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"containerStatuses": [{
            "name": "processor", "image": "registry/a:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": state, "lastState": last,
        }]})
    }

    fn waiting(reason: &str, message: &str, last: Value) -> Value {
        container(json!({"waiting": {"reason": reason, "message": message}}), last)
    }

    fn ready() -> Value {
        json!({"conditions": [{"type": "Ready", "status": "True"}]})
    }

    fn why(pods: &[Pod]) -> Option<PodReason> {
        reason(pods, "current", NOW.parse().unwrap())
    }

    /// What one pod in this state says.
    fn says(status: Value) -> Option<(Trouble, String)> {
        why(&[pod("a", NOW, status)]).map(|reason| (reason.trouble, reason.text))
    }

    #[track_caller]
    fn check(status: Value, trouble: Trouble, text: &str) {
        assert_eq!(says(status), Some((trouble, text.to_owned())));
    }

    #[test]
    fn an_image_that_cannot_be_had_is_named_with_the_cause() {
        let text = "the image registry/a:1 cannot be had: not found";
        check(waiting("ErrImagePull", "not found", json!({})), Trouble::Image, text);
        let between = "Back-off pulling image \"registry/a:1\": ErrImagePull: not found";
        check(waiting("ImagePullBackOff", between, json!({})), Trouble::Image, text);
        let name = "no image can have the name \"registry/a:1\"; correct spec.processor.image";
        check(waiting("InvalidImageName", "bad", json!({})), Trouble::ImageName, name);
    }

    #[test]
    fn a_container_that_cannot_be_made_says_why() {
        let text = "its container cannot be made (CreateContainerConfigError): secret \"user\" not found";
        check(waiting("CreateContainerConfigError", "secret \"user\" not found", json!({})), Trouble::Container, text);
    }

    #[test]
    fn a_crash_is_told_in_its_last_words() {
        let log = "12:00 INFO started\n\nprocessor: /a/job.json: version is 9\nnote: run with RUST_BACKTRACE=1\n\n";
        let ended = json!({"terminated": {"exitCode": 2, "reason": "Error", "message": log}});
        let text = "it ends with exit code 2: processor: /a/job.json: version is 9";
        check(waiting("CrashLoopBackOff", "back-off 5m0s", ended.clone()), Trouble::Crash, text);
        check(container(ended.clone(), json!({})), Trouble::Crash, text);

        // It runs again, and is about to crash again; after a while that is no longer to be expected.
        let again = |at: &str| container(json!({"running": {"startedAt": at}}), ended.clone());
        check(again("2026-05-01T11:55:00Z"), Trouble::Crash, text);
        check(again("2026-05-01T11:49:00Z"), Trouble::NotReady, "it runs and is not ready");

        let silent = json!({"terminated": {"exitCode": 137, "reason": "Error"}});
        check(waiting("CrashLoopBackOff", "", silent), Trouble::Crash, "it ends with exit code 137");
        let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": log}});
        let text = "it needs more memory than its limit (OOMKilled); raise spec.processor.resources.limits.memory";
        check(waiting("CrashLoopBackOff", "", killed), Trouble::OutOfMemory, text);
    }

    #[test]
    fn the_scheduler_and_the_kubelet_have_their_say() {
        let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available"},
        ]});
        check(unscheduled, Trouble::Unschedulable, "no node takes it: 0/3 nodes are available");
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."});
        check(evicted, Trouble::Failed, "it failed: Evicted: The node was low on memory.");
    }

    #[test]
    fn a_pod_in_no_trouble_is_being_started_or_ready() {
        check(json!({}), Trouble::Starting, "it is being started");
        check(waiting("ContainerCreating", "", json!({})), Trouble::Starting, "it is being started");
        assert_eq!(says(ready()), None);
        let mut sidecar = container(json!({"running": {}}), json!({}));
        sidecar["containerStatuses"][0]["name"] = "mesh".into();
        check(sidecar, Trouble::NotReady, "container mesh: it runs and is not ready");
    }

    #[test]
    fn what_a_pod_says_is_cut_and_one_line() {
        let long = format!("a\nb {}", "ä".repeat(1000));
        let (_, text) = says(waiting("ErrImagePull", &long, json!({}))).unwrap();
        assert!(text.starts_with("the image registry/a:1 cannot be had: a b ää") && text.ends_with("ä…"), "{text}");
        assert_eq!(text.chars().count(), "the image registry/a:1 cannot be had: ".len() + WORDS + 1);
    }

    #[test]
    fn the_newest_of_the_worst_speaks_for_all() {
        let image = |cause: &str| waiting("ErrImagePull", cause, json!({}));
        let mut gone = pod("gone", NOW, waiting("InvalidImageName", "", json!({})));
        gone.metadata.deletion_timestamp = gone.metadata.creation_timestamp.clone();
        let mut other = pod("other", NOW, waiting("InvalidImageName", "", json!({})));
        other.spec.as_mut().unwrap().volumes = None;
        let pods = [
            pod("a", "2026-05-01T11:00:00Z", image("older")),
            pod("b", "2026-05-01T11:30:00Z", image("newer")),
            pod("c", NOW, waiting("CrashLoopBackOff", "", json!({}))),
            pod("d", NOW, ready()),
            gone,
            other,
        ];

        let why = why(&pods).unwrap();
        assert_eq!(why.pod, "b");
        assert_eq!(why.trouble, Trouble::Image);
        assert_eq!(why.to_string(), "2 of 4 pods: the image registry/a:1 cannot be had: newer");
        assert_eq!(reason(&pods, "none", NOW.parse().unwrap()), None);
    }
}
