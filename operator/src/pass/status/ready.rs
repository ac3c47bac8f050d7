//! Ready, and in the words of kstatus what a state that is not Ready means. Pure.

use crds::pipeline::ConditionStatus;

use super::finding::Finding;
use crate::conditions::{
    condition::{CONFIG_VALID, PROCESSOR_AVAILABLE, READY, RECONCILING, STALLED, TOPICS_READY},
    reason::{Progress, Reason},
};

/// The first of the conditions that Ready counts and that does not hold, or True when all hold.
pub(super) fn ready(findings: &[Finding]) -> Finding {
    let is_counted = |finding: &&Finding| [CONFIG_VALID, TOPICS_READY, PROCESSOR_AVAILABLE].contains(&finding.type_);
    let mut counted = findings.iter().filter(is_counted);
    match counted.find(|finding| finding.status != ConditionStatus::True) {
        Some(missing) => Finding { type_: READY, ..missing.clone() },
        None => Finding {
            type_: READY,
            status: ConditionStatus::True,
            reason: Reason::Running,
            message: "the topics are ready and every replica is available".to_owned(),
        },
    }
}

/// Reconciling and Stalled, from Ready.
pub(super) fn kstatus(ready: &Finding) -> [Finding; 2] {
    let progress = ready.reason.progress();
    let finding = |type_, holds: bool| {
        let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
        Finding { type_, status, ..ready.clone() }
    };
    [finding(RECONCILING, progress == Progress::Working), finding(STALLED, progress == Progress::Stuck)]
}
