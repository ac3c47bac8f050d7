//! The operator as a process, on a real API server and a real Kafka.
//!
//! `support::StandIn` plays what a real cluster has in addition: Strimzi's topic operator, and the controller that runs
//! Deployments.

#![expect(clippy::needless_pass_by_value, clippy::panic, clippy::unwrap_used, reason = "assertions of tests")]

#[path = "../cases/mod.rs"]
mod cases;
mod fates;
mod proxy;
mod snapshot;
#[path = "../cases/specs.rs"]
mod specs;
mod support;

mod admission;
mod away;
mod browser;
mod chart;
mod check;
mod convergence;
mod deletion;
mod documents;
mod examples;
mod external;
mod fairness;
mod faults;
mod generated;
mod leader;
mod measuring;
mod page;
mod rollout;
mod secrets;
mod stored;
mod strimzi;
mod suspend;
mod topics_kafka;
mod topics_strimzi;
mod unknown;
mod watching;
mod workload;
