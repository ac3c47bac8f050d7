//! Which pipeline to look at, and when.

pub(crate) mod controller;

mod failures;
pub(crate) mod leader;
mod measure;
pub(crate) mod slots;
mod streams;
pub(crate) mod strimzi;
mod usage;
