//! Runs the commands of the documents unchanged, on a separate Kafka: only its address differs.
//!
//! The folder looks like a clone after `cargo build --release`: its binary is the one that the tests were built with,
//! and a script plays `cargo`, because the build is already done.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use crate::support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;
use support::{BOUND, Pipeline};
use testkit::{
    docs::{Checkout, Script},
    kafka::Cluster,
    process::Process,
    wait_for,
};

const CARGO: &str = r#"
case $1 in
  build) ;;
  run)
    until [ "$1" = -- ]; do shift; done
    shift
    exec processor "$@" ;;
  *) exit 9 ;;
esac"#;

/// A clone for a reader with a Kafka on `localhost:9092`.
fn checkout(kafka: &str) -> Checkout {
    let checkout = Checkout::new().unwrap().built("processor", env!("CARGO_BIN_EXE_processor")).unwrap();
    // The reader chooses the port of a replica.
    let checkout = checkout.played("cargo", CARGO).unwrap().variable("LOGIN_PIPELINE_LISTEN", "127.0.0.1:0");
    checkout.replace("localhost:9092", kafka)
}

/// The last line of a run of `local`.
fn summary(said: &str) -> Value {
    serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap()
}

#[test]
fn what_is_typed_on_a_machine_with_a_kafka() {
    let mut script = Script::of("processor/tests/kafka/documents.rs: what_is_typed_on_a_machine_with_a_kafka");
    let tools = "docs/tools.md";
    let kafka = Cluster::start(1).unwrap();
    let mut checkout = checkout(kafka.bootstrap());

    checkout.succeed(&script.take(tools, "cargo build --release"));
    let said = checkout.succeed(&script.take(tools, "target/release/processor local"));
    let run = summary(&said);
    assert_eq!(run["broker"], "kafka", "{run:#}");
    assert_eq!(run["lost"], 0, "{run:#}");

    // Its topics and its config, as the operator creates them.
    let pipeline = Pipeline::on(&kafka, "readme", 8, |spec| spec.source.topic = "user-login".to_owned());
    fs::copy(pipeline.job_file(), checkout.path().join("job.json")).unwrap();
    let mut replica = checkout.start(&script.take(tools, "processor run")).unwrap();
    let said = checkout.succeed(&script.take(tools, "processor generate"));
    assert!(said.contains("100000") || said.contains("100,000"), "{said}");
    checkout.succeed(&script.take(tools, "processor audit"));
    let said = checkout.succeed(&script.take(tools, "processor inspect"));
    assert!(said.contains("partition"), "{said}");
    for command in script.take_all("docs/dead-letters.md") {
        checkout.succeed(&command);
    }
    assert_eq!(replica.terminate(BOUND).unwrap(), 0, "{}", replica.log());

    let run = summary(&checkout.succeed(&script.take(tools, "processor local")));
    assert_eq!(run["broker"], "embedded", "{run:#}");
    assert_eq!(run["lost"], 0, "{run:#}");
}

/// The page's answer at a path below it, if there is one.
fn get(page: &str, path: &str) -> Option<String> {
    let address = page.strip_prefix("http://")?.trim_end_matches('/');
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(format!("GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.starts_with("HTTP/1.0 200").then(|| body.to_owned())
}

/// The page of a run of `local`.
fn page(run: &Process) -> String {
    wait_for("the address of the page", BOUND, || {
        let log = run.log();
        log.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
    })
}

#[test]
fn the_demo() {
    let mut script = Script::of("processor/tests/kafka/documents.rs: the_demo");
    let kafka = Cluster::start(1).unwrap();
    let mut checkout = checkout(kafka.bootstrap());
    let demo = script.take("README.md", "make demo");
    let again = script.take("docs/quickstart.md", "make demo");
    assert_eq!(again.text, "make demo");
    let on_kafka = script.take("docs/quickstart.md", "target/demo/processor local");
    let mut run = checkout.start(&demo).unwrap();
    shows_a_live_pipeline(&page(&run));
    // In another terminal.
    let mut checkout = checkout.replace("/tmp/login-pipeline-0123abcd/job.json", &job_file(&run));
    for command in script.take_all("docs/quickstart.md") {
        let said = checkout.succeed(&command);
        assert_eq!(said.is_empty(), command.text.starts_with("config="), "`{}` says {said:?}", command.text);
    }
    // Without a terminal it ends by itself.
    assert_eq!(run.wait(4 * BOUND).unwrap(), 0, "{}", run.log());
    let end = summary(&run.log());
    assert_eq!(end["broker"], "embedded");
    assert_eq!(end["lost"], 0);

    let mut run = checkout.start(&on_kafka).unwrap();
    shows_a_live_pipeline(&page(&run));
    run.signal("INT");
    assert_eq!(run.wait(BOUND).unwrap(), 0, "{}", run.log());
    let end = summary(&run.log());
    assert_eq!(end["broker"], "kafka");
    assert_eq!(end["lost"], 0);
}

/// The job config that a run of `local` names for other commands.
fn job_file(run: &Process) -> String {
    let log = run.log();
    log.split_whitespace().find(|word| word.ends_with("/job.json")).unwrap().to_owned()
}

/// Asserts that the page shows events, closed windows and alerts.
fn shows_a_live_pipeline(page: &str) {
    assert!(get(page, "").unwrap().contains("<html"));
    wait_for("events on the page", 2 * BOUND, || {
        let view: Value = serde_json::from_str(&get(page, "view")?).ok()?;
        (view["totals"]["processed"].as_u64()? > 0 && view["totals"]["alerts"].as_u64()? > 0).then_some(())
    });
}

#[test]
fn every_command_that_is_mentioned_is_there() {
    let unknown = testkit::docs::unknown_mentions("processor", env!("CARGO_BIN_EXE_processor").as_ref()).unwrap();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
