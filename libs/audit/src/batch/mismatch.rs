//! In what the results differ from what they should be.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;

use super::Kind;

/// How many examples are kept.
const EXAMPLES: usize = 20;

/// Why something was not compared.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Unchecked {
    /// Records of windows of which the source no longer has all events.
    RemovedInput,
    /// Unique users of windows to which events came after their state had been evicted.
    EvictedUsers,
    /// The window before, in insights of windows that may have begun after that had been evicted.
    EvictedPrevious,
    /// Values of windows in which `maxValues`, or the values that alerts name, changed and values are left out.
    ChangedLimit,
    /// Alerts that were added, removed or altered while their window was open.
    ChangedAlert,
    /// Alerts of which one may have fired, or not: for a value that was left out later.
    DisplacedValue,
    /// Alerts that compare windows with those before them.
    Deviation,
    /// Whether a closed window counts as cut by a later change.
    Partial,
}

impl Unchecked {
    /// The words for it in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RemovedInput => "windows whose events the source no longer has",
            Self::EvictedUsers => "unique users of windows that got events after their eviction",
            Self::EvictedPrevious => "windows whose predecessor may have been evicted",
            Self::ChangedLimit => "values of windows in which their limit changed",
            Self::ChangedAlert => "alerts that changed in their window",
            Self::DisplacedValue => "alerts of values that are left out",
            Self::Deviation => "alerts of deviation",
            Self::Partial => "closed windows before a change",
        }
    }
}

/// A difference between a result and what it should be.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Among which results.
    pub kind: Kind,
    /// The record's key.
    pub key: String,
    /// Which of its fields; `count` for a record that is missing, or should not be there.
    pub field: String,
    /// What should be there; null for nothing.
    pub expected: Value,
    /// What is there; null for nothing.
    pub found: Value,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let Self { kind, key, field, expected, found } = self;
        write!(f, "{} {key}: {field} should be {}, is {}", kind.as_str(), shown(expected), shown(found))
    }
}

/// What a comparison has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mismatches {
    /// Results that are wrong, missing or should not be there, of each kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// Results that were compared, those that are missing included.
    pub checked: u64,
    /// Results, or fields of them, that were not.
    pub unchecked: BTreeMap<Unchecked, u64>,
    /// The first differences.
    pub examples: Vec<Mismatch>,
}

impl Mismatches {
    /// How many results are wrong, missing or should not be there.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.by_kind.values().sum()
    }

    /// Adds the comparison of one record.
    pub(super) fn add(&mut self, kind: Kind, key: &str, differences: Differences) {
        self.checked += 1;
        if differences.0.is_empty() {
            return;
        }
        *self.by_kind.entry(kind).or_default() += 1;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(differences.0.into_iter().take(room).map(|(field, expected, found)| Mismatch {
            kind,
            key: key.to_owned(),
            field,
            expected,
            found,
        }));
    }

    /// A record should be there, with this count.
    pub(super) fn missing(&mut self, kind: Kind, key: &str, count: u64) {
        self.add(kind, key, Differences(vec![("count".to_owned(), count.into(), Value::Null)]));
    }

    /// A record should not be there.
    pub(super) fn unexpected(&mut self, kind: Kind, key: &str, count: u64) {
        self.add(kind, key, Differences(vec![("count".to_owned(), Value::Null, count.into())]));
    }

    pub(super) fn leave_out(&mut self, why: Unchecked, how_many: u64) {
        if how_many > 0 {
            *self.unchecked.entry(why).or_default() += how_many;
        }
    }
}

/// In which fields a record differs.
#[derive(Debug, Default)]
pub(super) struct Differences(Vec<(String, Value, Value)>);

impl Differences {
    pub fn compare<T: Serialize + PartialEq>(&mut self, field: impl Into<String>, expected: T, found: T) {
        if expected != found {
            let value = |value| serde_json::to_value(value).unwrap_or_default();
            self.0.push((field.into(), value(expected), value(found)));
        }
    }
}
