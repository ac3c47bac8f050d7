//! `LoginPipeline`, the resource: what a user writes and what the operator reports back.
//!
//! ```text
//!  duration, pattern, rule ──> kafka, topics, validation, aggregation, results, processor ──> spec <── status
//!                                                                                             │
//!  problem, shape (what the structural schema asks) ──────────────────────────────────────> check
//! ```

mod duration;
mod pattern;
mod problem;
mod rule;

mod kafka;
mod topics;
mod validation;

mod aggregation;
mod results;

mod processor;
mod status;

mod spec;

mod check;
mod shape;

pub use aggregation::{Aggregation, Dimension};
pub use check::check;
pub use duration::{Duration, DurationError, Window};
pub use kafka::{CertificateRef, ExternalKafka, Kafka, KeyRef, Sasl, SaslMechanism, StrimziKafka, Tls};
pub use problem::Problem;
pub use processor::{ImagePullPolicy, NetworkPolicy, Processor, Rollback, UpgradePolicy};
pub use results::{Alert, OTHER, ResultTopic, Results};
pub use spec::{LoginPipeline, LoginPipelineSpec};
pub use status::{Condition, ConditionStatus, ConfigStatus, LoginPipelineStatus, TopicStatus};
pub use topics::{DeadLetters, DeletionPolicy, Output, Source, StartFrom, Topics};
pub use validation::{Field, IpRule, Validation};
