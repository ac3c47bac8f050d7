//! What the rules make of events: eviction, removal, truncation, changes.

use std::collections::BTreeMap;

use crds::records::state::{Change, Meta, Run};
use serde_json::{Value, json};

use super::{
    differences::small_world,
    world::{T, World, frequency, locale, meta, minute, of, rules, time, total},
};
use crate::batch::{Batch, HistoryError, Kind, Unchecked, values};

#[test]
fn what_came_after_an_eviction_is_added() {
    let mut world = small_world();
    // The third event and the unmerged event came after the eviction of the first minute.
    let evicted = |of: Value, more: Value| {
        let mut value = json!({"v": 1, "final": true, "revision": 0, "evicted_at": 9});
        for part in [minute(0), of, more] {
            value.as_object_mut().unwrap().append(&mut part.as_object().unwrap().clone());
        }
        value
    };
    let key = |of: &str| format!("evicted/9/1m/{}/{of}", time(0));
    world.meta.frontier = Some(T + 60 + 86_400 + 60);
    *world.field(Kind::Aggregates, &total(2), "/final") = json!(true);
    let locales = json!({"most": frequency("TX", 1, 1.0), "least": frequency("TX", 1, 1.0), "values": 1});
    world.insight(2, [1, 0, 0, 1], json!({"previous": 1, "change": 0.0, "dimensions": {"locale": locales}}));
    world.put(Kind::Aggregates, &key("locale/AK"), evicted(locale("AK"), json!({"count": 1})));
    let all = json!({"count": 1, "late": 1, "unmerged": 1});
    world.put(Kind::Aggregates, &key("_all"), evicted(json!({"dimension": "_all"}), all));
    world.minute(0, [3, 0, 0, 99], true);
    world.remove(Kind::Aggregates, &of(0, "AK"));
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
    planted.remove(Kind::Aggregates, &key("_all"));
    assert_ne!(planted.compare().count(), 0);
    let mut too_early = world;
    too_early.meta.frontier = Some(T + 60 + 86_400 + 59);
    too_early.assert_finds_all_of(&[key("_all"), key("locale/AK")]);
}

#[test]
fn windows_whose_events_are_removed_are_not_checked() {
    let mut world = small_world();
    world.removed_until = Some(T + 59);
    world.events.remove(0);
    world.assert_finds(&[]);
    // The first minute and `all`, with their insight and alerts, and the second minute's comparison with the first.
    let unchecked = BTreeMap::from([(Unchecked::RemovedInput, 4 + 5 + 1 + 3 + 1)]);
    assert_eq!(world.assert_clean().unchecked, unchecked);

    world.locale(1, "AK", 1);
    world.assert_finds(&[(&of(1, "AK"), "count")]);
    world.removed_until = Some(T + 60);
    world.assert_clean();
    world.removed_until = Some(i64::MAX);
    assert_eq!(world.assert_clean().checked, 0);
}

#[test]
fn the_hashes_of_these_values_are_in_order() {
    let mut values = ["AK", "AZ", "TX", "WA"];
    values.sort_by_key(|value| values::hash(value));
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
    world.without_users(0);
    world.alert("ak", minute(0), locale("AK"), 1, 0);
    world
}

