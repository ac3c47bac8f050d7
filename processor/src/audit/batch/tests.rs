//! Results written out by hand beside events; then each difference is planted, and must be found.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    records::state::{Change, Meta, Partition, Run},
};
use serde_json::{Value, json};

use super::{Batch, Event, Found, Kind, Mismatches, Unchecked};

/// 2024-07-10T02:00:00Z.
const T: i64 = 1_720_576_800;

/// Events, the meta, and the results by kind and key.
#[derive(Clone, Default)]
struct World {
    meta: Meta,
    /// Time, locale, user, whether late and unmerged; all of partition 0, with offsets in their order.
    events: Vec<(i64, Option<&'static str>, Option<&'static str>, bool, bool)>,
    results: BTreeMap<(Kind, String), Value>,
    removed_until: Option<i64>,
    is_stale: bool,
}

impl World {
    fn compare(&self) -> Mismatches {
        let mut batch = Batch::new(&self.meta, !self.is_stale).unwrap();
        self.removed_until.into_iter().for_each(|until| batch.removed_until(until));
        for (offset, (time, locale, user, late, unmerged)) in (0..).zip(&self.events) {
            let (late, unmerged) = (*late, *unmerged);
            let values = [None, *locale, None];
            batch.event(&Event { partition: 0, offset, time: *time, late, unmerged, user: *user, values });
        }
        let mut found = Found::default();
        for ((kind, key), value) in &self.results {
            found.push(*kind, key.as_bytes(), Some(value.to_string().as_bytes()));
        }
        assert_eq!(found.count(), self.results.len() as u64);
        batch.compare(&found)
    }

    #[track_caller]
    fn assert_clean(&self) -> Mismatches {
        let mismatches = self.compare();
        assert_eq!(mismatches.count(), 0, "{:#?}", mismatches.examples);
        mismatches
    }

    /// Expects exactly these mismatches: keys and fields.
    #[track_caller]
    fn assert_finds(&self, expected: &[(&str, &str)]) {
        let found = self.compare().examples;
        let found: Vec<(&str, &str)> = found.iter().map(|found| (&*found.key, &*found.field)).collect();
        assert_eq!(found, expected);
    }

    fn put(&mut self, kind: Kind, key: &str, value: Value) -> &mut Self {
        self.results.insert((kind, key.to_owned()), value);
        self
    }

    /// A field of a result.
    fn field(&mut self, kind: Kind, key: &str, pointer: &str) -> &mut Value {
        self.results.get_mut(&(kind, key.to_owned())).unwrap().pointer_mut(pointer).unwrap()
    }

    /// Puts the records of all events of a minute: count, late, unmerged, users.
    fn minute(&mut self, minute: i64, [count, late, unmerged, users]: [u64; 4], is_final: bool) -> &mut Self {
        let value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1), "dimension": "_all",
            "count": count, "late": late, "unmerged": unmerged, "unique_users": users, "final": is_final,
            "revision": 0});
        self.put(Kind::Aggregates, &format!("1m/{}/_all", time(minute)), value)
    }

    fn locale(&mut self, minute: i64, locale: &str, count: u64) -> &mut Self {
        let value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1),
            "dimension": "locale", "value": locale, "count": count, "final": true, "revision": 0});
        self.put(Kind::Aggregates, &format!("1m/{}/locale/{locale}", time(minute)), value)
    }

    fn all(&mut self, [count, late, users]: [u64; 3], locales: &[(&str, u64)]) -> &mut Self {
        let value = json!({"v": 1, "window": "all", "dimension": "_all", "count": count, "late": late,
            "unique_users": users, "final": false, "revision": 0});
        self.put(Kind::Aggregates, "all/_all", value);
        for (locale, count) in locales {
            let value = json!({"v": 1, "window": "all", "dimension": "locale", "value": locale, "count": count,
                "final": false, "revision": 0});
            self.put(Kind::Aggregates, &format!("all/locale/{locale}"), value);
        }
        self
    }

    /// Puts the insight of a minute: count, late, unmerged, users.
    fn insight(&mut self, minute: i64, [count, late, unmerged, users]: [u64; 4], more: Value) -> &mut Self {
        let mut value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1), "count": count,
            "late": late, "unmerged": unmerged, "unique_users": users, "revision": 0, "dimensions": {}});
        value.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        self.put(Kind::Insights, &format!("1m/{}", time(minute)), value)
    }

    fn alert(&mut self, name: &str, window: Value, of: Value, count: u64, threshold: u64) -> &mut Self {
        let mut value = json!({"v": 1, "name": name, "count": count, "kind": "above", "threshold": threshold});
        for part in [window, of] {
            value.as_object_mut().unwrap().append(&mut part.as_object().unwrap().clone());
        }
        let parsed: crds::records::aggregate::Alert = serde_json::from_value(value.clone()).unwrap();
        self.put(Kind::Alerts, &parsed.key(), value)
    }
}

