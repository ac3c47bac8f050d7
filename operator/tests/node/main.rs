//! The product as its users have it: installed by helm on a real node, with images, rights and security settings as they ship.
//!
//! The operator and the replicas run in pods. Kafka is real, on an address that pods reach; Strimzi's part is played by a
//! stand-in that makes the topics there. Images are those of `scripts/images --profile dev`.

#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "assertions of tests")]

mod place;
mod watch;

mod external;
mod life;
mod readme;
mod trouble;
