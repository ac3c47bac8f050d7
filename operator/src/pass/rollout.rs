//! How many pods run, and whether a change of theirs has failed. Pure.

use crds::{
    pipeline::{Rollback, TopicStatus},
    topics::Role,
};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};

use super::revisions::Failure;
use crate::{
    build::CONFIG_VOLUME,
    pods::PodReason,
    topics::{Seen, find},
    validate::Valid,
};

/// How many pods there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Desired replicas.
    pub replicas: i32,
    /// The partitions of the source, where there are fewer than the spec asks for replicas: one more would have nothing to do.
    pub capped: Option<i32>,
}

/// How many pods a pipeline is to have. A suspended one has none, and its spec keeps the number that it had. Where topics
/// are not seen at the moment, what was `reported` of them last counts.
#[must_use]
pub(crate) fn size(valid: &Valid, seen: &[Seen], reported: &[TopicStatus]) -> Size {
    let asked = valid.spec.processor.replicas;
    let seen = find(seen, Role::Source).and_then(|source| source.partitions);
    let reported = || reported.iter().find(|topic| topic.role == Role::Source)?.partitions;
    let existing = seen.or_else(reported).unwrap_or_default();
    let partitions = valid.spec.source.partitions.max(existing);
    let replicas = if valid.spec.suspend { 0 } else { asked.min(partitions) };
    Size { replicas, capped: (asked > partitions).then_some(partitions) }
}

/// The change that has failed, if one has: its pods did not become ready in time, and the pods of before it are all
/// available still, so that nothing else can be to blame; or its pods say why themselves. Only where the spec wants a rollback.
#[must_use]
pub(crate) fn failure(valid: &Valid, deployment: &Deployment, words: Option<&PodReason>) -> Option<Failure> {
    if valid.spec.processor.rollback == Rollback::Never {
        return None;
    }
    let condition = deadline_exceeded(deployment)?;
    let wanted = deployment.spec.as_ref()?.replicas.unwrap_or_default();
    let available = deployment.status.as_ref()?.available_replicas.unwrap_or_default();
    let others_are_well = wanted > 0 && available >= wanted;
    if !others_are_well && !words.is_some_and(|words| words.trouble.is_definite()) {
        return None;
    }
    let why = words.map(ToString::to_string).or_else(|| condition.message.clone());
    let why = why.unwrap_or_else(|| "its pods did not become ready in time".to_owned());
    Some(Failure { config_map: config_of(deployment)?.to_owned(), why })
}

/// Whether a Deployment's pods are all as it wants them, and no others are left.
#[must_use]
pub(crate) fn is_settled(deployment: &Deployment) -> bool {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let counts = [status.replicas, status.updated_replicas, status.available_replicas];
    status.observed_generation == deployment.metadata.generation
        && counts.into_iter().all(|count| Some(count.unwrap_or_default()) == wanted)
}

/// The condition by which a Deployment says that the pods of its present template did not become ready in time.
#[must_use]
pub(crate) fn deadline_exceeded(deployment: &Deployment) -> Option<&DeploymentCondition> {
    let status = deployment.status.as_ref()?;
    if status.observed_generation != deployment.metadata.generation {
        return None;
    }
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "Progressing" && condition.status == "False")
}

/// The ConfigMap that a Deployment's pods mount.
#[must_use]
pub(crate) fn config_of(deployment: &Deployment) -> Option<&str> {
    let volumes = deployment.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == CONFIG_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.as_str())
}

#[cfg(test)]
mod tests {
    use crds::pipeline::LoginPipeline;
    use serde_json::{Value, json};

    use super::*;
    use crate::{pods::Trouble, topics::State, validate::check_pipeline};

    fn valid(parts: &Value) -> Valid {
        let mut spec = json!({"kafka": {"strimzi": {"cluster": "a"}}});
        spec.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        check_pipeline(&LoginPipeline::new("logins", serde_json::from_value(spec).unwrap())).unwrap()
    }