fn time(minute: i64) -> String {
    jiff::Timestamp::from_second(T + minute * 60).unwrap().to_string()
}

fn minute(minute: i64) -> Value {
    json!({"window": "1m", "start": time(minute), "end": time(minute + 1)})
}

fn locale(locale: &str) -> Value {
    json!({"dimension": "locale", "value": locale})
}

fn frequency(value: &str, count: u64, share: f64) -> Value {
    json!({"value": value, "count": count, "share": share})
}

/// Rules with some of the aggregation's fields, and alerts.
fn rules(aggregation: Value, alerts: Value) -> String {
    let mut rules = json!({"validation": {}, "alerts": alerts,
        "aggregation": {"windows": ["1m", "all"], "dimensions": ["locale"]}});
    rules["aggregation"].as_object_mut().unwrap().append(&mut aggregation.as_object().unwrap().clone());
    let rules: Rules = serde_json::from_value(rules).unwrap();
    serde_json::to_string(&rules).unwrap()
}

/// The meta of one revision after another; the offsets from which on events were processed and counted by them.
fn meta(rules: &[String], changes: &[(i64, Option<i64>, Option<i64>)], frontier: Option<i64>) -> Meta {
    let run = |(revision, (from, ..)): (u64, &(i64, _, _))| Run { from: *from, revision, governing: revision };
    let change = |(revision, (_, latest, frontier)): (u64, &(_, _, _))| Change {
        revision,
        latest: *latest,
        frontier: *frontier,
    };
    Meta {
        rules: (1..).zip(rules.iter().cloned()).collect(),
        changes: (1..).zip(changes).map(change).collect(),
        partitions: vec![Partition { runs: (1..).zip(changes).map(run).collect(), ..Partition::default() }],
        frontier,
        ..Meta::default()
    }
}

/// Seven events in three minutes, of which two are closed.
fn small_world() -> World {
    let alerts = json!([
        {"name": "busy", "window": "1m", "above": 2},
        {"name": "ri", "dimension": "locale", "value": "RI", "window": "all", "above": 3},
        {"name": "each", "dimension": "locale", "window": "1m", "above": 1},
        {"name": "odd", "window": "1m", "deviation": 2.0},
    ]);
    let mut world = World {
        meta: meta(&[rules(json!({}), alerts)], &[(0, None, None)], Some(T + 120)),
        events: vec![
            (T, Some("RI"), Some("a"), false, false),
            (T + 10, Some("RI"), Some("b"), false, false),
            (T + 20, Some("AK"), Some("a"), true, false),
            (T + 59, None, None, false, false),
            (T + 60, Some("RI"), Some("c"), false, false),
            (T + 5, Some("RI"), Some("d"), true, true),
            (T + 120, Some("TX"), Some("e"), false, false),
        ],
        ..World::default()
    };
    world.minute(0, [4, 1, 1, 2], true).locale(0, "RI", 2).locale(0, "AK", 1).locale(0, "_missing", 1);
    world.minute(1, [1, 0, 0, 1], true).locale(1, "RI", 1);
    world.minute(2, [1, 0, 0, 1], false).locale(2, "TX", 1);
    world.all([7, 2, 5], &[("RI", 4), ("AK", 1), ("TX", 1), ("_missing", 1)]);
    let locales = json!({"most": frequency("RI", 2, 0.5), "least": frequency("AK", 1, 0.25), "values": 3});
    world.insight(0, [4, 1, 1, 2], json!({"previous": 0, "dimensions": {"locale": locales}}));
    let locales = json!({"most": frequency("RI", 1, 1.0), "least": frequency("RI", 1, 1.0), "values": 1});
    world.insight(1, [1, 0, 0, 1], json!({"previous": 4, "change": -0.75, "dimensions": {"locale": locales}}));
    world.alert("busy", minute(0), json!({"dimension": "_all"}), 4, 2);
    world.alert("ri", json!({"window": "all"}), locale("RI"), 4, 3);
    world.alert("each", minute(0), locale("RI"), 2, 1);
    world
}

