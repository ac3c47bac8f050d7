use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{pipeline::Duration, records::delta::MISSING};

const MINUTE: Window = Window::Finite(Duration::from_secs(60));

fn minute() -> Span {
    Span::of(MINUTE, 1_720_576_825)
}

fn aggregates() -> Vec<Aggregate> {
    let all = Aggregate {
        v: VERSION,
        span: minute(),
        of: Counted::All,
        count: 148,
        late: Some(3),
        unmerged: Some(1),
        unique_users: Some(131),
        is_final: true,
        revision: 2,
        partial: true,
        evicted_at: None,
    };
    let value = Aggregate {
        of: Counted::Value(Dimension::Locale, "RI".to_owned()),
        count: 100,
        late: None,
        unmerged: None,
        unique_users: None,
        partial: false,
        ..all.clone()
    };
    let live = Aggregate { is_final: false, revision: 0, ..value.clone() };
    vec![
        all.clone(),
        value,
        Aggregate { of: Counted::Value(Dimension::AppVersion, OTHER.to_owned()), ..live.clone() },
        Aggregate { of: Counted::Value(Dimension::DeviceType, "a/b \"c\"".to_owned()), ..live.clone() },
        Aggregate { span: Span::of(Window::All, 0), of: Counted::All, late: Some(0), ..live.clone() },
        Aggregate { is_final: true, evicted_at: Some(4711), ..live },
    ]
}

fn insights() -> Vec<Insight> {
    let frequency = |value: &str, count, share| Frequency { value: value.to_owned(), count, share };
    let locale = DimensionInsight {
        most: frequency("RI", 100, 0.6757),
        least: frequency(MISSING, 1, 0.0068),
        values: 12,
        truncated: true,
        partial: true,
    };
    let whole = Insight {
        v: VERSION,
        span: minute(),
        count: 148,
        late: 3,
        unmerged: 1,
        unique_users: Some(131),
        previous: Some(120),
        change: Some(0.2333),
        dimensions: [(Dimension::Locale, locale)].into(),
        revision: 1,
        partial: true,
    };
    let least = Insight {
        unique_users: None,
        previous: None,
        change: None,
        dimensions: BTreeMap::new(),
        revision: 0,
        partial: false,
        ..whole.clone()
    };
    vec![whole, least]
}

fn alerts() -> Vec<Alert> {
    let above = Alert {
        v: VERSION,
        name: "login-spike".to_owned(),
        span: minute(),
        of: Counted::Value(Dimension::Locale, "RI".to_owned()),
        count: 10_001,
        cause: Cause::Above { threshold: 10_000 },
    };
    let deviation = Alert {
        name: "unusual-mix".to_owned(),
        of: Counted::All,
        cause: Cause::Deviation { mean: 120.25, sigma: 14.0312, allowed: 4.0 },
        ..above.clone()
    };
    vec![above, deviation]
}

/// A golden file has keys and values in turn, each on a line.
fn check_golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    golden: &str,
    records: &[T],
    key: impl Fn(&T) -> String,
) {
    let written = |record: &T| format!("{}\n{}\n", key(record), String::from_utf8(encode(record).unwrap()).unwrap());
    assert_eq!(records.iter().map(written).collect::<String>(), golden);
    let read: Vec<T> = golden.lines().skip(1).step_by(2).map(|line| decode(line.as_bytes()).unwrap()).collect();
    assert_eq!(read, records);
}

#[test]
fn the_golden_files_are_what_is_written_and_read() {
    check_golden(include_str!("../../../tests/golden/aggregate.v1.txt"), &aggregates(), Aggregate::key);
    check_golden(include_str!("../../../tests/golden/insight.v1.txt"), &insights(), Insight::key);
    check_golden(include_str!("../../../tests/golden/alert.v1.txt"), &alerts(), Alert::key);
}

/// What becomes of a record with this change.
fn changed<T: Serialize + DeserializeOwned>(record: &T, change: &Value) -> Result<T, ResultError> {
    let mut value = serde_json::to_value(record).unwrap();
    for (field, new) in change.as_object().unwrap() {
        value[field] = new.clone();
    }
    value.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    decode(&serde_json::to_vec(&value).unwrap())
}

