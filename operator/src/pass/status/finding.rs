//! A condition as a pass found it, and how it comes into the status. Pure.

use crds::pipeline::{Condition, ConditionStatus};
use jiff::Timestamp;

use crate::conditions::{reason::Reason, reported::Reported};

/// A condition as a pass found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The type of the condition.
    pub type_: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as a word for programs.
    pub reason: Reason,
    /// Why, as a sentence for people.
    pub message: String,
}

impl Finding {
    /// A condition that does not hold, or may not, because of an error.
    pub(super) fn of_error(type_: &'static str, error: &(impl Reported + ?Sized)) -> Self {
        let reason = error.reason();
        Self { type_, status: reason.status_of_failure(), reason, message: error.to_string() }
    }
}

/// Reports a finding. Its time of transition is `now` only where its status is another than before.
pub(super) fn set(conditions: &mut Vec<Condition>, finding: Finding, generation: Option<i64>, now: Timestamp) {
    let Finding { type_, status, reason, message } = finding;
    let new = Condition {
        type_: type_.to_owned(),
        status,
        reason: format!("{reason:?}"),
        message,
        last_transition_time: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        observed_generation: generation,
    };
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) if old.status == status => {
            let last_transition_time = std::mem::take(&mut old.last_transition_time);
            *old = Condition { last_transition_time, ..new };
        }
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}
