//! The processor of a login pipeline.

pub mod audit;
pub mod generate;
pub mod ingest;
