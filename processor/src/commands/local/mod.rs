//! `processor local FILE`: runs a pipeline on one machine, optionally on a real Kafka, and audits it while it runs.
//!
//! ```text
//!  manifest ──> broker (embedded, or Kafka): topics ──> replicas: child processes that fleet decides about
//!                                                          │    └─ view of each ──> page of the whole pipeline
//!  keys ──> session: drives the run                        │
//!            │                                             │
//!  pace ──> feed ──> source ──────────────────────────────>┤
//!   ↑ flow           │     output, dead letters <────────┤
//!   │                  │     aggregates, insights, alerts <┘
//!   │                  v               v
//!   └────────────── follow: the live audit of all of them ──> summary, insights
//! ```
//!
//! The feed never gets further ahead of the audit than the broker keeps records. `manifest`, `pace`, `flow_control`, `fleet`,
//! `broken`, `insights` and `summary` are pure. So is `live`, which `follow` feeds: it audits like `processor audit`.
//! Other producers may send events too: those that the pipeline processed are audited, and the run ends with its own
//! events.

mod command;
mod session;

mod error;

mod folder;

mod broker;
mod feed;
mod follow;

mod child;
mod replicas;

mod keys;
mod page;
mod progress;

mod broken;
mod fleet;
mod flow_control;
mod insights;
mod live;
mod pace;
mod summary;

pub use broker::BrokerError;
pub use command::{LocalArgs, run};
pub use error::LocalError;
pub use follow::FollowError;
pub use page::ListenError;
pub use replicas::ReplicasError;
