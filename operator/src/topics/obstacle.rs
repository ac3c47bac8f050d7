//! What keeps topics from being usable: a cause, for programs, and a sentence with the remedy, for people. Pure.

use crds::topics::{Role, Topic};

use super::{
    growth,
    lost::ACCEPT_ANNOTATION,
    seen::{Cause, Control, Obstacle, Seen, State, find},
    shape::{self, Change, takes_any_time},
};

/// What still keeps the topics from being usable, in the order in which they are made; empty when they are ready.
#[must_use]
pub fn obstacles(wanted: &[Topic], seen: &[Seen]) -> Vec<Obstacle> {
    let source_bytes = growth::source_bytes(seen);
    wanted.iter().filter_map(|topic| obstacle(topic, find(seen, topic.role)?, source_bytes)).collect()
}

/// The gravest of several: its cause stands for all.
#[must_use]
pub fn gravest(obstacles: &[Obstacle]) -> Option<Cause> {
    obstacles.iter().map(|obstacle| obstacle.cause).max()
}

/// What everybody should know of topics that are ready; None when there is nothing.
#[must_use]
pub fn caveat(wanted: &[Topic], seen: &[Seen]) -> Option<String> {
    let source = find(seen, Role::Source).filter(|source| source.state == State::Ready)?;
    let name = &wanted.iter().find(|topic| topic.role == Role::Source)?.name;
    takes_any_time(&source.config).then(|| {
        format!(
            "source topic {name} has message.timestamp.type CreateTime and no bound on it: a client whose clock is ahead \
             makes events of the future valid, and closes windows too soon; set message.timestamp.after.max.ms (such as \
             300000) on it, or message.timestamp.type to LogAppendTime"
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
            because(Cause::Awaited, "does not exist yet; it is made when the others are ready".to_owned())
        }
        State::Missing => because(Cause::Awaited, "does not exist yet".to_owned()),
        State::Pending(obstacle) => Some(obstacle.clone()),
        State::Ready => misfit(topic, seen, source_bytes),
    }
}

/// The loss of a topic that was in use, and what a person can do.
fn loss(topic: &Topic, seen: &Seen) -> Option<String> {
    let expected = seen.expected_id.as_ref()?;
    let what = match &seen.topic_id {
        Some(id) if id != expected => {
            format!(
                "it was deleted and made again (its id was {expected} and is {id}), so that committed offsets do not fit it"
            )
        }
        None if seen.state == State::Missing => format!("it was deleted (its id was {expected})"),
        _ => return None,
    };
    let accept = format!("{ACCEPT_ANNOTATION}: {}={expected}", topic.role);
    Some(format!(
        "{what}, and what it held is lost; suspend the pipeline, see what can be restored, then annotate the LoginPipeline \
         with {accept} to go on with a new one"
    ))
}

/// Why a topic that is there does not fit.
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
                "it has {partitions} partitions, but its order must be total: if nothing needs it, delete it, and it is made \
                 with one"
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
            (Cause::Awaited, format!("it is to be changed in its turn, the source last: {list}"))
        }
        Control::Adoptable => {
            let fewer = if topic.role == Role::Source {
                ", or make the pipeline anew with the partitions that the topic has in spec.source.partitions"
            } else {
                ""
            };
            (
                Cause::AdoptionRequired,
                format!(
                    "it is not this pipeline's and would have to be changed: {list}; change it yourself, or let it be done \
                     with spec.topics.adopt: true{fewer}"
                ),
            )
        }
        Control::Theirs => {
            (Cause::Unsuitable, format!("its KafkaTopic is not this pipeline's and must be changed there: {list}"))
        }
    }
}
