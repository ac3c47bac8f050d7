//! The processor on a real Kafka. All of it is one program, so that its tests share one broker and run in parallel
//! across files.

#[path = "../support/mod.rs"]
mod support;

mod delivery;

mod bad_input;
mod faults;
mod fencing;
mod security;

mod aggregation;

mod audit;
mod dead_letters;
mod documents;
mod inspect;
mod local;
mod validate;
