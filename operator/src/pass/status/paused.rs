//! Paused: it is suspended and at rest. Pure.

use crds::pipeline::ConditionStatus;

use super::finding::Finding;
use crate::{
    conditions::{condition::PAUSED, reason::Reason},
    pass::outcome::{Drain, Pass},
    text::plural,
};

/// Whether a suspended pipeline is at rest.
pub(super) fn paused(pass: &Pass) -> Finding {
    let finding = |status, reason, message| Finding { type_: PAUSED, status, reason, message };
    let draining = |message| finding(ConditionStatus::False, Reason::Draining, message);
    match &pass.drain {
        // A suspended pipeline that has no objects yet is reported as one that is not suspended.
        Drain::NotSuspended | Drain::Unchecked => {
            finding(ConditionStatus::False, Reason::NotSuspended, "the pipeline is not suspended".to_owned())
        }
        Drain::Pods(count) => {
            let which = plural(*count, "pod is draining, which takes it", "pods are draining, which takes them");
            draining(format!("{which} some ten seconds"))
        }
        Drain::Transactions(topics) => {
            let topics: Vec<_> = topics.iter().map(String::as_str).collect();
            let topics = topics.join(", ");
            draining(format!("transactions are open on {topics}: Kafka ends them within some twenty seconds"))
        }
        Drain::Unknown(why) => finding(
            ConditionStatus::Unknown,
            Reason::KafkaUnreachable,
            format!("no pod is left, but whether a transaction is open cannot be told: {why}"),
        ),
        Drain::Done => finding(
            ConditionStatus::True,
            Reason::Drained,
            "no pod is left, and no transaction is open: what is committed is final".to_owned(),
        ),
    }
}
