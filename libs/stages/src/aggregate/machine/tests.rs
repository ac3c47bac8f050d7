//! Drives one machine at a time, event by event.

use crds::{
    job::Rules,
    records::{
        aggregate::{Aggregate, decode},
        delta::{Delta, Pane, Range, Total},
    },
};

use super::*;
use crate::aggregate::fold::Halt;

const TIME: i64 = 1_720_576_800;

/// The delta at this offset of the log: one event of source partition 0, one minute after the event before it.
fn delta(offset: i64) -> Vec<u8> {
    let rules = (offset == 0).then(|| serde_json::to_string(&Rules::default()).unwrap());
    let range = Range { partition: 0, from: offset, to: offset + 1, ..Range::default() };
    let total = Total { count: 1, ..Total::default() };
    let pane = Pane { start: TIME + 60 * offset, total, ..Pane::default() };
    Delta {
        producer: "p".to_owned(),
        sequence: offset.unsigned_abs(),
        chunks: 1,
        revision: 1,
        rules,
        source_partitions: 1,
        ranges: vec![range],
        panes: vec![pane],
        ..Delta::default()
    }
    .encode()
    .unwrap()
}

fn machine(id: &str) -> Machine {
    Machine::new(id.to_owned(), 1)
}

/// A machine that has restored this state.
fn restored(id: &str, state: &[ResultRecord]) -> Machine {
    let mut machine = machine(id);
    restore(&mut machine, state);
    machine
}

fn restore(machine: &mut Machine, state: &[ResultRecord]) {
    assert_eq!(machine.role(), Role::Restoring);
    assert_eq!(machine.asks(0), Some(Question::StateEnd));
    machine.state_ends(state.len() as i64);
    for (record, offset) in state.iter().zip(0..) {
        assert_eq!(machine.reads(), Some(Reading::State { from: offset }));
        machine.state_record(offset, record.key.as_bytes(), record.value.as_deref());
    }
    machine.state_reached(state.len() as i64);
    assert_ne!(machine.role(), Role::Restoring);
}

/// Feeds the deltas up to this offset, as far as the machine reads them.
fn feed(machine: &mut Machine, to: i64) {
    while let Some(Reading::Deltas { from }) =
        machine.reads().filter(|reading| *reading != Reading::Deltas { from: to })
    {
        machine.delta(from, &delta(from));
    }
}

fn committed(offset: i64) -> Option<Committed> {
    Some(Committed { offset, metadata: "another's".to_owned() })
}

/// A machine that has taken over from another replica at this offset.
fn emitter(id: &str, offset: i64) -> Machine {
    let mut machine = restored(id, &[]);
    feed(&mut machine, offset);
    machine.committed_is(committed(offset).as_ref(), 0);
    machine.assigned(0);
    machine.stable_is(committed(offset), 0);
    assert_eq!(machine.role(), Role::Emitter);
    machine
}

fn next_offset(machine: &Machine) -> i64 {
    machine.fold().unwrap().next_offset()
}

/// The one-minute windows that a transaction has results of, as offsets of their deltas.
fn minutes(sealed: &Sealed) -> Vec<i64> {
    let aggregates = sealed.results.aggregates.iter().filter_map(|record| record.value.as_deref());
    let spans = aggregates.map(|value| decode::<Aggregate>(value).unwrap().span);
    spans.filter(|span| span.key().starts_with("1m/")).map(|span| (span.start - TIME) / 60).collect()
}

fn seal(machine: &mut Machine, now_ms: i64) -> Sealed {
    machine.seal(now_ms).cloned().unwrap()
}

#[test]
fn the_state_is_restored_to_its_log_end_not_its_stable_offset() {
    let mut machine = machine("a");
    machine.state_ends(10);
    machine.state_reached(5);
    assert_eq!(machine.role(), Role::Restoring);
    assert_eq!(machine.reads(), Some(Reading::State { from: 5 }));
    machine.state_reached(10);
    assert_eq!(machine.role(), Role::Standby);
    assert_eq!(machine.reads(), Some(Reading::Deltas { from: 0 }));
}