#[test]
fn right_results_are_clean() {
    let mismatches = small_world().assert_clean();
    assert_eq!(mismatches.checked, 13 + 2 + 3);
    assert_eq!(mismatches.unchecked, BTreeMap::new());
}

/// Changes every leaf of a value in turn, and adds each optional field that is not there.
fn alterations(value: &Value, path: &str, each: &mut impl FnMut(&str, &dyn Fn(&mut Value))) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                alterations(member, &format!("{path}/{name}"), each);
                let optional = ["late", "unmerged", "unique_users", "previous", "change", "locale", "value"];
                if optional.contains(&name.as_str()) {
                    let remove = |whole: &mut Value| {
                        whole.pointer_mut(path).unwrap().as_object_mut().unwrap().remove(name);
                    };
                    each(&format!("no {path}/{name}"), &remove);
                }
            }
            for name in ["partial", "truncated", "late", "unmerged", "unique_users", "change", "evicted_at"] {
                let value = if ["partial", "truncated"].contains(&name) { json!(true) } else { json!(1) };
                let known = path.is_empty() || path.ends_with("locale") && ["partial", "truncated"].contains(&name);
                if known && !members.contains_key(name) {
                    each(&format!("new {path}/{name}"), &|whole: &mut Value| {
                        whole.pointer_mut(path).unwrap()[name] = value.clone();
                    });
                }
            }
        }
        leaf => {
            let other = match leaf {
                Value::Bool(flag) => json!(!flag),
                Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
                Value::Number(number) => json!(number.as_f64().unwrap() + 0.0001),
                text => json!(format!("{}x", text.as_str().unwrap())),
            };
            each(path, &|whole: &mut Value| *whole.pointer_mut(path).unwrap() = other.clone());
        }
    }
}

#[test]
fn every_field_that_differs_is_found() {
    let world = small_world();
    let mut altered = 0;
    for ((kind, key), value) in &world.results {
        let is_total = value["dimension"] == "_all";
        alterations(value, "", &mut |path, alter| {
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_free = match (*kind, name) {
                (_, "revision") => true,
                (Kind::Aggregates, "final") => !is_total,
                // Fields that such a record does not have are ignored by whoever reads it.
                (Kind::Alerts, _) => path.starts_with("new"),
                (Kind::Insights, "evicted_at") => true,
                (Kind::Aggregates, "truncated" | "change") => true,
                (Kind::Insights, "truncated") => path == "new /truncated",
                _ => false,
            };
            let mut planted = world.clone();
            alter(planted.results.get_mut(&(*kind, key.clone())).unwrap());
            assert_eq!(planted.compare().count() == 0, is_free, "{kind:?} {key}: {path}");
            altered += 1;
        });
    }
    assert!(altered > 200, "{altered}");
}

#[test]
fn a_record_that_is_missing_or_should_not_be_there_is_found() {
    let world = small_world();
    for (kind, key) in world.results.keys() {
        let mut planted = world.clone();
        planted.results.remove(&(*kind, key.clone()));
        let mismatches = planted.compare();
        // Without the aggregate of a closed window there is no reason to expect its insight.
        let and_its_insight = u64::from(key == "1m/2024-07-10T02:00:00Z/_all" || key == "1m/2024-07-10T02:01:00Z/_all");
        assert_eq!(mismatches.count(), 1 + and_its_insight, "{kind:?} {key}: {:#?}", mismatches.examples);
        assert_eq!(mismatches.examples[0].found, Value::Null);
    }
    let mut planted = world.clone();
    planted.locale(1, "AK", 1);
    planted.assert_finds(&[("1m/2024-07-10T02:01:00Z/locale/AK", "count")]);
    let mut planted = world.clone();
    planted.minute(3, [1, 0, 0, 1], false);
    planted.assert_finds(&[("1m/2024-07-10T02:03:00Z/_all", "count")]);
    let mut planted = world.clone();
    planted.insight(2, [1, 0, 0, 1], json!({}));
    planted.assert_finds(&[("1m/2024-07-10T02:02:00Z", "count")]);
    let mut planted = world.clone();
    planted.alert("busy", minute(1), json!({"dimension": "_all"}), 3, 2);
    planted.assert_finds(&[("busy/1m/2024-07-10T02:01:00Z/_all", "count")]);
    let mut planted = world;
    planted.put(Kind::Aggregates, "?", json!({}));
    planted.assert_finds(&[("?", "value")]);
}

