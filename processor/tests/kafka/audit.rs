//! `processor audit` and `processor generate` on a real Kafka. This test, not the pipeline, writes the outcomes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod results;
mod rig;

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use ::audit::TopicReader;
use crds::records::delta;
use rig::{Outcomes, PARTITIONS, Rig, check, event, processor, transaction};
use serde_json::{Value, json};
use testkit::{
    kafka::{NewRecord, Record},
    wait_for,
};

#[test]
fn a_clean_pipeline_is_clean() {
    let report = check(|_| (), &[]);
    assert_eq!(report["partitions"], PARTITIONS);
    assert_eq!(report["processed"], 2 * 22, "{report:#}");
    assert_eq!(report["late"], 2 * 6, "{report:#}");
    assert_eq!(report["dead_letters_by_reason"], json!({"malformed": 2 * 10, "missing-field": 2 * 8}));
    assert_eq!(report["examples"], json!({}));
}

#[test]
fn a_loss_is_found() {
    let report = check(
        |outcomes| {
            outcomes.output.remove(7);
            outcomes.dead_letters.remove(7);
        },
        &[("lost", 2)],
    );
    assert_eq!(report["lost_at_end"], 0);
    assert!(report["examples"]["lost"][0]["source"]["offset"].is_i64(), "{report:#}");
}

#[test]
fn a_duplicate_is_found() {
    let plant = |outcomes: &mut Outcomes| outcomes.output.insert(9, outcomes.output[3].clone());
    check(plant, &[("duplicated", 1)]);
}

#[test]
fn a_swap_is_found() {
    check(|outcomes| outcomes.output.swap(4, 5), &[("out_of_order", 1)]);
}

#[test]
fn wrong_routing_is_found() {
    let plant = |outcomes: &mut Outcomes| {
        let record = outcomes.output.remove(4);
        outcomes.dead_letters.insert(8, record);
        let letter = &mut outcomes.dead_letters[3];
        letter.partition = letter.partition.map(|partition| 1 - partition);
    };
    check(plant, &[("misrouted", 2)]);
}

#[test]
fn an_alteration_is_found() {
    let plant = |outcomes: &mut Outcomes| {
        outcomes.output[5].key = Some(b"other".to_vec());
        outcomes.output[6].payload.as_mut().unwrap()[13] = b'x';
        outcomes.dead_letters[6].headers.pop();
    };
    let report = check(plant, &[("altered", 3)]);
    assert!(!report.to_string().contains("RI"), "no personal data: {report:#}");
}

/// The last offset of a topic written in transactions is the commit marker, which no reader sees.
#[test]
fn what_is_written_after_the_fixed_end_is_not_read() {
    let rig = Rig::new("Earliest");
    let producer = rig.transactional();
    let topic = &rig.job.topics.output;
    let records = |range: std::ops::Range<i64>| -> Vec<NewRecord> {
        range.map(|index| NewRecord { partition: Some(0), ..event(0, index) }).collect()
    };
    transaction(&producer, topic, &records(0..3), true);
    let mut reader = TopicReader::new(&rig.job, topic).unwrap();
    // Kafka ends a transaction before its marker can be read.
    let ends_with_marker = || reader.offsets(0).ok().filter(|offsets| *offsets == (0, 4));
    let (low, end) = wait_for("the mark of the commit", crate::support::BOUND, ends_with_marker);

    transaction(&producer, topic, &records(3..6), true);
    reader.assign(0, low, end).unwrap();
    let mut read = Vec::new();
    reader.rest(|record| read.push(record.offset)).unwrap();

    assert_eq!(read, [0, 1, 2]);
}

#[test]
fn the_audit_waits_for_a_pipeline_that_is_at_work() {
    let rig = Rig::new("Earliest");
    rig.write_input();
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["lost"], 80, "{report:#}");
    assert_eq!(report["lost_at_end"], 80, "{report:#}");

    let config = rig.config();
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_processor"))
        .args(["audit", "--output", "json", "--wait", "60s", "--log-level", "info", "--config", &config])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(waiting.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("the end of the source is fixed")));
    let outcomes = rig.right_outcomes();
    // Newer than the audit.
    rig.kafka.produce(&rig.job.topics.source, [event(0, 0)]).unwrap();
    rig.write(&outcomes);

    let output = waiting.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["input"], 80, "{report:#}");
}

