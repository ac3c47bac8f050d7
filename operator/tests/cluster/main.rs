//! The operator as a process, against a real API server and a real Kafka.
//!
//! What a real cluster has beside these is played by `support::StandIn`: the topic operator of Strimzi, and the controller
//! that runs Deployments.

mod support;

mod admission;
mod convergence;
mod external;
mod strimzi;
