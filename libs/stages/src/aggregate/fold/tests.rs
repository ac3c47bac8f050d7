//! Properties of a fold for all deltas: order and cuts do not matter, a snapshot replaces the deltas before it, and an
//! inconsistent log halts it.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    pipeline::{Alert, Dimension, Duration, Window},
    records::{
        aggregate::{self, Aggregate, Counted, Insight, Span, aggregate_key},
        delta::{Delta, DeltaError, Pane, Range, SKETCH_LG_K, Total},
        state,
    },
};
use datasketches::{
    hash::value::raw_bytes,
    hll::{Coupon, HllSketch, HllType},
};
use proptest::prelude::*;

use super::{Fold, Halt, Restore, RestoreError, ResultRecord, Results, Summary};

const MINUTE: i64 = 60;
const PARTITIONS: usize = 3;

/// A valid event: its partition, its time in minutes after the beginning, its value and its user.
type Event = (usize, i64, u8, u8);

fn rules(retention: u64) -> Rules {
    let mut rules = Rules::default();
    let finite = |minutes: u64| Window::Finite(Duration::from_secs(60 * minutes));
    rules.aggregation.windows = vec![finite(1), finite(5), Window::All];
    rules.aggregation.dimensions = vec![Dimension::Locale];
    rules.aggregation.max_values = 3;
    rules.aggregation.allowed_lateness = Duration::from_secs(0);
    rules.aggregation.retention = Duration::from_secs(retention);
    rules.alerts = vec![Alert {
        name: "many".to_owned(),
        dimension: None,
        value: None,
        window: finite(1),
        above: Some(3),
        deviation: None,
    }];
    rules
}

fn event() -> impl Strategy<Value = Event> {
    (0..PARTITIONS, 0..30_i64, 0..8_u8, 0..20_u8)
}

/// Builds the deltas that stage 1 writes.
struct Source {
    rules: String,
    next: [i64; PARTITIONS],
    watermarks: [Option<i64>; PARTITIONS],
    sequence: u64,
}

impl Source {
    fn new(rules: &Rules) -> Self {
        let rules = serde_json::to_string(rules).unwrap();
        Self { rules, next: [0; PARTITIONS], watermarks: [None; PARTITIONS], sequence: 0 }
    }

    fn delta(&mut self, events: &[Event]) -> Delta {
        let mut panes: BTreeMap<i64, (u64, BTreeMap<String, u64>, HllSketch)> = BTreeMap::new();
        let from = self.next;
        for (partition, minute, value, user) in events {
            let time = minute * MINUTE;
            self.next[*partition] += 1;
            self.watermarks[*partition] = self.watermarks[*partition].max(Some(time));
            let empty = || (0, BTreeMap::new(), HllSketch::new(SKETCH_LG_K, HllType::Hll8).unwrap());
            let (count, values, users) = panes.entry(time).or_insert_with(empty);
            *count += 1;
            *values.entry(format!("v{value}")).or_default() += 1;
            users.update_with_coupon(Coupon::from_value(raw_bytes::from_slice(&[*user])));
        }
        let range = |partition: usize| Range {
            partition: partition as i32,
            from: from[partition],
            to: self.next[partition],
            watermark: self.watermarks[partition],
            ..Range::default()
        };
        let pane = |(start, (count, values, users)): (i64, (u64, BTreeMap<String, u64>, HllSketch))| Pane {
            start,
            total: Total { count, late: 0, sketch: Some(users.serialize()) },
            dimensions: vec![(Dimension::Locale, values.into_iter().collect())],
            ..Pane::default()
        };
        self.sequence += 1;
        Delta {
            producer: "p".to_owned(),
            sequence: self.sequence,
            chunks: 1,
            revision: 1,
            rules: Some(self.rules.clone()),
            source_partitions: PARTITIONS as u32,
            ranges: (0..PARTITIONS).map(range).collect(),
            panes: panes.into_iter().map(pane).collect(),
            ..Delta::default()
        }
    }
}

