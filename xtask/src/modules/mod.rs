//! Which file imports which, and the circles among them.
//!
//! ```text
//!  a crate's sources ──> source: files as modules, with what they define and name
//!                          └──> imports: from file to the file that defines what is named ──> circles
//! ```
//!
//! A module is a file. A name that a module hands on (`pub use`) belongs to the file that defines it. Tests, which stand in
//! `#[cfg(test)]`, may import what they like.

mod circles;
mod imports;
mod source;

pub use circles::circles;
pub use imports::{Imports, imports};
pub use source::{Module, SourceError, modules};
