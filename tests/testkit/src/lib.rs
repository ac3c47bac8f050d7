//! Real services for tests: Kafka brokers, a kube-apiserver with etcd, and the product's own processes.
//!
//! ```text
//! cache ───> finds the services; runs scripts/setup when they are missing
//! process ─> a command that ends with the test, and a folder that is removed with it
//! tools ───> helm and the tools that check the chart
//! browser ─> a headless Chromium
//! install ─> checks of the Tiltfile, the Dockerfile and kind's config
//! http ────> requests to the product's own servers
//! docs ────> the documented commands, and a place to run them
//! port ────> a port of 127.0.0.1 that no other test takes
//!    └─> kafka, kubernetes: clusters on top of these
//!           └─> node: a cluster that runs pods
//!                  └─> target: this one, or an existing cluster
//! ```
//! Nothing here outlives the test process, however it ends: a return, a panic, SIGKILL. Tests share one cluster per
//! test binary (`kafka::shared`, `kubernetes::shared`, `target::shared`) and are isolated by [`unique`] names.

pub mod browser;
pub mod docs;
pub mod http;
pub mod install;
pub mod kafka;
pub mod kubernetes;
pub mod node;
pub mod process;
pub mod stand_in;
pub mod target;
pub mod tools;

mod cache;
mod error;
mod port;
mod wait;

pub use error::Error;
pub use wait::{wait_for, wait_for_async};

/// A unique name: `name` and 12 random hexadecimal digits, for topics, groups and namespaces.
pub fn unique(name: &str) -> String {
    format!("{name}-{:012x}", rand::random::<u64>() >> 16)
}