#[test]
fn a_tombstone_takes_a_record_away_and_the_last_record_counts() {
    let mut found = Found::default();
    let key = b"all/_all";
    found.push(Kind::Aggregates, key, Some(b"{"));
    assert_eq!((found.count(), found.unreadable().count()), (1, 1));
    found.push(Kind::Aggregates, key, None);
    assert_eq!((found.count(), found.unreadable().count()), (0, 0));
}

#[test]
fn a_window_that_is_closed_too_late_or_too_early_is_found() {
    let first = format!("1m/{}/_all", time(0));
    let third = format!("1m/{}/_all", time(2));
    let mut late = small_world();
    *late.field(Kind::Aggregates, &first, "/final") = json!(false);
    late.assert_finds(&[(&first, "final"), (&format!("1m/{}", time(0)), "count")]);
    let mut early = small_world();
    *early.field(Kind::Aggregates, &third, "/final") = json!(true);
    let locales = json!({"most": frequency("TX", 1, 1.0), "least": frequency("TX", 1, 1.0), "values": 1});
    let more = json!({"previous": 1, "change": 0.0, "dimensions": {"locale": locales}});
    early.insight(2, [1, 0, 0, 1], more);
    early.assert_finds(&[(&third, "final")]);
    early.is_stale = true;
    early.assert_clean();
}

#[test]
fn one_event_too_many_or_too_few_is_found() {
    for index in 0..7 {
        let mut planted = small_world();
        let event = planted.events[index];
        planted.events.push(event);
        assert_ne!(planted.compare().count(), 0, "event {index} twice");
        let mut planted = small_world();
        planted.events.remove(index);
        assert_ne!(planted.compare().count(), 0, "event {index} not at all");
        let mut planted = small_world();
        planted.events[index].3 ^= true;
        assert_ne!(planted.compare().count(), 0, "event {index} late or not");
        let mut planted = small_world();
        planted.events[index].4 ^= true;
        assert_ne!(planted.compare().count(), 0, "event {index} merged or not");
    }
}

#[test]
fn what_came_after_an_eviction_is_added() {
    let mut world = small_world();
    // The third and the unmerged event came after the first minute was evicted.
    let evicted = |of: Value, more: Value| {
        let mut value = json!({"v": 1, "final": true, "revision": 0, "evicted_at": 9});
        for part in [minute(0), of, more] {
            value.as_object_mut().unwrap().append(&mut part.as_object().unwrap().clone());
        }
        value
    };
    let key = |of: &str| format!("evicted/9/1m/{}/{of}", time(0));
    world.meta.frontier = Some(T + 60 + 86_400 + 60);
    *world.field(Kind::Aggregates, &format!("1m/{}/_all", time(2)), "/final") = json!(true);
    let locales = json!({"most": frequency("TX", 1, 1.0), "least": frequency("TX", 1, 1.0), "values": 1});
    world.insight(2, [1, 0, 0, 1], json!({"previous": 1, "change": 0.0, "dimensions": {"locale": locales}}));
    world.put(Kind::Aggregates, &key("locale/AK"), evicted(locale("AK"), json!({"count": 1})));
    let all = json!({"count": 1, "late": 1, "unmerged": 1});
    world.put(Kind::Aggregates, &key("_all"), evicted(json!({"dimension": "_all"}), all));
    world.minute(0, [3, 0, 0, 99], true);
    world.results.remove(&(Kind::Aggregates, format!("1m/{}/locale/AK", time(0))));
    let locales = json!({"most": frequency("RI", 2, 0.6667), "least": frequency("_missing", 1, 0.3333), "values": 2});
    world.insight(0, [3, 0, 0, 99], json!({"previous": 0, "dimensions": {"locale": locales}}));
    let locales = json!({"most": frequency("RI", 1, 1.0), "least": frequency("RI", 1, 1.0), "values": 1});
    world.insight(1, [1, 0, 0, 1], json!({"previous": 3, "change": -0.6667, "dimensions": {"locale": locales}}));
    *world.field(Kind::Alerts, &format!("busy/1m/{}/_all", time(0)), "/count") = json!(3);
    let mismatches = world.assert_clean();
    assert_eq!(mismatches.unchecked, BTreeMap::from([(Unchecked::EvictedUsers, 1)]));

    for (of, field) in [("_all", "count"), ("_all", "late"), ("_all", "unmerged"), ("locale/AK", "count")] {
        for count in [0, 2] {
            let mut planted = world.clone();
            *planted.field(Kind::Aggregates, &key(of), &format!("/{field}")) = json!(count);
            assert_ne!(planted.compare().count(), 0, "{of} {field} {count}");
        }
    }
    let mut planted = world.clone();
    planted.results.remove(&(Kind::Aggregates, key("_all")));
    assert_ne!(planted.compare().count(), 0);
    let mut too_early = world;
    too_early.meta.frontier = Some(T + 60 + 86_400 + 59);
    too_early.assert_finds_all_of(&[key("_all"), key("locale/AK")]);
}