    #[test]
    fn pods_never_exceed_partitions_and_are_zero_while_suspended() {
        let size_of = |replicas: i32, suspend: bool, existing: Option<i32>| {
            let parts = json!({
                "source": {"partitions": 4}, "processor": {"replicas": replicas}, "suspend": suspend,
            });
            let seen = Seen { state: State::Ready, partitions: existing, ..source() };
            let Size { replicas, capped } = size(&valid(&parts), &[seen], &[]);
            (replicas, capped)
        };

        assert_eq!(size_of(3, false, None), (3, None));
        assert_eq!(size_of(4, false, Some(4)), (4, None));
        assert_eq!(size_of(5, false, Some(4)), (4, Some(4)));
        // A source that has more counts.
        assert_eq!(size_of(7, false, Some(6)), (6, Some(6)));
        assert_eq!(size_of(3, true, None), (0, None));
        assert_eq!(size_of(0, false, None), (0, None));

        // A Kafka that does not answer takes no pod away.
        let reported = TopicStatus {
            role: Role::Source,
            name: "user-login".to_owned(),
            partitions: Some(6),
            topic_id: None,
            created: false,
        };
        let parts = json!({"source": {"partitions": 4}, "processor": {"replicas": 6}});
        assert_eq!(size(&valid(&parts), &[], &[reported]), Size { replicas: 6, capped: None });
    }

    fn source() -> Seen {
        Seen {
            role: Role::Source,
            name: "user-login".to_owned(),
            state: State::Missing,
            partitions: None,
            config: std::collections::BTreeMap::new(),
            topic_id: None,
            created: false,
            expected_id: None,
            control: crate::topics::Control::Theirs,
        }
    }

    /// A Deployment of two whose change failed while the pods of before are well, but for `change`.
    fn failed(change: &Value) -> Deployment {
        let config = json!({"name": "config", "configMap": {"name": "logins-config-2"}});
        let mut deployment = json!({
            "metadata": {"generation": 3},
            "spec": {
                "replicas": 2, "selector": {},
                "template": {"spec": {"containers": [], "volumes": [config]}},
            },
            "status": {
                "observedGeneration": 3, "availableReplicas": 2,
                "conditions": [{"type": "Progressing", "status": "False", "message": "too late"}],
            },
        });
        for (key, value) in change.as_object().unwrap() {
            *deployment.pointer_mut(key).unwrap() = value.clone();
        }
        serde_json::from_value(deployment).unwrap()
    }

    #[test]
    fn a_change_fails_after_its_deadline_if_it_alone_is_to_blame() {
        let rollback = valid(&json!({}));
        let of = |change: &Value, words: Option<&PodReason>| failure(&rollback, &failed(change), words);
        let none = json!({});
        let expected = |why: &str| Some(Failure { config_map: "logins-config-2".to_owned(), why: why.to_owned() });
        assert_eq!(of(&none, None), expected("too late"));
        let words = |trouble| PodReason {
            trouble,
            pod: "logins-processor-1".to_owned(),
            count: 1,
            of: 2,
            text: "its own words".to_owned(),
        };
        assert_eq!(of(&none, Some(&words(Trouble::Crash))), expected("1 of 2 pods: its own words"));

        // Where those of before are not well either, only what no Kafka can cause is the change's fault.
        let all_down = json!({"/status/availableReplicas": 1});
        assert_eq!(of(&all_down, None), None);
        assert_eq!(of(&all_down, Some(&words(Trouble::Crash))), None);
        assert_eq!(of(&all_down, Some(&words(Trouble::Image))), expected("1 of 2 pods: its own words"));

        // In time, or about another template, nothing has failed.
        assert_eq!(of(&json!({"/status/conditions/0/status": "True"}), None), None);
        assert_eq!(of(&json!({"/status/observedGeneration": 2}), None), None);
        assert_eq!(of(&json!({"/spec/replicas": 0}), None), None);
        assert_eq!(failure(&valid(&json!({"processor": {"rollback": "Never"}})), &failed(&none), None), None);
    }
}
