//! A transaction is fenced by the group generation that its owner knows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::support;

use std::{
    mem::ManuallyDrop,
    time::{Duration, Instant},
};

use kafka::{
    native::{
        ClientEvent, GroupMetadata, Rebalance,
        consumer::Consumer,
        producer::{OffsetToCommit, Producer},
    },
    settings::{self, RecordLimits},
};
use support::{BOUND, Pipeline};
use testkit::kafka::Isolation;

/// Polls until the group has assigned partitions.
fn joined(consumer: &mut Consumer) -> GroupMetadata {
    let started = Instant::now();
    while started.elapsed() < BOUND {
        for event in consumer.poll(1, Duration::from_millis(100)).take_events() {
            if let ClientEvent::Rebalance(Rebalance::Assign { group: Some(group), .. }) = event {
                return group;
            }
        }
    }
    panic!("not joined");
}

/// Longer than a rebalance takes: several heartbeats.
const JOINED: Duration = Duration::from_secs(5);

/// librdkafka rebalances in the background. A transaction that took its group metadata at the commit would belong to a
/// generation whose assignment its owner does not know yet.
#[test]
fn a_commit_with_an_outdated_group_membership_is_refused() {
    let pipeline = Pipeline::new("fencing", 2, |_| {});
    let (group, source) = (pipeline.job.pipeline.ingest_group(), &pipeline.job.topics.source);
    // Never dropped: librdkafka would wait for the answer to a rebalance, which this test does not give.
    let join = |id: &str| {
        let settings = settings::consumer(&pipeline.job, &group, id);
        ManuallyDrop::new(Consumer::subscribe(&settings, source, 1).unwrap())
    };
    let mut first = join("first");
    let membership = joined(&mut first);
    first.assign(&[]).unwrap();
    let mut producer =
        Producer::new(&settings::producer(&pipeline.job, "first", RecordLimits::of(&[1 << 20]))).unwrap();
    producer.init_transactions(BOUND).unwrap();
    let mut commit = |offset, membership: &GroupMetadata| {
        producer.begin().unwrap();
        let offsets = [OffsetToCommit { partition: 0, offset, metadata: "" }];
        let sent = producer.send_offsets(source, offsets.into_iter(), membership, BOUND);
        match sent {
            Ok(()) => producer.commit(BOUND),
            Err(error) => {
                producer.abort(BOUND).unwrap();
                Err(error)
            }
        }
    };
    commit(1, &membership).unwrap();

    let mut second = join("second");
    // Both join the next generation with their heartbeats; the first does not poll in the meantime, and the second gets
    // its partitions only when the first has released them.
    let joining = Instant::now();
    while joining.elapsed() < JOINED {
        drop(second.poll(1, Duration::from_millis(100)));
    }
    let refused = commit(2, &membership).unwrap_err();
    assert!(refused.is_rebalance(), "{refused}");
    let committed = pipeline.kafka.committed(&group, source, Isolation::ReadCommitted).unwrap();
    assert_eq!(committed[&0].offset, 1);
}
