//! `processor dead-letters` on a real Kafka: a replayed event is in the source again, once, however the runs end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod faults;
mod refused;
mod runs;

use std::{collections::BTreeMap, process::Command, time::Duration};

use crds::{
    pipeline::{Field, LoginPipelineSpec},
    records::{
        aggregate::Aggregate,
        dead_letter::{SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC},
        replay::{Entry, Identity, Place, REPLAY, REPLAY_OF},
    },
};
use serde_json::{Value, json};
use testkit::{
    kafka::{NewRecord, Record},
    wait_for,
};

use crate::support::{BOUND, Pipeline, login};

const NOW: u64 = 1_720_576_825;

/// Runs the command, and returns its exit code, its results and its other output.
fn dead_letters(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["dead-letters", "--config"])
        .arg(pipeline.job_file())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the command with JSON output, and returns every line of the results.
fn lines(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, text, error) = dead_letters(pipeline, &[&["--output", "json"], arguments].concat());
    assert!(code < 2, "{error}");
    (code, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Replays, and returns the numbers of replayed, already replayed, and refused dead letters.
fn replay(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (u64, u64, u64) {
    let (code, report) = lines(pipeline, &[&["replay"], arguments].concat());
    let count = |name: &str| report[0][name].as_u64().unwrap();
    assert_eq!(code, i32::from(count("refused") > 0), "{report:?}");
    (count("replayed"), count("already_replayed"), count("refused"))
}

/// Events without the required locale, spread over the partitions; each with its own key and headers.
fn broken(partitions: i32, count: i32) -> impl Iterator<Item = NewRecord> {
    (0..count).map(move |index| NewRecord {
        partition: Some(index % partitions),
        key: Some(format!("key {index}").into_bytes()),
        payload: Some(format!(r#"{{"user_id":"u{index}","device_type":"iOS","timestamp":{NOW}}}"#).into_bytes()),
        headers: vec![("trace".to_owned(), Some(vec![0xff, 1])), ("none".to_owned(), None)],
        ..NewRecord::default()
    })
}

/// A pipeline that has made dead letters of `count` events, and is at rest.
fn with_dead_letters(name: &str, partitions: i32, count: i32) -> Pipeline<'static> {
    let pipeline = Pipeline::new(name, partitions, |_| {});
    pipeline.write(broken(partitions, count));
    work(&pipeline);
    assert_eq!(pipeline.read(&pipeline.job.topics.dead_letters).len(), usize::try_from(count).unwrap());
    pipeline
}

/// Lets a replica process everything. The audit must find nothing.
fn work(pipeline: &Pipeline<'_>) {
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();
    replica.stop();
}

/// Makes the locale optional.
fn mend(pipeline: &mut Pipeline<'_>) {
    let mut job = pipeline.job.clone();
    job.revision += 1;
    job.rules.validation.required = vec![Field::UserId];
    pipeline.configure(&serde_json::to_value(job).unwrap());
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    let (_, value) = record.headers.iter().rev().find(|(other, _)| other == name)?;
    std::str::from_utf8(value.as_deref()?).ok()
}

/// The replayed events of the source.
fn replayed(pipeline: &Pipeline<'_>) -> Vec<Record> {
    let source = pipeline.read(&pipeline.job.topics.source);
    source.into_iter().filter(|record| header(record, REPLAY_OF).is_some()).collect()
}

fn ledger(pipeline: &Pipeline<'_>) -> Vec<Entry> {
    let records = pipeline.read(&pipeline.job.pipeline.replays_topic());
    let entry = |record: &Record| Entry::decode(record.key.as_ref().unwrap(), record.payload.as_ref().unwrap());
    records.iter().map(|record| entry(record).unwrap()).collect()
}

/// Asserts that each dead letter is in the source again, exactly once, and in the ledger too.
fn assert_once(pipeline: &Pipeline<'_>, count: usize) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for record in replayed(pipeline) {
        *times.entry(header(&record, REPLAY_OF).unwrap().to_owned()).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "{times:?}");
    let mut listed: Vec<String> = ledger(pipeline).iter().map(Entry::key).collect();
    listed.sort_unstable();
    assert_eq!(listed, times.into_keys().collect::<Vec<_>>());
    assert_eq!(listed.len(), count);
}

fn audit(pipeline: &Pipeline<'_>) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["audit", "--output", "json", "--wait", "30s", "--config"])
        .arg(pipeline.job_file())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), report)
}

