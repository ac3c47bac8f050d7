//! What a pipeline may do in a Kafka and to topics that others made: what the owner of the `Kafka` allows, and what
//! `spec.topics.adopt` allows. Pure.

use std::collections::BTreeMap;

use super::{error::TopicsError, seen::Control, shape::Change};
use crate::validate::Valid;

/// The annotation of a `Kafka` that names the namespaces whose pipelines may have topics in it, separated by commas;
/// `*` stands for all. Pipelines of its own namespace need none.
const ALLOW_ANNOTATION: &str = "loginpipeline.dev/allow-namespaces";

/// Checks that the owner of a `Kafka`, which has these annotations, lets the pipeline use it.
///
/// # Errors
/// When the `Kafka` is in another namespace and does not name the pipeline's.
pub(super) fn check_grant(
    valid: &Valid,
    cluster: &str,
    annotations: &BTreeMap<String, String>,
) -> Result<(), TopicsError> {
    let (namespace, kafka_namespace) = (&valid.id.namespace, valid.kafka_namespace());
    if is_allowed(namespace, kafka_namespace, annotations) {
        return Ok(());
    }
    Err(TopicsError::NamespaceNotAllowed {
        namespace: namespace.clone(),
        kafka: format!("{kafka_namespace}/{cluster}"),
        annotation: ALLOW_ANNOTATION,
    })
}

fn is_allowed(namespace: &str, kafka_namespace: &str, annotations: &BTreeMap<String, String>) -> bool {
    let granted = annotations.get(ALLOW_ANNOTATION).map(String::as_str).unwrap_or_default();
    namespace == kafka_namespace || granted.split(',').map(str::trim).any(|entry| entry == "*" || entry == namespace)
}

/// What a pipeline may do to topics that it did not create.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// `spec.topics.adopt`.
    pub(super) adopt: bool,
}

impl Policy {
    pub(super) const fn of(valid: &Valid) -> Self {
        Self { adopt: valid.spec.topics.adopt }
    }

    /// The control over a topic that exists in a Kafka that Strimzi does not run.
    pub(super) const fn control(self, was_created: bool) -> Control {
        match (was_created, self.adopt) {
            (true, _) => Control::Own,
            (false, true) => Control::Adopted,
            (false, false) => Control::Adoptable,
        }
    }

    /// Whether Kafka must be asked if a topic without a `KafkaTopic` exists, before the pipeline creates that object.
    ///
    /// With `adopt` the object may be created either way. A topic that was in use is looked up all the same: it may be
    /// lost.
    pub(super) const fn must_ask(self, expected_id: Option<&str>) -> bool {
        !self.adopt || expected_id.is_some()
    }

    /// Whether an existing topic may get a `KafkaTopic` when Strimzi would then make these changes.
    pub(super) const fn allows(self, changes: &[Change]) -> bool {
        self.adopt || changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_namespace_needs_to_be_named() {
        let allowed = |granted: Option<&str>| {
            let annotations = granted.map(|granted| (ALLOW_ANNOTATION.to_owned(), granted.to_owned()));
            is_allowed("teams", "kafka", &annotations.into_iter().collect())
        };
        assert!(is_allowed("kafka", "kafka", &BTreeMap::new()));
        for granted in ["teams", "*", "others, teams", "teams,others", " teams "] {
            assert!(allowed(Some(granted)), "{granted}");
        }
        assert!(!allowed(None));
        for refused in ["", "others", "team", "teams2", "teams-a", "kafka", "team*"] {
            assert!(!allowed(Some(refused)), "{refused}");
        }
    }

    #[test]
    fn what_others_made_is_changed_only_with_adopt() {
        let (careful, adopting) = (Policy { adopt: false }, Policy { adopt: true });
        for policy in [careful, adopting] {
            assert_eq!(policy.control(true), Control::Own);
            assert!(policy.allows(&[]));
            assert!(policy.must_ask(Some("id")), "it may be lost");
        }

        let change = [Change { what: "partitions".to_owned(), from: "1".to_owned(), to: "2".to_owned() }];
        assert_eq!(careful.control(false), Control::Adoptable);
        assert_eq!(adopting.control(false), Control::Adopted);
        assert!(!careful.allows(&change));
        assert!(adopting.allows(&change));
        assert!(careful.must_ask(None));
        assert!(!adopting.must_ask(None));
    }
}
