//! Which dead letters are replayed unchanged, whatever they contain, and which are refused.

use std::collections::BTreeMap;

use crds::{
    records::{
        dead_letter::{REASON, Reason, SOURCE_OFFSET, SOURCE_PARTITION, SOURCE_TIMESTAMP, SOURCE_TOPIC, TRUNCATED},
        replay::{Entry, Identity, Place, REPLAY_OF},
    },
    topics::SOURCE_MAX_MESSAGE_BYTES,
};
use testkit::{kafka::NewRecord, wait_for};

use super::{audit, dead_letters, header, lines, replay, replayed, work};
use crate::support::{BOUND, Pipeline};

/// A dead letter as the pipeline writes it.
pub fn letter(pipeline: &Pipeline<'_>, offset: i64, timestamp: i64, change: &[(&str, &str)]) -> NewRecord {
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
fn what_cannot_be_replayed_is_named_despite_stale_entries() {
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
    // An entry of a deleted source with the same name.
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
    assert_eq!(code, 1, "{report:?}");
    assert_eq!(report[0]["replayed"], 1, "{report:?}");
    assert_eq!(report[0]["refused"], 4, "{report:?}");
    let whys: Vec<&str> =
        report[0]["refusals"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    for (why, expected) in whys.iter().zip(["lp-truncated", "another", "partition 7", "lp-source-*"]) {
        assert!(why.contains(expected), "{why}");
    }
    let (_, text, _) = dead_letters(&pipeline, &["replay", "0-1"]);
    assert!(text.starts_with("dead letter 0-1 cannot be replayed: its value did not fit"), "{text}");

    // Twice in the topic, as after a reset of the group's offsets: it is one event.
    pipeline.kafka.produce(&topics.dead_letters, [letter(&pipeline, 9, 5, &[]), letter(&pipeline, 9, 5, &[])]).unwrap();
    assert_eq!(replay(&pipeline, &["0-5", "0-6"]), (1, 1, 0));

    // A deleted entry is a tombstone, and after a compaction nothing: in both cases the event may be replayed again.
    let twice = replayed(&pipeline).pop().unwrap();
    let key = header(&twice, REPLAY_OF).unwrap().as_bytes().to_vec();
    let tombstone = NewRecord { key: Some(key), ..NewRecord::default() };
    pipeline.kafka.produce(&pipeline.job.pipeline.replays_topic(), [tombstone]).unwrap();
    assert_eq!(replay(&pipeline, &["0-5", "0-6"]), (1, 1, 0));

    // The named dead letters must exist, except for those of a partition that is not selected.
    let (code, report) = lines(&pipeline, &["replay", "0-5", "0-99", "7-1", "--partition", "0"]);
    assert_eq!(code, 1, "{report:?}");
    assert_eq!(report[0]["already_replayed"], 1, "{report:?}");
    assert_eq!(report[0]["refused"], 1, "{report:?}");
    let why = &report[0]["refusals"][0];
    assert_eq!(why["offset"], 99, "{why}");
    assert_eq!(&why["why"].as_str().unwrap()[..8], "there is", "{why}");
}

#[test]
fn an_event_is_replayed_to_the_byte_whatever_it_is() {
    let pipeline = Pipeline::new("odd", 1, |_| {});
    let event = |key: Option<&[u8]>, payload: Option<&[u8]>, headers: &[(&str, Option<&[u8]>)]| NewRecord {
        partition: Some(0),
        key: key.map(<[u8]>::to_vec),
        payload: payload.map(<[u8]>::to_vec),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        ..NewRecord::default()
    };
    pipeline.write([
        event(None, None, &[]),
        event(Some(b""), Some(b""), &[("", None), ("", Some(b""))]),
        event(Some(b"\0\xff"), Some(b"\xff\0{"), &[("a", Some(b"\0")), ("a", None), ("a", Some(b"\xff"))]),
    ]);

    work(&pipeline);
    assert_eq!(replay(&pipeline, &["--all"]), (3, 0, 0));

    let source = pipeline.read(&pipeline.job.topics.source);
    let (events, copies) = source.split_at(3);
    for (event, copy) in events.iter().zip(copies) {
        let (own, added) = copy.headers.split_at(event.headers.len());
        assert_eq!(copy.key, event.key);
        assert_eq!(copy.payload, event.payload);
        assert_eq!(own, &event.headers[..]);
        assert_eq!(added.len(), 2, "{copy:?}");
    }

    work(&pipeline);
    let (code, report) = audit(&pipeline);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["replayed"], 3, "{report}");
    assert_eq!(report["dead_letters"], 6, "{report}");
}

#[test]
fn an_event_is_replayed_if_it_fits_with_its_two_headers() {
    let pipeline = Pipeline::new("large", 1, |_| {});
    let topics = &pipeline.job.topics;
    // 128 bytes for the record, and 10 for each of the headers lp-replay and lp-replay-of.
    let places = [format!("{}/0/0", topics.dead_letters), format!("{}/0/0/5", topics.source)];
    let fixed = 128 + 2 * 10 + "lp-replay".len() + "lp-replay-of".len() + places.concat().len();
    let fits = usize::try_from(SOURCE_MAX_MESSAGE_BYTES).unwrap() - fixed;
    let of = |offset, bytes| NewRecord { payload: Some(vec![b'x'; bytes]), ..letter(&pipeline, offset, 5, &[]) };
    // Three more after the first, so that a batch has more than one.
    let letters = [of(0, fits), of(1, fits + 1), of(2, fits / 2), of(3, fits / 2), of(4, 1)];
    pipeline.kafka.produce(&topics.dead_letters, letters).unwrap();

    let (code, report) = lines(&pipeline, &["replay", "--all"]);
    assert_eq!(code, 1, "{report:?}");
    assert_eq!(report[0]["replayed"], 4, "{report:?}");
    assert_eq!(report[0]["refused"], 1, "{report:?}");
    let why = report[0]["refusals"][0]["why"].as_str().unwrap();
    assert!(why.contains("1048589 bytes, and the source takes 1048588"), "{why}");
    let sizes: Vec<_> = replayed(&pipeline).iter().map(|copy| copy.payload.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [fits, fits / 2, fits / 2, 1]);
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
    // Replaying all of them needs an explicit option.
    let (code, _, error) = dead_letters(&pipeline, &["replay"]);
    assert!(code == 2 && error.contains("--all"), "{error}");
}
