//! How the results differ from what they should be.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use serde_json::Value;

use super::Kind;

/// The number of examples kept.
const EXAMPLES: usize = 20;

/// Why a result was not compared.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub enum Unchecked {
    /// Records of windows for which the source no longer has all events.
    RemovedInput,
    /// Unique users of windows that received events after the eviction of their state.
    EvictedUsers,
    /// The previous window, in insights of windows that may have begun after its eviction.
    EvictedPrevious,
    /// Values of windows that leave values out, when `maxValues` or the values that alerts name changed.
    ChangedLimit,
    /// Alerts that were added, removed or changed while their window was open.
    ChangedAlert,
    /// Alerts that may or may not have fired, for a value that was left out later.
    DisplacedValue,
    /// Alerts that compare windows with earlier windows.
    Deviation,
    /// Whether a closed window counts as cut by a later change.
    Partial,
}

impl Unchecked {
    /// The text in tables.
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
    /// The kind of the result.
    pub kind: Kind,
    pub key: String,
    /// The field that differs; `count` for a record that is missing or should not exist.
    pub field: String,
    /// The expected value; null for none.
    pub expected: Value,
    /// The value found; null for none.
    pub found: Value,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
        let Self { kind, key, field, expected, found } = self;
        write!(f, "{} {key}: {field} should be {}, is {}", kind.as_str(), shown(expected), shown(found))
    }
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mismatches {
    /// Results that are wrong, missing or should not exist, by kind.
    pub by_kind: BTreeMap<Kind, u64>,
    /// The number of compared results, including missing ones.
    pub checked: u64,
    /// The number of results, or fields of results, that were not compared.
    pub unchecked: BTreeMap<Unchecked, u64>,
    pub examples: Vec<Mismatch>,
}

impl Mismatches {
    /// The number of results that are wrong, missing or should not exist.
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

    /// Adds a missing record that should have this count.
    pub(super) fn missing(&mut self, kind: Kind, key: &str, count: u64) {
        self.add(kind, key, Differences(vec![("count".to_owned(), count.into(), Value::Null)]));
    }

    /// Adds a record that should not exist.
    pub(super) fn unexpected(&mut self, kind: Kind, key: &str, count: u64) {
        self.add(kind, key, Differences(vec![("count".to_owned(), Value::Null, count.into())]));
    }

    pub(super) fn leave_out(&mut self, why: Unchecked, how_many: u64) {
        if how_many > 0 {
            *self.unchecked.entry(why).or_default() += how_many;
        }
    }
}

/// The fields in which a record differs.
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
