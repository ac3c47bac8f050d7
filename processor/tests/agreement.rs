//! The streaming code and the audit decide separately. This test compares them, on events that neither was written for.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;

use audit::{self, Late, Login, Verdict};
use crds::{
    job::{JobConfig, Rules},
    pipeline::{Dimension, Duration, Field, IpRule, LoginPipelineSpec},
    records::delta::{Delta, MISSING},
    topics::PipelineId,
};
use datasketches::{
    hash::value::raw_bytes,
    hll::{Coupon, HllSketch, HllType},
};
use processor::commands::generate::{Events, Kind, Options, Shares};
use proptest::{prelude::*, sample::Index};
use serde_json::json;
use stages::ingest::{
    machine::{Fate, Ingest, SourceRecord},
    start::Start,
};

const PARTITION: i32 = 3;
const NOW: i64 = 1_720_576_800;

/// Texts that bring an event close to the limit of a rule.
const SNIPPETS: [&str; 35] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "\\",
    "\\u",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\\udc00",
    "\\u0000",
    "\u{7f}",
    "é",
    "\u{feff}",
    " ",
    "\n",
    "null",
    "true",
    "-0",
    "0",
    "1e5",
    ".5",
    "9223372036854775807",
    "253402300800",
    "\"late\":1,",
    ",\"event_id\":null",
    "\"login_time\" : [ ] ,",
    "\"x\":{\"a\":1,\"\\u0061\":2},",
    "\"ip\":\"::1\",",
    "\"locale\":null,",
    "\"timestamp\":5,",
    "[[[[[[[[",
    "]]]]]]]]",
];

