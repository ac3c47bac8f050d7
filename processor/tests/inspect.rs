//! `processor inspect` on a real Kafka, of what a replica wrote, and of what it did not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Command;

use crds::records::state::{Key, Position, encode};
use serde_json::Value;
use support::{BOUND, Pipeline};
use testkit::{
    kafka::{Isolation, NewRecord},
    wait_for,
};

/// Runs the command, and returns its exit code and what it printed.
fn inspect(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["inspect", "--config"])
        .arg(pipeline.job_file())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
}

/// The same for a program; everything must be readable.
fn lines(pipeline: &Pipeline<'_>, arguments: &[&str]) -> Vec<Value> {
    let (code, text) = inspect(pipeline, &[&["--output", "json"], arguments].concat());
    assert_eq!(code, 0, "{text}");
    // Beside them may stand how long it took.
    let records = text.lines().filter(|line| !line.starts_with("reading from "));
    records.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn sum(numbers: impl Iterator<Item = Value>) -> u64 {
    numbers.map(|number| number.as_u64().unwrap()).sum()
}

#[test]
fn what_a_replica_wrote_is_decoded() {
    let pipeline = Pipeline::new("inspect", 2, |_| {});
    pipeline.write_logins(2, 1000);
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle_records().assert_exactly_once();
    the_deltas_are_decoded(&pipeline);
    the_offsets_are_decoded(&pipeline);
    the_state_is_decoded(&pipeline);
    replica.stop();
}

fn the_deltas_are_decoded(pipeline: &Pipeline<'_>) {
    let deltas = lines(pipeline, &["deltas", "--from", "0"]);
    let panes = deltas.iter().flat_map(|delta| delta["panes"].as_array().unwrap());
    assert_eq!(sum(panes.map(|pane| pane["count"].clone())), 1000);
    assert!(deltas[0]["rules"]["validation"].is_object(), "{}", deltas[0]);
    let last = lines(pipeline, &["deltas", "--last", "2"]);
    assert_eq!(last, deltas[deltas.len() - 2..]);
    let offset = last[0]["offset"].to_string();
    assert_eq!(lines(pipeline, &["deltas", "--from", &offset, "--to", &last[1]["offset"].to_string()]), last[..1]);
    let (code, table) = inspect(pipeline, &["deltas"]);
    assert_eq!(code, 0, "{table}");
    assert!(table.lines().any(|line| line.trim_start().starts_with("partition 1  [0, ")), "{table}");
}

fn the_offsets_are_decoded(pipeline: &Pipeline<'_>) {
    let group = pipeline.job.pipeline.aggregate_group();
    let offsets = wait_for("offsets of both groups", BOUND, || {
        let offsets = lines(pipeline, &["offsets"]);
        offsets.iter().any(|line| line["group"] == *group && line["offset"].is_i64()).then_some(offsets)
    });
    let aggregate = offsets.iter().find(|line| line["group"] == *group).unwrap();
    assert!(aggregate["transactional_id"].as_str().unwrap().ends_with(".aggregate.a"), "{aggregate}");
    let ingest: Vec<_> = offsets.iter().filter(|line| line["topic"] == *pipeline.job.topics.source).collect();
    assert_eq!(ingest.iter().map(|line| line["offset"].as_i64()).collect::<Vec<_>>(), [Some(500), Some(500)]);
    let id = ingest[0]["transactional_id"].as_str().unwrap();
    assert!(id.ends_with(".ingest.a.0") && ingest[0]["watermark"].is_i64(), "{ingest:?}");
    let (code, table) = inspect(pipeline, &["offsets"]);
    assert!(code == 0 && table.contains(id), "{table}");
}

fn the_state_is_decoded(pipeline: &Pipeline<'_>) {
    let state = wait_for("a snapshot", BOUND, || {
        let state = lines(pipeline, &["state"]);
        state.iter().any(|line| line["key"] == "meta").then_some(state)
    });
    let find = |key: &str| state.iter().find(|line| line["key"] == key).unwrap();
    let partitions = find("meta")["meta"]["partitions"].as_array().unwrap();
    assert_eq!(partitions.iter().map(|partition| partition["to"].as_i64()).collect::<Vec<_>>(), [Some(500), Some(500)]);
    assert_eq!(
        (&find("total/all/0")["total"]["count"], &find("total/all/0")["total"]["unique_users"]),
        (&1000.into(), &1.into())
    );
    let values = &lines(pipeline, &["state", "--key", "values/all/0/locale/0"])[0]["values"];
    assert_eq!(values["counts"]["RI"], 1000);
    let (code, table) = inspect(pipeline, &["state"]);
    assert!(code == 0 && table.lines().any(|line| line.starts_with("all ") && line.contains(" 1000 ")), "{table}");
}

#[test]
fn what_cannot_be_read_is_shown_and_told_by_the_exit_code() {
    let pipeline = Pipeline::new("garbled", 1, |_| {});
    let state = pipeline.job.topics.results.as_ref().unwrap().state.as_str();
    let record = |key: &str, value: &[u8]| NewRecord {
        key: Some(key.as_bytes().to_vec()),
        payload: Some(value.to_vec()),
        ..NewRecord::default()
    };
    assert_eq!(inspect(&pipeline, &["deltas"]), (0, String::new()));
    assert_eq!(inspect(&pipeline, &["state"]), (0, "the state is empty\n".to_owned()));

    pipeline.kafka.produce(&pipeline.job.topics.deltas, [record("", b"\x09")]).unwrap();
    let position = encode(&Position { offset: 7 }).unwrap();
    pipeline.kafka.produce(state, [record(&Key::Position.encode(), &position), record("meta", b"\x09")]).unwrap();
    let (code, text) = inspect(&pipeline, &["deltas"]);
    assert_eq!((code, text.as_str()), (1, "0  UNREADABLE: a delta of version 9, this processor reads version 1\n"));
    let (code, text) = inspect(&pipeline, &["state"]);
    assert!(code == 1 && text.contains("the next delta is 7") && text.contains("meta  offset 1"), "{code} {text}");
    let (code, text) = inspect(&pipeline, &["state", "--key", "position"]);
    assert_eq!((code, text.as_str()), (0, "position  offset 0  2 bytes\nthe next delta is 7\n"));
    let (code, text) = inspect(&pipeline, &["state", "--key", "totals"]);
    assert!(code == 2 && text.contains("--key \"totals\""), "{code} {text}");
    assert_eq!(pipeline.kafka.end_offsets(state, Isolation::ReadCommitted).unwrap()[&0], 2, "nothing was written");
}
