//! `processor local FILE`: a pipeline on one machine, with no service but perhaps a Kafka, and an audit while it runs.
//!
//! ```text
//!  manifest ──> broker (embedded, or Kafka): topics ──> replicas, all assigned
//!                                                          │
//!  feed ──────> source ───────────────────────────────────>┤
//!   ↑ window      │          output, dead letters <────────┤
//!   │             │          aggregates, insights, alerts <┘
//!   │             v                    v
//!   └───────── follow: the live audit of all of them ──> summary, insights
//! ```
//!
//! The feed is never further ahead of the audit than the broker keeps records. `manifest`, `window`, `insights` and `summary`
//! are pure, and so is what `follow` feeds: the audit of `processor audit`, in `live`.

mod command;

mod manifest;

mod broker;
mod feed;
mod follow;

mod insights;
mod live;
mod progress;
mod summary;
mod window;

pub use broker::BrokerError;
pub use command::{LocalArgs, LocalError, run};
pub use follow::FollowError;
pub use manifest::ManifestError;