/// A change to an event's bytes.
#[derive(Clone, Debug)]
enum Change {
    Insert(Index, usize),
    Replace(Index, u8),
    Cut(Index, Index),
    Copy(Index, Index, Index),
    Wrap(Index, usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index| index.index(bytes.len() + 1);
        let ordered = |a: &Index, b: &Index| (at(a).min(at(b)), at(a).max(at(b)));
        match self {
            Self::Insert(place, which) => {
                let place = at(place);
                bytes.splice(place..place, SNIPPETS[*which].bytes());
            }
            Self::Replace(place, byte) => {
                let place = at(place);
                if let Some(old) = bytes.get_mut(place) {
                    *old = *byte;
                }
            }
            Self::Cut(from, to) => {
                let (from, to) = ordered(from, to);
                bytes.drain(from..to.min(from + 12));
            }
            Self::Copy(from, to, place) => {
                let ((from, to), place) = (ordered(from, to), at(place));
                let copy = bytes[from..to].to_vec();
                bytes.splice(place..place, copy);
            }
            Self::Wrap(place, depth) => {
                let place = at(place);
                let nested = format!("\"n\":{}{},", "[".repeat(*depth), "]".repeat(*depth));
                bytes.splice(place..place, nested.bytes());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0..SNIPPETS.len()).prop_map(|(place, which)| Change::Insert(place, which)),
        3 => (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| Change::Replace(place, byte)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        1 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(from, to, place)| Change::Copy(from, to, place)),
        1 => (any::<Index>(), 60_usize..66).prop_map(|(place, depth)| Change::Wrap(place, depth)),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    let required = prop::sample::subsequence(Field::ALL.to_vec(), 0..=4);
    let lateness = || prop_oneof![0_u64..4000, 0_u64..120_000];
    (required, any::<bool>(), lateness(), lateness(), 0_u64..5_000_000).prop_map(
        |(required, address, lateness, retention, skew)| {
            let mut rules = Rules::default();
            rules.validation.required = required;
            rules.validation.ip = if address { IpRule::Valid } else { IpRule::Any };
            rules.validation.max_future_skew = Duration::from_millis(skew);
            rules.aggregation.allowed_lateness = Duration::from_millis(lateness);
            rules.aggregation.retention = Duration::from_millis(retention);
            rules
        },
    )
}

fn job(rules: &Rules) -> JobConfig {
    let spec: LoginPipelineSpec =
        serde_json::from_value(json!({"kafka": {"external": {"bootstrapServers": "localhost:9092"}}})).unwrap();
    let id = PipelineId { namespace: "tests".to_owned(), name: "agreement".to_owned() };
    JobConfig { rules: rules.clone(), ..JobConfig::new(id, &spec, 1, String::new()) }
}

/// The counts of a minute: events, late ones, and the frequency of each value of each dimension.
#[derive(Debug, Default, PartialEq)]
struct Minute {
    count: u64,
    late: u64,
    values: BTreeMap<(Dimension, String), u64>,
    /// The bytes of a sketch. They depend on the order of the users, which is the same for both.
    users: Vec<u8>,
}

/// By start, and whether the events are unmerged.
type Minutes = BTreeMap<(i64, bool), Minute>;
type Sketches = BTreeMap<(i64, bool), HllSketch>;

/// The counts of stage 1.
fn counted(ingest: &mut Ingest, minutes: &mut Minutes) {
    let sealed = ingest.seal().unwrap();
    for pane in sealed.deltas.iter().flat_map(|delta| Delta::decode(delta).unwrap().panes) {
        let minute = minutes.entry((pane.start, pane.unmerged)).or_default();
        minute.count += pane.total.count;
        minute.late += pane.total.late;
        for (dimension, values) in pane.dimensions {
            for (value, count) in values {
                *minute.values.entry((dimension, value)).or_default() += count;
            }
        }
        minute.users = pane.total.sketch.unwrap_or_default();
    }
}

/// Counts an event as the audit does.
fn count(login: &Login, late: Late, (minutes, sketches): &mut (Minutes, Sketches)) {
    let place = (login.time - login.time % 60, login.unmerged);
    let minute = minutes.entry(place).or_default();
    minute.count += 1;
    minute.late += u64::from(late == Late::Yes);
    for (dimension, value) in Dimension::ALL.into_iter().zip(&login.values) {
        let value = value.clone().unwrap_or_else(|| MISSING.to_owned());
        *minute.values.entry((dimension, value)).or_default() += 1;
    }
    if let Some(user) = &login.user {
        let users = sketches.entry(place).or_insert_with(|| HllSketch::new(12, HllType::Hll8).unwrap());
        users.update_with_coupon(Coupon::from_value(raw_bytes::from_slice(user.as_bytes())));
    }
}

/// Feeds both with the same records, the first half by some rules and the rest by others, and compares the outcomes and
/// the counts.
fn compare(rules: &[Rules; 2], limit: usize, values: &[Option<Vec<u8>>], timestamps: &[i64]) {
    let half = i64::try_from(values.len() / 2).unwrap();
    let mut start = Start::default();
    let mut judge = audit::Judge::new(Rules::default(), PARTITION, limit, true)
        .by_runs(vec![(0, rules[0].clone()), (half, rules[1].clone())]);
    for (rules, part) in rules.iter().zip([0..half, half..i64::MAX]) {
        let mut ingest = Ingest::new(&job(rules), "test".to_owned(), 1, limit);
        ingest.own(PARTITION, start);
        let (mut streamed, mut audited) = (Minutes::new(), (Minutes::new(), Sketches::new()));
        let records = (0..).zip(values.iter().zip(timestamps)).filter(|(offset, _)| part.contains(offset));
        for (offset, (value, timestamp)) in records {
            compare_one(&mut ingest, &mut judge, offset, value.as_deref(), *timestamp, &mut audited);
        }
        start = Start { position: half, watermark: ingest.watermarks().next().map(|(_, time)| time), log_start: 0 };
        counted(&mut ingest, &mut streamed);
        let (mut audited, sketches) = audited;
        for (place, users) in sketches {
            audited.entry(place).or_default().users = users.serialize();
        }
        assert_eq!(streamed, audited);
    }
}

fn compare_one(
    ingest: &mut Ingest,
    judge: &mut audit::Judge,
    offset: i64,
    value: Option<&[u8]>,
    timestamp: i64,
    counted: &mut (Minutes, Sketches),
) {
    let key = b"key";
    let mut arena = Vec::new();
    let record = SourceRecord { partition: PARTITION, offset, timestamp_ms: timestamp, fixed_bytes: key.len(), value };
    let fate = ingest.record(&record, &mut arena);
    let verdict = judge.judge(&audit::Record { offset, timestamp, key: Some(key), value, headers: &[] });
    let shown = || String::from_utf8_lossy(value.unwrap_or(b"a tombstone")).into_owned();
    match (fate, verdict) {
        (Fate::Output(range), Verdict::Output { value, late, login }) => {
            assert_ne!(late, Late::Unknown);
            assert_eq!(String::from_utf8_lossy(&arena[range]), String::from_utf8_lossy(&value), "{}", shown());
            count(&login, late, counted);
        }
        (Fate::DeadLetter(rejection), Verdict::DeadLetter(reason)) => {
            assert_eq!(rejection.reason, reason, "{}", shown());
        }
        (fate, verdict) => panic!("{fate:?} and {verdict:?}: {}", shown()),
    }
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![6 => (NOW - 60..NOW + 60).prop_map(|time| time * 1000 + 17), 1 => Just(-1), 1 => 0..5000_i64, 1 => Just(i64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]
    #[test]
    fn they_agree_about_any_event(
        rules in [rules(), rules()],
        seed: u64,
        limit in prop_oneof![1 => 300_usize..600, 3 => Just(1_000_000)],
        changes in prop::collection::vec(prop::collection::vec(change(), 0..4), 40),
        timestamps in prop::collection::vec(timestamp(), 40),
    ) {
        let shares = [(Kind::Late, 0.1), (Kind::Odd, 0.4), (Kind::Malformed, 0.1), (Kind::Incomplete, 0.1)];
        let shares = shares.into_iter().try_fold(Shares::NONE, |shares, (kind, share)| shares.with(kind, share)).unwrap();
        let events = Events::new(Options { seed, shares, start: NOW, per_second: 1, ..Options::default() });
        let values: Vec<Option<Vec<u8>>> = events
            .zip(&changes)
            .map(|(event, changes)| {
                let mut bytes = event.payload()?.to_vec();
                changes.iter().for_each(|change| change.apply(&mut bytes));
                Some(bytes)
            })
            .collect();

        compare(&rules, limit, &values, &timestamps);
    }
}
