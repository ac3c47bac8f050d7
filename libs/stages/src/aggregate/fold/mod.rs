//! The fold sums up the deltas. It is a pure function of their log.
//!
//! ```text
//!  delta ─> chunks complete? ─> book: rules, which revision governs
//!           │                     │
//!           │   panes ─> windows: counts, sketches, values ─> alerts ─┐
//!           └─> ranges ─> sources: contiguous? frontier ─> close ─────┼─> results: what to emit
//!                                                          evict ─────┘   snapshot: what to keep
//! ```
//!
//! The fold halts instead of continuing with wrong numbers: if ranges overlap, leave offsets out, or a chunk is
//! missing.

mod state;

mod apply;

mod book;
mod sources;

mod sketch;
mod values;
mod window;

mod alerts;
mod evicted;
mod results;
mod snapshot;
mod summary;

mod halt;
mod record;

pub use halt::Halt;
pub use record::{ResultRecord, Results};
pub use snapshot::{Restore, RestoreError, Restored};
pub use state::{Fold, Stats};
pub use summary::{FiredAlert, Summary, WindowSummary};
pub use values::hash;

#[cfg(test)]
mod tests;