impl World {
    /// Expects mismatches of at least these keys.
    #[track_caller]
    fn assert_finds_all_of(&self, keys: &[String]) {
        let found = self.compare().examples;
        for key in keys {
            assert!(found.iter().any(|found| found.key == *key), "{key}: {found:#?}");
        }
    }
}

#[test]
fn windows_whose_events_are_removed_are_not_checked() {
    let mut world = small_world();
    world.removed_until = Some(T + 59);
    world.events.remove(0);
    world.assert_finds(&[]);
    // The first minute and `all` with their insight and alerts, and the second minute's comparison with the first.
    let unchecked = BTreeMap::from([(Unchecked::RemovedInput, 4 + 5 + 1 + 3 + 1)]);
    assert_eq!(world.assert_clean().unchecked, unchecked);
    world.locale(1, "AK", 1);
    world.assert_finds(&[(&format!("1m/{}/locale/AK", time(1)), "count")]);
    world.removed_until = Some(i64::MAX);
    assert_eq!(world.assert_clean().checked, 0);
}

#[test]
fn the_hashes_of_these_values_are_in_order() {
    let mut values = ["AK", "AZ", "TX", "WA"];
    values.sort_by_key(|value| super::values::hash(value));
    assert_eq!(values, ["TX", "WA", "AZ", "AK"]);
}

/// One minute with more values than it may keep.
fn truncated_world() -> World {
    let alerts = json!([
        {"name": "ak", "dimension": "locale", "value": "AK", "window": "1m", "above": 0},
        {"name": "each", "dimension": "locale", "window": "1m", "above": 1},
    ]);
    let rules = rules(json!({"windows": ["1m"], "uniqueUsers": false, "maxValues": 2}), alerts);
    let values = ["AK", "AZ", "AZ", "TX", "WA", "WA", "_other"];
    let mut world = World {
        meta: meta(&[rules], &[(0, None, None)], Some(T + 60)),
        events: values.map(|value| (T, Some(value), None, false, false)).to_vec(),
        ..World::default()
    };
    world.minute(0, [7, 0, 0, 0], true).locale(0, "AK", 1).locale(0, "TX", 1).locale(0, "_other", 5);
    let locales = json!({"most": frequency("AK", 1, 0.1429), "least": frequency("AK", 1, 0.1429), "values": 2, "truncated": true});
    world.insight(0, [7, 0, 0, 0], json!({"previous": 0, "dimensions": {"locale": locales}}));
    for (kind, key) in [(Kind::Aggregates, format!("1m/{}/_all", time(0))), (Kind::Insights, format!("1m/{}", time(0)))]
    {
        world.results.get_mut(&(kind, key)).unwrap().as_object_mut().unwrap().remove("unique_users");
    }
    world.alert("ak", minute(0), locale("AK"), 1, 0);
    world
}