#[test]
fn dead_letters_are_listed_and_shown_without_what_is_personal() {
    let pipeline = Pipeline::new("letters", 2, |_| {});
    pipeline.write(broken(2, 3));
    let far = login(1, 4_000_000_000);
    let bad = NewRecord { partition: Some(0), payload: Some(b"{secret".to_vec()), ..NewRecord::default() };
    pipeline.write([login(0, NOW), far, bad]);
    work(&pipeline);
    let (code, rows) = lines(&pipeline, &["list"]);
    assert_eq!(code, 0);
    assert_eq!(rows.len(), 5);
    let place = |row: &Value| (row["partition"].as_i64().unwrap(), row["offset"].as_i64().unwrap());
    let places: Vec<_> = rows.iter().map(place).collect();
    assert_eq!(places.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
    assert!(places.is_sorted());
    assert_eq!(rows[2]["reason"], "malformed");
    assert_eq!(rows[4]["source"], format!("{}/1/1", pipeline.job.topics.source));
    let count = |arguments: &[&str]| lines(&pipeline, &[&["list"], arguments].concat()).1.len();
    assert_eq!(count(&["--reason", "future,malformed"]), 2);
    assert_eq!(count(&["--reason", "missing-field", "--partition", "0"]), 2);
    assert_eq!(count(&["--since", "1h"]), 5);
    assert_eq!(count(&["--until", "1h"]), 0);
    assert_eq!(count(&["--limit", "2"]), 2);
    // Kafka's index gives an approximate offset for a time, so the timestamp of every record is checked as well.
    let times: Vec<&str> = rows.iter().map(|row| row["time"].as_str().unwrap()).collect();
    for since in &times {
        assert_eq!(count(&["--since", since]), times.iter().filter(|time| *time >= since).count(), "{since} {times:?}");
    }
    assert_eq!(count(&["--since", "2100-01-01T00:00:00Z"]), 0);
    let (partition, offset) = places[2];
    let place = format!("{partition}-{offset}");
    assert_eq!(count(&[&place]), 1);
    let (_, summary) = lines(&pipeline, &["list", "--summary"]);
    assert_eq!(summary[0]["reasons"]["missing-field"], json!({"count": 3, "replayed": 0}));

    let (_, masked, _) = dead_letters(&pipeline, &["show", &place]);
    assert!(masked.contains("malformed") && !masked.contains("secret"), "{masked}");
    let (_, whole, _) = dead_letters(&pipeline, &["show", &place, "--unmask"]);
    assert!(whole.contains("{secret"), "{whole}");
    let (code, _, error) = dead_letters(&pipeline, &["show", "0-99"]);
    assert!(code == 2 && error.contains("there is no dead letter 0-99"), "{error}");
}

#[test]
fn what_is_replayed_after_a_mend_becomes_an_event_once() {
    let mut pipeline = with_dead_letters("mended", 2, 40);
    let before = pipeline.read(&pipeline.job.topics.source);
    assert_eq!(replay(&pipeline, &["--all", "--dry-run"]), (40, 0, 0));
    assert_eq!(replay(&pipeline, &["--reason", "future"]), (0, 0, 0));
    assert_eq!(pipeline.read(&pipeline.job.topics.source).len(), 40, "nothing was written");
    // Without a fix, an event becomes a dead letter again: a new one, which names its origin.
    assert_eq!(replay(&pipeline, &["--partition", "1", "--limit", "1"]), (1, 0, 0));
    work(&pipeline);
    let (_, rows) = lines(&pipeline, &["list", "--partition", "1"]);
    assert_eq!(rows.len(), 21);
    let first = format!("{}/1/{}", pipeline.job.topics.dead_letters, rows[0]["offset"]);
    assert_eq!(rows[20]["replay"], first);
    assert!(rows[0]["replayed"].is_string() && rows[20]["replayed"].is_null(), "{rows:?}");

    mend(&mut pipeline);
    assert_eq!(replay(&pipeline, &["--reason", "missing-field"]), (40, 1, 0));
    assert_eq!(replay(&pipeline, &["--all"]), (0, 41, 0));
    let copies = replayed(&pipeline);
    assert_eq!(copies.len(), 41);
    for copy in &copies {
        let of: Identity = header(copy, REPLAY_OF).unwrap().parse().unwrap();
        assert_eq!(of.place.topic, pipeline.job.topics.source);
        assert_eq!(of.place.partition, copy.partition);
        let original = before.iter().find(|record| record.payload == copy.payload && record.key == copy.key).unwrap();
        let own = copy.headers.iter().filter(|(name, _)| !name.starts_with("lp-"));
        assert!(own.eq(&original.headers), "{copy:?}");
        assert_eq!(copy.headers.len(), 4, "{copy:?}");
        let dead: Place = header(copy, REPLAY).unwrap().parse().unwrap();
        assert_eq!(dead.topic, pipeline.job.topics.dead_letters);
        assert_eq!(dead.partition, copy.partition);
    }
    assert_once(&pipeline, 41);
    work(&pipeline);
    assert_eq!(pipeline.read(&pipeline.job.topics.output).len(), 40);
    let (code, report) = audit(&pipeline);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["replayed"], 41, "{report}");
    assert_eq!(report["replay_faults"], 0, "{report}");
}

