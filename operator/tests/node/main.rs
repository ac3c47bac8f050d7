//! The product as users have it: installed by helm on a real node, with the shipped images, rights and security
//! settings.
//!
//! The operator and the replicas run in pods. Kafka is real, on an address that pods reach; a stand-in plays Strimzi
//! and creates the topics there. The images are those of `scripts/images --profile dev`.

#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "assertions of tests")]

mod place;
mod watch;

mod external;
mod life;
mod readme;
mod trouble;
