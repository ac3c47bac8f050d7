//! What keeps topics from being usable, with cause and remedy. Pure.

use crds::topics::{Role, Topic};

use super::{
    growth,
    lost::ACCEPT_ANNOTATION,
    seen::{Cause, Control, Obstacle, Seen, State, find},
    shape::{self, Change, takes_any_time},
};

/// What keeps the topics from being usable, in the order in which they are created; empty when they are ready.
pub(crate) fn obstacles(wanted: &[Topic], seen: &[Seen]) -> Vec<Obstacle> {
    let source_bytes = growth::source_bytes(seen);
    wanted.iter().filter_map(|topic| obstacle(topic, find(seen, topic.role)?, source_bytes)).collect()
}

/// The most severe cause, which stands for all.
pub(crate) fn gravest(obstacles: &[Obstacle]) -> Option<Cause> {
    obstacles.iter().map(|obstacle| obstacle.cause).max()
}

/// A risk that ready topics still carry; None if there is none.
pub(crate) fn caveat(wanted: &[Topic], seen: &[Seen]) -> Option<String> {
    let source = find(seen, Role::Source).filter(|source| source.state == State::Ready)?;
    let name = &wanted.iter().find(|topic| topic.role == Role::Source)?.name;
    takes_any_time(&source.config).then(|| {
        format!(
            "source topic {name} has message.timestamp.type CreateTime and no bound on it: a client whose clock is \
             ahead makes events of the future valid, and closes windows too soon; set message.timestamp.after.max.ms \
             (such as 300000) on it, or message.timestamp.type to LogAppendTime"
        )
    })
}

fn obstacle(topic: &Topic, seen: &Seen, source_bytes: i64) -> Option<Obstacle> {
    let because = |cause, why: String| Some(Obstacle::of(topic, cause, why));
    if let Some(why) = loss(topic, seen) {
        return because(Cause::Lost, why);
    }
    match &seen.state {
        State::Missing if topic.role == Role::Source => {
            because(Cause::Awaited, "does not exist yet; it is created when the others are ready".to_owned())
        }
        State::Missing => because(Cause::Awaited, "does not exist yet".to_owned()),
        State::Pending(obstacle) => Some(obstacle.clone()),
        State::Ready => misfit(topic, seen, source_bytes),
    }
}

/// How a topic that was in use was lost, and what a person can do.
fn loss(topic: &Topic, seen: &Seen) -> Option<String> {
    let expected = seen.expected_id.as_ref()?;
    let what = match &seen.topic_id {
        Some(id) if id != expected => {
            format!(
                "it was deleted and made again (its id was {expected} and is {id}), so committed offsets do not fit it"
            )
        }
        None if seen.state == State::Missing => format!("it was deleted (its id was {expected})"),
        _ => return None,
    };
    let accept = format!("{ACCEPT_ANNOTATION}: {}={expected}", topic.role);
    Some(format!(
        "{what}, and its records are lost; suspend the pipeline, restore what can be restored, then annotate the \
         LoginPipeline with {accept} to go on with a new topic"
    ))
}

/// Why a topic that exists does not fit.
fn misfit(topic: &Topic, seen: &Seen, source_bytes: i64) -> Option<Obstacle> {
    let because = |cause, why: String| Some(Obstacle::of(topic, cause, why));
    let Some(partitions) = seen.partitions else {
        return because(
            Cause::Unsuitable,
            "its KafkaTopic does not say how many partitions it has: set spec.partitions there".to_owned(),
        );
    };
    if topic.role.is_single() && partitions != 1 {
        return because(
            Cause::Unsuitable,
            format!(
                "it has {partitions} partitions, but its records must have one order: if nothing needs it, delete it, \
                 and it is created with one partition"
            ),
        );
    }
    let mut changes = shape::unmet(topic, &seen.config, source_bytes);
    if partitions < topic.partitions {
        changes.push(shape::partitions(partitions, topic.partitions));
    }
    if changes.is_empty() {
        return None;
    }
    let (cause, why) = remedy(topic, seen.control, &changes);
    because(cause, why)
}

fn remedy(topic: &Topic, control: Control, changes: &[Change]) -> (Cause, String) {
    let list = shape::list(changes);
    match control {
        Control::Own | Control::Adopted => {
            let when = if topic.role == Role::Source { " once the other topics are ready" } else { "" };
            (Cause::Awaited, format!("it will be changed{when}: {list}"))
        }
        Control::Adoptable => {
            let fewer = if topic.role == Role::Source {
                ", or recreate the pipeline with the topic's number of partitions in spec.source.partitions"
            } else {
                ""
            };
            (
                Cause::AdoptionRequired,
                format!(
                    "it is not this pipeline's and would have to be changed: {list}; change it yourself, or let the \
                     operator do it with spec.topics.adopt: true{fewer}"
                ),
            )
        }
        Control::Theirs => {
            (Cause::Unsuitable, format!("its KafkaTopic is not this pipeline's and must be changed there: {list}"))
        }
    }
}
