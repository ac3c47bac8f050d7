//! `processor inspect`: decodes what a pipeline has written, for people.
//!
//! ```text
//!  command (I/O): reads topics and groups ──> results, deltas, state, offsets: decode, and show as text or JSON
//!                                                └── sketch, text: estimates, times, columns
//! ```
//!
//! A record that this release cannot decode is shown with the reason; no record is left out.

mod command;

mod results;

mod deltas;
mod offsets;
mod state;

mod sketch;
mod text;

pub use command::{InspectArgs, InspectError, Subject, run};

#[cfg(test)]
mod tests;
