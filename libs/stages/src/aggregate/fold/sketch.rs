//! Unique users of a window: sketches of transactions merged.

use crds::records::delta::SKETCH_LG_K;
use datasketches::{
    error::Error,
    hll::{HllSketch, HllType, HllUnion},
};

/// A HyperLogLog sketch that others are merged into; the order does not matter.
#[derive(Clone, Debug, Default)]
pub struct Users(Option<HllUnion>);

impl Users {
    /// Merges a sketch.
    ///
    /// # Errors
    /// When it has more or fewer registers than the format says.
    pub fn merge(&mut self, sketch: &HllSketch) -> Result<(), Error> {
        let union = match &mut self.0 {
            Some(union) => union,
            none => none.insert(HllUnion::new(SKETCH_LG_K)?),
        };
        union.update(sketch);
        Ok(())
    }

    /// The estimate, of the composite estimator: the only one that does not depend on the order.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        self.0.as_ref().map_or(0, |union| union.composite_estimate().round() as u64)
    }

    /// The sketch's bytes; none of an empty one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.as_ref().map(|union| union.to_sketch(HllType::Hll8).serialize()).unwrap_or_default()
    }

    /// Reads a sketch's bytes.
    ///
    /// # Errors
    /// When they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut users = Self::default();
        if !bytes.is_empty() {
            users.merge(&HllSketch::deserialize(bytes)?)?;
        }
        Ok(users)
    }
}
