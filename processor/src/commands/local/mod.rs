//! `processor local FILE`: a pipeline on one machine, with no service but perhaps a Kafka, and an audit while it runs.
//!
//! ```text
//!  manifest ──> broker (embedded, or Kafka): topics ──> replicas: child processes that fleet decides about
//!                                                          │    └─ what each shows ──> page of the whole pipeline
//!  keys ──> session ──> what is to be done                 │
//!            │                                             │
//!  pace ──> feed ──> source ──────────────────────────────>┤
//!   ↑ window           │     output, dead letters <────────┤
//!   │                  │     aggregates, insights, alerts <┘
//!   │                  v               v
//!   └────────────── follow: the live audit of all of them ──> summary, insights
//! ```
//!
//! The feed is never further ahead of the audit than the broker keeps records. `manifest`, `pace`, `window`, `fleet`, `broken`,
//! `insights` and `summary` are pure, and so is what `follow` feeds: the audit of `processor audit`, in `live`. Others may send
//! events too: what was processed of theirs is audited, and the run ends when its own events are.

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
mod insights;
mod live;
mod pace;
mod summary;
mod window;

pub use broker::BrokerError;
pub use command::{LocalArgs, run};
pub use error::LocalError;
pub use follow::FollowError;
pub use page::ListenError;
pub use replicas::ReplicasError;
