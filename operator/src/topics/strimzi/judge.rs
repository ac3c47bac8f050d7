//! What a snapshot says of each topic, and what the pipeline does about its `KafkaTopic`. Pure; time comes in.
//!
//! | the topic has | the pipeline |
//! |---|---|
//! | a `KafkaTopic` of the pipeline's own | keeps that as it should be |
//! | another `KafkaTopic` | waits until it is ready, and never changes it |
//! | no `KafkaTopic` | creates one, unless Strimzi would then change an existing topic without `spec.topics.adopt` |

use std::collections::BTreeMap;

use crds::{
    strimzi::{CLUSTER_LABEL, KafkaTopic},
    topics::{Role, Topic},
};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::Value;

use super::snapshot::Snapshot;
use crate::{
    build::{ADOPTED_ANNOTATION, kafka_topic_name},
    objects::owned::is_owned,
    topics::{
        lost::Known,
        policy::Policy,
        readiness::readiness,
        seen::{Cause, Control, Obstacle, Seen, State},
        shape,
    },
    validate::Valid,
};

/// What is done about a topic's object.
#[derive(Debug)]
pub(super) enum Action {
    /// Create it. It is marked as adopted if the topic exists, or may exist, without being this pipeline's.
    Create { is_adopted: bool },
    /// Bring this object of the pipeline's own to its desired state.
    Update(Box<KafkaTopic>),
    /// Write nothing: the object is not this pipeline's, or creating one is not allowed.
    Leave,
}

/// A topic as the snapshot shows it, and what is done about its object.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) seen: Seen,
    pub(super) action: Action,
}

/// What snapshots are judged by.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) valid: &'a Valid,
    /// Name of the `Kafka`.
    pub(super) cluster: &'a str,
    pub(super) known: Known<'a>,
    pub(super) policy: Policy,
}

impl Judge<'_> {
    /// The names of the topics about which Kafka itself must be asked, given the objects that exist.
    pub(super) fn questions(&self, objects: &[KafkaTopic], at: Timestamp) -> Vec<String> {
        let topics = self.valid.topics();
        let seen = topics.iter().map(|topic| see(topic, self.valid, self.cluster, objects, at, self.known));
        let asked = seen
            .filter(|seen| seen.state == State::Missing && self.policy.must_ask(seen.expected_id.as_deref()))
            .map(|seen| seen.name);
        asked.collect()
    }

    /// One judgement for each of the pipeline's topics, in the order of [`Role::ALL`].
    pub(super) fn judge(&self, snapshot: &Snapshot) -> Vec<Judged> {
        self.valid.topics().iter().map(|topic| self.judge_topic(topic, snapshot)).collect()
    }

    fn judge_topic(&self, topic: &Topic, snapshot: &Snapshot) -> Judged {
        let seen = see(topic, self.valid, self.cluster, &snapshot.objects, snapshot.at, self.known);
        if let Some(object) = own(topic.role, self.valid, &snapshot.objects) {
            return Judged { seen, action: Action::Update(Box::new(object.clone())) };
        }
        if seen.state != State::Missing {
            return Judged { seen, action: Action::Leave };
        }
        if !self.policy.must_ask(seen.expected_id.as_deref()) {
            // Whether the topic exists is not known. It must not be deleted later, for it may belong to others.
            return Judged { seen, action: Action::Create { is_adopted: true } };
        }
        self.judge_missing(topic, seen, snapshot)
    }

    /// Judges a topic without a `KafkaTopic` by what Kafka says of it.
    fn judge_missing(&self, topic: &Topic, seen: Seen, snapshot: &Snapshot) -> Judged {
        let hindered = |seen: Seen, cause, why: String| Judged {
            seen: Seen { state: State::Pending(Obstacle::of(topic, cause, why)), ..seen },
            action: Action::Leave,
        };
        let existing = match &snapshot.existing {
            Ok(existing) => existing.get(&topic.name),
            Err(error) => {
                let why = format!(
                    "it has no KafkaTopic, and whether it exists is not known: {error}. Strimzi would take it over \
                     and reset its configs: let the operator reach that listener, or allow the takeover with \
                     spec.topics.adopt: true"
                );
                return hindered(seen, Cause::AdoptionUnknown, why);
            }
        };
        let Some(existing) = existing else { return Judged { seen, action: Action::Create { is_adopted: false } } };
        let seen = Seen {
            topic_id: Some(existing.id.clone()),
            partitions: Some(existing.partitions),
            config: existing.config.clone(),
            ..seen
        };
        let changes = shape::takeover(topic, existing);
        if !self.policy.allows(&changes) {
            let why = format!(
                "it exists without a KafkaTopic, and Strimzi would change it once it gets one: {}; create a \
                 KafkaTopic for it that says what it should be, or allow the change with spec.topics.adopt: true",
                shape::list(&changes)
            );
            return hindered(seen, Cause::AdoptionRequired, why);
        }
        let was_created = self.known.was_created(topic, Some(&existing.id));
        Judged { seen, action: Action::Create { is_adopted: !was_created } }
    }

    /// The topic after its object was written. `before` is what was seen of it until then.
    pub(super) fn after_write(&self, topic: &Topic, before: &Seen, written: &KafkaTopic, at: Timestamp) -> Seen {
        let now = see(topic, self.valid, self.cluster, std::slice::from_ref(written), at, self.known);
        // Kafka itself said the identifier of a topic that had no object; its topic operator says it later.
        let topic_id = now.topic_id.clone().or_else(|| before.topic_id.clone());
        Seen { expected_id: before.expected_id.clone(), topic_id, ..now }
    }
}

