//! Topics as `KafkaTopic` objects, which Strimzi's topic operator carries out, in the namespace of the `Kafka`.
//!
//! ```text
//!   Kafka, API server ──observe──> snapshot ──judge──> topics as seen, and an action for each ──write──> API server
//! ```
//!
//! An object that is not this pipeline's is referenced: its readiness counts, and it is never changed. A topic without
//! an object may still exist. Strimzi would take it over and reset every config that the new object does not name, so
//! Kafka is asked before an object is created, unless `spec.topics.adopt` allows the takeover.

mod api;
mod judge;
mod observe;
mod snapshot;
mod write;

pub use self::{
    api::{Strimzi, StrimziApi},
    observe::StrimziTopics,
    write::StrimziWriter,
};
