//! Stage 2: from the deltas to aggregates, insights and alerts, exactly once.

pub mod fold;