/// What the objects say of a topic.
fn see(topic: &Topic, valid: &Valid, cluster: &str, objects: &[KafkaTopic], at: Timestamp, known: Known<'_>) -> Seen {
    let mut seen = Seen {
        role: topic.role,
        name: topic.name.clone(),
        state: State::Missing,
        partitions: None,
        config: BTreeMap::new(),
        topic_id: None,
        expected_id: known.expected_id(topic).map(ToOwned::to_owned),
        created: false,
        control: Control::Own,
    };
    let own = own(topic.role, valid, objects);
    let Some(object) = own.or_else(|| objects.iter().find(|object| describes(object, topic, cluster))) else {
        let name = kafka_topic_name(&valid.id, topic.role);
        if objects.iter().any(|object| object.name_any() == name) {
            let why = format!(
                "KafkaTopic {name} exists, is not this pipeline's and describes another topic: rename the pipeline, or \
                 delete the KafkaTopic, and with it Strimzi deletes that topic"
            );
            seen.state = State::Pending(Obstacle::of(topic, Cause::Contested, why));
            seen.control = Control::Theirs;
        }
        return seen;
    };
    seen.state = readiness(topic, object, at);
    seen.partitions = object.spec.partitions;
    seen.config = object.spec.config.iter().map(|(key, value)| (key.clone(), config_text(value))).collect();
    seen.topic_id = object.status.as_ref().and_then(|status| status.topic_id.clone());
    seen.created = own.is_some() && !is_adopted(object);
    seen.control = if own.is_some() { Control::Own } else { Control::Theirs };
    seen
}

/// The object that the pipeline itself created for a role.
fn own<'a>(role: Role, valid: &Valid, objects: &'a [KafkaTopic]) -> Option<&'a KafkaTopic> {
    let name = kafka_topic_name(&valid.id, role);
    objects.iter().find(|object| object.name_any() == name && is_owned(*object, &valid.owner.uid))
}

fn describes(object: &KafkaTopic, topic: &Topic, cluster: &str) -> bool {
    let is_of_cluster = object.labels().get(CLUSTER_LABEL).is_some_and(|label| label == cluster);
    is_of_cluster && object.spec.topic_name.clone().unwrap_or_else(|| object.name_any()) == topic.name
}

/// Whether the topic existed before its object, or may have existed.
pub(super) fn is_adopted(object: &KafkaTopic) -> bool {
    object.annotations().contains_key(ADOPTED_ANNOTATION)
}

/// A config's value as Kafka writes it.
fn config_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
