//! Faults around a replica, on a real Kafka: nothing is lost or duplicated, and the fault is reported.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use crds::{pipeline::StartFrom, records::delta::Delta};
use support::{BOUND, Pipeline, Replica, login, mixed};
use testkit::{
    kafka::{Cluster, Isolation, Record},
    wait_for,
};

#[test]
fn a_replica_that_hangs_blocks_no_partition_and_commits_nothing() {
    let pipeline = Pipeline::new("zombie", 4, |_| {});
    let feeder = pipeline.feed(u64::MAX, 4000, mixed());
    let mut zombie = pipeline.start("a");
    zombie.ready();

    std::thread::sleep(Duration::from_secs(1));
    zombie.process.signal("STOP");
    let mut heir = pipeline.start("b");
    // Ready means that every partition is taken up, although the zombie's transaction was open.
    wait_for("an heir with every partition", BOUND, || {
        (heir.process.log().matches("taken up").count() >= 4).then_some(())
    });
    heir.ready();
    zombie.process.signal("CONT");
    std::thread::sleep(Duration::from_secs(2));

    feeder.stop();
    pipeline.settle().assert_exactly_once();
    zombie.stop();
    heir.stop();
}

#[test]
fn offsets_that_are_gone_are_recovered_from_pipeline_topics() {
    let pipeline = Pipeline::new("expired", 3, |_| {});
    let topics = &pipeline.job.topics;
    let run = || {
        pipeline.write_logins(2, 1000);
        let mut replica = pipeline.start("a");
        replica.ready();
        pipeline.settle_records().assert_exactly_once();
        replica.stop();
    };
    let delete_group = || pipeline.kafka.delete_group(&pipeline.job.pipeline.ingest_group()).unwrap();

    run();
    delete_group();
    run();
    pipeline.settle();
    delete_group();

    // Without deltas and snapshots, only the outputs remain.
    for topic in [&topics.deltas, &topics.results.state] {
        pipeline.kafka.delete_topic(topic).unwrap();
        let limit = [("max.message.bytes", "1200000")];
        wait_for("the topic to go", BOUND, || pipeline.kafka.create_topic(topic, 1, &limit).ok());
    }
    run();
}

