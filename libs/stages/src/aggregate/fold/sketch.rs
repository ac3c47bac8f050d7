//! Unique users of a window: merges the sketches of transactions.

use crds::records::delta::SKETCH_LG_K;
use datasketches::{
    error::Error,
    hll::{HllSketch, HllType, HllUnion},
};

/// A HyperLogLog sketch that others are merged into. Their order does not affect the estimate.
#[derive(Clone, Debug, Default)]
pub struct Users(Option<HllUnion>);

impl Users {
    /// Merges a sketch.
    ///
    /// # Errors
    /// If the sketch has more or fewer registers than the format defines.
    pub fn merge(&mut self, sketch: &HllSketch) -> Result<(), Error> {
        let union = match &mut self.0 {
            Some(union) => union,
            none => none.insert(HllUnion::new(SKETCH_LG_K)?),
        };
        union.update(sketch);
        Ok(())
    }

    /// The estimate of the composite estimator, the only one that does not depend on the order of merges.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.0.as_ref().map_or(0, |union| union.composite_estimate().round() as u64)
    }

    /// The sketch's bytes; empty for an empty sketch.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.as_ref().map(|union| union.to_sketch(HllType::Hll8).serialize()).unwrap_or_default()
    }

    /// Reads a sketch's bytes.
    ///
    /// # Errors
    /// If the bytes are not a sketch.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut users = Self::default();
        if !bytes.is_empty() {
            users.merge(&HllSketch::deserialize(bytes)?)?;
        }
        Ok(users)
    }
}
