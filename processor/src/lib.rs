//! The processor of a login pipeline: it turns login events into enriched events, dead letters and counts, exactly
//! once.
//!
//! ```text
//!  replica    the loops of both stages, between the pure rules in `stages` and the clients in `kafka`
//!  commands   the other commands: they inspect a pipeline from outside, or run one on this machine
//!  view       the live page of a replica, or of a whole pipeline
//! ```

#![warn(clippy::print_stderr)]

pub mod args;

pub mod replica;

pub mod commands;

pub mod view;

pub mod config;
pub mod manifest;

pub mod clock;
pub mod stop;