/// The reported end may lie within a snapshot. The whole snapshot is read.
#[test]
fn no_snapshot_is_read_by_half() {
    let state = state();
    let mut machine = machine("b");
    machine.state_ends(3);
    for (record, offset) in state.iter().zip(0..) {
        machine.state_record(offset, record.key.as_bytes(), record.value.as_deref());
        assert_eq!(machine.role(), Role::Restoring);
    }
    machine.state_reached(state.len() as i64);
    assert_eq!(machine.role(), Role::Standby);
    assert_eq!(next_offset(&machine), 3);
}

#[test]
fn a_standby_folds_up_to_the_committed_offset_and_no_further() {
    let mut machine = restored("a", &[]);
    feed(&mut machine, 10);
    assert_eq!(next_offset(&machine), 0);
    assert_eq!(machine.asks(0), Some(Question::Committed));
    machine.committed_is(committed(4).as_ref(), 0);
    assert_eq!(next_offset(&machine), 4);
    assert_eq!(machine.asks(999), None);
    assert_eq!(machine.asks(1000), Some(Question::Committed));
    machine.committed_is(committed(12).as_ref(), 1000);
    feed(&mut machine, 20);
    assert_eq!(next_offset(&machine), 12);
    assert_eq!(machine.seal(5000), None);
}

#[test]
fn who_takes_over_emits_what_comes_behind_the_stable_offset() {
    let mut machine = restored("a", &[]);
    feed(&mut machine, 10);
    machine.committed_is(committed(3).as_ref(), 0);
    machine.assigned(100);
    assert_eq!(machine.asks(100), Some(Question::StableCommitted));
    machine.stable_is(committed(6), 200);
    assert_eq!(next_offset(&machine), 10);
    assert_eq!(machine.role(), Role::Emitter);

    let sealed = seal(&mut machine, 200);
    assert_eq!(sealed.offset, 10);
    assert_eq!(minutes(&sealed), [6, 7, 8, 9]);
    let metadata = OffsetMetadata::decode(&sealed.metadata).unwrap();
    assert_eq!(metadata.transactional_id, "a");
    assert_eq!(metadata.sequence, 1);
    assert_eq!(
        sealed.state,
        [ResultRecord { key: "position".to_owned(), value: encode(&Position { offset: 10 }).ok() }]
    );

    machine.outcome(Outcome::Committed, 210);
    feed(&mut machine, 11);
    assert_eq!(machine.seal(459), None, "not before the interval is over");
    assert_eq!(minutes(&seal(&mut machine, 460)), [10]);
}

#[test]
fn a_transaction_that_was_aborted_is_tried_again_as_it_was() {
    let mut machine = emitter("a", 0);
    feed(&mut machine, 5);
    let sealed = seal(&mut machine, 0);
    machine.outcome(Outcome::Aborted, 10);
    feed(&mut machine, 8);
    assert_eq!(next_offset(&machine), 5);
    assert_eq!(machine.seal(259), None);
    assert_eq!(seal(&mut machine, 260), sealed);
    machine.outcome(Outcome::Committed, 300);
    let next = seal(&mut machine, 550);
    assert_eq!(next.offset, 8);
    assert_eq!(minutes(&next), [5, 6, 7]);
}

#[test]
fn the_committed_offset_tells_what_became_of_a_transaction() {
    let in_doubt = || {
        let mut machine = emitter("a", 2);
        feed(&mut machine, 5);
        let sealed = seal(&mut machine, 0);
        machine.outcome(Outcome::Unknown, 10);
        assert_eq!(machine.asks(10), Some(Question::StableCommitted));
        assert_eq!(machine.seal(1000), None);
        (machine, sealed)
    };

    let (mut machine, sealed) = in_doubt();
    machine.stable_is(Some(sealed.committed()), 20);
    feed(&mut machine, 6);
    assert_eq!(minutes(&seal(&mut machine, 1000)), [5]);

    let (mut machine, sealed) = in_doubt();
    machine.stable_is(committed(2), 20);
    assert_eq!(seal(&mut machine, 20), sealed);

    // The same offset, of another replica's transaction.
    let (mut machine, _) = in_doubt();
    machine.stable_is(committed(5), 20);
    assert_eq!(machine.role(), Role::Restoring);
    assert_eq!(machine.seal(1000), None);

    // An offset that is gone may have existed in the meantime.
    let mut machine = machine_without_offset();
    feed(&mut machine, 5);
    seal(&mut machine, 0);
    machine.outcome(Outcome::Unknown, 10);
    machine.stable_is(None, 20);
    assert_eq!(machine.role(), Role::Restoring);
    assert_eq!(machine.seal(1000), None);
}

