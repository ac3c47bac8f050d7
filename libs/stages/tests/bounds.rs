//! Memory of the aggregation: bounded by windows and `maxValues`, whatever the lag and the cardinality. Counted by the
//! allocator, so that the result is the same on every machine.
#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use std::alloc::System;

use cap::Cap;
use crds::{
    job::Rules,
    pipeline::{Aggregation, Dimension, Duration, Window},
    records::delta::{Delta, Pane, Range, Total},
};
use stages::aggregate::fold::{Fold, Restore};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const PARTITIONS: i64 = 128;
const MINUTES: i64 = 24 * 60;
const MAX_VALUES: usize = 300;
const START: i64 = 1_720_569_600;

/// What a window may take beside its values, its sketch of 4 KiB included.
const WINDOW_BYTES: usize = 6 * 1024;
/// What a value may take in a window: an id and a count, in a table that is at least 7/16 full.
const VALUE_BYTES: usize = 40;
/// What a different value may take, however many windows count it.
const TEXT_BYTES: usize = 160;

fn rules() -> String {
    let aggregation = Aggregation {
        windows: vec![Window::Finite(Duration::from_secs(60)), Window::Finite(Duration::from_secs(3600)), Window::All],
        dimensions: vec![Dimension::AppVersion],
        max_values: i32::try_from(MAX_VALUES).unwrap(),
        ..Aggregation::default()
    };
    serde_json::to_string(&Rules { aggregation, ..Rules::default() }).unwrap()
}

/// Each partition is at another minute of the day, and each delta brings values that were never seen before: a million.
fn delta(round: i64, partition: i64) -> Vec<u8> {
    const VALUES: i64 = 700;
    let minute = (partition * MINUTES / PARTITIONS + round) % MINUTES;
    let first = (round * PARTITIONS + partition) * VALUES;
    let values = (first..first + VALUES).map(|value| (format!("{value:08}"), 1)).collect();
    let pane = Pane {
        start: START + minute * 60,
        unmerged: false,
        total: Total { count: VALUES.unsigned_abs(), late: 0, sketch: None },
        dimensions: vec![(Dimension::AppVersion, values)],
    };
    let range = Range {
        partition: i32::try_from(partition).unwrap(),
        from: round,
        to: round + 1,
        watermark: Some(START + minute * 60),
        ..Range::default()
    };
    let delta = Delta {
        producer: "ns.logins.ingest.a.0".to_owned(),
        chunks: 1,
        sequence: (round * PARTITIONS + partition).unsigned_abs(),
        revision: 1,
        rules: (round == 0 && partition == 0).then(rules),
        source_partitions: u32::try_from(PARTITIONS).unwrap(),
        ranges: vec![range],
        panes: vec![pane],
        ..Delta::default()
    };
    delta.encode().unwrap()
}

#[test]
fn a_day_of_backlog_with_a_million_values_stays_within_bounds() {
    let before = ALLOCATOR.allocated();
    let mut fold = Fold::new();
    let mut offset = 0;
    let mut different = 0;
    // Twelve rounds of 128 partitions leave every minute open, for the first partition is at the day's beginning.
    for round in 0..12 {
        for partition in 0..PARTITIONS {
            fold.apply(offset, &delta(round, partition)).unwrap();
            offset += 1;
            different += 700;
        }
        drop(fold.take_results());
    }
    let live = ALLOCATOR.allocated() - before;
    let stats = fold.stats();
    assert!(different > 1_000_000 && stats.windows > 1400, "{different} values, {stats:?}");
    let bound = stats.windows * (WINDOW_BYTES + MAX_VALUES * VALUE_BYTES) + stats.values * TEXT_BYTES;
    eprintln!("{live} bytes for {stats:?}, bound {bound}");
    assert!(live <= bound, "{live} bytes for {stats:?}, bound {bound}");
    assert!(stats.values <= stats.windows * MAX_VALUES);

    // The snapshot says it all, and takes no more to restore than to keep.
    let records = fold.snapshot(None).unwrap();
    let bytes: usize = records.iter().map(|record| record.key.len() + record.value.as_ref().map_or(0, Vec::len)).sum();
    let mut restore = Restore::default();
    for (at, record) in (0..).zip(&records) {
        restore.push(at, record.key.as_bytes(), record.value.as_deref()).unwrap();
    }
    drop(records);
    let restored = restore.finish().unwrap().fold.unwrap();
    let peak = ALLOCATOR.max_allocated() - before;
    eprintln!("a snapshot of {bytes} bytes; the whole test at its peak {peak} bytes");
    assert_eq!(restored.meta(), fold.meta());
    assert!(peak <= 4 * bound, "{peak} bytes while the snapshot was restored, bound of one fold {bound}");
}