#[test]
fn a_pipeline_that_began_with_the_latest_is_audited_from_there() {
    let rig = Rig::new("Latest");
    rig.write_input();
    let (code, problem) = rig.audit(&[]);
    assert_eq!(code, Some(2));
    assert!(problem.as_str().unwrap().contains("it has not started yet"), "{problem}");

    let right = rig.right_outcomes();
    let place = |partition: i32| {
        let ours: Vec<Record> = rig.input().into_iter().filter(|record| record.partition == partition).collect();
        ours[ours.len() - 10].offset
    };
    let range =
        |partition| delta::Range { partition, from: place(partition), to: place(partition), ..delta::Range::default() };
    let begin = delta::Delta { chunks: 1, ranges: (0..PARTITIONS).map(range).collect(), ..delta::Delta::default() };
    let payload = Some(begin.encode().unwrap());
    rig.kafka.produce(&rig.job.topics.deltas, [NewRecord { payload, ..NewRecord::default() }]).unwrap();
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(1), "{report:#}");
    assert_eq!(report["input"], 20, "{report:#}");
    assert_eq!(report["lost"], 20, "{report:#}");
    rig.write(&right);
    let (code, report) = rig.audit(&[]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["input"], 20, "{report:#}");
    assert_eq!(report["unchecked"], 60, "{report:#}");
}

#[test]
fn what_cannot_be_audited_is_said() {
    let rig = Rig::new("Earliest");
    let (code, problem) = rig.audit(&["--bootstrap", "127.0.0.1:1"]);
    assert_eq!(code, Some(2), "{problem}");

    rig.kafka.delete_topic(&rig.job.topics.output).unwrap();
    let (code, problem) = rig.audit(&[]);
    assert_eq!(code, Some(2), "{problem}");
    assert!(
        problem.as_str().unwrap().contains(&format!("topic {} does not exist", rig.job.topics.output)),
        "{problem}"
    );

    let output = processor(&["audit", "--config", "/nowhere/job.json"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--config /nowhere/job.json: "));
}

#[test]
fn generated_events_arrive_as_reported() {
    let rig = Rig::new("Earliest");
    let topic = &rig.job.topics.source;
    let generate = |more: &[&str]| {
        let arguments = ["generate", "--bootstrap", rig.kafka.bootstrap(), "--topic", topic, "--output", "json"];
        processor(&arguments, more)
    };
    let output = generate(&["--events", "3000", "--malformed", "0.1", "--odd", "0.1", "--seed", "7"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let input = rig.input();
    assert_eq!(report["sent"], 3000);
    assert_eq!(input.len(), 3000);
    let bytes: usize = input.iter().map(|record| record.payload.as_ref().map_or(0, Vec::len)).sum();
    assert_eq!(report["bytes"], bytes);
    let kinds = report["kinds"].as_object().unwrap();
    assert_eq!(kinds.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3000);
    assert!((200..400).contains(&kinds["malformed"].as_u64().unwrap()), "{report:#}");
    assert!((0..PARTITIONS).all(|partition| input.iter().any(|record| record.partition == partition)));
    assert!(input.iter().all(|record| record.key.as_ref().is_some_and(|key| key.len() == 36)));

    let output = generate(&["--events", "50", "--rate", "100"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["seconds"].as_f64().unwrap() > 0.45, "{report:#}");

    for (options, problem) in [
        (&["--late", "0.6", "--odd", "0.6"][..], "add up to"),
        (&["--odd", "2"], "--odd is 2: write a fraction"),
        (&["--topic", "no-such-topic"], "--topic no-such-topic does not exist"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_processor"))
            .args(["generate", "--bootstrap", rig.kafka.bootstrap()])
            .args(options)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(problem), "{said}");
    }
}
