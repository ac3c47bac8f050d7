//! The live page: what a replica, or a whole pipeline, shows about itself.
//!
//! ```text
//!  metrics, latencies, samples, the fold's summary ──> source ──> View, once a second ──> channel ──> page: /  view
//!                                                                  │ merge (several       └─ history: view/history
//!                                                                  │        replicas)                 view/events
//! ```
//!
//! `types` defines the JSON. Everything is bounded: one view, one hour of history, a fixed number of readers.

mod page;

mod latency;
mod samples;

mod history;
pub mod mask;
mod merge;
mod types;

#[cfg(test)]
mod tests;

pub use latency::Latencies;
pub use merge::merge;
pub use page::{Page, Publisher, channel};
pub use samples::Samples;
pub use types::{
    Alert, Audit, DeadLetter, Latency, LatencyOf, Partition, Pipeline, Rates, Replica, ReplicaState, Role, Sample,
    Scope, Thread, Topics, Totals, VERSION, View,
};
