//! `processor inspect` on a real Kafka, with topics that a replica wrote and topics that it did not write.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::process::Command;

use crds::records::state::{Key, Position, encode};
use serde_json::Value;
use support::{BOUND, Pipeline};
use testkit::{
    kafka::{Isolation, NewRecord},
    wait_for,
};

/// Runs the command, and returns its exit code and its output.
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

/// Runs the command with JSON output; all of it must be readable.
fn lines(pipeline: &Pipeline<'_>, arguments: &[&str]) -> Vec<Value> {
    let (code, text) = inspect(pipeline, &[&["--output", "json"], arguments].concat());
    assert_eq!(code, 0, "{text}");
    // A line about the elapsed time may be next to them.
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
    let total = &find("total/all/0")["total"];
    assert_eq!(total["count"], 1000);
    assert_eq!(total["unique_users"], 1);
    let values = &lines(pipeline, &["state", "--key", "values/all/0/locale/0"])[0]["values"];
    assert_eq!(values["counts"]["RI"], 1000);
    let (code, table) = inspect(pipeline, &["state"]);
    assert!(code == 0 && table.lines().any(|line| line.starts_with("all ") && line.contains(" 1000 ")), "{table}");
}

/// Three minutes of old events, and one later event that closes them; then one that is late for the first minute.
#[test]
fn insights_and_alerts_are_read_from_the_command_line() {
    let pipeline = Pipeline::new("insights", 1, |spec| {
        let alert =
            serde_json::json!({"name": "old", "dimension": "locale", "value": "TX", "window": "1m", "above": 1});
        spec.alerts = vec![serde_json::from_value(alert).unwrap()];
    });
    let mut replica = pipeline.start("a");
    replica.ready();
    let login = |minute: i64, locale: &str| NewRecord {
        payload: Some(
            format!(
                r#"{{"user_id":"u{locale}","device_type":"iOS","locale":"{locale}","timestamp":{}}}"#,
                1_720_576_800 + 60 * minute
            )
            .into_bytes(),
        ),
        ..NewRecord::default()
    };
    let logins = [(0, "RI"), (1, "RI"), (1, "TX"), (1, "TX"), (2, "CA"), (4, "CA")];
    pipeline.kafka.produce(&pipeline.job.topics.source, logins.map(|(minute, locale)| login(minute, locale))).unwrap();
    let minutes = |revision: u64| {
        wait_for("insights", BOUND, || {
            let found = lines(&pipeline, &["insights", "--window", "60s"]);
            (found.len() == 3 && found.iter().any(|insight| insight["revision"] == revision)).then_some(found)
        })
    };
    let starts: Vec<Value> = minutes(0).iter().map(|insight| insight["start"].clone()).collect();
    assert_eq!(starts, ["2024-07-10T02:00:00Z", "2024-07-10T02:01:00Z", "2024-07-10T02:02:00Z"]);
    let (_, text) = inspect(&pipeline, &["insights", "--window", "1m", "--last", "2"]);
    assert_eq!(
        text.lines().take(3).collect::<Vec<_>>(),
        [
            "1m/2024-07-10T02:01:00Z  events 3 (+200.0% on 1 before)  unique users 2",
            "    device_type  most iOS 3 (100.0%)  least iOS 3 (100.0%)  values 1",
            "    locale       most TX 2 (66.7%)  least RI 1 (33.3%)  values 2",
        ],
        "{text}"
    );

    // A window that changes again is shown once, in its current state.
    pipeline.kafka.produce(&pipeline.job.topics.source, [login(0, "WY")]).unwrap();
    let revised = minutes(1);
    let first = revised.iter().find(|insight| insight["start"] == "2024-07-10T02:00:00Z").unwrap();
    assert_eq!(first["count"], 2);
    assert_eq!(first["late"], 1);
    assert_eq!(first["revision"], 1);
    assert_eq!(lines(&pipeline, &["insights", "--window", "5m"]), Vec::<Value>::new());

    let alerts = lines(&pipeline, &["alerts", "--name", "old"]);
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["value"], "TX", "{alerts:?}");
    assert_eq!(alerts[0]["count"], 2, "{alerts:?}");
    assert!(alerts[0]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{alerts:?}");
    let (code, text) = inspect(&pipeline, &["alerts"]);
    assert!(code == 0 && text.contains("  old  1m/2024-07-10T02:01:00Z  locale TX: 2 events, more than 1\n"), "{text}");
    assert_eq!(lines(&pipeline, &["alerts", "--name", "new"]), Vec::<Value>::new());
    replica.stop();
}

#[test]
fn what_cannot_be_read_is_shown_and_told_by_the_exit_code() {
    let pipeline = Pipeline::new("garbled", 1, |_| {});
    let state = pipeline.job.topics.results.state.as_str();
    let record = |key: &str, value: &[u8]| NewRecord {
        key: Some(key.as_bytes().to_vec()),
        payload: Some(value.to_vec()),
        ..NewRecord::default()
    };
    for (arguments, expected) in [
        (&["deltas"][..], "no transaction has been committed yet\n"),
        (&["state"], "the state is empty\n"),
        (&["insights"], "no window has closed yet\n"),
        (&["insights", "--window", "90s"], "no window of 1m30s has closed yet; the pipeline has 1m, 1h, all\n"),
        (&["alerts"], "no alert has fired\n"),
        (&["alerts", "--name", "spike"], "no alert \"spike\" has fired; the pipeline has no alerts\n"),
        (&["insights", "--output", "json"], ""),
    ] {
        assert_eq!(inspect(&pipeline, arguments), (0, expected.to_owned()), "{arguments:?}");
    }

    pipeline.kafka.produce(&pipeline.job.topics.deltas, [record("", b"\x09")]).unwrap();
    let position = encode(&Position { offset: 7 }).unwrap();
    pipeline.kafka.produce(state, [record(&Key::Position.encode(), &position), record("meta", b"\x09")]).unwrap();
    let (code, text) = inspect(&pipeline, &["deltas"]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(text, "0  UNREADABLE: a delta of version 9, this processor reads version 1\n");
    let insights = &pipeline.job.topics.results.insights;
    pipeline.kafka.produce(insights, [record("1m/2024-07-10T02:00:00Z", br#"{"v":9}"#)]).unwrap();
    let (code, text) = inspect(&pipeline, &["insights", "--window", "1h"]);
    let expected = "0  UNREADABLE: a record of results has version 9, this processor reads version 1\n";
    assert_eq!(code, 1, "{text}");
    assert_eq!(text, expected);
    let (code, text) = inspect(&pipeline, &["state"]);
    assert!(code == 1 && text.contains("the next delta is 7") && text.contains("meta  offset 1"), "{code} {text}");
    let (code, text) = inspect(&pipeline, &["state", "--key", "position"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text, "position  offset 0  2 bytes\nthe next delta is 7\n");
    let (code, text) = inspect(&pipeline, &["state", "--key", "totals"]);
    assert!(code == 2 && text.contains("--key \"totals\""), "{code} {text}");
    assert_eq!(pipeline.kafka.end_offsets(state, Isolation::ReadCommitted).unwrap()[&0], 2, "nothing was written");
}
