//! Stage 2 on a real Kafka, with replicas as processes: after every fault, the last revision of each count equals a
//! plain count of the output.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and tells what it measured")]

use crate::support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crds::{
    job::ResultTopics,
    pipeline::{Dimension, LoginPipelineSpec, Window},
    records::{
        aggregate::{Aggregate, Counted, Insight, decode},
        delta::{Delta, Range},
        offset::OffsetMetadata,
        state::{Position, encode},
    },
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use support::{BOUND, Pipeline, Replica, login, mixed};
use testkit::{
    kafka::{Isolation, NewRecord, Record},
    wait_for,
};

/// Windows that close while a test runs.
fn short(spec: &mut LoginPipelineSpec) {
    spec.aggregation.windows = serde_json::from_str(r#"["1s", "5s", "all"]"#).unwrap();
    spec.aggregation.allowed_lateness = "1s".parse().unwrap();
    spec.aggregation.idle_timeout = "1s".parse().unwrap();
}

fn results(pipeline: &Pipeline<'_>) -> ResultTopics {
    pipeline.job.topics.results.clone()
}

/// The last value of each key, without removed keys.
fn last(records: Vec<Record>) -> BTreeMap<String, Vec<u8>> {
    let mut last = BTreeMap::new();
    for record in records {
        let key = String::from_utf8(record.key.unwrap()).unwrap();
        match record.payload {
            Some(value) => drop(last.insert(key, value)),
            None => drop(last.remove(&key)),
        }
    }
    last
}

fn aggregates(pipeline: &Pipeline<'_>) -> Vec<Aggregate> {
    let last = last(pipeline.read(&results(pipeline).aggregates));
    last.into_iter()
        .map(|(key, value)| {
            let aggregate: Aggregate = decode(&value).unwrap();
            assert_eq!(aggregate.key(), key);
            aggregate
        })
        .collect()
}

/// Waits until stage 2 has emitted everything that stage 1 has written; the audit counts all of it again, and compares.
fn settle(pipeline: &Pipeline<'_>) -> Vec<Aggregate> {
    pipeline.settle().assert_exactly_once();
    aggregates(pipeline)
}

/// The index of the replica that emits.
fn emitter(replicas: &[Replica]) -> usize {
    wait_for("an emitter", BOUND, || {
        replicas.iter().position(|replica| {
            replica.get("/metrics").is_some_and(|(_, text)| text.contains("login_processor_aggregate_role 2"))
        })
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn counts_appear_windows_close_and_insights_tell_of_them() {
    let pipeline = Pipeline::new("aggregate", 4, short);
    let feeder = pipeline.feed(5000, 1000, mixed());
    let mut replica = pipeline.start("a");
    replica.ready();
    feeder.finish();
    let found = settle(&pipeline);
    assert!(found.iter().any(|aggregate| aggregate.of == Counted::All && aggregate.unique_users > Some(100)));

    // The source is quiet: idle marks close the last window.
    wait_for("every window to close", BOUND, || {
        let open = |aggregate: &Aggregate| !aggregate.is_final && aggregate.span.window != Window::All;
        (!aggregates(&pipeline).iter().any(open)).then_some(())
    });

    let insights = last(pipeline.read(&results(&pipeline).insights));
    let finals = aggregates(&pipeline);
    let live =
        |aggregate: &&Aggregate| aggregate.is_final && aggregate.of == Counted::All && aggregate.evicted_at.is_none();
    let finals: Vec<&Aggregate> = finals.iter().filter(live).collect();
    assert_eq!(insights.len(), finals.len());
    for aggregate in finals {
        let insight: Insight = decode(&insights[&aggregate.span.key()]).unwrap();
        assert_eq!(insight.count, aggregate.count);
        assert_eq!(insight.revision, aggregate.revision);
        assert_eq!(insight.dimensions.contains_key(&Dimension::Locale), insight.count > 0);
    }

    let metrics = replica.get("/metrics").unwrap().1;
    for name in
        ["frontier_delay_seconds", "windows_open 1\n", "deltas_folded_total", "restore_seconds", "takeover_seconds"]
    {
        assert!(metrics.contains(&format!("login_processor_aggregate_{name}")), "{name} in {metrics}");
    }
    replica.stop();
}

/// The longest time between two result records, milliseconds.
fn longest_gap(pipeline: &Pipeline<'_>) -> i64 {
    let records = pipeline.read(&results(pipeline).aggregates);
    let times: Vec<i64> = records.iter().filter_map(|record| record.timestamp).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
}

#[test]
fn a_standby_takes_over_from_an_emitter_that_is_killed() {
    let pipeline = Pipeline::new("takeover", 4, short);
    let feeder = pipeline.feed(u64::MAX, 1000, mixed());
    let mut replicas: Vec<Replica> = ["a", "b"].map(|name| pipeline.start(name)).into();
    replicas.iter_mut().for_each(Replica::ready);

    // Long enough for a snapshot: the next one, although another replica writes it, must hold the changes since then.
    let victim = emitter(&replicas);
    std::thread::sleep(Duration::from_secs(12));
    replicas[victim].process.kill();
    drop(replicas.remove(victim));
    emitter(&replicas);
    std::thread::sleep(Duration::from_secs(12));
    feeder.stop();
    settle(&pipeline);
    eprintln!("the emitter killed: no results for {} ms", longest_gap(&pipeline));
    replicas.into_iter().for_each(Replica::stop);

    // A new replica can restore from what the survivor wrote.
    let mut newcomer = pipeline.start("c");
    newcomer.ready();
    pipeline.write_logins(4, 100);
    settle(&pipeline);
    newcomer.stop();
}

#[test]
fn an_emitter_that_hangs_emits_nothing_when_it_wakes() {
    let pipeline = Pipeline::new("zombie-emitter", 4, short);
    let feeder = pipeline.feed(u64::MAX, 1000, mixed());
    let mut replicas: Vec<Replica> = ["a", "b"].map(|name| pipeline.start(name)).into();
    replicas.iter_mut().for_each(Replica::ready);

    let zombie = emitter(&replicas);
    std::thread::sleep(Duration::from_secs(2));
    replicas[zombie].process.signal("STOP");
    let heir = 1 - zombie;
    wait_for("the heir to emit", BOUND, || replicas[heir].process.log().contains("aggregating").then_some(()));
    std::thread::sleep(Duration::from_secs(2));
    replicas[zombie].process.signal("CONT");
    std::thread::sleep(Duration::from_secs(3));

    feeder.stop();
    settle(&pipeline);
    replicas.into_iter().for_each(Replica::stop);
}

#[test]
fn a_cold_start_reads_the_snapshot_and_the_deltas_behind_it() {
    let pipeline = Pipeline::new("cold", 4, short);
    let deltas = &pipeline.job.topics.deltas;
    let feeder = pipeline.feed(u64::MAX, 1000, mixed());
    let mut replica = pipeline.start("a");
    replica.ready();

    // After the second snapshot, the deltas before the first one are not needed any more.
    wait_for("two snapshots", BOUND, || {
        replica.get("/metrics")?.1.contains("aggregate_snapshots_total 2").then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    feeder.stop();
    settle(&pipeline);
    replica.stop();
    let trimmed = pipeline.read(deltas).first().unwrap().offset;
    assert!(trimmed > 0, "deltas that two snapshots cover are deleted");

    let mut replica = pipeline.start("b");
    replica.ready();
    pipeline.write_logins(4, 1000);
    settle(&pipeline);
    let log = replica.process.log();
    let read: i64 = log.split(".deltas\" from=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(read >= trimmed, "{log}");
    replica.stop();
}

#[test]
fn a_committed_offset_that_is_gone_is_found_again_in_the_state() {
    let pipeline = Pipeline::new("forgotten", 3, short);
    for name in ["a", "b"] {
        pipeline.write_logins(3, 1000);
        let mut replica = pipeline.start(name);
        replica.ready();
        settle(&pipeline);
        replica.stop();
        pipeline.kafka.delete_group(&pipeline.job.pipeline.aggregate_group()).unwrap();
        let mut replica = pipeline.start(name);
        replica.ready();
        emitter(std::slice::from_ref(&replica));
        pipeline.write_logins(3, 10);
        settle(&pipeline);
        replica.stop();
    }

    // Counts and revisions only grow: nothing was emitted again from an earlier state.
    let records = pipeline.read(&results(&pipeline).aggregates);
    let mut revisions = BTreeMap::new();
    for (key, value) in records.into_iter().filter_map(|record| Some((record.key?, record.payload?))) {
        let aggregate: Aggregate = decode(&value).unwrap();
        let newer = (aggregate.count, aggregate.revision);
        let older = revisions.insert(key, newer).unwrap_or_default();
        assert!(newer.0 >= older.0 && newer.1 >= older.1, "{aggregate:?} after {older:?}");
    }
}

#[test]
fn the_transaction_of_an_emitter_that_is_gone_is_ended() {
    let pipeline = Pipeline::new("hanging", 2, short);
    pipeline.write_logins(2, 100);
    let mut replica = pipeline.start("a");
    replica.ready();
    settle(&pipeline);
    replica.stop();

    // A replica whose pod is gone: its last transaction is committed, its next one stays open for a minute.
    let id = pipeline.job.pipeline.aggregate_transactional_id("gone");
    let client = |settings: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", pipeline.kafka.bootstrap());
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    };
    let member: BaseConsumer = client(&[("group.id", &pipeline.job.pipeline.aggregate_group())]).create().unwrap();
    let group = member.group_metadata().unwrap();
    let gone: BaseProducer =
        client(&[("transactional.id", &id), ("transaction.timeout.ms", "60000")]).create().unwrap();
    let (deltas, bound) = (&pipeline.job.topics.deltas, Duration::from_secs(10));
    let committed =
        &pipeline.kafka.committed(&pipeline.job.pipeline.aggregate_group(), deltas, Isolation::ReadCommitted);
    let offset = committed.as_ref().unwrap()[&0].offset;
    let begin = |sequence| {
        gone.begin_transaction().unwrap();
        let metadata = OffsetMetadata { watermark: None, transactional_id: id.clone(), sequence };
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition(deltas, 0).set_offset(Offset::Offset(offset)).unwrap();
        offsets.find_partition(deltas, 0).unwrap().set_metadata(metadata.encode());
        let position = encode(&Position { offset }).unwrap();
        gone.send(BaseRecord::to(&results(&pipeline).state).key("position").payload(&position)).unwrap();
        gone.send_offsets_to_transaction(&offsets, &group, bound).unwrap();
    };

    gone.init_transactions(bound).unwrap();
    begin(1);
    gone.commit_transaction(bound).unwrap();
    begin(2);
    gone.flush(bound).unwrap();

    let started = Instant::now();
    let mut heir = pipeline.start("b");
    emitter(std::slice::from_ref(&heir));
    let took = started.elapsed();
    eprintln!("an open transaction of a replica that is gone: aggregating {took:?} after the start");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(heir.process.log().contains("ending the transaction of an owner that is gone"));
    heir.ready();
    pipeline.write_logins(2, 100);
    settle(&pipeline);
    heir.stop();
}

#[test]
fn a_partition_that_wakes_with_day_old_events_is_fully_counted() {
    let pipeline = Pipeline::new("waking", 2, |spec| {
        short(spec);
        spec.aggregation.retention = "10s".parse().unwrap();
    });
    let mut replica = pipeline.start("a");
    replica.ready();

    let start = now();
    for second in 0..20 {
        pipeline.write((0..50).map(|_| login(0, start + second)));
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_for("windows to close", BOUND, || {
        aggregates(&pipeline).iter().any(|aggregate| aggregate.is_final).then_some(())
    });

    pipeline.write((0..100).map(|index| login(1, start - 86_400 + index % 10)));
    pipeline.write((0..100).map(|index| login(1, start + index % 30)));
    let found = settle(&pipeline);
    assert!(found.iter().any(|aggregate| aggregate.evicted_at.is_some()), "a window that was evicted");
    replica.stop();
}

#[test]
fn scaled_from_one_to_three_and_back() {
    let pipeline = Pipeline::new("scaled-aggregate", 6, short);
    let feeder = pipeline.feed(u64::MAX, 1000, mixed());
    let mut first = pipeline.start("a");
    first.ready();

    let mut others: Vec<Replica> = ["b", "c"].map(|name| pipeline.start(name)).into();
    others.iter_mut().for_each(Replica::ready);
    std::thread::sleep(Duration::from_secs(3));
    first.stop();
    emitter(&others);
    std::thread::sleep(Duration::from_secs(2));
    others.remove(0).stop();
    emitter(&others);
    std::thread::sleep(Duration::from_secs(2));

    feeder.stop();
    settle(&pipeline);
    others.into_iter().for_each(Replica::stop);
}

#[test]
fn contradictory_deltas_stop_the_aggregation_and_nothing_else() {
    let pipeline = Pipeline::new("halted", 2, short);
    pipeline.write_logins(2, 100);
    let mut replica = pipeline.start("a");
    replica.ready();
    settle(&pipeline);

    let last = pipeline.read(&pipeline.job.topics.deltas).pop().unwrap();
    let last = Delta::decode(&last.payload.unwrap()).unwrap();
    let range = Range { partition: 0, from: 10, to: 20, ..Range::default() };
    let twice = Delta { producer: "another".to_owned(), chunks: 1, ranges: vec![range], rules: None, ..last };
    let record = NewRecord { partition: Some(0), payload: Some(twice.encode().unwrap()), ..NewRecord::default() };
    pipeline.kafka.produce(&pipeline.job.topics.deltas, [record]).unwrap();

    let told = wait_for("a reason", BOUND, || {
        let (status, text) = replica.get("/readyz")?;
        (status == 503).then_some(text)
    });
    assert!(told.contains("thread aggregate has stopped: delta"), "{told}");
    assert!(told.contains("source partition 0 from offset 10 on"), "{told}");
    assert!(replica.get("/metrics").unwrap().1.contains("login_processor_aggregate_halted 1"));
    assert_eq!(replica.get("/healthz").unwrap().0, 200);

    pipeline.write_logins(2, 100);
    wait_for("stage 1 to go on", BOUND, || (pipeline.read(&pipeline.job.topics.output).len() == 200).then_some(()));
    replica.stop();
}
