//! What the operator serves: health, metrics, and the page for people.

pub mod health;
pub mod lead;
pub mod metrics;
pub mod page;
pub mod server;
