//! The processor of a login pipeline: from login events to enriched events, dead letters and counts, exactly once.
//!
//! ```text
//!  job config ──> run ──> ingest, a thread each: source ──> output, dead letters, deltas
//!                  │         └── kafka: librdkafka, batch calls and transactions
//!                  └── /healthz /readyz /metrics, and view: the live page
//!
//!  generate ──> source                  audit: source, output, dead letters ──> what was lost, doubled, swapped
//!  validate: lines of a file            inspect: deltas, state, offsets ──> a person
//!  dead_letters ──> a person            replay (of them) ──> source, ledger
//! ```

#![warn(clippy::print_stderr)]

pub mod args;
pub mod run;

pub mod aggregate;
pub mod ingest;

pub mod clock;
pub mod config;
pub mod kafka;
pub mod manifest;
pub mod metrics;
pub mod stop;
pub mod supervised;
pub mod view;

pub mod audit;
pub mod dead_letters;
pub mod generate;
pub mod inspect;
pub mod local;
pub mod validate;

#[cfg(test)]
mod simulation;