/// An emitter that has found neither an offset nor a state.
fn machine_without_offset() -> Machine {
    let mut machine = restored("a", &[]);
    machine.assigned(0);
    machine.stable_is(None, 0);
    restore(&mut machine, &[]);
    assert_eq!(machine.role(), Role::Emitter);
    machine
}

#[test]
fn a_lost_role_leaves_no_uncommitted_state_behind() {
    let mut machine = emitter("a", 2);
    feed(&mut machine, 5);
    machine.revoked();
    assert_eq!(machine.role(), Role::Restoring, "folded too far");
    assert_eq!(machine.asks(0), Some(Question::StateEnd), "folded too far");

    let mut machine = emitter("a", 2);
    feed(&mut machine, 5);
    seal(&mut machine, 0);
    machine.outcome(Outcome::Unknown, 10);
    machine.revoked();
    assert_eq!(machine.role(), Role::Restoring);

    let mut machine = emitter("a", 2);
    feed(&mut machine, 5);
    assert_eq!(machine.seal_rest(0).map(|sealed| sealed.offset), Some(5));
    machine.outcome(Outcome::Committed, 0);
    machine.revoked();
    feed(&mut machine, 9);
    assert_eq!(machine.role(), Role::Standby);
    assert_eq!(next_offset(&machine), 5);
}

#[test]
fn a_snapshot_holds_all_changes_since_the_last_by_any_replica() {
    let totals = |sealed: &Sealed| -> Vec<i64> {
        let keys = sealed.state.iter().filter_map(|record| Key::decode(record.key.as_bytes()).ok());
        let minute = |key| match key {
            Key::Total(span) if span.key().starts_with("1m/") => Some((span.start - TIME) / 60),
            _ => None,
        };
        keys.filter_map(minute).collect()
    };
    let mut first = emitter("a", 0);
    feed(&mut first, 3);
    assert_eq!(first.asks(SNAPSHOT_MS - 1), None);
    assert_eq!(first.asks(SNAPSHOT_MS), Some(Question::LastSnapshot));
    assert!(!seal(&mut first, SNAPSHOT_MS).snapshot, "results need not wait for the answer");
    first.outcome(Outcome::Committed, SNAPSHOT_MS);
    first.last_snapshot_is(None);
    let mut now = SNAPSHOT_MS + EMIT_MS;
    let whole = seal(&mut first, now);
    assert!(whole.snapshot);
    assert_eq!(totals(&whole), [0, 1, 2]);
    assert_eq!(whole.offset, 3);
    first.outcome(Outcome::Committed, now);
    assert_eq!(first.take_trim(), None);
    assert_eq!(first.asks(now + 2 * SNAPSHOT_MS), None);
    assert_eq!(first.seal(now + 2 * SNAPSHOT_MS), None, "nothing changed");
    feed(&mut first, 5);
    now += SNAPSHOT_MS;
    let second = seal(&mut first, now);
    assert_eq!(totals(&second), [3, 4]);
    first.outcome(Outcome::Committed, now);
    assert_eq!(first.take_trim(), Some(3));
    assert_eq!(first.take_trim(), None);

    // The standby, which restored the first snapshot and saw everything since, takes over.
    let mut standby = restored("b", &whole.state);
    feed(&mut standby, 7);
    standby.committed_is(committed(7).as_ref(), 0);
    standby.assigned(0);
    standby.stable_is(committed(7), 0);
    feed(&mut standby, 8);
    standby.last_snapshot_is(Some(5));
    let third = seal(&mut standby, SNAPSHOT_MS);
    assert_eq!(totals(&third), [5, 6, 7]);
    standby.outcome(Outcome::Committed, SNAPSHOT_MS);
    assert_eq!(standby.take_trim(), Some(5));
}

