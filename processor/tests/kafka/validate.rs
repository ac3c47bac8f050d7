//! `processor validate` judges lines as a replica on a real Kafka does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use crds::{
    pipeline::{Duration, Field, IpRule},
    records::{
        dead_letter::{DETAIL, REASON, SOURCE_OFFSET},
        delta::Delta,
    },
};
use processor::commands::generate::{Events, Kind, Options, Shares};
use serde_json::Value;
use support::{Pipeline, login};
use testkit::kafka::{NewRecord, Record};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Generated events of every kind, and lines at the limits of the rules. Future events are far in the future, because
/// the broker sets the timestamps of records.
fn lines() -> Vec<Vec<u8>> {
    let shares =
        [(Kind::Late, 0.2), (Kind::Odd, 0.2), (Kind::Malformed, 0.1), (Kind::Incomplete, 0.1), (Kind::Future, 0.05)];
    let shares = shares.into_iter().try_fold(Shares::NONE, |shares, (kind, share)| shares.with(kind, share)).unwrap();
    let events = Events::new(Options { seed: 7, shares, start: now() - 3000, per_second: 1, ..Options::default() });
    let is_line = |value: &Vec<u8>| !value.contains(&b'\n') && !value.ends_with(b"\r");
    // A tombstone is not a line.
    let mut lines: Vec<Vec<u8>> =
        events.take(3000).filter_map(|event| event.payload().map(<[u8]>::to_vec)).filter(is_line).collect();
    let old = now() - 20_000;
    for line in [
        String::new(),
        " ".to_owned(),
        "null".to_owned(),
        "[1]".to_owned(),
        format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","ip":"1.2.3","timestamp":{old}}}"#),
        format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","ip":"::1","timestamp":{old},"x":1e400}}"#),
        format!(r#" {{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{old}}} "#),
    ] {
        lines.push(line.into_bytes());
    }
    lines.push(b"{\"user_id\":\"\xff\"}".to_vec());
    lines
}

fn header(record: &Record, name: &str) -> String {
    let (_, value) = record.headers.iter().rev().find(|(header, _)| header == name).unwrap();
    String::from_utf8(value.clone().unwrap()).unwrap()
}

/// The outcome by offset, and the reason and detail of a dead letter.
fn became(pipeline: &Pipeline<'_>) -> BTreeMap<i64, (String, String)> {
    let mut found = BTreeMap::new();
    for record in pipeline.read(&pipeline.job.topics.output) {
        let value = String::from_utf8(record.payload.unwrap()).unwrap();
        let (_, id) = value.rsplit_once("\"event_id\":\"0-").unwrap();
        let offset = id.split('"').next().unwrap().parse().unwrap();
        let late = if value.ends_with(",\"late\":true}") { "late" } else { "processed" };
        found.insert(offset, (late.to_owned(), String::new()));
    }
    for record in pipeline.read(&pipeline.job.topics.dead_letters) {
        let offset = header(&record, SOURCE_OFFSET).parse().unwrap();
        found.insert(offset, (header(&record, REASON), header(&record, DETAIL)));
    }
    found
}

#[test]
fn it_agrees_with_a_replica_line_by_line() {
    let pipeline = Pipeline::new("validate", 1, |spec| {
        spec.aggregation.allowed_lateness = Duration::from_secs(100);
        spec.aggregation.retention = Duration::from_secs(7200);
        spec.validation.ip = IpRule::Valid;
        // An event without a timestamp would take that of its record: the broker's in one case, the clock's in the
        // other.
        spec.validation.required = vec![Field::UserId, Field::Locale, Field::Timestamp];
    });
    let lines = lines();
    let file = pipeline.folder.path().join("events.jsonl");
    fs::write(&file, lines.join(&b"\n"[..])).unwrap();
    pipeline.write(lines.iter().map(|line| NewRecord {
        partition: Some(0),
        payload: Some(line.clone()),
        ..NewRecord::default()
    }));
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle_records().assert_exactly_once();
    replica.stop();

    let output = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["validate", "--output", "json", "--config"])
        .args([&pipeline.job_file(), &file])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let mut said: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = said.pop().unwrap();
    assert_eq!(said.len(), lines.len());
    assert_eq!(sum["lines"], lines.len());
    let became = became(&pipeline);
    for (line, (offset, said)) in lines.iter().zip((0..).zip(&said)) {
        let text = |name: &str| said[name].as_str().unwrap_or_default();
        let said = match text("outcome") {
            "dead-letter" => (text("reason"), text("detail")),
            // For these, the output says only that they are late.
            "unmerged" | "late" => ("late", ""),
            outcome => (outcome, ""),
        };
        let (outcome, detail) = &became[&offset];
        assert_eq!(said, (outcome.as_str(), detail.as_str()), "line {}: {}", offset + 1, String::from_utf8_lossy(line));
    }
    let deltas = pipeline.read(&pipeline.job.topics.deltas);
    let ranges = deltas.iter().flat_map(|record| Delta::decode(record.payload.as_ref().unwrap()).unwrap().ranges);
    let unmerged: u64 = ranges.map(|range| range.unmerged).sum();
    assert!(unmerged > 0 && sum["late"].as_u64() > Some(unmerged), "{sum}");
    assert_eq!(sum["unmerged"], unmerged, "{sum}");
    for reason in ["malformed", "missing-field", "invalid-field", "future"] {
        assert!(sum["dead_letters"][reason].as_u64() > Some(0), "{reason}: {sum}");
    }
}

/// Common mistakes while a Kafka answers.
#[test]
fn a_topic_that_is_not_there_is_named() {
    let pipeline = Pipeline::new("wrong-topic", 1, |_| {});
    pipeline.write([login(0, 1_720_576_825)]);
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_processor")).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };

    let (code, said) =
        run(&["generate", "--bootstrap", pipeline.kafka.bootstrap(), "--topic", "no-such-topic", "--events", "1"]);
    assert_eq!(code, 2, "{said}");
    assert_eq!(said, "processor: --topic no-such-topic does not exist: create it, or let the operator do so\n");

    let job = fs::read_to_string(pipeline.job_file()).unwrap().replace(&pipeline.job.topics.source, "no-such-topic");
    let file = pipeline.folder.path().join("wrong.json");
    fs::write(&file, job).unwrap();
    for command in [&["audit"][..], &["inspect", "offsets"]] {
        let (code, said) = run(&[command, &["--config", file.to_str().unwrap()]].concat());
        assert_eq!(code, 2, "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("processor: ") && said.contains("no-such-topic"), "{said}");
    }
}

/// Each line is a separate record, regardless of its line ending.
#[test]
fn a_manifest_and_its_job_config_judge_alike() {
    let pipeline = Pipeline::new("alike", 1, |_| {});
    let file = pipeline.folder.path().join("events.jsonl");
    fs::write(&file, lines().join(&b"\r\n"[..])).unwrap();
    let manifest = pipeline.folder.path().join("pipeline.yaml");
    let spec = r#"{"kafka": {"external": {"bootstrapServers": "x:1"}}}"#;
    fs::write(
        &manifest,
        format!("apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {{name: a}}\nspec: {spec}\n"),
    )
    .unwrap();
    let run = |option: &str, rules: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_processor"))
            .args(["validate", option])
            .args([rules, &file])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };

    let said = run("--config", &pipeline.job_file());
    assert!(said.lines().count() > 2000);
    assert_eq!(said, run("--pipeline", &manifest));
}
