//! What a sketch says of users.

use datasketches::hll::HllSketch;

/// A sketch that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not a sketch: {0}")]
pub struct SketchError(String);

/// How many different users a sketch has seen, by the estimator that does not depend on their order.
pub fn estimate(sketch: &[u8]) -> Result<u64, SketchError> {
    let sketch = HllSketch::deserialize(sketch).map_err(|error| SketchError(error.to_string()))?;
    Ok(sketch.composite_estimate().round() as u64)
}
