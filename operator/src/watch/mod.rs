//! Which pipeline to look at, and when.

pub mod controller;

pub mod failures;
pub mod leader;
pub mod measure;
pub mod slots;
pub mod streams;
pub mod strimzi;
pub mod usage;
