//! The documents: their commands, the test that runs each, and a place to run them unchanged.
//!
//! ```text
//! markdown ─> pages, their blocks of commands, their links
//! typed ────> the table: the test that runs a command, or why none does
//! script ───> the commands of one test, all of which it must take
//! mentioned > commands that are only mentioned: they exist, and are tested or known to work
//! checkout ─> a folder that looks like a clone after `cargo build --release`, with a shell in it
//! ```
//! The test `tests/testkit/tests/docs.rs` checks that documents, table and tests agree.

mod checkout;
mod markdown;
mod mentioned;
mod script;
mod typed;

pub use checkout::{Checkout, Typed};
pub use markdown::{Command, Link, anchors, commands, hidden_commands, inline, links, pages, read, root};
pub use mentioned::{unknown_mentions, untyped_mentions};
pub use script::Script;
pub use typed::{By, Row, TABLE, problems};
