//! `processor dead-letters` on a real Kafka: what is replayed stands in the source again, once, however runs end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{collections::BTreeMap, process::Command, time::Duration};

use crds::{
    pipeline::{Field, LoginPipelineSpec},
    records::{
        aggregate::Aggregate,
        dead_letter::{REASON, Reason, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, TRUNCATED},
        replay::{Entry, Identity, Place, REPLAY, REPLAY_OF},
    },
};
use processor::kafka::{
    native::producer::{Outgoing, Producer},
    settings,
};
use serde_json::{Value, json};
use support::{BOUND, Pipeline, login};
use testkit::{
    kafka::{Isolation, NewRecord, Record},
    process::{Process, Program},
    wait_for,
};

const NOW: u64 = 1_720_576_825;

/// Runs the command, and returns its exit code, its results and what else it said.
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

/// The same for a program: every line of the results.
fn lines(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, text, error) = dead_letters(pipeline, &[&["--output", "json"], arguments].concat());
    assert!(code < 2, "{error}");
    (code, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Replays, and returns how many were, were before, and were refused.
fn replay(pipeline: &Pipeline<'_>, arguments: &[&str]) -> (u64, u64, u64) {
    let (code, report) = lines(pipeline, &[&["replay"], arguments].concat());
    let count = |name: &str| report[0][name].as_u64().unwrap();
    assert_eq!(code, i32::from(count("refused") > 0), "{report:?}");
    (count("replayed"), count("already_replayed"), count("refused"))
}

/// Starts a run in the background.
fn start(pipeline: &Pipeline<'_>, batch: &str) -> Process {
    Program::new(testkit::unique("replay"), env!("CARGO_BIN_EXE_processor"))
        .args(["dead-letters", "replay", "--all", "--batch", batch, "--config"])
        .arg(pipeline.job_file())
        .spawn(&pipeline.folder)
        .unwrap()
}

/// Events without a locale, which is required, spread over the partitions; each with a key and headers of its own.
fn broken(partitions: i32, count: i32) -> impl Iterator<Item = NewRecord> {
    (0..count).map(move |index| NewRecord {
        partition: Some(index % partitions),
        key: Some(format!("key {index}").into_bytes()),
        payload: Some(format!(r#"{{"user_id":"u{index}","device_type":"iOS","timestamp":{NOW}}}"#).into_bytes()),
        headers: vec![("trace".to_owned(), Some(vec![0xff, 1])), ("none".to_owned(), None)],
        ..NewRecord::default()
    })
}

/// A pipeline that has made dead letters of so many events, and is at rest.
fn with_dead_letters(name: &str, partitions: i32, count: i32) -> Pipeline<'static> {
    let pipeline = Pipeline::new(name, partitions, |_| {});
    pipeline.write(broken(partitions, count));
    work(&pipeline);
    assert_eq!(pipeline.read(&pipeline.job.topics.dead_letters).len(), usize::try_from(count).unwrap());
    pipeline
}

/// Lets a replica process all that there is. The audit must find nothing.
fn work(pipeline: &Pipeline<'_>) {
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();
    replica.stop();
}

/// No locale is required any more.
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

/// The events of the source that were replayed.
fn replayed(pipeline: &Pipeline<'_>) -> Vec<Record> {
    let source = pipeline.read(&pipeline.job.topics.source);
    source.into_iter().filter(|record| header(record, REPLAY_OF).is_some()).collect()
}

fn ledger(pipeline: &Pipeline<'_>) -> Vec<Entry> {
    let records = pipeline.read(&pipeline.job.pipeline.replays_topic());
    let entry = |record: &Record| Entry::decode(record.key.as_ref().unwrap(), record.payload.as_ref().unwrap());
    records.iter().map(|record| entry(record).unwrap()).collect()
}

/// Each dead letter stands in the source again, exactly once, and in the ledger too.
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

/// Runs the audit, and returns its exit code and its report.
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
    assert_eq!((code, rows.len()), (0, 5));
    let place = |row: &Value| (row["partition"].as_i64().unwrap(), row["offset"].as_i64().unwrap());
    let places: Vec<_> = rows.iter().map(place).collect();
    assert_eq!(places.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
    assert!(places.is_sorted());
    assert_eq!(rows[2]["reason"], "malformed");
    assert_eq!(rows[4]["source"], format!("{}/1/1", pipeline.job.topics.source));
    let count = |arguments: &[&str]| lines(&pipeline, &[&["list"], arguments].concat()).1.len();
    assert_eq!(count(&["--reason", "future,malformed"]), 2);
    assert_eq!(count(&["--reason", "missing-field", "--partition", "0"]), 2);
    assert_eq!((count(&["--since", "1h"]), count(&["--until", "1h"]), count(&["--limit", "2"])), (5, 0, 2));
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
    // Unmended, an event becomes a dead letter again: a new one, which says whence it came.
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
        assert_eq!((&of.place.topic, of.place.partition), (&pipeline.job.topics.source, copy.partition));
        let original = before.iter().find(|record| record.payload == copy.payload && record.key == copy.key).unwrap();
        let own = copy.headers.iter().filter(|(name, _)| !name.starts_with("lp-"));
        assert!(own.eq(&original.headers), "{copy:?}");
        assert_eq!(copy.headers.len(), 4, "{copy:?}");
        let dead: Place = header(copy, REPLAY).unwrap().parse().unwrap();
        assert_eq!((&dead.topic, dead.partition), (&pipeline.job.topics.dead_letters, copy.partition));
    }
    assert_once(&pipeline, 41);
    work(&pipeline);
    assert_eq!(pipeline.read(&pipeline.job.topics.output).len(), 40);
    let (code, report) = audit(&pipeline);
    assert_eq!((code, &report["replayed"], &report["replay_faults"]), (0, &json!(41), &json!(0)), "{report}");
}

/// Each transaction ends with a marker in every partition that it wrote.
#[test]
fn an_event_and_its_entry_are_one_transaction() {
    let pipeline = with_dead_letters("batches", 1, 10);
    let end = |topic: &str| pipeline.kafka.end_offsets(topic, Isolation::ReadUncommitted).unwrap()[&0];
    let before = end(&pipeline.job.topics.source);
    assert_eq!(replay(&pipeline, &["--all", "--batch", "5"]), (10, 0, 0));
    let transactions = end(&pipeline.job.pipeline.replays_topic()) - 10;
    assert!((2..10).contains(&transactions), "{transactions}");
    assert_eq!(end(&pipeline.job.topics.source) - before - 10, transactions);
}

#[test]
fn a_run_that_is_killed_is_finished_by_the_next() {
    let pipeline = with_dead_letters("killed", 3, 300);
    let entries = || pipeline.kafka.end_offsets(&pipeline.job.pipeline.replays_topic(), Isolation::ReadUncommitted);
    for (batch, more) in [("500", 0), ("1", 10), ("7", 30), ("20", 60)] {
        let reached = entries().unwrap()[&0] + more;
        let mut run = start(&pipeline, batch);
        wait_for("some entries", BOUND, || (entries().unwrap()[&0] >= reached || run.status().is_some()).then_some(()));
        run.kill();
    }
    let (now, before, refused) = replay(&pipeline, &["--all", "--batch", "9"]);
    assert_eq!((now + before, refused), (300, 0));
    assert_once(&pipeline, 300);
    work(&pipeline);
    let (code, report) = audit(&pipeline);
    assert_eq!((code, &report["replayed"]), (0, &json!(300)), "{report}");
}

/// What a run leaves that died between its writes and its commit, for as long as nobody ends it.
#[test]
fn a_transaction_that_hangs_is_ended_and_its_events_are_replayed() {
    let pipeline = with_dead_letters("hanging", 1, 5);
    let id = pipeline.job.pipeline.replay_transactional_id();
    let mut gone = Producer::new(&settings::producer(&pipeline.job, &id, 1 << 20)).unwrap();
    let topics = [&pipeline.job.topics.source, &pipeline.job.pipeline.replays_topic()];
    let [source, ledger] = topics.map(|topic| gone.topic(topic).unwrap());
    gone.init_transactions(BOUND).unwrap();
    gone.begin().unwrap();
    let letters = pipeline.read(&pipeline.job.topics.dead_letters);
    for letter in &letters[..2] {
        let key = identity(letter);
        let event = Outgoing { key: letter.key.as_deref(), value: letter.payload.as_deref() };
        gone.produce_with(source, 0, &event, &[]).unwrap();
        gone.produce_with(ledger, 0, &Outgoing { key: Some(key.as_bytes()), value: Some(b"{}") }, &[]).unwrap();
    }
    gone.flush(BOUND).unwrap();
    assert_eq!(replay(&pipeline, &["--all"]), (5, 0, 0));
    assert_once(&pipeline, 5);
    let error = gone.commit(BOUND).unwrap_err();
    assert!(error.is_fenced(), "{error:?}");
    work(&pipeline);
}

fn identity(letter: &Record) -> String {
    let part = |name| header(letter, name).unwrap();
    format!("{}/{}/{}/{}", part(SOURCE_TOPIC), part(SOURCE_PARTITION), part(SOURCE_OFFSET), part(SOURCE_TIMESTAMP))
}

#[test]
fn of_two_runs_the_first_stops_and_nothing_is_doubled() {
    let pipeline = with_dead_letters("two-runs", 2, 1000);
    let topic = pipeline.job.pipeline.replays_topic();
    let mut first = start(&pipeline, "1");
    wait_for("some entries", BOUND, || {
        first.check_running().unwrap();
        let ends = pipeline.kafka.end_offsets(&topic, Isolation::ReadCommitted).unwrap();
        (ends[&0] >= 20).then_some(())
    });
    let (now, before, _) = replay(&pipeline, &["--all"]);
    assert!(now > 0 && before > 0 && now + before == 1000, "{now} {before}");
    assert_eq!(first.wait(BOUND).unwrap(), 2, "{}", first.log());
    assert!(first.log().contains("another run of dead-letters replay has begun"), "{}", first.log());
    assert_once(&pipeline, 1000);
    work(&pipeline);
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
    let topic = pipeline.job.topics.results.clone().unwrap().aggregates;
    let window = wait_for("the window's revision", BOUND, || {
        let records = pipeline.read(&topic);
        let last = records.iter().rev().find(|record| record.key.as_deref() == Some(key.as_bytes()))?;
        let window: Aggregate = serde_json::from_slice(last.payload.as_ref()?).unwrap();
        (window.revision >= 1 && window.count == 4).then_some(window)
    });
    assert!(window.is_final && window.late == Some(3), "{window:?}");
    // A snapshot tells by which rules which events were judged.
    std::thread::sleep(Duration::from_secs(11));
    let (code, report) = audit(&pipeline);
    assert_eq!((code, &report["replayed"], &report["late"]), (0, &json!(3), &json!(3)), "{report}");
    assert!(report["aggregates_checked"].as_u64() > Some(0), "{report}");
    replica.stop();
}

/// A dead letter as the pipeline writes it.
fn letter(pipeline: &Pipeline<'_>, offset: i64, timestamp: i64, change: &[(&str, &str)]) -> NewRecord {
    let mut headers: BTreeMap<&str, String> = BTreeMap::from([
        (REASON, "future".to_owned()),
        (SOURCE_TOPIC, pipeline.job.topics.source.clone()),
        (SOURCE_PARTITION, "0".to_owned()),
        (SOURCE_OFFSET, offset.to_string()),
        (SOURCE_TIMESTAMP, timestamp.to_string()),
    ]);
    headers.extend(change.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))).collect();
    NewRecord { partition: Some(0), payload: Some(b"{}".to_vec()), headers, ..NewRecord::default() }
}