#[test]
fn a_snapshot_gives_a_partitions_position_when_deltas_are_gone() {
    let pipeline = Pipeline::new("trimmed", 2, |spec| spec.aggregation.idle_timeout = "1h".parse().unwrap());
    let now = 1_720_576_825;
    pipeline.write((0..100).map(|index| login(index % 2, now)));
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle_records().assert_exactly_once();

    // Stage 2 deletes the deltas before a snapshot once there is a newer one, which needs a change.
    wait_for("the deltas of partition 0 to go", BOUND, || {
        pipeline.write([login(1, now)]);
        let deltas = pipeline.read(&pipeline.job.topics.deltas);
        let mut ranges = deltas.iter().flat_map(|delta| Delta::decode(delta.payload.as_ref().unwrap()).unwrap().ranges);
        (!ranges.any(|range| range.partition == 0)).then_some(())
    });
    pipeline.settle_records().assert_exactly_once();

    replica.stop();
    pipeline.kafka.delete_group(&pipeline.job.pipeline.ingest_group()).unwrap();
    // From the last output alone, without the snapshot, the event would not be recognized as late.
    pipeline.write([login(0, now - 31)]);
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle_records().assert_exactly_once();
    let late = |record: &Record| String::from_utf8_lossy(record.payload.as_ref().unwrap()).contains(r#""late":true"#);
    assert_eq!(pipeline.read(&pipeline.job.topics.output).iter().filter(|record| late(record)).count(), 1);
    replica.stop();
}

#[test]
fn a_recreated_source_stops_its_partitions_and_is_reported() {
    let pipeline = Pipeline::new("truncated", 2, |_| {});
    pipeline.write_logins(2, 100);
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.settle().assert_exactly_once();
    replica.stop();

    pipeline.kafka.delete_topic(&pipeline.job.topics.source).unwrap();
    wait_for("the source to go", BOUND, || pipeline.kafka.create_topic(&pipeline.job.topics.source, 2, &[]).ok());
    pipeline.write_logins(2, 10);
    let replica = pipeline.start("a");
    let told = wait_for("a reason", BOUND, || {
        let (status, text) = replica.get("/readyz")?;
        text.contains("SourceTruncated").then_some((status, text))
    });

    assert_eq!(told.0, 503);
    assert!(told.1.contains("was processed up to offset 50, but ends at 5"), "{}", told.1);
    assert_eq!(replica.get("/healthz").unwrap().0, 200);
    assert_eq!(pipeline.read(&pipeline.job.topics.output).len(), 100);
    replica.stop();
}

#[test]
fn partitions_that_are_added_start_once_the_outputs_have_them() {
    let pipeline = Pipeline::new("grown", 2, |_| {});
    pipeline.write_logins(2, 100);
    let mut replica = pipeline.start("a");
    replica.ready();

    let topics = &pipeline.job.topics;
    pipeline.kafka.add_partitions(&topics.source, 3).unwrap();
    pipeline.write_logins(3, 99);
    wait_for("a partition that waits", BOUND, || {
        replica.get("/readyz")?.1.contains(&format!("topic {} has only 2 partitions", topics.output)).then_some(())
    });
    pipeline.kafka.add_partitions(&topics.output, 3).unwrap();
    pipeline.kafka.add_partitions(&topics.dead_letters, 3).unwrap();
    replica.ready();

    let outcome = pipeline.settle();
    outcome.assert_exactly_once();
    assert_eq!(outcome.output, 199);
    replica.stop();
}

#[test]
fn latest_starts_with_the_first_event_after_the_start() {
    let pipeline = Pipeline::new("latest", 2, |spec| spec.source.start_from = StartFrom::Latest);
    pipeline.write_logins(2, 100);
    let mut replica = pipeline.start("a");
    replica.ready();
    pipeline.write_logins(2, 20);
    wait_for("the new events", BOUND, || (pipeline.read(&pipeline.job.topics.output).len() >= 20).then_some(()));
    replica.stop();

    // A restart continues from the committed offset, wherever the end is.
    pipeline.write_logins(2, 10);
    let mut replica = pipeline.start("a");
    replica.ready();
    wait_for("the newer events", BOUND, || (pipeline.read(&pipeline.job.topics.output).len() >= 30).then_some(()));
    assert_eq!(pipeline.read(&pipeline.job.topics.output).len(), 30);
    replica.stop();
}

#[test]
fn a_kafka_that_is_away_is_waited_for_at_no_cost() {
    let kafka = Cluster::start(1).unwrap();
    let pipeline = Pipeline::on(&kafka, "away", 2, |_| {});

    kafka.kill_broker(0).unwrap();
    let mut replica = pipeline.start("a");
    let (status, text) = wait_for("an answer", BOUND, || replica.get("/readyz"));
    assert_eq!(status, 503, "{text}");
    assert_idle(&replica);
    assert_eq!(replica.get("/healthz").unwrap().0, 200);

    kafka.restart_broker(0).unwrap();
    replica.ready();
    let feeder = pipeline.feed(u64::MAX, 2000, mixed());
    std::thread::sleep(Duration::from_secs(2));
    kafka.kill_broker(0).unwrap();
    wait_for("a replica that says so", BOUND, || (replica.get("/readyz")?.0 == 503).then_some(()));
    // The metric follows with librdkafka's next statistics.
    let says_so = || replica.get("/metrics")?.1.contains("login_processor_brokers_up 0").then_some(());
    wait_for("a metric that says so", BOUND, says_so);
    assert_idle(&replica);
    assert_eq!(replica.get("/healthz").unwrap().0, 200);

    kafka.restart_broker(0).unwrap();
    replica.ready();
    std::thread::sleep(Duration::from_secs(1));
    feeder.stop();
    pipeline.settle().assert_exactly_once();
    replica.stop();
}

/// Asserts that the replica uses less than a tenth of a processor over three seconds.
fn assert_idle(replica: &Replica) {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", replica.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(3));
    let used = ticks() - before;
    assert!(used < 30, "{used} hundredths of a second of CPU in 3 s");
}

#[test]
fn a_broker_of_three_may_die() {
    let kafka = Cluster::start(3).unwrap();
    let pipeline = Pipeline::on(&kafka, "brokers", 6, |spec| spec.processor.threads = 2);
    let feeder = pipeline.feed(u64::MAX, 3000, mixed());
    let mut replicas = [pipeline.start("a"), pipeline.start("b")];
    replicas.iter_mut().for_each(Replica::ready);

    for broker in 0..2 {
        std::thread::sleep(Duration::from_secs(2));
        kafka.kill_broker(broker).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        kafka.restart_broker(broker).unwrap();
    }

    std::thread::sleep(Duration::from_secs(2));
    feeder.stop();
    pipeline.settle().assert_exactly_once();
    replicas.into_iter().for_each(Replica::stop);
}

#[test]
fn an_idle_pipeline_has_no_lag_and_writes_only_idle_marks() {
    let pipeline = Pipeline::new("idle", 2, |spec| {
        spec.aggregation.idle_timeout = "1s".parse().unwrap();
    });
    pipeline.write([login(0, 1_720_576_825), login(1, 1_720_576_825)]);
    let mut replica = pipeline.start("a");
    replica.ready();

    let metrics = wait_for("no lag", BOUND, || {
        let metrics = replica.get("/metrics")?.1;
        metrics.contains("lag_records{partition=\"1\"} 0").then_some(metrics)
    });
    assert!(metrics.contains("login_processor_events_processed_total 2"), "{metrics}");
    wait_for("a delta that says so", BOUND, || {
        let deltas = pipeline.read(&pipeline.job.topics.deltas);
        let decode = |record: &Record| Delta::decode(record.payload.as_ref().unwrap()).unwrap();
        deltas.iter().map(decode).any(|delta| delta.ranges.iter().any(|range| range.idle.is_some())).then_some(())
    });

    assert_eq!(pipeline.kafka.end_offsets(&pipeline.job.topics.output, Isolation::ReadCommitted).unwrap().len(), 2);
    assert_idle(&replica);
    replica.stop();
}
