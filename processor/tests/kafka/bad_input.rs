//! Bad input of every kind ends where docs/events.md says, whole, and stops nothing.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::{SystemTime, UNIX_EPOCH};

use crds::records::dead_letter::{REASON, SOURCE_TIMESTAMP, TRUNCATED, TRUNCATED_BYTES};
use support::Pipeline;
use testkit::{
    kafka::{NewRecord, Record},
    process::{Folder, Program},
};

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    Output,
    Dead(&'static str),
}

fn valid(members: &str) -> Vec<u8> {
    format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":1720576825{members}}}"#).into_bytes()
}

fn with_timestamp(timestamp: &str) -> Vec<u8> {
    format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{timestamp}}}"#).into_bytes()
}

fn table() -> Vec<(Option<Vec<u8>>, Becomes)> {
    use Becomes::{Dead, Output};
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let (malformed, missing, invalid) = (Dead("malformed"), Dead("missing-field"), Dead("invalid-field"));
    let nested = |depth: usize| valid(&format!(r#","x":{}{}"#, "[".repeat(depth - 1), "]".repeat(depth - 1)));
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 86_400;
    vec![
        (Some(valid("")), Output),
        (None, malformed),
        (text(""), malformed),
        (text("null"), malformed),
        (text("[1,2]"), malformed),
        (text("not json"), malformed),
        (text("{\"user_id\":\"u\""), malformed),
        (Some(b"\xff\xfe{}".to_vec()), malformed),
        (Some(valid("\u{0}")), malformed),
        (Some(valid(r#","locale":"AK""#)), malformed),
        (Some(valid(r#","x":{"a":1,"a":2}"#)), malformed),
        (Some(valid(",\"x\":\"a\tb\"")), malformed),
        (Some(nested(64)), Output),
        (Some(nested(65)), malformed),
        (Some(valid(&format!(r#","x":{}"#, "[".repeat(100_000)))), malformed),
        (text("{}"), missing),
        (Some(with_timestamp("null")), missing),
        (Some(with_timestamp("\"1720576825\"")), invalid),
        (Some(with_timestamp("-1")), invalid),
        (Some(with_timestamp("1720576825.5")), invalid),
        (Some(with_timestamp("1e999")), invalid),
        (Some(with_timestamp("99999999999999999999")), invalid),
        (Some(with_timestamp("1720576825000")), Dead("future")),
        (Some(with_timestamp(&tomorrow.to_string())), Dead("future")),
        (Some(valid(r#","app_version":7"#)), invalid),
        (Some(valid(r#","app_version":"""#)), invalid),
        (Some(valid(r#","device_id":"\u0000""#)), invalid),
        (Some(valid(r#","device_id":null,"unknown":[1e400,{"deep":true}],"late":"x","event_id":9"#)), Output),
        (Some(valid(&format!(r#","x":"{}""#, "a".repeat(1_000_000)))), Output),
    ]
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a [u8]> {
    record.headers.iter().rev().find(|(header, _)| header == name)?.1.as_deref()
}

/// The blocks of this language on a page.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0)).collect()
}

#[test]
fn the_example_on_the_page_is_what_a_replica_writes() {
    let page = testkit::docs::read("docs/events.md").unwrap();
    let [valid, enriched, invalid] = blocks(&page, "json")[..] else { panic!("the page has three values") };
    let (_, headers) = page.split_once("```\nlp-reason: ").unwrap();
    let headers = format!("lp-reason: {}", headers.split_once("\n```").unwrap().0);
    let pipeline = Pipeline::new("example", 1, |_| {});
    pipeline.write([valid, invalid].map(|value| NewRecord {
        partition: Some(0),
        key: Some(b"u-81f3".to_vec()),
        payload: Some(value.as_bytes().to_vec()),
        ..NewRecord::default()
    }));

    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();

    let (output, dead) = (pipeline.read(&pipeline.job.topics.output), pipeline.read(&pipeline.job.topics.dead_letters));
    let ([output], [dead]) = (&output[..], &dead[..]) else { panic!("one event is valid, one becomes a dead letter") };
    assert_eq!(output.payload.as_deref(), Some(enriched.as_bytes()));
    assert_eq!(dead.payload.as_deref(), Some(invalid.as_bytes()));
    let text = |value: &Option<Vec<u8>>| String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    let written: Vec<_> = dead.headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
    // This test's topic, and the time at which its broker received the record.
    let headers = headers.replace(": user-login\n", &format!(": {}\n", pipeline.job.topics.source));
    let timestamp = pipeline.read(&pipeline.job.topics.source)[1].timestamp.unwrap().to_string();
    let headers = headers.replace("1720576826500", &timestamp);
    assert_eq!(written.join("\n"), headers);
}

#[test]
fn each_event_follows_the_rules_and_keeps_key_headers_and_order() {
    let pipeline = Pipeline::new("bad", 1, |_| {});
    let table = table();
    let headers = vec![("trace".to_owned(), Some(b"1".to_vec())), ("trace".to_owned(), None)];
    pipeline.write(table.iter().enumerate().map(|(index, (payload, _))| NewRecord {
        partition: Some(0),
        key: (index % 3 > 0).then(|| format!("key {index}").into_bytes()),
        payload: payload.clone(),
        headers: if index % 2 == 0 { headers.clone() } else { vec![] },
        ..NewRecord::default()
    }));

    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();

    let input = pipeline.read(&pipeline.job.topics.source);
    let (mut output, mut dead) = (
        pipeline.read(&pipeline.job.topics.output).into_iter(),
        pipeline.read(&pipeline.job.topics.dead_letters).into_iter(),
    );
    for (source, (payload, becomes)) in input.iter().zip(&table) {
        let shown =
            String::from_utf8_lossy(payload.as_deref().unwrap_or_default()).chars().take(80).collect::<String>();
        let record = match becomes {
            Becomes::Output => output.next().unwrap(),
            Becomes::Dead(reason) => {
                let record = dead.next().unwrap();
                assert_eq!(header(&record, REASON), Some(reason.as_bytes()), "{shown}");
                assert_eq!(record.payload, source.payload, "{shown}");
                let timestamp = source.timestamp.unwrap().to_string();
                assert_eq!(header(&record, SOURCE_TIMESTAMP), Some(timestamp.as_bytes()));
                record
            }
        };
        assert_eq!(record.key, source.key, "{shown}");
        assert_eq!(record.headers[..source.headers.len()], source.headers, "{shown}");
    }
    replica.stop();
}

/// Makes a topic of the pipeline anew, for records of at most this many bytes.
fn widen(pipeline: &Pipeline<'_>, topic: &str, bytes: usize) {
    pipeline.kafka.delete_topic(topic).unwrap();
    let bytes = bytes.to_string();
    let config = [("max.message.bytes", &*bytes)];
    testkit::wait_for("a wider topic", support::BOUND, || pipeline.kafka.create_topic(topic, 1, &config).ok());
}

/// An event, valid unless it lacks its locale, with a text of this many bytes.
fn sized(is_valid: bool, bytes: usize) -> NewRecord {
    let payload = valid(&format!(r#","x":"{}""#, "a".repeat(bytes)));
    let payload = if is_valid { payload } else { String::from_utf8(payload).unwrap().replace("locale", "y").into() };
    NewRecord { partition: Some(0), key: Some(b"key".to_vec()), payload: Some(payload), ..NewRecord::default() }
}

#[test]
fn events_larger_than_a_delta_pass_where_their_topics_take_them() {
    let pipeline = Pipeline::new("wide", 1, |_| {});
    let topics = &pipeline.job.topics;
    // The topic of the deltas stays as it is: its records have a limit of their own.
    for (topic, bytes) in [(&topics.source, 4_000_000), (&topics.output, 4_065_536), (&topics.dead_letters, 4_065_536)]
    {
        widen(&pipeline, topic, bytes);
    }
    let sizes = [10, 1_200_000, 3_900_000, 20];
    pipeline.write(sizes.iter().flat_map(|bytes| [sized(true, *bytes), sized(false, *bytes)]));

    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();

    let dead = pipeline.read(&topics.dead_letters);
    let reasons: Vec<_> = dead.iter().map(|record| (header(record, REASON), header(record, TRUNCATED))).collect();
    assert_eq!(reasons, [(Some(&b"missing-field"[..]), None); 4], "whole, for their own reason");
    assert_eq!(pipeline.read(&topics.output).len(), sizes.len());
    replica.stop();
}

#[test]
fn a_limit_that_is_lowered_makes_dead_letters_and_stops_nothing() {
    let pipeline = Pipeline::new("lowered", 1, |_| {});
    let topics = &pipeline.job.topics;
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.write([sized(true, 10)]);
    pipeline.settle().assert_exactly_once();

    pipeline.kafka.configure_topic(&topics.output, &[("max.message.bytes", "600000")]).unwrap();
    pipeline.write([700_000, 20].map(|bytes| sized(true, bytes)));
    pipeline.settle().assert_exactly_once();

    let dead = pipeline.read(&topics.dead_letters);
    let [dead] = &dead[..] else { panic!("one event is larger than the output takes: {}", dead.len()) };
    assert_eq!(header(dead, REASON), Some(&b"too-large"[..]));
    assert_eq!(header(dead, TRUNCATED), None);
    replica.stop();
}

#[test]
fn oversized_events_are_dead_letters_and_are_cut_if_necessary() {
    let pipeline = Pipeline::new("large", 1, |_| {});
    let topics = &pipeline.job.topics;
    // A source that accepts larger records than the outputs do.
    widen(&pipeline, &topics.source, 4_000_000);
    let limit = 1_048_588 + 64 * 1024;
    pipeline.write([10, limit - 250, 2_000_000, 20].map(|bytes| sized(true, bytes)));

    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();

    let dead = pipeline.read(&topics.dead_letters);
    let seen: Vec<_> = dead
        .iter()
        .map(|record| {
            (header(record, REASON).unwrap(), header(record, TRUNCATED), record.payload.as_ref().unwrap().len())
        })
        .collect();
    let too_large = b"too-large".as_slice();
    assert_eq!(seen[1], (too_large, Some(b"value".as_slice()), TRUNCATED_BYTES));
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, too_large);
    assert!(dead.iter().all(|record| record.key.as_deref() == Some(b"key")));
    assert_eq!(pipeline.read(&topics.output).len(), 2);
    replica.stop();
}

#[test]
fn an_unusable_config_is_refused_with_field_value_and_remedy() {
    let folder = Folder::new("config").unwrap();
    let file = folder.path().join("job.json");
    let refused = |text: Option<&str>, expected: &str| {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let mut process = Program::new(testkit::unique("refused"), env!("CARGO_BIN_EXE_processor"))
            .args(["run", "--replica", "a", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .spawn(&folder)
            .unwrap();
        assert_eq!(process.wait(support::BOUND).unwrap(), 2);
        assert!(process.log().contains(expected), "{}", process.log());
    };

    refused(None, "job.json: there is no such file; name the pipeline's job config");
    refused(Some("{"), "not a job config: EOF");
    refused(Some(r#"{"version":3}"#), "version is 3: this processor reads version 2");
    refused(Some(r#"{"version":2,"shape":0}"#), "unknown field `shape`");
    let job = r#"{"version":2,"pipeline":{"namespace":"a","name":"b"},"revision":1,"kafka":{"bootstrapServers":"localhost:1"},
        "topics":{"source":"s","output":"o","deadLetters":"d","deltas":"x","results":{"aggregates":"a",
        "insights":"i","alerts":"l","state":"t"}},"threads":0,"commitInterval":"100ms",
        "startFrom":"Earliest","rules":{"validation":{},"aggregation":{}}}"#;
    refused(Some(job), "threads is 0: choose 1 to 64");
    refused(Some(&job.replace("100ms", "1 s")), "\"1 s\" is not a duration: write hours");
}