#[test]
fn what_it_does_not_know_is_refused() {
    let (all, value) = (aggregates().remove(0), aggregates().remove(1));
    for text in ["", "null", "[]", "{}", r#"{"v":1}"#, r#"{"v":"1"}"#] {
        assert!(matches!(decode::<Aggregate>(text.as_bytes()), Err(ResultError::Shape(_))), "{text}");
    }
    // Another version may have any shape.
    let error = decode::<Aggregate>(br#"{"v":2,"shape":0}"#).unwrap_err();
    assert_eq!(error.to_string(), "a record of results has version 2, this processor reads version 1");
    assert!(matches!(changed(&all, &json!({"v": 0})), Err(ResultError::Version(0))));
    assert!(matches!(changed(&insights()[0], &json!({"v": 2})), Err(ResultError::Version(2))));
    assert!(matches!(changed(&alerts()[0], &json!({"v": 2})), Err(ResultError::Version(2))));

    for change in [
        json!({"window": "90d"}),
        json!({"window": "all"}),
        json!({"window": "2m"}),
        json!({"start": "2024-07-10T02:00:01Z", "end": "2024-07-10T02:01:01Z"}),
        json!({"start": "2024-07-10T02:00:00"}),
        json!({"start": "2024-07-10T02:00:00.000Z"}),
        json!({"start": "2024-07-10T03:00:00+01:00"}),
        json!({"start": null}),
        json!({"end": null}),
        json!({"start": null, "end": null}),
        json!({"dimension": "user_id"}),
        json!({"dimension": "_all"}),
        json!({"value": null}),
        json!({"count": -1}),
        json!({"count": null}),
        json!({"final": null}),
    ] {
        assert!(matches!(changed(&value, &change), Err(ResultError::Shape(_))), "{change}");
    }
    assert!(changed(&alerts()[0], &json!({"kind": "below"})).is_err());
    assert!(changed(&alerts()[1], &json!({"sigma": null})).is_err());
    assert_eq!(changed(&value, &json!({"added": "later"})).unwrap(), value);
}

#[test]
fn windows_end_with_the_last_year() {
    let last = Span::of(MINUTE, 253_402_300_799);
    assert_eq!(last.key(), "1m/9999-12-31T23:59:00Z");
    assert_ne!(last.key(), last.previous().unwrap().key());
    let text = serde_json::to_string(&last).unwrap();
    assert_eq!(text, r#"{"window":"1m","start":"9999-12-31T23:59:00Z","end":"9999-12-31T23:59:59Z"}"#);
    assert_eq!(serde_json::from_str::<Span>(&text).unwrap(), last);
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![0..10_000_i64, 1_700_000_000..1_800_000_000_i64, 0..=253_402_300_799_i64]
}

fn size() -> impl Strategy<Value = u64> {
    prop_oneof![1..100_u64, Just(3600), Just(86_400), 1..10_000_000_u64]
}

fn span() -> impl Strategy<Value = Span> {
    (prop::option::of(size()), time()).prop_map(|(size, time)| {
        Span::of(size.map_or(Window::All, |size| Window::Finite(Duration::from_secs(size))), time)
    })
}

fn counted() -> impl Strategy<Value = Counted> {
    let value = (prop::sample::select(Dimension::ALL.to_vec()), any::<String>());
    prop_oneof![Just(Counted::All), value.prop_map(|(dimension, value)| Counted::Value(dimension, value))]
}

/// A share or a change: what [`rounded`] gives.
fn ratio() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0, -1.0..100.0, 0.0..100_000_000_000.0].prop_map(rounded)
}

prop_compose! {
    fn aggregate()(
        (span, of) in (span(), counted()),
        (count, late, unmerged, unique_users) in any::<(u64, Option<u64>, Option<u64>, Option<u64>)>(),
        (is_final, revision, partial) in any::<(bool, u64, bool)>(),
        evicted_at in prop::option::of(0..i64::MAX),
    ) -> Aggregate {
        Aggregate { v: VERSION, span, of, count, late, unmerged, unique_users, is_final, revision, partial, evicted_at }
    }
}