fn identity(letter: &Record) -> String {
    let part = |name| header(letter, name).unwrap();
    format!("{}/{}/{}/{}", part(SOURCE_TOPIC), part(SOURCE_PARTITION), part(SOURCE_OFFSET), part(SOURCE_TIMESTAMP))
}

#[test]
fn an_event_that_is_late_when_it_is_replayed_revises_its_window() {
    let short = |spec: &mut LoginPipelineSpec| {
        spec.aggregation.allowed_lateness = serde_json::from_value(json!("1s")).unwrap();
        spec.aggregation.idle_timeout = serde_json::from_value(json!("1s")).unwrap();
    };
    let mut pipeline = Pipeline::new("late-replay", 1, short);
    pipeline.write([login(0, NOW)].into_iter().chain(broken(1, 3)).chain([login(0, NOW + 600)]));
    work(&pipeline);
    mend(&mut pipeline);
    assert_eq!(replay(&pipeline, &["--all"]), (3, 0, 0));

    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();
    let key = format!("1m/{}/_all", "2024-07-10T02:00:00Z");
    let topic = pipeline.job.topics.results.aggregates.clone();
    let window = wait_for("the window's revision", BOUND, || {
        let records = pipeline.read(&topic);
        let last = records.iter().rev().find(|record| record.key.as_deref() == Some(key.as_bytes()))?;
        let window: Aggregate = serde_json::from_slice(last.payload.as_ref()?).unwrap();
        (window.revision >= 1 && window.count == 4).then_some(window)
    });
    assert!(window.is_final && window.late == Some(3), "{window:?}");

    // A snapshot names the rules by which each event was judged.
    std::thread::sleep(Duration::from_secs(11));
    let (code, report) = audit(&pipeline);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["replayed"], 3, "{report}");
    assert_eq!(report["late"], 3, "{report}");
    assert!(report["aggregates_checked"].as_u64() > Some(0), "{report}");
    replica.stop();
}
