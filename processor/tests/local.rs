//! `processor local`: a whole pipeline in one process, on the embedded broker and on a real Kafka.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::Value;
use testkit::{
    kafka::Isolation,
    process::{Folder, Process, Program},
    wait_for,
};

const BOUND: Duration = Duration::from_secs(90);

const HEAD: &str = "apiVersion: loginpipeline.dev/v1alpha1\nkind: LoginPipeline\nmetadata: {name: logins}\n";
const KAFKA: &str = "kafka: {external: {bootstrapServers: 'nowhere.invalid:9092'}}";

/// A folder with a manifest.
struct Manifest {
    folder: Folder,
    file: PathBuf,
}

impl Manifest {
    fn new(spec: &str) -> Self {
        let folder = Folder::new("local").unwrap();
        let file = folder.path().join("pipeline.yaml");
        fs::write(&file, format!("{HEAD}spec: {{{spec}}}\n")).unwrap();
        Self { folder, file }
    }

    fn run(&self, options: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_processor")).arg("local").arg(&self.file).args(options).output().unwrap()
    }

    /// Runs to a clean end, and returns the summary.
    fn run_clean(&self, options: &[&str]) -> Value {
        let output = self.run(options);
        assert_eq!(output.status.code(), Some(0), "{}\n{}", text(&output.stdout), text(&output.stderr));
        let summary = summary(&output.stdout);
        let faults =
            ["lost", "duplicated", "out_of_order", "misrouted", "altered", "unexpected", "aggregate_mismatches"];
        for fault in faults {
            assert_eq!(summary[fault], 0, "{fault}: {summary:#}");
        }
        let count = |field: &str| summary[field].as_u64().unwrap();
        assert_eq!(count("produced"), count("processed") + count("dead_letters"), "{summary:#}");
        let reasons = summary["dead_letters_by_reason"].as_object().unwrap().values();
        assert_eq!(count("dead_letters"), reasons.map(|count| count.as_u64().unwrap()).sum::<u64>(), "{summary:#}");
        assert!(count("events_per_second") > 0, "{summary:#}");
        assert!(count("aggregates_checked") > 0, "{summary:#}");
        assert_eq!(summary["insights"]["events"], summary["processed"], "{summary:#}");
        summary
    }

    fn start(&self, options: &[&str]) -> Process {
        Program::new("processor", env!("CARGO_BIN_EXE_processor"))
            .arg("local")
            .arg(&self.file)
            .args(options)
            .spawn(&self.folder)
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last line of what was printed.
fn summary(stdout: &[u8]) -> Value {
    let stdout = text(stdout);
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {stdout:?}"))
}

#[test]
fn the_embedded_broker_ends_clean() {
    let summary = Manifest::new(KAFKA).run_clean(&["--events", "20000", "--exit"]);
    assert_eq!(summary["produced"], 20_000);
    assert_eq!(summary["broker"], "embedded");
    assert_eq!(summary["replicas"], 2);
    assert!(summary["dead_letters"].as_u64().unwrap() > 300, "{summary:#}");
    assert!(summary["late"].as_u64().unwrap() > 100, "{summary:#}");
}

#[test]
fn a_run_tells_who_logged_in_from_where_on_what() {
    let alert = "alerts: [{name: any-login, window: 1m, above: 0}]";
    let summary = Manifest::new(&format!("{KAFKA}, {alert}")).run_clean(&["--events", "20000", "--exit"]);
    let insights = &summary["insights"];
    let users = insights["unique_users"].as_u64().unwrap();
    assert!((1000..20_000).contains(&users), "{insights:#}");
    for (dimension, most) in [("device_type", "iOS"), ("locale", "CA"), ("app_version", "2.3.0")] {
        assert_eq!(insights["dimensions"][dimension]["most"][0]["value"], most, "{insights:#}");
    }
    // Ten minutes of events, of which the last stay open.
    assert!(insights["windows_closed"].as_u64().unwrap() >= 8, "{insights:#}");
    assert!(insights["alerts"]["any-login"].as_u64().unwrap() >= 10, "{insights:#}");
}

#[test]
fn the_broker_may_keep_far_less_than_is_sent() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let odd = ["--odd", "0.5", "--malformed", "0.2", "--late", "0", "--incomplete", "0.2"];
    let summary = manifest.run_clean(&[&["--events", "60000", "--exit", "--replicas", "3"], &odd[..]].concat());
    assert_eq!((summary["produced"].as_u64(), summary["replicas"].as_u64()), (Some(60_000), Some(3)));
}

#[test]
fn without_exit_it_runs_until_it_is_told_to_stop() {
    let manifest = Manifest::new(KAFKA);
    let mut process = manifest.start(&["--rate", "500", "--replicas", "1"]);
    wait_for("some events", BOUND, || process.log().contains("events sent").then_some(()));
    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 0, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert!(summary["produced"].as_u64().unwrap() > 0, "{summary:#}");
    let rate = summary["events_per_second"].as_u64().unwrap();
    assert!((300..=600).contains(&rate), "{summary:#}");
}

#[test]
fn a_record_that_somebody_doubles_is_found_while_it_runs() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let mut process = manifest.start(&["--events", "1000"]);
    let sent = "1000 of 1000 events sent, 1000 audited";
    wait_for("all events to be audited", BOUND, || process.log().contains(sent).then_some(()));
    let log = process.log();
    let address = log.split("broker at ").nth(1).unwrap().split(';').next().unwrap();
    double_first(address, "processed-user-login");
    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 1, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert_eq!((summary["duplicated"].as_u64(), summary["lost"].as_u64()), (Some(1), Some(0)), "{summary:#}");
}

