//! What the operator serves: health, metrics, and the page for people.

pub(crate) mod health;
pub(crate) mod lead;
pub mod metrics;
pub(crate) mod page;
pub(crate) mod server;
