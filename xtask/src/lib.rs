//! The project's own tools.
//!
//! ```text
//!  commands, resource ──> docs/commands.md, docs/resource.md
//!  pictures ──> docs/pictures
//!  modules ──> circles of files that import each other (tests/modules.rs)
//! ```

pub mod modules;

pub mod commands;
pub mod pictures;
pub mod resource;
