//! A replica: the loops of both stages, each with a consumer, a producer and a group of its own, and what it tells of itself.
//!
//! ```text
//!  run ──┬─> ingest, a thread each: source ──> output, dead letters, deltas
//!        ├─> aggregate, one thread:  deltas ──> aggregates, insights, alerts, state
//!        ├─> view: what the live page shows of all this, once a second
//!        └─> /healthz /readyz /metrics
//! ```
//!
//! What is decided stands in `stages`; the loops read, perform the effects in transactions, and say how it went.

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
