//! The operator: turns `LoginPipeline` resources into topics, a job config and a Deployment, and reports honestly.
//!
//! ```text
//!   run        serves, stands by until it leads (`leader`), then
//!
//!   API server ──watch──> controller ──queue──> reconcile, the steps of one pass over one pipeline:
//!
//!   observe    I/O   the resource and its children as they are now
//!   validate   pure  the resource as a model that builders can trust, or every problem with its remedy
//!   topics     both  what Kafka has, what it should have, and the way there:
//!                    KafkaTopic objects (Strimzi)  |  Kafka's Admin API (any other); authenticated by `kafka_access`
//!   build      pure  how a pipeline's objects are made: one file for each Kubernetes kind
//!   revisions  pure  what pods run: the revision that stays, a new one, or a rollback
//!   rollout    pure  how many pods, and whether their last change has failed; `pods` reads their own words
//!   desired    pure  the objects together
//!   apply      I/O   server-side apply in order, of what differs (`applied`, `owned`); then prune
//!   drain      I/O   whether what is suspended has come to rest
//!   status     pure  what to report; written only where it differs
//!
//!   finalize   instead of all that, when the pipeline is deleted
//!   measure    beside the passes: asks all pods for lag and rate
//!   page       beside the passes: shows them to people
//!   check      `operator check`: gather (I/O), judge (pure)
//! ```
//!
//! A pass keeps nothing in memory for the next one: whatever happened before, it starts from what it observes. A step
//! imports only steps before it, and a pure one imports no client (`tests/purity.rs`).

pub mod args;
pub mod controller;
pub mod leader;
pub mod measure;
pub mod reconcile;
pub mod run;
pub mod strimzi_watch;
pub mod watching;

pub mod apply;
pub mod build;
pub mod desired;
pub mod drain;
pub mod finalize;
pub mod observe;
pub mod revisions;
pub mod rollout;
pub mod status;
pub mod validate;

pub mod applied;
pub mod kafka_access;
pub mod owned;
pub mod pods;
pub mod topics;
pub mod trouble;

pub mod check;
pub mod client;
pub mod events;
pub mod manifest;
pub mod metrics;
pub mod page;
pub mod rights;
pub mod server;
