//! The clock of this machine. What decides is told the time by whoever reads it here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Unix seconds, as events have them.
#[must_use]
pub fn now_seconds() -> i64 {
    i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// The number of a new producer's first transaction: larger than any that a predecessor used, as it commits far less often
/// than once a millisecond.
#[must_use]
pub fn first_sequence() -> u64 {
    now_ms().unsigned_abs()
}

/// Zero before 1970.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
