//! Exactly-once processing on a real Kafka, with replicas as processes.

use crate::support;

use std::time::Duration;

use crds::{job::JobConfig, pipeline::Field};
use support::{BOUND, Pipeline, mixed};
use testkit::{kafka::Record, wait_for};

#[test]
fn one_replica() {
    let pipeline = Pipeline::new("one", 4, |_| {});
    let feeder = pipeline.feed(20_000, 10_000, mixed());
    let mut replica = pipeline.start("a");
    replica.ready();
    assert_eq!(feeder.finish(), 20_000);
    let outcome = pipeline.settle();
    outcome.assert_exactly_once();
    assert!(outcome.dead_letters > 1000, "{outcome:?}");
    replica.stop();
}

#[test]
fn three_replicas_one_killed_twice() {
    let pipeline = Pipeline::new("killed", 6, |_| {});
    let feeder = pipeline.feed(u64::MAX, 4000, mixed());
    let mut replicas: Vec<_> = ["a", "b", "c"].into_iter().map(|name| pipeline.start(name)).collect();
    replicas.iter_mut().for_each(support::Replica::ready);

    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(2));
        replicas[1].process.kill();
        std::thread::sleep(Duration::from_secs(1));
        replicas[1] = pipeline.start("b");
        replicas[1].ready();
    }

    std::thread::sleep(Duration::from_secs(2));
    feeder.stop();
    pipeline.settle().assert_exactly_once();
    replicas.into_iter().for_each(support::Replica::stop);
}

#[test]
fn scaled_from_one_to_three_and_back() {
    let pipeline = Pipeline::new("scaled", 6, |_| {});
    let feeder = pipeline.feed(u64::MAX, 4000, mixed());
    let mut first = pipeline.start("a");
    first.ready();
    let mut others: Vec<_> = ["b", "c"].into_iter().map(|name| pipeline.start(name)).collect();
    others.iter_mut().for_each(support::Replica::ready);
    std::thread::sleep(Duration::from_secs(3));
    others.into_iter().for_each(support::Replica::stop);
    std::thread::sleep(Duration::from_secs(2));
    feeder.stop();
    pipeline.settle().assert_exactly_once();
    first.stop();
}

/// Events from before a change of rules stay correct by the rules of that time.
#[test]
fn two_configs_with_different_rules_in_turn() {
    let mut pipeline = Pipeline::new("before", 4, |_| {});
    let mut replica = pipeline.start("a");
    replica.ready();
    assert_eq!(pipeline.feed(10_000, 10_000, mixed()).finish(), 10_000);
    pipeline.write_logins(4, 100);
    pipeline.settle().assert_exactly_once();
    replica.stop();

    let mut job = JobConfig { revision: 2, ..pipeline.job.clone() };
    let results = job.topics.results.clone();
    job.rules.validation.required.push(Field::Ip);
    pipeline.configure(&serde_json::to_value(job).unwrap());
    let mut replica = pipeline.start("a");
    replica.ready();
    assert_eq!(pipeline.feed(10_000, 10_000, mixed()).finish(), 10_000);
    pipeline.write_logins(4, 100);
    let is_snapshot = |record: &Record| record.key.as_deref() == Some(b"meta");
    wait_for("a snapshot", BOUND, || pipeline.read(&results.state).iter().any(is_snapshot).then_some(()));
    let outcome = pipeline.settle();
    outcome.assert_exactly_once();
    assert_eq!(outcome.input, 20_200);
    // Events from before count too, and the audit compares all of it.
    assert!(!pipeline.read(&results.aggregates).is_empty());
    replica.stop();
}
