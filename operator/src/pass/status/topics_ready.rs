//! TopicsReady: every topic is there as it should be. Pure.

use crds::pipeline::ConditionStatus;

use super::finding::Finding;
use crate::{
    conditions::{condition::TOPICS_READY, reason::Reason},
    pass::outcome::{Kafka, KnownTopics, Pass},
    topics::{
        Cause,
        obstacle::{gravest, obstacles},
    },
};

/// Whether every topic is there as it should be.
pub(super) fn topics_ready(pass: &Pass) -> Finding {
    match &pass.kafka {
        Kafka::Unobserved(problem) => Finding::of_error(TOPICS_READY, problem),
        Kafka::Unchanged { error, .. } => Finding::of_error(TOPICS_READY, error),
        Kafka::NoListener { error, .. } => Finding::of_error(TOPICS_READY, error),
        Kafka::Usable { topics, .. } => judge(topics),
    }
}

fn judge(KnownTopics { wanted, seen }: &KnownTopics) -> Finding {
    let finding = |status, reason, message| Finding { type_: TOPICS_READY, status, reason, message };
    let obstacles = obstacles(wanted, seen);
    match gravest(&obstacles) {
        None => {
            let message = format!("{} topics are ready", seen.len());
            finding(ConditionStatus::True, Reason::AllTopicsReady, message)
        }
        Some(cause) => {
            let messages: Vec<_> = obstacles.into_iter().map(|obstacle| obstacle.message).collect();
            finding(ConditionStatus::False, reason_of(cause), messages.join("; "))
        }
    }
}

const fn reason_of(cause: Cause) -> Reason {
    match cause {
        Cause::Awaited => Reason::TopicsNotReady,
        Cause::Failed => Reason::TopicFailed,
        Cause::Ignored => Reason::TopicIgnored,
        Cause::Paused => Reason::TopicPaused,
        Cause::Unmanaged => Reason::TopicUnmanaged,
        Cause::NotSupported => Reason::TopicNotSupported,
        Cause::Contested => Reason::TopicContested,
        Cause::Unsuitable => Reason::TopicUnsuitable,
        Cause::AdoptionUnknown => Reason::AdoptionUnknown,
        Cause::AdoptionRequired => Reason::AdoptionRequired,
        Cause::Lost => Reason::TopicLost,
    }
}
