//! The events of a small pipeline, the meta, and the expected results, written by hand.

use std::collections::BTreeMap;

use crds::{
    job::Rules,
    records::state::{Change, Meta, Partition, Run},
};
use serde_json::{Value, json};

use crate::batch::{Batch, Found, Kind, Mismatches, ProcessedEvent};

/// 2024-07-10T02:00:00Z.
pub const T: i64 = 1_720_576_800;

/// An event: its time, its locale, its user, whether it is late and whether it is unmerged.
pub type Login = (i64, Option<&'static str>, Option<&'static str>, bool, bool);

/// Events, the meta, and the results by kind and key.
#[derive(Clone, Default)]
pub struct World {
    pub meta: Meta,
    /// All events of partition 0, in offset order.
    pub events: Vec<Login>,
    pub results: BTreeMap<(Kind, String), Value>,
    pub removed_until: Option<i64>,
    pub is_stale: bool,
}

impl World {
    pub fn compare(&self) -> Mismatches {
        self.batch().compare(&self.found())
    }

    pub fn batch(&self) -> Batch {
        let mut batch = Batch::new(&self.meta, !self.is_stale).unwrap();
        self.removed_until.into_iter().for_each(|until| batch.removed_until(until));
        for (offset, (time, locale, user, late, unmerged)) in (0..).zip(&self.events) {
            let (late, unmerged) = (*late, *unmerged);
            let values = [None, *locale, None];
            batch.event(&ProcessedEvent { partition: 0, offset, time: *time, late, unmerged, user: *user, values });
        }
        batch
    }

    /// The results, as they are read.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for ((kind, key), value) in &self.results {
            found.push(*kind, key.as_bytes(), Some(value.to_string().as_bytes()));
        }
        assert_eq!(found.count(), self.results.len() as u64);
        found
    }

    #[track_caller]
    pub fn assert_clean(&self) -> Mismatches {
        let mismatches = self.compare();
        assert_eq!(mismatches.count(), 0, "{:#?}", mismatches.examples);
        mismatches
    }

    /// Asserts exactly these mismatches, as keys and fields.
    #[track_caller]
    pub fn assert_finds(&self, expected: &[(&str, &str)]) {
        let found = self.compare().examples;
        let found: Vec<(&str, &str)> = found.iter().map(|found| (&*found.key, &*found.field)).collect();
        assert_eq!(found, expected);
    }

    /// Asserts mismatches of at least these keys.
    #[track_caller]
    pub fn assert_finds_all_of(&self, keys: &[String]) {
        let found = self.compare().examples;
        for key in keys {
            assert!(found.iter().any(|found| found.key == *key), "{key}: {found:#?}");
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, kind: Kind, key: &str) {
        self.results.remove(&(kind, key.to_owned())).unwrap();
    }

    /// Marks a record as partial, or not.
    pub fn mark(&mut self, key: &str, partial: bool) {
        self.results.get_mut(&(Kind::Aggregates, key.to_owned())).unwrap()["partial"] = json!(partial);
    }

    /// Removes the estimates.
    pub fn without_users(&mut self, minute: i64) {
        for (kind, key) in [(Kind::Aggregates, total(minute)), (Kind::Insights, format!("1m/{}", time(minute)))] {
            let record = self.results.get_mut(&(kind, key));
            record.map(|record| record.as_object_mut().unwrap().remove("unique_users"));
        }
    }

    pub fn put(&mut self, kind: Kind, key: &str, value: Value) -> &mut Self {
        self.results.insert((kind, key.to_owned()), value);
        self
    }

    /// A field of a result.
    pub fn field(&mut self, kind: Kind, key: &str, pointer: &str) -> &mut Value {
        self.results.get_mut(&(kind, key.to_owned())).unwrap().pointer_mut(pointer).unwrap()
    }

    /// Puts the records for all events of a minute: count, late, unmerged, users.
    pub fn minute(&mut self, minute: i64, [count, late, unmerged, users]: [u64; 4], is_final: bool) -> &mut Self {
        let value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1), "dimension": "_all",
            "count": count, "late": late, "unmerged": unmerged, "unique_users": users, "final": is_final,
            "revision": 0});
        self.put(Kind::Aggregates, &format!("1m/{}/_all", time(minute)), value)
    }

    pub fn locale(&mut self, minute: i64, locale: &str, count: u64) -> &mut Self {
        let value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1),
            "dimension": "locale", "value": locale, "count": count, "final": true, "revision": 0});
        self.put(Kind::Aggregates, &format!("1m/{}/locale/{locale}", time(minute)), value)
    }

    pub fn all(&mut self, [count, late, users]: [u64; 3], locales: &[(&str, u64)]) -> &mut Self {
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
    pub fn insight(&mut self, minute: i64, [count, late, unmerged, users]: [u64; 4], more: Value) -> &mut Self {
        let mut value = json!({"v": 1, "window": "1m", "start": time(minute), "end": time(minute + 1), "count": count,
            "late": late, "unmerged": unmerged, "unique_users": users, "revision": 0, "dimensions": {}});
        value.as_object_mut().unwrap().append(&mut more.as_object().unwrap().clone());
        self.put(Kind::Insights, &format!("1m/{}", time(minute)), value)
    }

    pub fn alert(&mut self, name: &str, window: Value, of: Value, count: u64, threshold: u64) -> &mut Self {
        let mut value = json!({"v": 1, "name": name, "count": count, "kind": "above", "threshold": threshold});
        for part in [window, of] {
            value.as_object_mut().unwrap().append(&mut part.as_object().unwrap().clone());
        }
        let parsed: crds::records::aggregate::Alert = serde_json::from_value(value.clone()).unwrap();
        self.put(Kind::Alerts, &parsed.key(), value)
    }
}

pub fn time(minute: i64) -> String {
    jiff::Timestamp::from_second(T + minute * 60).unwrap().to_string()
}

pub fn minute(minute: i64) -> Value {
    json!({"window": "1m", "start": time(minute), "end": time(minute + 1)})
}

pub fn locale(locale: &str) -> Value {
    json!({"dimension": "locale", "value": locale})
}

pub fn frequency(value: &str, count: u64, share: f64) -> Value {
    json!({"value": value, "count": count, "share": share})
}

/// Rules with some of the aggregation's fields, and alerts.
pub fn rules(aggregation: Value, alerts: Value) -> String {
    let mut rules = json!({"validation": {}, "alerts": alerts,
        "aggregation": {"windows": ["1m", "all"], "dimensions": ["locale"]}});
    rules["aggregation"].as_object_mut().unwrap().append(&mut aggregation.as_object().unwrap().clone());
    let rules: Rules = serde_json::from_value(rules).unwrap();
    serde_json::to_string(&rules).unwrap()
}

/// The meta of one revision after another, with the offsets from which events were processed and counted by each.
pub fn meta(rules: &[String], changes: &[(i64, Option<i64>, Option<i64>)], frontier: Option<i64>) -> Meta {
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

/// The key of all events of a minute.
pub fn total(minute: i64) -> String {
    format!("1m/{}/_all", time(minute))
}

/// The key of a locale in a minute.
pub fn of(minute: i64, locale: &str) -> String {
    format!("1m/{}/locale/{locale}", time(minute))
}
