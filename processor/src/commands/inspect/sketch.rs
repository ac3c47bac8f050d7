//! Estimates the number of users from a sketch.

use datasketches::hll::HllSketch;

/// The sketch cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("not a sketch: {0}")]
pub struct SketchError(String);

/// Estimates the number of different users that a sketch has seen, with the composite estimator, which does not depend
/// on their order.
pub fn estimate(sketch: &[u8]) -> Result<u64, SketchError> {
    let sketch = HllSketch::deserialize(sketch).map_err(|error| SketchError(error.to_string()))?;
    Ok(sketch.composite_estimate().round() as u64)
}
