//! The clock of this machine. Decisions are pure: their callers read the time here and pass it on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    i64::try_from(since_epoch().as_millis()).unwrap_or(i64::MAX)
}

/// Unix seconds, the unit of event times.
#[must_use]
pub fn now_seconds() -> i64 {
    i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX)
}

/// Returns the number of a new producer's first transaction. It is larger than any number of a predecessor, because a
/// predecessor commits far less often than once per millisecond.
#[must_use]
pub fn first_sequence() -> u64 {
    now_ms().unsigned_abs()
}

/// Returns zero before 1970.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
