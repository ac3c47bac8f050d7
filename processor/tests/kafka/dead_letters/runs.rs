//! Runs that are killed, interrupted, stalled, or concurrent: each event is replayed once.

use std::{thread, time::Duration};

use kafka::{
    native::producer::{Outgoing, Producer},
    settings::{self, RecordLimits},
};
use processor::commands::generate::Shares;
use testkit::{
    kafka::{Cluster, Isolation},
    process::{Process, Program},
    wait_for,
};

use super::{assert_once, audit, identity, ledger, mend, refused::letter, replay, with_dead_letters, work};
use crate::support::{BOUND, Pipeline};

/// Starts a run in the background.
fn start(pipeline: &Pipeline<'_>, batch: &str) -> Process {
    Program::new(testkit::unique("replay"), env!("CARGO_BIN_EXE_processor"))
        .args(["dead-letters", "replay", "--all", "--batch", batch, "--config"])
        .arg(pipeline.job_file())
        .spawn(&pipeline.folder)
        .unwrap()
}

/// Each transaction ends with a marker in every partition that it wrote to.
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
fn a_killed_run_is_finished_by_the_next_while_the_pipeline_runs() {
    let mut pipeline = with_dead_letters("killed", 3, 300);
    mend(&mut pipeline);
    let mut replica = pipeline.start("b");
    replica.ready();
    let feeder = pipeline.feed(u64::MAX, 2000, Shares::NONE);
    let entries = || pipeline.kafka.end_offsets(&pipeline.job.pipeline.replays_topic(), Isolation::ReadUncommitted);

    for (batch, more) in [("500", 0), ("1", 10), ("7", 30), ("20", 60)] {
        let reached = entries().unwrap()[&0] + more;
        let mut run = start(&pipeline, batch);
        wait_for("some entries", BOUND, || (entries().unwrap()[&0] >= reached || run.status().is_some()).then_some(()));
        run.kill();
    }

    let (now, before, refused) = replay(&pipeline, &["--all", "--batch", "9"]);
    assert_eq!(now + before, 300);
    assert_eq!(refused, 0);
    let fed = usize::try_from(feeder.stop()).unwrap();
    assert_once(&pipeline, 300);
    let outcome = pipeline.settle();
    outcome.assert_exactly_once();
    assert_eq!(outcome.output, fed + 300);
    assert_eq!(outcome.dead_letters, 300);
    let (code, report) = audit(&pipeline);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["replayed"], 300, "{report}");
    replica.stop();
}

/// Otherwise, readers of the source would wait until Kafka ends the transaction by itself.
#[test]
fn a_run_that_is_interrupted_leaves_no_transaction_open() {
    let pipeline = with_dead_letters("interrupted", 1, 1000);
    let topics = [&pipeline.job.topics.source, &pipeline.job.pipeline.replays_topic()];
    let end = |topic: &str, isolation| pipeline.kafka.end_offsets(topic, isolation).unwrap()[&0];

    let mut run = start(&pipeline, "3");
    wait_for("some entries", BOUND, || {
        run.check_running().unwrap();
        (end(topics[1], Isolation::ReadCommitted) >= 20).then_some(())
    });
    run.signal("INT");
    assert_eq!(run.wait(BOUND).unwrap(), 2, "{}", run.log());

    for topic in topics {
        assert_eq!(end(topic, Isolation::ReadCommitted), end(topic, Isolation::ReadUncommitted), "{topic}");
    }
    let done = ledger(&pipeline).len();
    assert!(run.log().contains(&format!("nothing half done: {done} events were replayed")), "{}", run.log());

    let (now, before, _) = replay(&pipeline, &["--all"]);
    assert_eq!(usize::try_from(before).unwrap(), done);
    assert_eq!(now + before, 1000);
    assert!(now > 0, "it was interrupted");
    assert_once(&pipeline, 1000);
}