/// The deltas of events in transactions of these sizes.
fn deltas(rules: &Rules, events: &[Event], sizes: &[usize]) -> Vec<Delta> {
    let mut source = Source::new(rules);
    let mut rest = events;
    let mut deltas = Vec::new();
    for size in sizes.iter().cycle() {
        let (now, later) = rest.split_at((*size).min(rest.len()));
        deltas.push(source.delta(now));
        rest = later;
        if rest.is_empty() {
            return deltas;
        }
    }
    deltas
}

fn apply(fold: &mut Fold, delta: &Delta) -> Result<(), Halt> {
    fold.apply(fold.next_offset(), &delta.encode().unwrap())
}

fn folded(deltas: &[Delta]) -> Fold {
    let mut fold = Fold::new();
    deltas.iter().for_each(|delta| apply(&mut fold, delta).unwrap());
    fold
}

/// The last record of each key, without what depends on the order: revisions, and the count when an alert fired.
fn last(results: &Results) -> BTreeMap<String, String> {
    let mut last = BTreeMap::new();
    for ResultRecord { key, value } in &results.aggregates {
        let text = value.as_ref().map(|value| {
            let aggregate: Aggregate = serde_json::from_slice(value).unwrap();
            format!("{:?}", Aggregate { revision: 0, ..aggregate })
        });
        last.insert(format!("aggregate {key}"), text);
    }
    for ResultRecord { key, value } in &results.insights {
        let insight: Insight = serde_json::from_slice(value.as_ref().unwrap()).unwrap();
        last.insert(format!("insight {key}"), Some(format!("{:?}", Insight { revision: 0, ..insight })));
    }
    for ResultRecord { key, .. } in &results.alerts {
        last.insert(format!("alert {key}"), Some(String::new()));
    }
    last.into_iter().filter_map(|(key, text)| Some((key, text?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Nothing is evicted, so all events are merged. Then neither the order of transactions nor where they are cut
    /// matters.
    #[test]
    fn neither_order_nor_cuts_matter(
        events in prop::collection::vec(event(), 1..80),
        shuffled in any::<prop::sample::Index>(),
        sizes in prop::collection::vec(1..9_usize, 1..6),
    ) {
        let rules = rules(86_400);
        let whole = last(&folded(&deltas(&rules, &events, &[events.len()])).take_results());
        let mut other = events.clone();
        other.rotate_left(shuffled.index(events.len()));
        other.reverse();
        for events in [&events, &other] {
            let mut fold = folded(&deltas(&rules, events, &sizes));
            prop_assert_eq!(&last(&fold.take_results()), &whole);
        }
    }

    /// A snapshot, the later ones that hold only changes, and the deltas after them give the same as all deltas: the
    /// same results, byte for byte, and the same snapshot.
    #[test]
    fn a_snapshot_stands_for_what_is_before_it(
        events in prop::collection::vec(event(), 1..80),
        sizes in prop::collection::vec(1..9_usize, 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        retention in 0..600_u64,
    ) {
        let deltas = deltas(&rules(retention), &events, &sizes);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(deltas.len() + 1)).collect();
        cuts.sort_unstable();
        let mut whole = Fold::new();
        let mut topic: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut since = None;

        for (index, delta) in deltas.iter().enumerate() {
            for _ in cuts.iter().filter(|cut| **cut == index) {
                write(&mut topic, whole.snapshot(since).unwrap());
                since = Some(whole.next_offset());
                whole.take_results();
                let mut restored = restored(&topic).unwrap();
                prop_assert_eq!(restored.meta(), whole.meta());
                let mut straight = whole.clone();
                for delta in &deltas[index..] {
                    apply(&mut straight, delta).unwrap();
                    apply(&mut restored, delta).unwrap();
                    prop_assert_eq!(restored.take_results(), straight.take_results());
                }
                prop_assert_eq!(restored.meta(), straight.meta());
                prop_assert_eq!(content(&restored), content(&straight));
            }
            apply(&mut whole, delta).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The page shows what the records contain, whether it was computed before each delta or never.
    #[test]
    fn the_page_shows_what_is_emitted(
        events in prop::collection::vec(event(), 1..150),
        sizes in prop::collection::vec(1..20_usize, 1..5),
        looks in prop::collection::vec(any::<bool>(), 1..7),
    ) {
        let mut fold = Fold::new();
        let mut shown = Summary::default();
        let mut emitted: BTreeMap<String, Aggregate> = BTreeMap::new();
        let mut insights: BTreeMap<String, Vec<u8>> = BTreeMap::new();

        for (delta, looks) in deltas(&rules(600), &events, &sizes).iter().zip(looks.iter().cycle()) {
            apply(&mut fold, delta).unwrap();
            let results = fold.take_results();
            for ResultRecord { key, value } in results.aggregates {
                match value {
                    Some(value) => drop(emitted.insert(key, serde_json::from_slice(&value).unwrap())),
                    None => drop(emitted.remove(&key)),
                }
            }
            insights.extend(results.insights.into_iter().map(|insight| (insight.key, insight.value.unwrap())));
            if *looks {
                shown = fold.summary(&shown, 1);
            }
        }

        shown = fold.summary(&shown, 2);
        let windows = shown.windows();
        prop_assert_eq!(&windows, &fold.summary(&Summary::default(), 2).windows());
        let stats = fold.stats();
        prop_assert_eq!(shown.windows_kept, stats.windows as u64);
        prop_assert_eq!(shown.windows_open, stats.open_windows as u64);
        prop_assert_eq!(shown.alerts.len() as u64, stats.alerts.min(50));
        prop_assert_eq!(windows.len(), stats.windows.min(windows.len()));

        for window in windows {
            let span = Span { window: window.window, start: window.start };
            let total = &emitted[&aggregate_key(span, &Counted::All, None)];
            prop_assert_eq!(window.count, total.count);
            prop_assert_eq!(window.closed, total.is_final);
            prop_assert_eq!(window.unique_users, total.unique_users);
            prop_assert_eq!(window.revision, total.revision);
            let insight = window.insight.map(|insight| aggregate::encode(&insight).unwrap());
            prop_assert_eq!(insight.as_ref(), insights.get(&span.key()), "{}", span.key());
            let values = &window.values[&Dimension::Locale];
            prop_assert_eq!(window.more[&Dimension::Locale], 0);
            for (value, count) in values {
                let key = aggregate_key(span, &Counted::Value(Dimension::Locale, value.clone()), None);
                prop_assert_eq!(*count, emitted[&key].count, "{}", key);
            }
        }
    }
}

/// A snapshot of everything. It holds estimates instead of sketches, whose bytes depend on the order of users.
fn content(fold: &Fold) -> BTreeMap<String, Vec<u8>> {
    let mut topic = BTreeMap::new();
    write(&mut topic, fold.snapshot(None).unwrap());
    for (_, value) in topic.iter_mut().filter(|(key, _)| key.starts_with("total/")) {
        let total: state::Total = state::decode(value).unwrap();
        let sketch = HllSketch::deserialize(total.sketch.as_deref().unwrap()).unwrap();
        let estimate = sketch.composite_estimate().to_be_bytes().to_vec();
        *value = state::encode(&state::Total { sketch: Some(estimate), ..total }).unwrap();
    }
    topic
}

fn write(topic: &mut BTreeMap<String, Vec<u8>>, records: Vec<ResultRecord>) {
    for ResultRecord { key, value } in records {
        match value {
            Some(value) => drop(topic.insert(key, value)),
            None => drop(topic.remove(&key)),
        }
    }
}

fn restored(topic: &BTreeMap<String, Vec<u8>>) -> Result<Fold, RestoreError> {
    let mut restore = Restore::default();
    (0..).zip(topic).for_each(|(at, (key, value))| restore.push(at, key.as_bytes(), Some(value)).unwrap());
    restore.finish().map(|restored| restored.fold.unwrap())
}

#[test]
fn a_restore_refuses_what_it_does_not_know() {
    let push = |key: &str, value: &[u8]| Restore::default().push(0, key.as_bytes(), Some(value)).unwrap_err();
    assert!(matches!(push("counts/60/0", b""), state::StateError::Key(_)));
    assert!(matches!(push("total/60", b""), state::StateError::Key(_)));
    assert_eq!(push("position", b""), state::StateError::Empty);
    assert_eq!(push("position", &[9]), state::StateError::Version(9));
    assert!(matches!(push("total/60/0", &[state::VERSION, 1]), state::StateError::Shape(_)));
    let mut long = state::encode(&state::Position { offset: 1 }).unwrap();
    long.push(0);
    assert_eq!(push("position", &long), state::StateError::Trailing(1));
}

#[test]
fn a_restore_refuses_a_snapshot_that_is_not_whole() {
    let events: Vec<Event> = (0..40).map(|number| (0, number / 10, number as u8 % 3, number as u8)).collect();
    let mut topic = BTreeMap::new();
    write(&mut topic, folded(&deltas(&rules(600), &events, &[7])).snapshot(None).unwrap());
    assert!(restored(&topic).is_ok());

    let key = "values/60/0/locale/0";
    let mut lacks = topic.clone();
    let values: state::Values = state::decode(&lacks[key]).unwrap();
    lacks.insert(key.to_owned(), state::encode(&state::Values { chunks: 2, ..values }).unwrap());
    // The other chunk is missing or belongs to another state.
    for other in [None, Some(state::Values { chunks: 3, ..state::Values::default() })] {
        let mut topic = lacks.clone();
        topic.extend(other.map(|other| ("values/60/0/locale/1".to_owned(), state::encode(&other).unwrap())));
        assert!(matches!(restored(&topic), Err(RestoreError::Chunk { chunks: 2, .. })), "{:?}", restored(&topic));
    }

    let mut broken = topic.clone();
    let total: state::Total = state::decode(&broken["total/60/0"]).unwrap();
    let total = state::Total { sketch: Some(vec![1, 2, 3]), ..total };
    broken.insert("total/60/0".to_owned(), state::encode(&total).unwrap());
    assert!(matches!(restored(&broken), Err(RestoreError::Sketch { .. })));

    let mut part = topic.clone();
    part.remove("meta/0");
    assert_eq!(restored(&part).err(), Some(RestoreError::Meta(state::StateError::Part { part: 0, parts: 1 })));
    let mut later = topic.clone();
    later.insert("meta".to_owned(), vec![9]);
    assert_eq!(restored(&later).err(), Some(RestoreError::Meta(state::StateError::Version(9))));

    let of_later = state::Meta { rules: vec![(1, "{}".to_owned())], ..restored(&topic).unwrap().meta() };
    topic.extend(of_later.records().unwrap().into_iter().map(|(key, value)| (key.encode(), value)));
    assert!(matches!(restored(&topic), Err(RestoreError::Rules(_))));
}

/// A fold of one delta, and the source of the next one.
fn begun() -> (Fold, Source) {
    let mut source = Source::new(&rules(600));
    let mut fold = Fold::new();
    apply(&mut fold, &source.delta(&[(0, 0, 0, 0), (1, 0, 0, 0)])).unwrap();
    (fold, source)
}

#[test]
fn ranges_must_follow_each_other() {
    let (fold, mut source) = begun();
    let next = source.delta(&[(0, 1, 0, 0)]);
    let with = |from: i64, to: i64| {
        let mut delta = next.clone();
        delta.ranges[0] = Range { from, to, ..delta.ranges[0].clone() };
        apply(&mut fold.clone(), &delta)
    };

    assert_eq!(with(1, 2), Ok(()));
    assert_eq!(with(0, 2), Err(Halt::Overlap { delta: 1, partition: 0, expected: 1, from: 0 }));
    assert_eq!(with(2, 3), Err(Halt::Gap { delta: 1, partition: 0, expected: 1, from: 2, to: 3 }));

    // The same delta again: all of its events were counted before.
    let mut fold = fold;
    apply(&mut fold, &next).unwrap();
    assert!(matches!(apply(&mut fold, &next), Err(Halt::Overlap { delta: 2, .. })));
}

#[test]
fn no_chunk_may_be_missing() {
    let (fold, mut source) = begun();
    let whole = source.delta(&[(0, 1, 0, 0), (0, 2, 1, 1), (0, 3, 2, 2)]);
    let chunk = |chunk: u32| Delta {
        chunk,
        chunks: 3,
        panes: vec![whole.panes[chunk as usize].clone()],
        ranges: if chunk == 2 { whole.ranges.clone() } else { Vec::new() },
        ..whole.clone()
    };
    let next = source.delta(&[(0, 4, 0, 0)]);
    let fold_all = |deltas: &[Delta]| {
        let mut fold = fold.clone();
        deltas.iter().try_for_each(|delta| apply(&mut fold, delta))
    };
    let missing = |delta: i64, sequence: u64, chunk: u32, chunks: u32| {
        Err(Halt::MissingChunk { delta, producer: "p".to_owned(), sequence, chunk, chunks })
    };

    assert_eq!(fold_all(&[chunk(0), chunk(1), chunk(2), next.clone()]), Ok(()));
    assert_eq!(fold_all(&[chunk(1), chunk(2)]), missing(1, 2, 1, 3));
    assert_eq!(fold_all(&[chunk(0), chunk(2)]), missing(2, 2, 2, 3));
    assert_eq!(fold_all(&[chunk(0), chunk(1), next.clone()]), missing(3, 3, 0, 1));
    assert_eq!(fold_all(&[chunk(0), chunk(0)]), missing(2, 2, 0, 3));

    // Another producer's transaction may come in between, and so may a snapshot.
    let other = Delta { producer: "q".to_owned(), ranges: Vec::new(), ..next.clone() };
    assert_eq!(fold_all(&[chunk(0), other, chunk(1), chunk(2)]), Ok(()));
    let mut halfway = fold.clone();
    apply(&mut halfway, &chunk(0)).unwrap();
    let mut topic = BTreeMap::new();
    write(&mut topic, halfway.snapshot(None).unwrap());
    assert_eq!(apply(&mut restored(&topic).unwrap(), &chunk(2)), missing(2, 2, 2, 3));
    assert_eq!(apply(&mut restored(&topic).unwrap(), &chunk(1)), Ok(()));
}

#[test]
fn rules_must_be_in_the_log_and_stay_as_they_are() {
    let (fold, mut source) = begun();
    let next = source.delta(&[(0, 1, 0, 0)]);
    let with = |revision: u64, rules: Option<&Rules>| {
        let rules = rules.map(|rules| serde_json::to_string(rules).unwrap());
        apply(&mut fold.clone(), &Delta { revision, rules, ..next.clone() })
    };

    assert_eq!(with(1, None), Ok(()));
    assert_eq!(with(2, Some(&rules(60))), Ok(()));
    assert_eq!(with(2, None), Err(Halt::UnknownRules { delta: 1, revision: 2 }));
    assert_eq!(with(1, Some(&rules(60))), Err(Halt::RulesDiffer { delta: 1, revision: 1 }));
    let mut endless = rules(600);
    endless.aggregation.windows = vec![Window::All];
    assert!(matches!(with(2, Some(&endless)), Err(Halt::Rules { delta: 1, revision: 2, .. })));
}

#[test]
fn what_cannot_be_read_halts() {
    let (fold, mut source) = begun();
    let halt = |bytes: &[u8]| fold.clone().apply(1, bytes);
    assert_eq!(halt(&[]), Err(Halt::Delta { delta: 1, source: DeltaError::Empty }));
    assert_eq!(halt(&[9]), Err(Halt::Delta { delta: 1, source: DeltaError::Version(9) }));
    let mut delta = source.delta(&[(0, 1, 0, 0)]);
    delta.panes[0].total.sketch = Some(vec![1, 2, 3]);
    assert!(matches!(halt(&delta.encode().unwrap()), Err(Halt::Sketch { delta: 1, .. })));
}
