//! Whether a pipeline that is deleted waits for its topics, and which of them go. Pure.

use crds::{
    pipeline::{DeletionPolicy, LoginPipelineSpec, TopicStatus},
    topics::Role,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::{
    resource::FORCE_DELETE,
    topics::{Seen, find},
};

/// The finalizer of a pipeline that is to delete topics at its end.
pub(crate) const FINALIZER: &str = "loginpipeline.dev/topics";

/// How long topics that cannot be deleted hold a pipeline.
pub(super) const DEADLINE: SignedDuration = SignedDuration::from_mins(10);

/// How long they hold it in a namespace that is being deleted.
pub(super) const NAMESPACE_DEADLINE: SignedDuration = SignedDuration::from_mins(1);

/// What to do about a pipeline that is being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Delete these topics, then let it go.
    Delete(Vec<TopicStatus>),
    /// Let it go now; the topics that are left stay.
    Release(Release),
}

/// Why a pipeline is let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// There is nothing to delete, or nothing left.
    Done,
    /// The annotation is set.
    Forced,
    /// Its namespace is being deleted, and the shorter wait is over.
    NamespaceGone,
    /// The wait is over.
    TimedOut,
    /// Its spec cannot be read, so what to delete is not known.
    Unreadable,
}

impl Release {
    /// Whether topics may be left that the spec wants deleted.
    #[must_use]
    pub(crate) const fn may_leave(self) -> bool {
        !matches!(self, Self::Done)
    }

    /// Why, as a sentence.
    #[must_use]
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Done => "its topics are deleted",
            Self::Forced => "the annotation loginpipeline.dev/force-delete ended the waiting",
            Self::NamespaceGone => {
                "its namespace is being deleted, and its topics could not be deleted within a minute"
            }
            Self::TimedOut => "its topics could not be deleted within ten minutes",
            Self::Unreadable => "its spec cannot be read",
        }
    }
}

/// Whether a pipeline needs the finalizer.
#[must_use]
pub(crate) fn is_needed(spec: &LoginPipelineSpec) -> bool {
    spec.deletion_policy == DeletionPolicy::Delete || spec.source.deletion_policy == DeletionPolicy::Delete
}

/// Whether a pipeline has the finalizer.
#[must_use]
pub(crate) fn has_finalizer(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// What to do about a pipeline that is being deleted. None for a spec that cannot be read.
#[must_use]
pub(crate) fn end(
    metadata: &ObjectMeta,
    spec: Option<&LoginPipelineSpec>,
    topics: &[TopicStatus],
    namespace_is_going: bool,
    now: Timestamp,
) -> End {
    let Some(spec) = spec else { return End::Release(Release::Unreadable) };
    let doomed: Vec<_> = topics.iter().filter(|topic| is_doomed(spec, topic)).cloned().collect();
    if doomed.is_empty() {
        return End::Release(Release::Done);
    }
    let annotations = metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.get(FORCE_DELETE).is_some_and(|value| value == "true")) {
        return End::Release(Release::Forced);
    }
    let waited = metadata.deletion_timestamp.as_ref().map(|since| now.duration_since(since.0)).unwrap_or_default();
    match namespace_is_going {
        true if waited >= NAMESPACE_DEADLINE => End::Release(Release::NamespaceGone),
        _ if waited >= DEADLINE => End::Release(Release::TimedOut),
        _ => End::Delete(doomed),
    }
}

/// Whether a topic goes with its pipeline: the pipeline made it, which is known by its id.
fn is_doomed(spec: &LoginPipelineSpec, topic: &TopicStatus) -> bool {
    let policy = if topic.role == Role::Source { spec.source.deletion_policy } else { spec.deletion_policy };
    policy == DeletionPolicy::Delete && topic.created && topic.topic_id.is_some()
}

