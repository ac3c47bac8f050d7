//! Tests of the text and the JSON output, with records that are encoded as the pipeline encodes them.

use crds::{
    pipeline::{Dimension, Duration, Window},
    records::{
        aggregate::{Alert, Insight, Span},
        delta::{Delta, MISSING, Pane, Range, SKETCH_LG_K, Total},
        offset::OffsetMetadata,
        state::{self, Change, Key, Meta, MetaRecords, Partition, Pending, Position, Run, Values},
    },
};
use datasketches::hll::{HllSketch, HllType};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    deltas,
    offsets::Offsets,
    results::{self, Last},
    state::{Entry, State},
};

const TIME: i64 = 1_720_576_800;

fn json(value: impl Serialize) -> String {
    serde_json::to_string(&value).unwrap()
}

fn sketch(users: u64) -> Vec<u8> {
    let mut sketch = HllSketch::new(SKETCH_LG_K, HllType::Hll8).unwrap();
    (0..users).for_each(|user| sketch.update(user));
    sketch.serialize()
}

fn delta() -> Delta {
    Delta {
        producer: "kafka.logins.ingest.logins-0.0".to_owned(),
        sequence: 1_720_576_825_123,
        chunk: 0,
        chunks: 1,
        revision: 3,
        rules: Some(r#"{"alerts":[]}"#.to_owned()),
        source_partitions: 8,
        ranges: vec![
            Range {
                partition: 0,
                from: 100,
                to: 250,
                watermark: Some(TIME),
                idle: None,
                unmerged: 2,
                lost: Some((90, 100)),
            },
            Range { partition: 5, from: 7, to: 7, idle: Some(TIME * 1000 + 1), ..Range::default() },
        ],
        panes: vec![
            Pane {
                start: TIME - 86_400,
                unmerged: true,
                total: Total { count: 2, late: 2, sketch: None },
                dimensions: vec![(Dimension::Locale, vec![("CA".to_owned(), 2)])],
            },
            Pane {
                start: TIME,
                unmerged: false,
                total: Total { count: 148, late: 1, sketch: Some(sketch(120)) },
                dimensions: vec![
                    (Dimension::DeviceType, vec![(MISSING.to_owned(), 48), ("iOS".to_owned(), 100)]),
                    (Dimension::Locale, vec![("CA".to_owned(), 148)]),
                ],
            },
        ],
    }
}

#[test]
fn deltas_as_people_and_programs_see_them() {
    let whole = deltas::Entry::decode(4711, Some(&delta().encode().unwrap()));
    let last = Delta { chunk: 2, chunks: 3, rules: None, ranges: vec![], panes: vec![], ..delta() };
    let last = deltas::Entry::decode(4712, Some(&last.encode().unwrap()));
    assert!(whole.is_readable() && last.is_readable());
    insta::assert_snapshot!(format!("{whole}\n{last}"));
    insta::assert_snapshot!(format!("{}\n{}", json(&whole), json(&last)));
}

#[test]
fn deltas_that_cannot_be_read_say_why() {
    let mut bad_sketch = delta();
    bad_sketch.panes[1].total.sketch = Some(vec![1, 2, 3]);
    let bytes = [None, Some(vec![9]), Some(vec![1, 2]), Some(bad_sketch.encode().unwrap())];
    let entries: Vec<_> = (0..).zip(&bytes).map(|(at, bytes)| deltas::Entry::decode(at, bytes.as_deref())).collect();
    assert!(entries.iter().all(|entry| !entry.is_readable()));
    let lines: Vec<_> = entries.iter().map(|entry| format!("{entry}\n{}", json(entry))).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

fn meta() -> Meta {
    Meta {
        offset: 4700,
        rules: vec![(1, r#"{"alerts":[]}"#.to_owned()), (3, r#"{"validation":{}}"#.to_owned())],
        changes: vec![
            Change { revision: 1, latest: None, frontier: None },
            Change { revision: 3, latest: Some(TIME - 60), frontier: Some(TIME - 120) },
        ],
        source_partitions: 8,
        first_partitions: 4,
        partitions: vec![
            Partition {
                partition: 0,
                first: 10,
                to: 250,
                watermark: Some(TIME),
                effective: Some(TIME),
                idle: None,
                runs: vec![Run { from: 10, revision: 1, governing: 1 }, Run { from: 200, revision: 1, governing: 3 }],
            },
            Partition { partition: 5, first: 7, to: 7, idle: Some(TIME * 1000), ..Partition::default() },
        ],
        frontier: Some(TIME),
        highest: Some(TIME + 5),
        all_idle: Some((TIME, TIME * 1000 + 500)),
        latest: Some(TIME + 35),
        first_windows: vec![(60, TIME - 3600)],
        pending: vec![Pending {
            producer: "kafka.logins.ingest.logins-0.0".to_owned(),
            sequence: 7,
            next: 1,
            chunks: 3,
            governing: 3,
        }],
        ..Meta::default()
    }
}

fn minute() -> Span {
    Span::of(Window::Finite(Duration::from_secs(60)), TIME)
}

fn values(chunks: u32, values: &[(&str, u64)]) -> Values {
    let values = values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect();
    Values { chunks, total: 148, truncated: (chunks == 3).then_some(3), values }
}

fn push(state: &mut State, offset: i64, key: Key, value: &impl Serialize) {
    state.push(offset, key.encode().as_bytes(), Some(&state::encode(value).unwrap()));
}

fn snapshot() -> State {
    let mut state = State::default();
    let all = Span { window: Window::All, start: 0 };
    let total = state::Total {
        modified: 4690,
        count: 148,
        late: 1,
        sketch: Some(sketch(120)),
        is_final: true,
        revision: 2,
        previous: Some(90),
        ..state::Total::default()
    };
    push(&mut state, 0, Key::Position, &Position { offset: 1 });
    for (key, value) in meta().records().unwrap() {
        state.push(1, key.encode().as_bytes(), Some(&value));
    }
    push(&mut state, 2, Key::Total(minute()), &total);
    push(&mut state, 3, Key::Total(all), &state::Total { modified: 4699, count: 600, ..state::Total::default() });
    push(&mut state, 4, Key::Values(minute(), Dimension::DeviceType, 0), &values(1, &[("iOS", 100), (MISSING, 48)]));
    // A chunk of an older, larger state, which is ignored.
    push(&mut state, 5, Key::Values(minute(), Dimension::DeviceType, 1), &values(2, &[("Android", 100)]));
    push(&mut state, 6, Key::Values(minute(), Dimension::Locale, 0), &values(3, &[("CA", 1)]));
    push(&mut state, 7, Key::Values(minute(), Dimension::Locale, 2), &values(3, &[("RI", 1), ("TX", 2)]));
    push(&mut state, 8, Key::Total(Span { start: TIME - 60, ..minute() }), &total);
    state.push(9, Key::Total(Span { start: TIME - 60, ..minute() }).encode().as_bytes(), None);
    push(&mut state, 10, Key::Position, &Position { offset: 4711 });
    state
}

#[test]
fn the_state_as_people_and_programs_see_it() {
    let state = snapshot();
    assert!(state.entries().all(Entry::is_readable));
    insta::assert_snapshot!(state);
    insta::assert_snapshot!(state.entries().map(json).collect::<Vec<_>>().join("\n"));
}

#[test]
fn records_of_the_state_that_cannot_be_read_say_why() {
    let mut state = State::default();
    let bad_sketch = state::encode(&state::Total { sketch: Some(vec![1, 2, 3]), ..state::Total::default() }).unwrap();
    for (offset, key, value) in [
        (0, "meta", Some(&[9][..])),
        (1, "position", Some(&[])),
        (2, "total/60/1720576800", Some(&bad_sketch)),
        (3, "totals/60/1720576800", Some(&[1])),
        (4, "", None),
    ] {
        state.push(offset, key.as_bytes(), value);
    }

    assert_eq!(state.entries().filter(|entry| !entry.is_readable()).count(), 5);
    insta::assert_snapshot!(format!("{state}{}", state.entries().map(json).collect::<Vec<_>>().join("\n")));
}

#[test]
fn one_record_of_the_state_is_shown_whole() {
    let key = Key::Values(minute(), Dimension::DeviceType, 0).encode();
    let value = state::encode(&values(1, &[("iOS", 100), (MISSING, 48)])).unwrap();
    let entry = Entry::whole(4, key.as_bytes(), &value, &MetaRecords::default());
    insta::assert_snapshot!(format!("{entry}\n{}", json(&entry)));
    let total = Entry::whole(
        2,
        b"total/all/0",
        &state::encode(&state::Total { count: 3, ..Default::default() }).unwrap(),
        &MetaRecords::default(),
    );
    insta::assert_snapshot!(total);
    assert!(!Entry::whole(4, b"mata", &value, &MetaRecords::default()).is_readable());
}

/// Decodes every second line of a golden file as consecutive records.
fn golden<T: DeserializeOwned>(lines: &str) -> Vec<results::Entry<T>> {
    let values = lines.lines().skip(1).step_by(2);
    (7..).zip(values).map(|(at, value)| results::Entry::decode(at, TIME * 1000, Some(value.as_bytes()))).collect()
}

#[test]
fn insights_and_alerts_as_people_and_programs_see_them() {
    let insights: Vec<results::Entry<Insight>> = golden(include_str!("../../../../crds/tests/golden/insight.v1.txt"));
    let alerts: Vec<results::Entry<Alert>> = golden(include_str!("../../../../crds/tests/golden/alert.v1.txt"));
    assert!(insights.iter().all(results::Entry::is_readable) && alerts.iter().all(results::Entry::is_readable));
    assert_eq!(insights.len(), 2);
    assert_eq!(alerts.len(), 2);

    let unreadable = [None, Some(&b"{}"[..]), Some(br#"{"v":2}"#)];
    let unreadable = unreadable.map(|value| results::Entry::<Insight>::decode(9, TIME * 1000 + 1, value));
    assert!(!unreadable.iter().any(results::Entry::is_readable));

    let long = include_str!("../../../../crds/tests/golden/alert.v1.txt")
        .replace("\"RI\"", &format!("\"{}\"", "ö".repeat(256)));
    let long = golden::<Alert>(&long)[0].to_string();
    assert!(long.ends_with(&format!("  locale {}…: 10001 events, more than 10000", "ö".repeat(24))), "{long}");

    let insights = insights.iter().chain(&unreadable).map(|entry| format!("{entry}\n{}", json(entry)));
    let alerts = alerts.iter().map(|entry| format!("{entry}\n{}", json(entry)));
    insta::assert_snapshot!(insights.chain(alerts).collect::<Vec<_>>().join("\n"));
}

/// Records are read in steps backwards from the end, and in offset order within each step.
#[test]
fn the_last_records_of_keys_are_found_in_any_order() {
    let shown = |most, steps: &[&[(i64, &str)]]| {
        let mut last = Last::new(most);
        for (offset, key) in steps.concat() {
            last.push(key.as_bytes(), results::Entry::<Alert>::decode(offset, 0, None));
        }
        last.into_entries().map(|entry| entry.to_string()[..2].trim().to_owned()).collect::<Vec<_>>().join(" ")
    };

    assert_eq!(shown(2, &[]), "");
    assert_eq!(shown(2, &[&[(7, "a"), (8, "b"), (9, "b")], &[(4, "c"), (5, "a"), (6, "b")]]), "7 9");
    assert_eq!(shown(2, &[&[(8, "a"), (9, "a")], &[(4, "a"), (5, "b"), (6, "c"), (7, "a")]]), "6 9");
    // A displaced key that comes again has the rank of its own, earlier record.
    assert_eq!(shown(2, &[&[(6, "a"), (7, "b"), (8, "c")], &[(3, "a"), (4, "d")]]), "7 8");
    assert_eq!(shown(2, &[&[(6, "a"), (7, "b"), (8, "c"), (9, "a")]]), "8 9");
}

/// Late events cause insights of earlier windows to be written again, after those of the windows that closed last.
#[test]
fn the_last_closed_windows_are_not_the_last_written_ones() {
    let push = |last: &mut Last<Insight>, offset: i64, minute: i64, revision: u64| {
        let span = Span { window: Window::Finite(Duration::from_secs(60)), start: TIME + 60 * minute };
        let (start, end) = (span.key().split_off(3), span.next().unwrap().key().split_off(3));
        let value = serde_json::json!({"v": 1, "window": "1m", "start": start, "end": end, "count": 1, "late": 0,
            "unmerged": 0, "dimensions": {}, "revision": revision});
        let entry = results::Entry::decode(offset, 0, Some(value.to_string().as_bytes()));
        assert!(entry.is_readable(), "{entry}");
        last.push(span.key().as_bytes(), entry);
    };

    let mut last = Last::new(2);
    for (offset, minute) in [(13, 1), (14, 0), (15, 2)] {
        push(&mut last, offset, minute, 1);
    }
    assert!(!last.is_full(), "a window that closed later may be written before these");
    for (offset, minute) in [(10, 1), (11, 2), (12, 3)] {
        push(&mut last, offset, minute, 0);
    }
    assert!(last.is_full(), "whatever closed after the window 1 is written behind 10");
    push(&mut last, 9, 0, 0);

    let shown: Vec<_> = last.into_entries().map(|entry| serde_json::to_value(&entry).unwrap()).collect();
    let shown: Vec<_> = shown.iter().map(|entry| (entry["offset"].as_i64(), entry["revision"].as_i64())).collect();
    assert_eq!(shown, [(Some(15), Some(1)), (Some(12), Some(0))]);
}

#[test]
fn offsets_as_people_and_programs_see_them() {
    let mut offsets = Offsets::new("kafka.logins.ingest".to_owned(), "user-login".to_owned());
    let metadata = OffsetMetadata {
        watermark: Some(TIME),
        transactional_id: "kafka.logins.ingest.logins-0.0".to_owned(),
        sequence: 1_720_576_825_123,
    };

    offsets.push(0, Some((250, &metadata.encode())));
    offsets.push(1, None);
    offsets.push(2, Some((7, "")));
    assert_eq!(offsets.unreadable(), 0);
    offsets.push(3, Some((7, r#"{"v":2}"#)));
    offsets.push(4, Some((7, "somebody else's")));
    assert_eq!(offsets.unreadable(), 2);

    insta::assert_snapshot!(offsets);
    insta::assert_snapshot!(offsets.views().map(json).collect::<Vec<_>>().join("\n"));
}