#[test]
fn a_window_keeps_the_named_values_then_those_with_the_smallest_hash() {
    let world = truncated_world();
    let mismatches = world.assert_clean();
    assert_eq!(mismatches.unchecked, BTreeMap::from([(Unchecked::DisplacedValue, 2)]));
    // An alert of a value that was displaced may have fired; of the sum of all others it may not.
    let mut planted = world.clone();
    planted.alert("each", minute(0), locale("WA"), 2, 1);
    planted.assert_clean();
    planted.alert("each", minute(0), locale("_other"), 5, 1);
    planted.assert_finds(&[(&format!("each/1m/{}/locale/_other", time(0)), "count")]);
    let mut planted = world.clone();
    planted.alert("each", minute(0), locale("WA"), 3, 1);
    planted.assert_finds(&[(&format!("each/1m/{}/locale/WA", time(0)), "count")]);
    // Another choice of values, though their counts are right.
    let mut planted = world.clone();
    planted.results.remove(&(Kind::Aggregates, format!("1m/{}/locale/TX", time(0))));
    planted.locale(0, "WA", 2).locale(0, "_other", 4);
    assert_eq!(planted.compare().count(), 3);
    let mut planted = world;
    planted.results.remove(&(Kind::Aggregates, format!("1m/{}/locale/_other", time(0))));
    planted.assert_finds(&[(&format!("1m/{}/locale/_other", time(0)), "count")]);
}

/// Events under one rule and then, from some offset on, under another.
fn changed_world(before: Value, after: Value, latest: i64, frontier: Option<i64>, split: usize) -> World {
    let rules = [rules(before, json!([])), rules(after, json!([]))];
    let event = |time: i64| (time, Some("RI"), Some("a"), false, false);
    World {
        meta: meta(&rules, &[(0, None, None), (split as i64, Some(latest), frontier)], None),
        events: vec![event(T), event(T + 59), event(T + 60)],
        ..World::default()
    }
}

fn without(dimensions: Value) -> Value {
    json!({"windows": ["1m"], "dimensions": dimensions})
}