/// The state that a run leaves when it dies between its writes and its commit, until another run ends the transaction.
#[test]
fn a_hanging_transaction_is_ended_and_its_events_are_replayed() {
    let pipeline = with_dead_letters("hanging", 1, 5);
    let id = pipeline.job.pipeline.replay_transactional_id();
    let mut gone = Producer::new(&settings::producer(&pipeline.job, &id, RecordLimits::of(&[1 << 20]))).unwrap();
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

#[test]
fn a_run_whose_kafka_goes_away_ends_and_is_finished_by_the_next() {
    let kafka = Cluster::start(1).unwrap();
    let pipeline = Pipeline::on(&kafka, "away", 1, |_| {});
    let letters = (0..1000).map(|offset| letter(&pipeline, offset, 5, &[]));
    kafka.produce(&pipeline.job.topics.dead_letters, letters).unwrap();
    let topic = pipeline.job.pipeline.replays_topic();

    let mut run = start(&pipeline, "3");
    wait_for("some entries", BOUND, || {
        run.check_running().unwrap();
        (kafka.end_offsets(&topic, Isolation::ReadCommitted).unwrap()[&0] >= 20).then_some(())
    });
    kafka.kill_broker(0).unwrap();
    assert_eq!(run.wait(BOUND).unwrap(), 2, "{}", run.log());
    assert!(run.log().contains("run the command again"), "{}", run.log());
    kafka.restart_broker(0).unwrap();

    let (now, before, refused) = replay(&pipeline, &["--all"]);
    assert!(before >= 6 && now > 0, "{now} {before}");
    assert_eq!(now + before, 1000);
    assert_eq!(refused, 0);
    assert_once(&pipeline, 1000);
}

/// Kafka ends a transaction that stays open for 10 s at its next check, and fences the producer that began it.
#[test]
fn a_run_frozen_for_too_long_exits_and_is_finished_by_the_next() {
    let pipeline = Pipeline::new("stood-still", 1, |_| {});
    let end = |isolation| pipeline.kafka.end_offsets(&pipeline.job.topics.source, isolation).unwrap()[&0];
    let (mut run, events) = caught_with_an_open_transaction(&pipeline, &end);
    wait_for("the end of the transaction", BOUND, || {
        (end(Isolation::ReadCommitted) == end(Isolation::ReadUncommitted)).then_some(())
    });

    run.signal("CONT");
    assert_eq!(run.wait(BOUND).unwrap(), 2, "{}", run.log());
    // The run was fenced, or it stalled during its commit and does not know the outcome.
    assert!(run.log().contains("run the command again"), "{}", run.log());

    let (now, before, refused) = replay(&pipeline, &["--all"]);
    assert!(now > 0, "{now} {before} {events}");
    assert_eq!(now + before, events as u64);
    assert_eq!(refused, 0);
    assert_once(&pipeline, events);
}

/// A stalled run with an open transaction, and the number of dead letters then: a run has one open for less than a
/// second, and the first may be done before it is seen.
fn caught_with_an_open_transaction(pipeline: &Pipeline, end: &impl Fn(Isolation) -> i64) -> (Process, usize) {
    const EVENTS: i64 = 15_000;
    for round in 0..20 {
        let letters = (round * EVENTS..(round + 1) * EVENTS).map(|offset| letter(pipeline, offset, 5, &[]));
        pipeline.kafka.produce(&pipeline.job.topics.dead_letters, letters).unwrap();
        let before = end(Isolation::ReadUncommitted);
        let mut run = start(pipeline, "65535");
        wait_for("events in a transaction", BOUND, || (end(Isolation::ReadUncommitted) > before).then_some(()));
        run.signal("STOP");
        // Requests that it has already sent may still commit it.
        thread::sleep(Duration::from_secs(1));
        if end(Isolation::ReadCommitted) < end(Isolation::ReadUncommitted) {
            return (run, usize::try_from((round + 1) * EVENTS).unwrap());
        }
        run.signal("CONT");
        assert_eq!(run.wait(BOUND).unwrap(), 0, "{}", run.log());
    }
    panic!("no run was caught with an open transaction");
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
