//! What is wrong with a pipeline, as users read it.

use std::fmt;

/// One thing that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `spec.source.topic`; entries of a list are `[]`.
    pub field: String,
    /// The value that is there.
    pub value: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: {}", self.field, self.value, self.remedy)
    }
}
