//! The processor of a login pipeline: from login events to enriched events, dead letters and counts, exactly once.
//!
//! ```text
//!  replica    the loops of both stages, over the cores in `stages` and the edge in `kafka`
//!  commands   what looks at a pipeline from outside, or plays one on this machine
//!  view       what a replica, or a whole pipeline, shows on the live page
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
