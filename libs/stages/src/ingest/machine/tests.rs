use std::collections::BTreeMap;

use crds::{
    pipeline::{Duration, LoginPipelineSpec},
    topics::PipelineId,
};
use proptest::prelude::*;

use super::*;

const NOW_MS: i64 = 1_720_576_825_000;
const NOW: i64 = NOW_MS / 1000;
const SECOND: i64 = 1000;

fn job() -> JobConfig {
    let mut spec: LoginPipelineSpec =
        serde_json::from_str(r#"{"kafka":{"external":{"bootstrapServers":"localhost:9092"}}}"#).unwrap();
    spec.aggregation.retention = Duration::from_secs(600);
    let id = PipelineId { namespace: "ns".to_owned(), name: "logins".to_owned() };
    JobConfig::new(id, &spec, 7, "localhost:9092".to_owned())
}

fn machine() -> Ingest {
    let mut machine = Ingest::new(&job(), "id".to_owned(), 100, 1_000_000);
    machine.source_has(2);
    machine
}

/// A machine that owns partition 0 from offset 10 and has announced it.
fn started() -> Ingest {
    let mut machine = machine();
    machine.own(0, Start { position: 10, ..Start::default() });
    commit(&mut machine);
    machine
}

fn login(time: i64) -> String {
    format!(r#"{{"user_id":"u","device_type":"iOS","locale":"RI","timestamp":{time}}}"#)
}

/// Processes a value. Returns the text of the output, or the reason of the dead letter.
fn put(machine: &mut Ingest, offset: i64, value: &str) -> Result<String, Option<Reason>> {
    let mut arena = b"before".to_vec();
    let record =
        SourceRecord { partition: 0, offset, timestamp_ms: NOW_MS, fixed_bytes: 36, value: Some(value.as_bytes()) };
    match machine.record(&record, &mut arena) {
        Fate::Output(range) => Ok(String::from_utf8(arena[range].to_vec()).unwrap()),
        Fate::DeadLetter(rejection) => Err(Some(rejection.reason)),
        Fate::Skipped => Err(None),
    }
}

/// Ends the transaction in progress without committing it. Returns its only delta.
fn sealed(machine: &mut Ingest) -> (Delta, Sealed) {
    let sealed = machine.seal().unwrap();
    assert_eq!(sealed.deltas.len(), 1);
    (Delta::decode(&sealed.deltas[0]).unwrap(), sealed)
}

fn commit(machine: &mut Ingest) {
    let sealed = machine.seal().unwrap();
    machine.committed(sealed);
}

#[test]
fn a_new_owner_announces_its_partition_before_any_event() {
    let mut machine = machine();
    assert!(!machine.has_work());
    machine.own(0, Start { position: 10, watermark: Some(5), log_start: 3 });
    assert!(machine.has_work());

    let (delta, transaction) = sealed(&mut machine);
    let range = delta::Range { partition: 0, from: 10, to: 10, watermark: Some(5), ..delta::Range::default() };
    assert_eq!(delta.ranges, [range]);
    assert_eq!(delta.panes, []);
    assert_eq!(delta.source_partitions, 2);
    assert_eq!(delta.producer, "id");
    assert_eq!(delta.sequence, 100);
    assert_eq!(delta.revision, 7);
    assert_eq!(serde_json::from_str::<Rules>(&delta.rules.unwrap()).unwrap(), job().rules);
    let metadata = OffsetMetadata::decode(&transaction.offsets[0].metadata).unwrap();
    assert_eq!(transaction.offsets[0].offset, 10);
    assert_eq!(metadata.watermark, Some(5));
    assert_eq!(metadata.sequence, 100);

    machine.committed(transaction);
    assert!(!machine.has_work());
}

#[test]
fn what_the_log_no_longer_has_is_declared_lost_once() {
    let mut machine = machine();
    machine.own(0, Start { position: 10, watermark: None, log_start: 25 });
    let (delta, transaction) = sealed(&mut machine);
    assert_eq!(delta.ranges[0].from, 10);
    assert_eq!(delta.ranges[0].to, 25);
    assert_eq!(delta.ranges[0].lost, Some((10, 25)));
    assert_eq!(transaction.offsets[0].offset, 25);

    machine.committed(transaction);
    put(&mut machine, 25, &login(NOW)).unwrap();
    let (delta, _) = sealed(&mut machine);
    assert_eq!(delta.ranges[0].from, 25);
    assert_eq!(delta.ranges[0].to, 26);
    assert_eq!(delta.ranges[0].lost, None);
    assert_eq!(delta.rules, None);
}

#[test]
fn lateness_is_judged_before_the_watermark_advances() {
    let mut machine = started();
    assert!(!put(&mut machine, 10, &login(NOW)).unwrap().contains("late"));
    assert!(!put(&mut machine, 11, &login(NOW - 30)).unwrap().contains("late"));
    assert!(put(&mut machine, 12, &login(NOW - 31)).unwrap().ends_with(r#""late":true}"#));
    assert!(!put(&mut machine, 13, &login(NOW + 100)).unwrap().contains("late"));
    assert!(put(&mut machine, 14, &login(NOW)).unwrap().contains("late"));
    assert_eq!(machine.watermarks().collect::<Vec<_>>(), [(0, NOW + 70)]);
}

#[test]
fn events_older_than_the_retention_are_only_in_all() {
    let mut machine = started();
    put(&mut machine, 10, &login(NOW)).unwrap();
    put(&mut machine, 11, &login(NOW - 630)).unwrap();
    put(&mut machine, 12, &login(NOW - 631)).unwrap();
    let (delta, _) = sealed(&mut machine);
    assert_eq!(delta.ranges[0].unmerged, 1);
    let counts: Vec<_> =
        delta.panes.iter().map(|pane| (pane.start, pane.unmerged, pane.total.count, pane.total.late)).collect();
    let minute = |time: i64| time - time.rem_euclid(60);
    assert_eq!(counts, [(minute(NOW - 630), false, 1, 1), (minute(NOW - 631), true, 1, 1), (minute(NOW), false, 1, 0)]);
}

#[test]
fn dead_letters_do_not_move_the_watermark() {
    let mut machine = started();
    put(&mut machine, 10, &login(NOW)).unwrap();
    assert_eq!(put(&mut machine, 11, &login(NOW + 1000)), Err(Some(Reason::Future)));
    assert_eq!(machine.watermarks().collect::<Vec<_>>(), [(0, NOW - 30)]);
    assert_eq!(machine.positions().collect::<Vec<_>>(), [(0, 12)]);
}

#[test]
fn what_was_processed_or_is_not_owned_is_passed() {
    let mut machine = started();
    put(&mut machine, 10, &login(NOW)).unwrap();
    assert_eq!(put(&mut machine, 10, &login(NOW)), Err(None));
    machine.release(0);
    assert_eq!(put(&mut machine, 11, &login(NOW)), Err(None));
    assert!(!machine.has_work());
}

#[test]
fn an_output_too_large_is_a_dead_letter_and_is_not_counted() {
    let mut machine = Ingest::new(&job(), "id".to_owned(), 1, 400);
    machine.own(0, Start::default());
    let padded = |bytes: usize| login(NOW).replace('}', &format!(r#","x":"{}"}}"#, "a".repeat(bytes)));
    let output = put(&mut machine, 0, &padded(10)).unwrap();
    let spare = 400 - RECORD_OVERHEAD - 36 - output.len();
    assert!(put(&mut machine, 1, &padded(10 + spare)).is_ok());
    assert_eq!(put(&mut machine, 2, &padded(11 + spare)), Err(Some(Reason::TooLarge)));
    let tally = machine.take_tally();
    assert_eq!(tally.output, 2);
    assert_eq!(tally.dead_letters[Reason::TooLarge as usize], 1);
    assert_eq!(sealed(&mut machine).0.panes[0].total.count, 2);
}

#[test]
fn a_partition_is_idle_when_quiet_and_processed_to_its_end() {
    let mut machine = started();
    put(&mut machine, 10, &login(NOW)).unwrap();
    commit(&mut machine);
    assert!(machine.tick(0).is_empty());
    assert!(machine.tick(9 * SECOND).is_empty());
    assert_eq!(machine.tick(10 * SECOND), [0]);

    machine.end_is(0, 12, 10 * SECOND);
    assert!(!machine.has_work(), "an event may still come");
    assert!(machine.tick(11 * SECOND).is_empty(), "the end is known");
    machine.reached(0, 12);
    let (delta, transaction) = sealed(&mut machine);
    assert_eq!(delta.ranges[0].idle, Some(10 * SECOND), "when the end was asked for");
    machine.committed(transaction);
    assert!(machine.tick(19 * SECOND).is_empty(), "renewed once in each idle timeout");
    assert_eq!(machine.tick(20 * SECOND), [0]);

    let open = 3600 + 30 + 5 * 10;
    assert_eq!(machine.tick(open * SECOND), [0], "a window of an hour can be open, and the frontier is 30 s behind");
    assert!(machine.tick((open + 1) * SECOND).is_empty(), "no window of an hour can be open any more");
}

#[test]
fn a_partition_of_dead_letters_alone_is_idle() {
    let mut machine = started();
    machine.tick(0);
    let mut offset = 10;
    let mut found = Vec::new();
    // Five a second, and the end is always ahead of what is processed.
    for second in 1..=40 {
        for partition in machine.tick(second * SECOND) {
            machine.end_is(partition, offset + 50, second * SECOND);
        }
        for _ in 0..5 {
            assert_eq!(put(&mut machine, offset, "bad"), Err(Some(Reason::Malformed)));
            offset += 1;
        }
        let (delta, transaction) = sealed(&mut machine);
        found.extend(delta.ranges[0].idle);
        machine.committed(transaction);
    }

    assert_eq!(found, [10 * SECOND, 20 * SECOND, 30 * SECOND]);
}

#[test]
fn a_valid_event_before_the_awaited_end_is_no_idleness() {
    let mut machine = started();
    machine.tick(0);
    machine.tick(10 * SECOND);
    machine.end_is(0, 12, 10 * SECOND);
    put(&mut machine, 10, &login(NOW)).unwrap();
    put(&mut machine, 11, "bad").unwrap_err();

    assert_eq!(sealed(&mut machine).0.ranges[0].idle, None);
    assert!(machine.tick(11 * SECOND).is_empty());
    assert_eq!(machine.tick(21 * SECOND), [0]);
}

#[test]
fn idleness_is_renewed_for_as_long_as_others_go_on() {
    let mut machine = started();
    machine.tick(0);
    assert!(!machine.is_any_quiet(9 * SECOND));
    assert!(machine.is_any_quiet(10 * SECOND));
    assert!(machine.tick(9000 * SECOND).is_empty());
    machine.source_moved(9000 * SECOND);
    assert_eq!(machine.tick(9000 * SECOND), [0]);
    assert_eq!(machine.tick(12_680 * SECOND), [0]);
    assert!(machine.tick(12_681 * SECOND).is_empty());
}

#[test]
fn an_event_ends_idleness() {
    let mut machine = started();
    machine.tick(0);
    assert_eq!(machine.tick(10_000), [0]);
    put(&mut machine, 10, &login(NOW)).unwrap();
    machine.end_is(0, 11, 10_000);
    assert_eq!(sealed(&mut machine).0.ranges[0].idle, None);
    assert!(machine.tick(11_000).is_empty());
}

#[test]
fn too_many_counts_close_the_transaction() {
    let mut machine = started();
    for offset in 10..10 + 20_000 {
        assert!(!machine.is_full());
        let minute = NOW - 60 * (offset % 3000);
        let value = format!(
            r#"{{"user_id":"u","device_type":"d{offset}","locale":"l{offset}","app_version":"v{offset}","timestamp":{minute}}}"#
        );
        put(&mut machine, offset, &value).unwrap();
        if machine.is_full() {
            return;
        }
    }
    panic!("never full");
}

/// The sums of the panes of these deltas, regardless of their transactions.
fn sums(deltas: &[Delta]) -> BTreeMap<((i64, bool), String, String), u64> {
    let mut sums = BTreeMap::new();
    for pane in deltas.iter().flat_map(|delta| &delta.panes) {
        let key = (pane.start, pane.unmerged);
        *sums.entry((key, "_all".to_owned(), "late".to_owned())).or_default() += pane.total.late;
        *sums.entry((key, "_all".to_owned(), String::new())).or_default() += pane.total.count;
        for (dimension, values) in &pane.dimensions {
            for (value, count) in values {
                *sums.entry((key, format!("{dimension:?}"), value.clone())).or_default() += count;
            }
        }
    }
    sums
}

/// The committed outputs and deltas of a machine that is driven this way.
fn drive(times: &[i64], stops: &[(usize, bool)]) -> (Vec<String>, Vec<Delta>) {
    let (mut outputs, mut deltas) = (Vec::new(), Vec::new());
    let mut machine = machine();
    let mut committed = Start { position: 0, watermark: None, log_start: 0 };
    machine.own(0, committed);
    let mut pending = Vec::new();
    let mut stops = stops.iter().peekable();
    let mut offset = 0;
    let mut steps = 0;
    while usize::try_from(offset).unwrap() < times.len() || !pending.is_empty() || machine.has_work() {
        let stop = stops.next_if(|(at, _)| *at <= steps).map(|(_, commit)| *commit);
        let at_end = usize::try_from(offset).unwrap() == times.len();
        match stop.or(at_end.then_some(true)) {
            Some(true) => {
                let (delta, transaction) = sealed(&mut machine);
                deltas.push(delta);
                outputs.append(&mut pending);
                if let Some(committed_offset) = transaction.offsets.first() {
                    let metadata = OffsetMetadata::decode(&committed_offset.metadata).unwrap();
                    committed =
                        Start { position: committed_offset.offset, watermark: metadata.watermark, log_start: 0 };
                }
                machine.committed(transaction);
            }
            Some(false) => {
                pending.clear();
                machine.abandon();
                machine.own(0, committed);
                offset = committed.position;
            }
            None => {
                let time = times[usize::try_from(offset).unwrap()];
                pending.push(put(&mut machine, offset, &login(time)).unwrap());
                offset += 1;
            }
        }
        steps += 1;
    }
    (outputs, deltas)
}

proptest! {
    /// What is committed is the same however the log is cut into transactions and whichever of them are aborted, and
    /// the ranges follow each other without a gap.
    #[test]
    fn transactions_and_aborts_do_not_matter(
        times in prop::collection::vec(NOW - 2000..NOW + 300, 1..60),
        stops in prop::collection::vec((0_usize..20, any::<bool>()), 0..20),
    ) {
        let at = stops.iter().scan(0, |at, (gap, commit)| { *at += gap; Some((*at, *commit)) }).collect::<Vec<_>>();
        let (expected, whole) = drive(&times, &[]);
        let (outputs, deltas) = drive(&times, &at);

        prop_assert_eq!(outputs, expected);
        prop_assert_eq!(sums(&deltas), sums(&whole));
        let unmerged = |deltas: &[Delta]| deltas.iter().flat_map(|delta| &delta.ranges).map(|range| range.unmerged).sum::<u64>();
        prop_assert_eq!(unmerged(&deltas), unmerged(&whole));

        let mut next = 0;
        for range in deltas.iter().flat_map(|delta| &delta.ranges) {
            prop_assert_eq!(range.from, next);
            next = range.to;
        }
        prop_assert_eq!(next, i64::try_from(times.len()).unwrap());
    }
}