#[test]
fn what_cannot_be_replayed_is_named_and_an_old_ledger_hides_nothing() {
    let pipeline = Pipeline::new("refused", 1, |_| {});
    let topics = &pipeline.job.topics;
    let cut = [(TRUNCATED, "value")];
    let letters = [
        letter(&pipeline, 0, 5, &[]),
        letter(&pipeline, 1, 5, &cut),
        letter(&pipeline, 2, 5, &[(SOURCE_TOPIC, "another")]),
        letter(&pipeline, 3, 5, &[(SOURCE_PARTITION, "7")]),
        NewRecord { partition: Some(0), payload: Some(b"stray".to_vec()), ..NewRecord::default() },
    ];
    pipeline.kafka.produce(&topics.dead_letters, letters).unwrap();
    // An entry of a source of the same name that was deleted since.
    let place = |topic: &str, offset| Place { topic: topic.to_owned(), partition: 0, offset };
    let stale = Entry {
        identity: Identity { place: place(&topics.source, 0), timestamp: 4 },
        dead_letter: place(&topics.dead_letters, 0),
        reason: Reason::Future,
        time: 4,
        not_before: 9,
    };
    let (key, value) = (stale.key().into_bytes(), stale.encode().into_bytes());
    let entry = NewRecord { key: Some(key), payload: Some(value), ..NewRecord::default() };
    pipeline.kafka.produce(&pipeline.job.pipeline.replays_topic(), [entry]).unwrap();
    let (code, report) = lines(&pipeline, &["replay", "--all"]);
    assert_eq!((code, &report[0]["replayed"], &report[0]["refused"]), (1, &json!(1), &json!(4)), "{report:?}");
    let whys: Vec<&str> =
        report[0]["refusals"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    for (why, expected) in whys.iter().zip(["lp-truncated", "another", "partition 7", "lp-source headers"]) {
        assert!(why.contains(expected), "{why}");
    }
    let (_, text, _) = dead_letters(&pipeline, &["replay", "0-1"]);
    assert!(text.starts_with("dead letter 0-1 cannot be replayed: its value did not fit"), "{text}");
    // Twice in the topic, as after the group's offsets were set back: it is one event.
    pipeline.kafka.produce(&topics.dead_letters, [letter(&pipeline, 9, 5, &[]), letter(&pipeline, 9, 5, &[])]).unwrap();
    assert_eq!(replay(&pipeline, &["0-5", "0-6"]), (1, 1, 0));
}

#[test]
fn without_a_ledger_that_lasts_nothing_is_replayed() {
    let pipeline = Pipeline::new("no-ledger", 1, |_| {});
    let topic = pipeline.job.pipeline.replays_topic();
    pipeline.kafka.produce(&pipeline.job.topics.dead_letters, [letter(&pipeline, 0, 5, &[])]).unwrap();
    pipeline.kafka.delete_topic(&topic).unwrap();
    wait_for("the end of the ledger", BOUND, || pipeline.kafka.partitions(&topic).unwrap().is_none().then_some(()));
    for arguments in [&["replay", "--all"][..], &["replay", "--all", "--dry-run"]] {
        let (code, _, error) = dead_letters(&pipeline, arguments);
        assert!(code == 2 && error.contains(&topic) && error.contains("cleanup.policy=compact"), "{error}");
    }
    assert_eq!(lines(&pipeline, &["list"]).1.len(), 1, "they can be looked at");
    assert_eq!(pipeline.kafka.partitions(&topic).unwrap(), None, "it is not made by the way");
    pipeline.kafka.create_topic(&topic, 1, &[("cleanup.policy", "compact,delete")]).unwrap();
    let (code, _, error) = dead_letters(&pipeline, &["replay", "--all"]);
    assert!(code == 2 && error.contains("compact,delete"), "{error}");
    assert!(replayed(&pipeline).is_empty());
    // All of them at once takes a word.
    let (code, _, error) = dead_letters(&pipeline, &["replay"]);
    assert!(code == 2 && error.contains("--all"), "{error}");
}

#[test]
fn the_audit_finds_replays_that_are_doubled_missing_unlisted_or_altered() {
    let pipeline = with_dead_letters("faulty", 1, 5);
    assert_eq!(replay(&pipeline, &["--limit", "4"]), (4, 0, 0));
    let copies = replayed(&pipeline);
    let again = |record: &Record, headers: Vec<(String, Option<Vec<u8>>)>, payload: Option<Vec<u8>>| NewRecord {
        partition: Some(0),
        key: record.key.clone(),
        payload,
        headers,
        timestamp: None,
    };
    // Once more; and one that nobody noted.
    let mut unlisted = copies[1].headers.clone();
    unlisted[3].1 = Some(format!("{}/0/77/5", pipeline.job.topics.source).into_bytes());
    let doubled = again(&copies[0], copies[0].headers.clone(), copies[0].payload.clone());
    pipeline.write([doubled, again(&copies[1], unlisted, copies[1].payload.clone())]);
    // One that is noted, and not there; and one that is another event than its dead letter.
    let rest = pipeline.read(&pipeline.job.topics.dead_letters).pop().unwrap();
    let entries = ledger(&pipeline);
    let note = |entry: &Entry| NewRecord {
        key: Some(entry.key().into_bytes()),
        payload: Some(entry.encode().into_bytes()),
        ..NewRecord::default()
    };
    let identity: Identity = identity(&rest).parse().unwrap();
    let topic = pipeline.job.pipeline.replays_topic();
    pipeline.kafka.produce(&topic, [note(&Entry { identity, not_before: 5, ..entries[0].clone() })]).unwrap();
    let swapped = Entry { dead_letter: entries[2].dead_letter.clone(), ..entries[3].clone() };
    pipeline.kafka.produce(&topic, [note(&swapped)]).unwrap();
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle_records().assert_exactly_once();
    let (code, report) = audit(&pipeline);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["replay_faults_by_kind"], json!({"missing": 1, "unlisted": 1, "doubled": 1}), "{report}");
    assert_eq!((&report["lost"], &report["altered"]), (&json!(0), &json!(0)), "{report}");

    // The dead letter of that one is looked for where the entry says, and found to be another's: not compared. In its own
    // place it is.
    let changed = again(&copies[2], copies[2].headers.clone(), Some(b"{}".to_vec()));
    let fresh = with_dead_letters("altered", 1, 1);
    let mut headers = changed.headers.clone();
    let dead = fresh.read(&fresh.job.topics.dead_letters).pop().unwrap();
    let own = self::identity(&dead);
    headers[2].1 = Some(format!("{}/0/{}", fresh.job.topics.dead_letters, dead.offset).into_bytes());
    headers[3].1 = Some(own.clone().into_bytes());
    fresh.write([NewRecord { headers, ..changed }]);
    let entry = Entry {
        identity: own.parse().unwrap(),
        dead_letter: Place { topic: fresh.job.topics.dead_letters.clone(), partition: 0, offset: dead.offset },
        ..entries[2].clone()
    };
    fresh.kafka.produce(&fresh.job.pipeline.replays_topic(), [note(&entry)]).unwrap();
    let (code, report) = audit(&fresh);
    assert_eq!((code, &report["replay_faults_by_kind"]), (1, &json!({"altered": 1})), "{report}");
    replica.stop();
}
