use std::collections::BTreeMap;

use crds::{
    pipeline::{LoginPipeline, LoginPipelineSpec},
    topics::{Role, Topic},
};
use proptest::prelude::*;

use super::{
    growth::{is_due, wanted},
    obstacle::obstacles,
    seen::{Cause, Control, Obstacle, Seen, State},
    shape,
};
use crate::validate::{Valid, check_pipeline};

fn soon() -> State {
    State::Pending(Obstacle { cause: Cause::Awaited, message: "soon".to_owned() })
}

fn valid(partitions: i32) -> Valid {
    let spec = serde_json::json!({"kafka": {"strimzi": {"cluster": "a"}}, "source": {"partitions": partitions}});
    let spec: LoginPipelineSpec = serde_json::from_value(spec).unwrap();
    check_pipeline(&LoginPipeline::new("logins", spec)).unwrap()
}

fn seen(role: Role, partitions: Option<i32>) -> Seen {
    let name = valid(1).topics().into_iter().find(|topic| topic.role == role).unwrap().name;
    Seen {
        role,
        name,
        state: if partitions.is_some() { State::Ready } else { State::Missing },
        partitions,
        config: if partitions.is_some() { config(role) } else { BTreeMap::new() },
        topic_id: None,
        expected_id: None,
        created: true,
        control: Control::Own,
    }
}

fn config(role: Role) -> BTreeMap<String, String> {
    let topic = valid(1).topics().into_iter().find(|topic| topic.role == role).unwrap();
    topic.config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A topic exactly as it was wanted.
fn ready(topic: &Topic) -> Seen {
    let config = topic.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    Seen { config, ..seen(topic.role, Some(topic.partitions)) }
}

/// Output, dead letters, each of those with one partition, source.
fn all([output, dead_letters, single, source]: [Option<i32>; 4]) -> Vec<Seen> {
    let partitions = |role| match role {
        Role::Output => output,
        Role::DeadLetters => dead_letters,
        Role::Source => source,
        _ => single,
    };
    Role::ALL.into_iter().map(|role| seen(role, partitions(role))).collect()
}

/// The index of a role in what `all` returns.
fn place(role: Role) -> usize {
    Role::ALL.into_iter().position(|other| other == role).unwrap()
}

fn sizes(spec: i32, there: [Option<i32>; 4]) -> [i32; 4] {
    let topics = wanted(&valid(spec), &all(there));
    let single: Vec<_> = topics.iter().filter(|topic| topic.role.is_single()).collect();
    assert!(single.len() == 6 && single.iter().all(|topic| topic.partitions == single[0].partitions));
    [Role::Output, Role::DeadLetters, Role::Deltas, Role::Source].map(|role| topics[place(role)].partitions)
}

#[test]
fn the_outputs_are_as_large_as_the_source_and_nothing_shrinks() {
    assert_eq!(sizes(8, [None; 4]), [8, 8, 1, 8]);
    assert_eq!(sizes(8, [Some(8), Some(8), Some(1), Some(8)]), [8, 8, 1, 8]);
    assert_eq!(sizes(8, [None, None, None, Some(20)]), [20, 20, 1, 20]);
    assert_eq!(sizes(8, [Some(30), Some(2), None, Some(20)]), [30, 20, 1, 20]);
    assert_eq!(sizes(12, [Some(8), Some(8), Some(1), Some(8)]), [12, 12, 1, 12]);
}

#[test]
fn the_source_waits_for_every_output() {
    let due = |spec: i32, seen: &[Seen]| -> Vec<Role> {
        let wanted = wanted(&valid(spec), seen);
        let due = wanted.iter().filter(|topic| is_due(topic, &wanted, seen));
        due.map(|topic| topic.role).collect()
    };
    let outputs: Vec<_> = Role::ALL.into_iter().filter(|role| *role != Role::Source).collect();

    assert_eq!(due(8, &all([None; 4])), outputs);
    assert_eq!(due(8, &all([Some(8), None, Some(1), None])), outputs);
    assert_eq!(due(8, &all([Some(8), Some(7), Some(1), None])), outputs);
    assert_eq!(due(8, &all([Some(8), Some(8), Some(1), None])), Role::ALL);
    assert_eq!(due(9, &all([Some(9), Some(8), Some(1), Some(8)])), outputs);

    let mut pending = all([Some(8), Some(8), Some(1), None]);
    pending[place(Role::State)].state = soon();
    assert_eq!(due(8, &pending), outputs);
}

#[test]
fn obstacles_name_the_topic_and_the_remedy() {
    let found = |spec: i32, seen: &[Seen]| obstacles(&wanted(&valid(spec), seen), seen);
    assert_eq!(found(8, &all([Some(8), Some(8), Some(1), Some(8)])), []);
    insta::assert_debug_snapshot!(found(8, &all([None; 4])));
    insta::assert_debug_snapshot!(found(12, &all([Some(12), Some(8), Some(3), Some(8)])));
    let mut small = all([Some(8), Some(8), Some(1), Some(8)]);
    let bytes = (shape::MAX_MESSAGE_BYTES.to_owned(), "1000".to_owned());
    small[place(Role::DeadLetters)].config.extend([bytes]);
    small[place(Role::DeadLetters)].control = Control::Adoptable;
    small[place(Role::Source)].control = Control::Theirs;
    small[place(Role::Output)].state = soon();
    insta::assert_debug_snapshot!(found(9, &small));
}

proptest! {
    /// Whatever exists, carrying out what is due again and again ends with every topic ready, and the source never gets
    /// a partition that an output lacks.
    #[test]
    fn growth_ends_and_never_runs_ahead(
        spec in 1..40_i32,
        there in prop::array::uniform4(prop::option::of(1..40_i32)),
        order in prop::collection::vec(any::<bool>(), 0..12),
    ) {
        let mut there = there;
        there[2] = there[2].map(|_| 1);
        let mut seen = all(there);
        let partitions = |seen: &[Seen], role| seen[place(role)].partitions;
        let lacked = |seen: &[Seen]| {
            let outputs = [Role::Output, Role::DeadLetters];
            outputs.into_iter().any(|output| partitions(seen, Role::Source) > partitions(seen, output))
        };
        let mut may_lack = lacked(&seen);
        // Whether each topic is carried out in this pass; after these, all are.
        let mut order = order.into_iter().chain(std::iter::repeat(true));

        for _ in 0..16 {
            let wanted = wanted(&valid(spec), &seen);
            for topic in &wanted {
                if is_due(topic, &wanted, &seen) && order.next() == Some(true) {
                    let entry = seen.iter_mut().find(|seen| seen.role == topic.role).unwrap();
                    prop_assert!(entry.partitions <= Some(topic.partitions), "shrunk");
                    *entry = ready(topic);
                }
                may_lack = may_lack && lacked(&seen);
                prop_assert!(may_lack || !lacked(&seen), "the source ran ahead: {seen:?}");
            }
        }

        prop_assert_eq!(obstacles(&wanted(&valid(spec), &seen), &seen), []);
    }
}
