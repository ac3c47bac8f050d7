//! The faults of replays that the audit finds.

use crds::records::replay::{Entry, Identity, Place};
use serde_json::json;
use testkit::kafka::{NewRecord, Record};

use super::{audit, identity, ledger, replay, replayed, with_dead_letters};

#[test]
fn the_audit_finds_doubled_missing_unlisted_or_altered_replays() {
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
    // The event again; and an event that the ledger does not list.
    let mut unlisted = copies[1].headers.clone();
    unlisted[3].1 = Some(format!("{}/0/77/5", pipeline.job.topics.source).into_bytes());
    let doubled = again(&copies[0], copies[0].headers.clone(), copies[0].payload.clone());
    pipeline.write([doubled, again(&copies[1], unlisted, copies[1].payload.clone())]);
    // An entry without its event; and an event that differs from its dead letter.
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
    assert_eq!(report["lost"], 0, "{report}");
    assert_eq!(report["altered"], 0, "{report}");

    // The audit looks for the dead letter at the place that the entry names, and finds that of another event: it is not
    // compared. At its own place it is.
    let changed = again(&copies[2], copies[2].headers.clone(), Some(b"{}".to_vec()));
    let fresh = with_dead_letters("altered", 1, 1);
    let mut headers = changed.headers.clone();
    let dead = fresh.read(&fresh.job.topics.dead_letters).pop().unwrap();
    let own = super::identity(&dead);
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
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["replay_faults_by_kind"], json!({"altered": 1}), "{report}");
    replica.stop();
}
