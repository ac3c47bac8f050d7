//! The boundary to Kafka: librdkafka, its settings, and the handling of its errors.
//!
//! ```text
//!  settings ──> native: consumer, producer (batch calls) ──> transaction: what both stages make of them
//!         └───> cluster: rare queries through the safe binding;  admin: the two calls that the safe binding lacks
//!  error: the one classifier          trouble, explain: why a connection failed, and what to check
//! ```
//!
//! `native` and `admin` contain the only unsafe code of the project. The batch calls cost a third of what the safe
//! binding's calls cost per message.

pub mod transaction;

pub mod cluster;

pub mod admin;
pub mod native;

pub mod settings;

pub mod error;
pub mod trouble;

mod explain;