/// Of the topics to delete, those that are still the ones that the pipeline made. Another one of the same name is not.
#[must_use]
pub(crate) fn left<'s>(doomed: &[TopicStatus], seen: &'s [Seen]) -> Vec<&'s Seen> {
    let is_same = |topic: &TopicStatus, seen: &Seen| seen.created && seen.topic_id == topic.topic_id;
    doomed.iter().filter_map(|topic| find(seen, topic.role).filter(|seen| is_same(topic, seen))).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Value, json};

    use super::*;
    use std::collections::BTreeMap;

    use crate::topics::{Control, State};

    fn spec(parts: &Value) -> LoginPipelineSpec {
        let mut spec = json!({"kafka": {"strimzi": {"cluster": "a"}}});
        spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn topic(role: Role, created: bool, id: Option<&str>) -> TopicStatus {
        TopicStatus {
            role,
            name: role.slug().to_owned(),
            partitions: Some(1),
            topic_id: id.map(str::to_owned),
            created,
        }
    }

    const DELETED: Timestamp = Timestamp::UNIX_EPOCH;

    /// A pipeline that is being deleted since the epoch.
    fn metadata(annotation: Option<&str>) -> ObjectMeta {
        ObjectMeta {
            deletion_timestamp: Some(Time(DELETED)),
            annotations: annotation.map(|value| [(FORCE_DELETE.to_owned(), value.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    fn after(seconds: i64) -> Timestamp {
        DELETED + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn only_created_topics_are_deleted_the_source_by_its_own_policy() {
        let topics = [
            topic(Role::Output, true, Some("1")),
            topic(Role::Deltas, false, Some("2")),
            topic(Role::State, true, None),
            topic(Role::Source, true, Some("3")),
        ];
        let doomed = |parts: Value| match end(&metadata(None), Some(&spec(&parts)), &topics, false, DELETED) {
            End::Delete(doomed) => doomed.iter().map(|topic| topic.role).collect(),
            End::Release(Release::Done) => Vec::new(),
            End::Release(other) => panic!("{other:?}"),
        };

        assert_eq!(doomed(json!({})), []);
        assert_eq!(doomed(json!({"deletionPolicy": "Delete"})), [Role::Output]);
        assert_eq!(doomed(json!({"source": {"deletionPolicy": "Delete"}})), [Role::Source]);
        let both = json!({"deletionPolicy": "Delete", "source": {"deletionPolicy": "Delete"}});
        assert_eq!(doomed(both.clone()), [Role::Output, Role::Source]);
        assert!(is_needed(&spec(&both)) && !is_needed(&spec(&json!({}))));
    }

    #[test]
    fn nothing_waits_for_ever() {
        let topics = [topic(Role::Output, true, Some("1"))];
        let delete = spec(&json!({"deletionPolicy": "Delete"}));
        let of = |annotation, going, seconds| end(&metadata(annotation), Some(&delete), &topics, going, after(seconds));
        let waits = |end: End| matches!(end, End::Delete(_));
        assert!(waits(of(None, false, 599)) && waits(of(Some("false"), false, 0)) && waits(of(None, true, 59)));
        assert_eq!(of(Some("true"), false, 0), End::Release(Release::Forced));
        assert_eq!(of(None, true, 60), End::Release(Release::NamespaceGone));
        assert_eq!(of(None, false, 600), End::Release(Release::TimedOut));
        assert_eq!(end(&metadata(None), None, &topics, false, DELETED), End::Release(Release::Unreadable));
    }

    #[test]
    fn another_topic_of_the_same_name_is_left_alone() {
        let doomed = [topic(Role::Output, true, Some("1"))];
        let seen = |id: Option<&str>, created| Seen {
            role: Role::Output,
            name: "output".to_owned(),
            state: State::Ready,
            partitions: Some(1),
            config: BTreeMap::new(),
            topic_id: id.map(str::to_owned),
            created,
            expected_id: None,
            control: Control::Own,
        };

        assert_eq!(left(&doomed, &[seen(Some("1"), true)]).len(), 1);
        for other in [seen(Some("2"), true), seen(None, true), seen(Some("1"), false)] {
            assert!(left(&doomed, &[other]).is_empty());
        }
        assert!(left(&doomed, &[]).is_empty());
    }
}
