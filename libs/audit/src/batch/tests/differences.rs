//! Results that differ from what they should be.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{T, World, frequency, locale, meta, minute, rules, time, total};
use crate::batch::{Found, Kind};

/// Seven events in three minutes, two of which are closed.
pub fn small_world() -> World {
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

/// Changes every leaf of a value in turn, and adds each missing optional field.
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
                // Readers ignore fields that such a record does not have.
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
        // Without the aggregate of a closed window, no insight is expected.
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
    let world = small_world();
    let right = world.results[&(Kind::Aggregates, total(0))].to_string();
    let mut found = Found::default();
    let mut push = |value: Option<&str>| {
        found.push(Kind::Aggregates, total(0).as_bytes(), value.map(str::as_bytes));
        (found.count(), found.unreadable().count())
    };

    assert_eq!(push(Some(&right)), (1, 0));
    assert_eq!(push(None), (0, 0));
    assert_eq!(push(Some("{")), (1, 1));
    assert_eq!(push(Some(&right)), (1, 0));
    assert_eq!(push(Some("{")), (1, 1), "what was there before is no longer the last");
    assert_eq!(push(None), (0, 0));
}

#[test]
fn a_window_that_is_closed_too_late_or_too_early_is_found() {
    let first = total(0);
    let third = total(2);
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
