//! How an object is written: server-side apply of what the pipeline owns, where it differs.

pub mod applied;
pub(crate) mod owned;
