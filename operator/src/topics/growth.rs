//! The topics as they should be, and which of them may be created or changed now. Pure.

use crds::topics::{Role, SOURCE_MAX_MESSAGE_BYTES, Topic};

use super::{
    seen::{Seen, State, find},
    shape::{MAX_MESSAGE_BYTES, output_bytes},
};
use crate::validate::Valid;

/// The topics as they should be: what the pipeline needs, at least as large as what exists. Nothing ever shrinks, the
/// outputs have a partition for each of the source's, and they take the source's largest message with what enrichment
/// adds.
#[must_use]
pub fn wanted(valid: &Valid, seen: &[Seen]) -> Vec<Topic> {
    let source_partitions = find(seen, Role::Source).and_then(|source| source.partitions).unwrap_or_default();
    let source_bytes = source_bytes(seen);
    let mut topics = valid.topics();
    for topic in &mut topics {
        let existing = find(seen, topic.role).and_then(|seen| seen.partitions).unwrap_or_default();
        topic.partitions = topic.partitions.max(existing);
        if matches!(topic.role, Role::Output | Role::DeadLetters) {
            topic.partitions = topic.partitions.max(source_partitions);
            let larger = output_bytes(source_bytes).to_string();
            for (_, value) in topic.config.iter_mut().filter(|(key, _)| *key == MAX_MESSAGE_BYTES) {
                value.clone_from(&larger);
            }
        }
    }
    topics
}

/// The largest message of the source. For a source that the operator will create, what it will set.
pub(crate) fn source_bytes(seen: &[Seen]) -> i64 {
    let source = find(seen, Role::Source).filter(|source| source.state != State::Missing);
    source.and_then(Seen::max_message_bytes).unwrap_or(i64::from(SOURCE_MAX_MESSAGE_BYTES))
}

/// Whether a topic may be created or changed now. The source waits until every output is ready at its size: no event
/// may arrive in a source partition that an output lacks. A lost topic waits for a person.
pub(crate) fn is_due(topic: &Topic, wanted: &[Topic], seen: &[Seen]) -> bool {
    if find(seen, topic.role).is_some_and(Seen::is_lost) {
        return false;
    }
    topic.role != Role::Source
        || wanted.iter().filter(|other| other.role != Role::Source).all(|other| {
            find(seen, other.role)
                .is_some_and(|seen| seen.state == State::Ready && seen.partitions >= Some(other.partitions))
        })
}
