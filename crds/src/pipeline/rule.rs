//! A rule of the resource that the structural schema cannot express: written once, evaluated in two places.
//!
//! ```text
//!                       ┌─ cel ────> x-kubernetes-validations ──> the API server, at `kubectl apply`
//!  Rule ─── message ────┤
//!                       └─ broken ─> check ──> `operator validate`, reconciliation, `processor local`
//! ```
//!
//! Why `check` does not evaluate the CEL text itself: the client-side evaluator of kube (its feature `cel`) judges
//! every rule of this resource as the API server does, transition rules included, but
//! - it knows CEL alone, so ranges, lengths, patterns and lists without repetition pass it;
//! - it names the field and the message, but not the value, nor which of six topics or 64 alerts is meant;
//! - it takes an explicit `null` for a value, which the API server drops;
//! - it adds an ANTLR parser, `cel`, `regex` and `chrono` to the build of the processor, for which everybody waits who
//!   runs `make demo` for the first time.
//!
//! So the condition stands here as CEL and as Rust, side by side in one constant beside the type that it is about, with
//! one message for both. That evaluator is a dependency of the tests, which hold the two conditions together
//! (`check/tests.rs`).

use std::fmt::Display;

/// A rule about a value of this type.
#[derive(Debug)]
pub struct Rule<T> {
    /// The condition for the API server.
    pub cel: fn() -> String,
    /// What to write instead. Both the API server and [`Problem`](super::Problem) put the field and its value before
    /// it.
    pub message: &'static str,
    /// The values that break the rule; none where it holds.
    pub broken: fn(&T) -> Vec<Broken>,
}

/// A value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The path from the value that the rule is about, such as `.window`; empty for that value itself.
    pub field: String,
    /// The value, as a message shows it.
    pub value: String,
}

impl<T> Rule<T> {
    /// The rule as the definition holds it.
    #[must_use]
    pub fn validation(&self) -> kube::core::Rule {
        kube::core::Rule::new((self.cel)()).message(self.message)
    }
}

impl Broken {
    /// The value itself, where it breaks the rule.
    #[must_use]
    pub fn value_if(is_broken: bool, value: impl Display) -> Vec<Self> {
        Self::field_if(is_broken, "", value)
    }

    /// A field of the value, where it breaks the rule.
    #[must_use]
    pub fn field_if(is_broken: bool, field: &str, value: impl Display) -> Vec<Self> {
        if is_broken { vec![Self { field: field.to_owned(), value: value.to_string() }] } else { Vec::new() }
    }

    /// The values of a list that break the rule.
    #[must_use]
    pub fn each<V: Display>(values: impl IntoIterator<Item = V>) -> Vec<Self> {
        values.into_iter().map(|value| Self { field: String::new(), value: value.to_string() }).collect()
    }
}

/// A text in quotes, as messages show it.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// A value of an entry of a list, as messages show it.
#[must_use]
pub fn in_entry(value: &str, entry: &str) -> String {
    format!("{value} in {entry}")
}
