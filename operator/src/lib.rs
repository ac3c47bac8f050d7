//! The operator: turns `LoginPipeline` resources into topics, a job config and a Deployment, and reports honestly.
//!
//! ```text
//!   run        serves, stands by until it leads, then
//!
//!   API server ──watch──> controller ──queue──> reconcile, the steps of one pass over one pipeline:
//!
//!   observe    I/O   the resource, its children, its Kafka and topics as they are now
//!   validate   pure  the resource as a model that builders can trust, or every problem with its remedy
//!   build      pure  one file for each Kubernetes kind; `desired` lists what they make
//!   apply      I/O   topics, outputs before the source; server-side apply in order; then prune
//!   status     pure  what to report; written only where it differs
//!
//!   pods       what pods tell: why they are not ready; beside the passes `measure` asks all of them for lag and rate
//!   topics     the one seam of both kinds of Kafka:  KafkaTopic objects (Strimzi)  |  Kafka's Admin API (any other)
//! ```
//!
//! A pass keeps nothing in memory for the next one: whatever happened before, it starts from what it observes. A step
//! imports only steps before it, and a pure one imports no client.

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
pub mod owned;
pub mod pods;
pub mod security;
pub mod topics;
pub mod trouble;

pub mod causes;
pub mod check;
pub mod client;
pub mod events;
pub mod manifest;
pub mod metrics;
pub mod rights;
pub mod server;
