//! Degraded: it works, but not in every respect as asked. Pure.

use crds::pipeline::ConditionStatus;

use super::finding::Finding;
use crate::{
    conditions::{condition::DEGRADED, reason::Reason},
    pass::outcome::Pass,
    text::plural,
    topics::obstacle::caveat,
};

/// What is not as asked. The gravest reason names the condition, and the message has them all.
pub(super) fn degraded(pass: &Pass) -> Finding {
    let finding = |status, reason, message| Finding { type_: DEGRADED, status, reason, message };
    let capped = pass.size.capped.map(|partitions| {
        let has = plural(partitions, "partition", "partitions");
        let run = if partitions == 1 { "runs" } else { "run" };
        let message = format!(
            "{} replicas are asked for, but the source has {has}, and each is read by one: {partitions} {run}; raise \
             spec.source.partitions or lower spec.processor.replicas",
            pass.valid.spec.processor.replicas
        );
        (Reason::ReplicasCapped, message)
    });
    let create_time = pass.kafka.topics().and_then(|topics| caveat(&topics.wanted, &topics.seen));
    let create_time = create_time.map(|message| (Reason::SourceCreateTime, message));
    // Windows that close too soon are worse than a pipeline that is slow.
    let (reasons, messages): (Vec<_>, Vec<_>) = create_time.into_iter().chain(capped).unzip();
    match reasons.first() {
        Some(reason) => finding(ConditionStatus::True, *reason, messages.join("; ")),
        None => finding(ConditionStatus::False, Reason::AsAsked, "everything is as the spec asks for".to_owned()),
    }
}
