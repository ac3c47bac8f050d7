//! `operator check`: whether a cluster has what the operator and its pipelines need. It reads, and changes nothing.
//!
//! ```text
//!   gather, kafka   I/O   what was found: `facts`
//!   judge           pure  what that means: a report, with a remedy for each problem
//! ```

pub mod facts;
mod gather;
pub mod judge;
mod kafka;

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

pub use self::gather::{CheckError, gather};

/// What was looked at, in the order in which one thing rests on another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub groups: Vec<Group>,
}

/// Checks that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The subject of the checks.
    pub name: String,
    pub checks: Vec<Check>,
}

/// One requirement, and whether it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The requirement.
    pub what: String,
    pub outcome: Outcome,
}

/// Whether a requirement is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// It is not met but need not be, or this could not be found out.
    Warning(Flaw),
    /// It is not met, and something will not work.
    Failed(Flaw),
}

/// How a requirement is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// What was found instead.
    pub found: String,
    /// How to mend it.
    pub hint: String,
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        let mut checks = self.groups.iter().flat_map(|group| &group.checks);
        !checks.any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let check = |check: &Check| match &check.outcome {
            Outcome::Ok => json!({"description": check.what, "result": "success"}),
            Outcome::Warning(Flaw { found, hint }) => {
                json!({"description": check.what, "result": "warning", "error": found, "hint": hint})
            }
            Outcome::Failed(Flaw { found, hint }) => {
                json!({"description": check.what, "result": "error", "error": found, "hint": hint})
            }
        };
        let group = |group: &Group| json!({"categoryName": group.name, "checks": group.checks.iter().map(check).collect::<Vec<_>>()});
        json!({"success": self.is_success(), "categories": self.groups.iter().map(group).collect::<Vec<_>>()})
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for group in &self.groups {
            writeln!(f, "{}\n{}", group.name, "-".repeat(group.name.len()))?;
            for check in &group.checks {
                match &check.outcome {
                    Outcome::Ok => writeln!(f, "√ {}", check.what)?,
                    Outcome::Warning(flaw) => writeln!(f, "‼ {}\n{flaw}", check.what)?,
                    Outcome::Failed(flaw) => writeln!(f, "× {}\n{flaw}", check.what)?,
                }
            }
            f.write_char('\n')?;
        }
        write!(f, "Status check results are {}", if self.is_success() { '√' } else { '×' })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    {}\n    hint: {}", self.found, self.hint)
    }
}

#[cfg(test)]
mod tests;