#[test]
fn an_aggregate_that_somebody_invents_is_found() {
    let manifest = Manifest::new(&format!("{KAFKA}, source: {{partitions: 1}}"));
    let mut process = manifest.start(&["--events", "1000"]);
    let sent = "1000 of 1000 events sent, 1000 audited";
    wait_for("all events to be audited", BOUND, || process.log().contains(sent).then_some(()));
    let log = process.log();
    let address = log.split("broker at ").nth(1).unwrap().split(';').next().unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", address).create().unwrap();
    let key = "1m/2001-09-09T01:46:00Z/_all";
    let value = r#"{"v":1,"window":"1m","start":"2001-09-09T01:46:00Z","end":"2001-09-09T01:47:00Z","dimension":"_all","count":7,"late":0,"unmerged":0,"final":true,"revision":0}"#;
    producer.send(BaseRecord::to("login-aggregates").key(key).payload(value)).map_err(|(error, _)| error).unwrap();
    producer.flush(BOUND).unwrap();
    process.signal("INT");
    assert_eq!(process.wait(BOUND).unwrap(), 1, "{}", process.log());
    let summary = summary(process.log().as_bytes());
    assert_eq!((summary["aggregate_mismatches"].as_u64(), summary["lost"].as_u64()), (Some(1), Some(0)), "{summary:#}");
    assert!(process.log().contains(&format!("mismatch: aggregate {key}: count should be nothing, is 7")));
}

/// Writes the first record of a topic once more.
fn double_first(servers: &str, topic: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "double");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut first = TopicPartitionList::new();
    first.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&first).unwrap();
    let record = wait_for("a record", BOUND, || consumer.poll(Duration::from_millis(100))?.ok().map(|it| it.detach()));
    let producer: BaseProducer = config.create().unwrap();
    producer
        .send(BaseRecord::to(topic).partition(0).key(record.key().unwrap()).payload(record.payload().unwrap()))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(BOUND).unwrap();
}

#[test]
fn a_real_kafka_ends_clean_and_again_on_fresh_topics() {
    let kafka = testkit::kafka::shared();
    let name = testkit::unique("local");
    let topics = format!("source: {{topic: {name}-in, partitions: 4}}, output: {{topic: {name}-out}}");
    let results =
        ["aggregates", "insights", "alerts"].map(|role| format!("{role}: {{topic: {name}-{role}}}")).join(", ");
    let results = format!("deadLetters: {{topic: {name}-dead}}, results: {{{results}}}");
    let manifest = Manifest::new(&format!("{KAFKA}, {topics}, {results}"));
    // The name of the pipeline stands in the topic of the deltas.
    let text_of = fs::read_to_string(&manifest.file).unwrap().replace("name: logins", &format!("name: {name}"));
    fs::write(&manifest.file, text_of).unwrap();
    let options = ["--bootstrap", kafka.bootstrap(), "--events", "20000", "--exit"];

    let summary = manifest.run_clean(&options);
    assert_eq!((summary["broker"].as_str(), summary["produced"].as_u64()), (Some("kafka"), Some(20_000)));
    let written = kafka.read_to_end(&format!("{name}-out"), Isolation::ReadCommitted).unwrap().len();
    assert_eq!(summary["processed"], written, "{summary:#}");

    let again = manifest.run(&options);
    let problem = text(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{problem}");
    assert!(problem.contains("holds records already") && problem.contains("--fresh-topics"), "{problem}");

    let summary = manifest.run_clean(&[&options[..], &["--fresh-topics"]].concat());
    assert_eq!((summary["broker"].as_str(), summary["produced"].as_u64()), (Some("kafka"), Some(20_000)));
    let untouched = kafka.read_to_end(&format!("{name}-out"), Isolation::ReadCommitted).unwrap().len();
    assert_eq!(untouched, written);
}

#[test]
fn a_bad_manifest_is_refused_with_file_and_field() {
    let manifest = Manifest::new("kafka: {}, source: {partitions: 0}, outputs: {}");
    let output = manifest.run(&["--exit"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let problems = text(&output.stderr);
    for field in ["spec.kafka is", "spec.source.partitions is 0", "spec.outputs is "] {
        let line = format!("{}: {field}", manifest.file.display());
        assert!(problems.lines().any(|found| found.starts_with(&line)), "{line}\n{problems}");
    }
}

#[test]
fn a_kafka_that_is_not_there_is_named() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let servers = format!("127.0.0.1:{port}");
    let output = Manifest::new(KAFKA).run(&["--bootstrap", &servers, "--exit"]);
    assert_eq!(output.status.code(), Some(2));
    let problem = text(&output.stderr);
    assert!(problem.contains(&format!("--bootstrap {servers}")), "{problem}");
}