prop_compose! {
    fn dimension_insight()(
        most in (any::<String>(), any::<u64>(), ratio()),
        least in (any::<String>(), any::<u64>(), ratio()),
        (values, truncated, partial) in any::<(u64, bool, bool)>(),
    ) -> DimensionInsight {
        let frequency = |(value, count, share)| Frequency { value, count, share };
        DimensionInsight { most: frequency(most), least: frequency(least), values, truncated, partial }
    }
}

prop_compose! {
    fn insight()(
        span in span(),
        (count, late, unmerged) in any::<(u64, u64, u64)>(),
        (unique_users, previous, revision, partial) in any::<(Option<u64>, Option<u64>, u64, bool)>(),
        change in prop::option::of(ratio()),
        dimensions in prop::collection::btree_map(prop::sample::select(Dimension::ALL.to_vec()), dimension_insight(), 0..4),
    ) -> Insight {
        let v = VERSION;
        Insight { v, span, count, late, unmerged, unique_users, previous, change, dimensions, revision, partial }
    }
}

prop_compose! {
    fn alert()(
        (name, span, of, count) in ("[a-z]{1,10}", span(), counted(), any::<u64>()),
        cause in prop_oneof![
            any::<u64>().prop_map(|threshold| Cause::Above { threshold }),
            (ratio(), ratio(), ratio()).prop_map(|(mean, sigma, allowed)| Cause::Deviation { mean, sigma, allowed }),
        ],
    ) -> Alert {
        Alert { v: VERSION, name, span, of, count, cause }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(aggregate in aggregate(), insight in insight(), alert in alert()) {
        prop_assert_eq!(decode::<Aggregate>(&encode(&aggregate).unwrap()).unwrap(), aggregate);
        prop_assert_eq!(decode::<Insight>(&encode(&insight).unwrap()).unwrap(), insight);
        prop_assert_eq!(decode::<Alert>(&encode(&alert).unwrap()).unwrap(), alert);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        drop(decode::<Aggregate>(&bytes));
        drop(decode::<Insight>(&bytes));
        drop(decode::<Alert>(&bytes));
    }

    /// A window of each size holds an instant, the one before and the one behind touch it.
    #[test]
    fn windows_tile_time(size in size(), time in time()) {
        let window = Window::Finite(Duration::from_secs(size));
        let span = Span::of(window, time);
        let (start, end) = (span.start, span.end().unwrap());
        prop_assert!(start <= time && time < end);
        prop_assert_eq!(end - start, i64::try_from(size).unwrap());
        prop_assert_eq!(start.rem_euclid(end - start), 0);
        for instant in [start, end - 1] {
            prop_assert_eq!(Span::of(window, instant), span);
        }
        prop_assert_eq!(span.next(), Some(Span::of(window, end)));
        prop_assert_eq!(span.previous(), Some(Span::of(window, start - 1)));
        prop_assert_eq!(span.next().unwrap().previous(), Some(span));
    }

    #[test]
    fn all_has_no_edges(time: i64) {
        let all = Span::of(Window::All, time);
        prop_assert_eq!(all, Span { window: Window::All, start: 0 });
        prop_assert_eq!(all.end(), None);
        prop_assert_eq!(all.previous(), None);
        prop_assert_eq!(all.next(), None);
    }

    /// Keys are as different as what they name.
    #[test]
    fn a_key_names_one_aggregate(one in aggregate(), other in aggregate()) {
        let what = |aggregate: &Aggregate| (aggregate.span, aggregate.of.clone(), aggregate.evicted_at);
        prop_assert_eq!(one.key() == other.key(), what(&one) == what(&other));
        let of_other_window = Aggregate { span: other.span, ..one.clone() };
        prop_assert_eq!(one.key() == of_other_window.key(), one.span == other.span);
        let of_other_value = Aggregate { of: other.of.clone(), ..one.clone() };
        prop_assert_eq!(one.key() == of_other_value.key(), one.of == other.of);
    }
}