#[test]
fn a_count_that_begins_or_ends_within_a_window_is_partial() {
    let partial = json!(true);
    let keys = [format!("1m/{}/_all", time(0)), format!("1m/{}/locale/RI", time(0))];
    // Locales begin with the second event.
    let mut world = changed_world(without(json!([])), without(json!(["locale"])), T + 59, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1).locale(1, "RI", 1);
    world.results.get_mut(&(Kind::Aggregates, keys[1].clone())).unwrap()["partial"] = partial.clone();
    world.assert_clean();
    world.results.get_mut(&(Kind::Aggregates, keys[1].clone())).unwrap()["partial"] = json!(false);
    world.assert_finds(&[(&keys[1], "partial")]);
    // Locales end behind the first event.
    let mut world = changed_world(without(json!(["locale"])), without(json!([])), T, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_finds(&[(&keys[1], "partial")]);
    world.results.get_mut(&(Kind::Aggregates, keys[1].clone())).unwrap()["partial"] = partial.clone();
    world.assert_clean();
    // Locales end when the first minute is closed: nothing of it is cut, though an event that comes later has none.
    let mut world = changed_world(without(json!(["locale"])), without(json!([])), T + 59, Some(T + 60), 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_clean();
    // The users of the second event are not estimated any more; the window behind is whole, and has no estimate.
    let users = |yes: bool| json!({"windows": ["1m"], "dimensions": [], "uniqueUsers": yes});
    let mut world = changed_world(users(true), users(false), T + 59, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false);
    let second = (Kind::Aggregates, format!("1m/{}/_all", time(1)));
    world.results.get_mut(&second).unwrap().as_object_mut().unwrap().remove("unique_users");
    world.assert_finds(&[(&keys[0], "partial")]);
    world.results.get_mut(&(Kind::Aggregates, keys[0].clone())).unwrap()["partial"] = partial;
    world.assert_clean();
}

#[test]
fn only_what_both_rules_ask_for_is_counted_while_they_change() {
    let before = json!({"windows": ["1m", "1h"], "dimensions": ["locale", "device_type"]});
    let after = json!({"windows": ["1m"], "dimensions": ["locale", "app_version"]});
    let mut world = changed_world(before, after, T, None, 0);
    // Processed by the old rules, counted when the new ones governed.
    world.meta.partitions[0].runs = vec![Run { from: 0, revision: 1, governing: 2 }];
    world.events.truncate(1);
    world.minute(0, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_clean();
    world.meta.partitions[0].runs[0].governing = 1;
    assert_ne!(world.compare().count(), 0, "the hour and the device types are missing");
}

#[test]
fn windows_and_partitions_that_no_run_names_are_counted_by_the_rules_that_govern() {
    let mut world = changed_world(without(json!([])), without(json!(["locale"])), T - 1, None, 9);
    world.meta.partitions.clear();
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 2).locale(1, "RI", 1);
    world.assert_clean();
}

#[test]
fn values_are_unchecked_where_their_limit_changed_but_not_their_sum() {
    let limit = |max: i32| json!({"windows": ["1m"], "maxValues": max, "uniqueUsers": false});
    let mut world = changed_world(limit(1), limit(2), T, None, 1);
    world.events = ["AK", "AZ", "TX"].map(|value| (T, Some(value), None, false, false)).to_vec();
    world.minute(0, [3, 0, 0, 0], false).locale(0, "AK", 1).locale(0, "_other", 2);
    let first = (Kind::Aggregates, format!("1m/{}/_all", time(0)));
    world.results.get_mut(&first).unwrap().as_object_mut().unwrap().remove("unique_users");
    assert_eq!(world.assert_clean().unchecked, BTreeMap::from([(Unchecked::ChangedLimit, 2)]));
    world.locale(0, "AK", 2);
    world.assert_finds(&[(&format!("1m/{}/locale/*", time(0)), "count")]);
}

#[test]
fn an_alert_that_changed_is_unchecked_in_windows_that_had_begun() {
    let alert = |above: i64| json!([{"name": "busy", "window": "1m", "above": above}]);
    let mut world = changed_world(json!({}), json!({}), T + 30, None, 1);
    let plain = json!({"windows": ["1m"], "dimensions": []});
    world.meta.rules = vec![(1, rules(plain.clone(), alert(5))), (2, rules(plain, alert(0)))];
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false);
    world.assert_finds(&[(&format!("busy/1m/{}/_all", time(1)), "count")]);
    world.alert("busy", minute(1), json!({"dimension": "_all"}), 1, 0);
    world.assert_clean();
    world.alert("busy", minute(0), json!({"dimension": "_all"}), 1, 0);
    assert_eq!(world.assert_clean().unchecked, BTreeMap::from([(Unchecked::ChangedAlert, 1)]));
}

#[test]
fn a_minute_of_unmerged_events_alone_counts_none() {
    let mut world = World {
        meta: meta(&[rules(json!({}), json!([]))], &[(0, None, None)], Some(T + 60)),
        events: vec![(T, Some("RI"), Some("a"), true, true)],
        ..World::default()
    };
    world.minute(0, [0, 0, 1, 0], true).insight(0, [0, 0, 1, 0], json!({"previous": 0})).all([1, 1, 1], &[("RI", 1)]);
    for (kind, key) in [(Kind::Aggregates, format!("1m/{}/_all", time(0))), (Kind::Insights, format!("1m/{}", time(0)))]
    {
        world.results.get_mut(&(kind, key)).unwrap().as_object_mut().unwrap().remove("unique_users");
    }
    world.assert_clean();
}

#[test]
fn users_are_estimated_whatever_their_order_and_number() {
    let users: Vec<&'static str> = (0..3000).map(|user| &*format!("user-{user}").leak()).collect();
    let world = |events: Vec<&'static str>| {
        let mut world = World {
            meta: meta(&[rules(json!({"windows": ["1m"], "dimensions": []}), json!([]))], &[(0, None, None)], None),
            events: events.into_iter().map(|user| (T, None, Some(user), false, false)).collect(),
            ..World::default()
        };
        world.minute(0, [3000, 0, 0, 0], false);
        world.compare().examples[0].expected.as_u64().unwrap()
    };
    let forwards = world(users.clone());
    let backwards = world(users.into_iter().rev().collect());
    assert_eq!(forwards, backwards);
    assert!((2900..3100).contains(&forwards), "{forwards}");
}

#[test]
fn a_meta_without_the_rules_it_names_is_refused() {
    let mut whole = small_world().meta;
    whole.partitions[0].runs[0].revision = 7;
    assert_eq!(Batch::new(&whole, true).unwrap_err().to_string(), super::HistoryError::Unknown(7).to_string());
    let mut whole = small_world().meta;
    whole.rules[0].1 = "{".to_owned();
    assert!(Batch::new(&whole, true).is_err());
    let mut nothing = Meta::default();
    assert!(Batch::new(&nothing, true).is_ok());
    nothing.changes.push(Change { revision: 1, ..Change::default() });
    assert!(Batch::new(&nothing, true).is_err());
}
