//! No record of a snapshot outgrows its topic, whatever the configuration and however often it changes.
#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use crds::{
    job::Rules,
    pipeline::{Alert, Dimension, Duration, Window},
    records::{
        delta::{Delta, Range},
        state::MAX_CHUNK_BYTES,
    },
};
use stages::aggregate::fold::{Fold, Restore};

const PARTITIONS: i32 = 256;
const CHANGES: u64 = 1000;

/// What a record may take beside a chunk: its version, an offset, and the length of the chunk.
const AROUND_A_CHUNK: usize = 32;

/// Rules with as many alerts as a pipeline may have, which differ from those of any other revision.
fn rules(revision: u64) -> String {
    let mut rules = Rules::default();
    let alert = |number: u64| Alert {
        name: format!("alert-{number}-of-revision-{revision}"),
        dimension: Some(Dimension::Locale),
        value: Some(format!("value-{number}-{}", "x".repeat(64))),
        window: Window::Finite(Duration::from_secs(60)),
        above: Some(revision as i64),
        deviation: None,
    };
    rules.alerts = (0..64).map(alert).collect();
    serde_json::to_string(&rules).unwrap()
}

#[test]
fn a_thousand_changes_of_256_partitions_fit_into_records() {
    let mut fold = Fold::new();
    for revision in 1..=CHANGES {
        let at = i64::try_from(revision).unwrap();
        let range = |partition| Range {
            partition,
            // Offsets as large as those of a topic that is years old.
            from: (1 << 40) + at,
            to: (1 << 40) + at + 1,
            ..Range::default()
        };
        let delta = Delta {
            producer: "ns.logins.ingest.a.0".to_owned(),
            sequence: revision,
            chunks: 1,
            revision,
            rules: Some(rules(revision)),
            source_partitions: PARTITIONS.unsigned_abs(),
            ranges: (0..PARTITIONS).map(range).collect(),
            ..Delta::default()
        };
        fold.apply(at, &delta.encode().unwrap()).unwrap();
    }

    let records = fold.snapshot(None).unwrap();

    let sizes = records.iter().map(|record| (record.value.as_ref().map_or(0, Vec::len), &record.key));
    let (largest, key) = sizes.max().unwrap();
    assert!(largest <= MAX_CHUNK_BYTES + AROUND_A_CHUNK, "{key} has {largest} bytes");
    let mut restore = Restore::default();
    for (at, record) in (0..).zip(&records) {
        restore.push(at, record.key.as_bytes(), record.value.as_deref()).unwrap();
    }
    assert_eq!(restore.finish().unwrap().fold.unwrap().meta(), fold.meta());
}
