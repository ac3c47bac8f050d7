//! The words that the operator and the processor share.
//!
//! ```text
//!  manifest ──> pipeline (LoginPipeline) ──> job (JobConfig) ──> a processor replica
//!                   │                          │
//!                   │ check: problems with     │ topics: every name that Kafka sees
//!                   │ field, value, remedy     │
//!                   v                          v
//!               strimzi (KafkaTopic,       records: what replicas write to Kafka and read back,
//!               Kafka, as we read them)    deltas, offset metadata, dead letter headers
//! ```
//!
//! Nothing here does I/O, and nothing here depends on the operator or the processor.

#![warn(missing_docs)]

pub mod manifest;
pub mod pipeline;
pub mod strimzi;

pub mod job;
pub mod topics;

mod role;

pub mod records;
