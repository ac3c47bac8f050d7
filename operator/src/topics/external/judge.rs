//! What Kafka's answers say of each topic, and what the pipeline does about it. Pure.

use std::collections::BTreeMap;

use crds::topics::Topic;

use crate::topics::{
    lost::Known,
    policy::Policy,
    seen::{Control, Seen, State},
    shape::{self, Change, Existing},
};

/// What is done about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    /// Set these configs and leave the others alone.
    SetConfigs(Vec<(String, String)>),
    /// Raise the number of partitions.
    Grow,
}

pub(super) fn see(topic: &Topic, found: &BTreeMap<String, Existing>, known: Known<'_>, policy: Policy) -> Seen {
    let seen = Seen {
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
    let Some(existing) = found.get(&topic.name) else { return seen };
    let created = known.was_created(topic, Some(&existing.id));
    Seen {
        state: State::Ready,
        partitions: Some(existing.partitions),
        config: existing.config.clone(),
        topic_id: Some(existing.id.clone()),
        created,
        control: policy.control(created),
        ..seen
    }
}

/// What brings a topic to what it should be, in this order. `source_bytes` is the largest message of the source.
pub(super) fn actions(topic: &Topic, seen: &Seen, source_bytes: i64) -> Vec<Action> {
    if seen.state == State::Missing {
        return vec![Action::Create];
    }
    let changes = match seen.control {
        Control::Own => shape::drift(topic, &seen.config),
        Control::Adopted => shape::unmet(topic, &seen.config, source_bytes),
        Control::Adoptable | Control::Theirs => return Vec::new(),
    };
    let mut actions = Vec::new();
    if !changes.is_empty() {
        let configs = changes.into_iter().map(|Change { what, to, .. }| (what, to));
        actions.push(Action::SetConfigs(configs.collect()));
    }
    if seen.partitions < Some(topic.partitions) {
        actions.push(Action::Grow);
    }
    actions
}

#[cfg(test)]
mod tests {
    use crds::{pipeline::TopicStatus, topics::Role};

    use super::*;

    const SOURCE_BYTES: i64 = 1000;

    fn topic() -> Topic {
        let config = vec![("max.message.bytes", "5000".to_owned()), ("retention.ms", "7".to_owned())];
        Topic { role: Role::Output, name: "out".to_owned(), partitions: 3, config }
    }

    fn control(reported: Option<(&str, bool)>, existing: Option<&str>, adopt: bool) -> (bool, Control) {
        let reported: Vec<_> = reported
            .map(|(id, created)| TopicStatus {
                role: Role::Output,
                name: "out".to_owned(),
                partitions: None,
                topic_id: Some(id.to_owned()),
                created,
            })
            .into_iter()
            .collect();
        let existing = existing.map(|id| ("out".to_owned(), Existing { id: id.to_owned(), ..Existing::default() }));
        let known = Known::new(&reported, None);
        let seen = see(&topic(), &existing.into_iter().collect(), known, Policy { adopt });
        (seen.created, seen.control)
    }

    #[test]
    fn a_created_topic_is_owned_only_while_its_topic_id_is_the_same() {
        assert_eq!(control(None, None, false), (false, Control::Own));
        assert_eq!(control(None, Some("a"), false), (false, Control::Adoptable));
        assert_eq!(control(None, Some("a"), true), (false, Control::Adopted));
        assert_eq!(control(Some(("a", false)), Some("a"), false), (false, Control::Adoptable));
        assert_eq!(control(Some(("a", true)), Some("a"), false), (true, Control::Own));
        // Others deleted it and made it again.
        assert_eq!(control(Some(("a", true)), Some("b"), false), (false, Control::Adoptable));
    }

    fn existing(control: Control, partitions: i32, configs: &[(&str, &str)]) -> Seen {
        Seen {
            role: Role::Output,
            name: "out".to_owned(),
            state: State::Ready,
            partitions: Some(partitions),
            config: configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            topic_id: None,
            expected_id: None,
            created: control == Control::Own,
            control,
        }
    }

    #[test]
    fn own_topics_are_restored_and_adopted_ones_minimally_changed() {
        let done = |control, partitions, configs: &[(&str, &str)]| {
            actions(&topic(), &existing(control, partitions, configs), SOURCE_BYTES)
        };
        let set = |configs: &[(&str, &str)]| {
            let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Action::SetConfigs(configs.collect())
        };
        let fine = [("max.message.bytes", "5000"), ("retention.ms", "7")];
        let drifted = [("max.message.bytes", "900"), ("retention.ms", "8")];

        assert_eq!(done(Control::Own, 3, &fine), []);
        assert_eq!(done(Control::Own, 4, &fine), [], "nothing shrinks");
        assert_eq!(done(Control::Own, 2, &drifted), [set(&fine), Action::Grow]);
        assert_eq!(done(Control::Adopted, 2, &drifted), [set(&fine[..1]), Action::Grow]);
        assert_eq!(done(Control::Adopted, 3, &[("max.message.bytes", "1000"), ("retention.ms", "8")]), []);
        for control in [Control::Adoptable, Control::Theirs] {
            assert_eq!(done(control, 2, &drifted), []);
        }
    }

    #[test]
    fn a_missing_topic_is_created() {
        let missing = Seen { state: State::Missing, ..existing(Control::Own, 0, &[]) };
        assert_eq!(actions(&topic(), &missing, SOURCE_BYTES), [Action::Create]);
    }
}
