//! Stage 1, performed: from the source to output, dead letters and deltas, exactly once.
//!
//! ```text
//!  source ──> worker ──> stage ──> one transaction about every 100 ms:
//!               │          │       outputs, dead letters, the delta, the source offsets and their metadata
//!   group ──────┘          └── stages::ingest::machine decides
//!               └─> resolve, history: where a partition is taken up
//! ```

pub mod worker;

mod stage;

mod resolve;

mod history;
mod outbox;
