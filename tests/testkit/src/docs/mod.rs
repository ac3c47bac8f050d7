//! The documents: what they tell to type, which test types it, and a place where that can be typed as it stands.
//!
//! ```text
//! markdown ─> pages, their blocks of commands, their links
//! typed ────> the one table: which test types a command, or why none does
//! script ───> the commands of one test, all of which it must take
//! mentioned > what they only mention: it is there, and either typed elsewhere or known to work
//! checkout ─> a folder that looks like a clone in which `cargo build --release` has run, with a shell in it
//! ```
//! The test `tests/testkit/tests/docs.rs` holds documents, table and tests together.

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
