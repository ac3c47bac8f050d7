//! The operator: turns `LoginPipeline` resources into topics, a job config and a Deployment, and reports honestly.
//!
//! ```text
//!   run          serves, stands by until it leads, then
//!
//!   API server ──watch──> watch::controller ──queue──> pass::reconcile, the steps of one pass over one pipeline:
//!
//!   observe      I/O   the resource and its children as they are now
//!   validate     pure  the resource as a model that builders can trust, or every problem with its remedy
//!   kafka        I/O   what Kafka has, what it should have, and the way there, by `topics`:
//!                      KafkaTopic objects (Strimzi)  |  Kafka's Admin API (any other); authenticated by `kafka_access`
//!   plan         pure  what pods run: the revision that stays, a new one, or a rollback; `pods` reads their own words
//!   desired      pure  the objects together, by `build`: one file for each Kubernetes kind
//!   apply        I/O   server-side apply in order, of what differs; then prune
//!   drain        I/O   how far a suspended pipeline has come to rest
//!   report       I/O   the status (pure), written only where it differs
//!   requeue      pure  when to come again
//!
//!   ending       instead of all that, when the pipeline is deleted
//!
//!   serve        beside the passes: health, metrics, and the page for people
//!   check        `operator check`: gather (I/O), judge (pure)
//! ```
//!
//! A pass keeps nothing in memory for the next one: whatever happened before, it starts from what it observes. A pure step
//! imports no client, and no file imports one that imports it (`tests/purity.rs`).

pub mod args;
pub mod run;

mod watch;

pub mod build;
pub mod pass;
mod pods;
pub mod topics;

pub mod serve;

pub mod check;
pub mod manifest;
pub mod validate;

pub mod client;
mod conditions;
pub mod kafka_access;
pub mod objects;
mod pace;
mod resource;
pub mod rights;
mod scope;
mod stop;
mod text;
