//! Reads the source a second time, and counts its valid events for the batch.

use std::sync::{Mutex, PoisonError};

use super::{
    batch::Batch,
    plan::Plan,
    record::Record,
    topic::{TopicError, TopicReader},
    verdict::Verdict,
};

/// Counts the audited events of a source partition. Calls `each` for every source record.
///
/// # Errors
/// When the partition cannot be read.
pub fn count(
    plan: &Plan,
    source: &mut TopicReader,
    partition: i32,
    batch: &Mutex<Batch>,
    mut each: impl FnMut(),
) -> Result<(), TopicError> {
    let range = plan.range(partition);
    let mut judge = plan.judge(partition);
    let mut removed_until = (!range.from_the_start).then_some(i64::MAX);
    if range.start < range.end {
        source.assign(partition, range.start, range.end)?;
        let mut is_first = true;
        source.rest(|record| {
            each();
            if is_first {
                removed_until = removed_until.map(|_| latest_before(record, plan.max_future_skew()));
                is_first = false;
            }
            if let Verdict::Output { late, login, .. } = judge.judge(record) {
                let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                batch.event(&login.event(partition, record.offset, late));
            }
        })?;
    }
    if let Some(time) = removed_until {
        batch.lock().unwrap_or_else(PoisonError::into_inner).removed_until(time);
    }
    Ok(())
}

/// The latest time, in Unix seconds, that an event can have whose record precedes this one: records are ordered by
/// their Kafka timestamps.
fn latest_before(record: &Record, skew: i64) -> i64 {
    if record.timestamp < 0 { i64::MAX } else { record.timestamp.saturating_add(skew).div_euclid(1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_removed_is_older_than_what_is_left() {
        let record = |timestamp| Record { offset: 7, timestamp, key: None, value: None, headers: &[] };
        assert_eq!(latest_before(&record(60_999), 500), 61);
        assert_eq!(latest_before(&record(60_000), 500), 60);
        assert_eq!(latest_before(&record(-1), 500), i64::MAX);
    }
}
