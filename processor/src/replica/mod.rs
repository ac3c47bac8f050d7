//! A replica: the loops of both stages, each with its own consumer, producer and group, and the state that the replica
//! reports.
//!
//! ```text
//!  run ──┬─> ingest, N threads:      source ──> output, dead letters, deltas
//!        ├─> aggregate, one thread:  deltas ──> aggregates, insights, alerts, state
//!        ├─> view: the data of the live page, once a second
//!        └─> /healthz /readyz /metrics
//! ```
//!
//! The decisions are made in `stages`. The loops read from Kafka, perform the effects in transactions, and report the
//! outcome.

pub mod run;

pub mod supervised;

pub mod server;
pub mod threads;

pub mod ingest;

pub mod aggregate;

pub mod view;

pub mod error;
pub mod metrics;
pub mod status;

mod statistics;