#[test]
fn a_window_keeps_named_values_then_those_with_smallest_hash() {
    let world = truncated_world();
    let mismatches = world.assert_clean();
    assert_eq!(mismatches.unchecked, BTreeMap::from([(Unchecked::DisplacedValue, 2)]));

    // An alert of a displaced value may have fired; an alert of the sum of all others may not.
    let mut planted = world.clone();
    planted.alert("each", minute(0), locale("WA"), 2, 1);
    planted.assert_clean();
    planted.alert("each", minute(0), locale("_other"), 5, 1);
    planted.assert_finds(&[(&format!("each/1m/{}/locale/_other", time(0)), "count")]);
    let mut planted = world.clone();
    planted.alert("each", minute(0), locale("WA"), 3, 1);
    planted.assert_finds(&[(&format!("each/1m/{}/locale/WA", time(0)), "count")]);

    // A different choice of values, with correct counts.
    let mut planted = world.clone();
    planted.remove(Kind::Aggregates, &of(0, "TX"));
    planted.locale(0, "WA", 2).locale(0, "_other", 4);
    assert_eq!(planted.compare().count(), 3);
    let mut planted = world;
    planted.remove(Kind::Aggregates, &of(0, "_other"));
    planted.assert_finds(&[(&of(0, "_other"), "count")]);
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
    let keys = [total(0), of(0, "RI")];

    // Locales begin with the second event.
    let mut world = changed_world(without(json!([])), without(json!(["locale"])), T + 59, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1).locale(1, "RI", 1);
    world.mark(&keys[1], true);
    world.assert_clean();
    world.mark(&keys[1], false);
    world.assert_finds(&[(&keys[1], "partial")]);

    // Locales end after the first event.
    let mut world = changed_world(without(json!(["locale"])), without(json!([])), T, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_finds(&[(&keys[1], "partial")]);
    world.mark(&keys[1], true);
    world.assert_clean();

    // Locales end when the first minute is closed: nothing in it is cut, though a later event has no locale.
    let mut world = changed_world(without(json!(["locale"])), without(json!([])), T + 59, Some(T + 60), 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_clean();

    // The users of the second event are no longer estimated; the next window is whole, and has no estimate.
    let users = |yes: bool| json!({"windows": ["1m"], "dimensions": [], "uniqueUsers": yes});
    let mut world = changed_world(users(true), users(false), T + 59, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false);
    world.without_users(1);
    world.assert_finds(&[(&keys[0], "partial")]);
    world.mark(&keys[0], true);
    world.assert_clean();
}

#[test]
fn only_what_both_rules_ask_for_is_counted_while_they_change() {
    let before = json!({"windows": ["1m", "1h"], "dimensions": ["locale", "device_type"]});
    let after = json!({"windows": ["1m"], "dimensions": ["locale", "app_version"]});
    let mut world = changed_world(before, after, T, None, 0);
    // Processed by the old rules, counted while the new rules govern.
    world.meta.partitions[0].runs = vec![Run { from: 0, revision: 1, governing: 2 }];
    world.events.truncate(1);
    world.minute(0, [1, 0, 0, 1], false).locale(0, "RI", 1);
    world.assert_clean();
    world.meta.partitions[0].runs[0].governing = 1;
    assert_ne!(world.compare().count(), 0, "the hour and the device types are missing");
}

#[test]
fn windows_and_partitions_outside_runs_follow_the_active_rules() {
    let mut world = changed_world(without(json!([])), without(json!(["locale"])), T - 1, None, 9);
    world.meta.partitions.clear();
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).locale(0, "RI", 2).locale(1, "RI", 1);
    world.assert_clean();
}

#[test]
fn a_changed_value_limit_leaves_values_unchecked_but_not_sums() {
    let limit = |max: i32| json!({"windows": ["1m"], "maxValues": max, "uniqueUsers": false});
    let mut world = changed_world(limit(1), limit(2), T, None, 1);
    world.events = ["AK", "AZ", "TX"].map(|value| (T, Some(value), None, false, false)).to_vec();
    world.minute(0, [3, 0, 0, 0], false).locale(0, "AK", 1).locale(0, "_other", 2);
    world.without_users(0);
    assert_eq!(world.assert_clean().unchecked, BTreeMap::from([(Unchecked::ChangedLimit, 2)]));
    world.locale(0, "AK", 2);
    world.assert_finds(&[(&of(0, "*"), "count")]);
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
    world.without_users(0);
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
    assert_eq!(Batch::new(&whole, true).unwrap_err().to_string(), HistoryError::Unknown(7).to_string());
    let mut whole = small_world().meta;
    whole.rules[0].1 = "{".to_owned();
    assert!(Batch::new(&whole, true).is_err());
    let mut nothing = Meta::default();
    assert!(Batch::new(&nothing, true).is_ok());
    nothing.changes.push(Change { revision: 1, ..Change::default() });
    assert!(Batch::new(&nothing, true).is_err());
}

#[test]
fn a_closed_window_must_be_partial_if_a_count_starts_inside_it() {
    let users = |yes: bool| json!({"windows": ["1m"], "dimensions": [], "uniqueUsers": yes});
    let closed = Some(T + 60);

    // The estimates begin after both events of the first minute, which is closed.
    let mut world = changed_world(users(false), users(true), T + 59, closed, 2);
    world.minute(0, [2, 0, 0, 0], false).minute(1, [1, 0, 0, 1], false);
    world.without_users(0);
    for partial in [false, true] {
        world.mark(&total(0), partial);
        assert_eq!(world.assert_clean().unchecked, BTreeMap::from([(Unchecked::Partial, 1)]));
    }

    // The estimates begin before the second event.
    let mut world = changed_world(users(false), users(true), T + 59, closed, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false);
    world.assert_finds(&[(&total(0), "partial")]);
    world.mark(&total(0), true);
    assert_eq!(world.assert_clean().unchecked, BTreeMap::new());
}

#[test]
fn all_history_is_partial_once_a_count_of_it_began_or_ended() {
    let windows = |windows: Value| json!({"windows": windows, "dimensions": []});
    let mut world = changed_world(windows(json!(["1m"])), windows(json!(["1m", "all"])), T, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).all([2, 0, 1], &[]);
    world.assert_finds(&[("all/_all", "partial")]);
    world.mark("all/_all", true);
    world.assert_clean();
    let mut world = changed_world(windows(json!(["1m", "all"])), windows(json!(["1m"])), T, None, 1);
    world.minute(0, [2, 0, 0, 1], false).minute(1, [1, 0, 0, 1], false).all([1, 0, 1], &[]);
    world.assert_finds(&[("all/_all", "partial")]);
    world.mark("all/_all", true);
    world.assert_clean();
}

#[test]
fn a_window_size_that_ends_closes_its_windows() {
    let windows = |windows: Value| json!({"windows": windows, "dimensions": []});
    let mut world = changed_world(windows(json!(["1m", "2m"])), windows(json!(["2m"])), T + 60, None, 3);
    world.minute(0, [2, 0, 0, 1], true).minute(1, [1, 0, 0, 1], true);
    let mut both = world.results[&(Kind::Aggregates, total(0))].clone();
    (both["window"], both["end"], both["count"], both["final"]) = (json!("2m"), json!(time(2)), json!(3), json!(false));
    world.put(Kind::Aggregates, &format!("2m/{}/_all", time(0)), both);
    world.mark(&total(0), true);
    world.mark(&total(1), true);
    world.insight(0, [2, 0, 0, 1], json!({"previous": 0, "partial": true}));
    world.insight(1, [1, 0, 0, 1], json!({"previous": 2, "change": -0.5, "partial": true}));

    world.assert_clean();
    world.insight(1, [1, 0, 0, 1], json!({"previous": 2, "change": -0.5}));
    world.assert_finds(&[(&format!("1m/{}", time(1)), "partial")]);
}

#[test]
fn the_previous_window_may_be_unknown_only_if_it_can_be_evicted() {
    let mut world = small_world();
    let second = (Kind::Insights, format!("1m/{}", time(1)));
    let insight = world.results.get_mut(&second).unwrap().as_object_mut().unwrap();
    insight.remove("previous");
    insight.remove("change");
    world.assert_finds(&[(&second.1, "previous")]);
    world.is_stale = true;
    assert_eq!(world.assert_clean().unchecked, BTreeMap::from([(Unchecked::EvictedPrevious, 1)]));
}