#[test]
fn many_bytes_bring_the_snapshot_forward() {
    let mut machine = emitter("a", 0);
    machine.tenure.as_mut().unwrap().snapshot_bytes = SNAPSHOT_BYTES;
    feed(&mut machine, 1);
    assert_eq!(machine.asks(1), Some(Question::LastSnapshot));
}

/// The records of a state topic: a snapshot up to offset 3, and emission up to 5.
fn state() -> Vec<ResultRecord> {
    let mut machine = emitter("a", 0);
    machine.last_snapshot_is(None);
    feed(&mut machine, 3);
    let mut state = seal(&mut machine, SNAPSHOT_MS).state;
    machine.outcome(Outcome::Committed, SNAPSHOT_MS);
    feed(&mut machine, 5);
    state.extend(seal(&mut machine, SNAPSHOT_MS + EMIT_MS).state);
    state
}

#[test]
fn without_a_committed_offset_emission_resumes_from_the_state() {
    let state = state();
    let mut machine = restored("b", &state[..1]);
    machine.assigned(0);
    machine.stable_is(None, 0);
    // What was read while other producers could still commit is not final.
    restore(&mut machine, &state);
    feed(&mut machine, 8);
    assert_eq!(minutes(&seal(&mut machine, 0)), [5, 6, 7]);
}

#[test]
fn a_committed_offset_before_the_snapshot_is_passed_over() {
    let state = state();
    let mut machine = restored("b", &state);
    machine.assigned(0);
    machine.stable_is(committed(1), 0);
    restore(&mut machine, &state);
    feed(&mut machine, 8);
    assert_eq!(minutes(&seal(&mut machine, 0)), [5, 6, 7]);
}

#[test]
fn a_pipeline_without_a_past_emits_from_the_first_delta_on() {
    let mut machine = restored("a", &[]);
    machine.assigned(0);
    machine.stable_is(None, 0);
    restore(&mut machine, &[]);
    feed(&mut machine, 2);
    assert_eq!(minutes(&seal(&mut machine, 0)), [0, 1]);
}

#[test]
fn deltas_that_are_gone_are_in_a_newer_snapshot_or_lost() {
    let mut machine = restored("a", &[]);
    machine.deltas_gone(3, 9);
    let state = state();
    restore(&mut machine, &state);
    machine.deltas_gone(4, 9);
    restore(&mut machine, &state);
    assert!(machine.failure().is_none());

    machine.deltas_gone(4, 9);
    let told = machine.failure().unwrap().to_string();
    assert!(
        told.starts_with("StateLost: the snapshot needs the deltas from offset 3 on, and there are those from 4 to 9")
    );
    assert_eq!(machine.reads(), None);
    assert_eq!(machine.asks(9000), None);
    assert_eq!(machine.seal(9000), None);
}

#[test]
fn a_log_that_contradicts_itself_ends_everything() {
    let mut machine = emitter("a", 0);
    feed(&mut machine, 2);
    machine.delta(2, &delta(1));
    assert!(
        matches!(machine.failure(), Some(Failure::Halt(Halt::Overlap { delta: 2, .. }))),
        "{:?}",
        machine.failure()
    );
    assert_eq!(machine.reads(), None);
    assert_eq!(machine.asks(9000), None);
    assert_eq!(machine.seal(9000), None);
}

#[test]
fn what_waits_is_bounded() {
    let mut machine = restored("a", &[]);
    let large = vec![0; backlog::MAX_BYTES / 4];
    for offset in 0..4 {
        assert_eq!(machine.reads(), Some(Reading::Deltas { from: offset }));
        machine.delta(offset, &large);
    }
    assert_eq!(machine.reads(), None);
}
