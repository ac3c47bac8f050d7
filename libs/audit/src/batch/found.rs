//! What the aggregation has written: the last record of each key.

use std::collections::BTreeMap;

use crds::{
    pipeline::Dimension,
    records::aggregate::{Aggregate, Alert, Counted, Insight, ResultError, Span, decode},
};
use serde::de::DeserializeOwned;

use super::{
    kind::Kind,
    mismatch::{Differences, Mismatches},
};

/// The results read so far: the last record of each key.
#[derive(Clone, Debug, Default)]
pub struct Found {
    aggregates: BTreeMap<String, Aggregate>,
    pub(super) insights: BTreeMap<String, Insight>,
    pub(super) alerts: BTreeMap<String, Alert>,
    /// The reason why a record cannot be read, by kind and key.
    unreadable: BTreeMap<(Kind, String), String>,
}

/// The events that came to a window after the eviction of its state.
#[derive(Clone, Debug, Default)]
pub struct Evicted<'a> {
    pub count: u64,
    pub late: u64,
    pub unmerged: u64,
    pub values: Vec<(Dimension, &'a str, u64)>,
    /// The keys of the records, each with its count.
    pub keys: Vec<(&'a str, u64)>,
}

/// A window's records, by what they count, with their keys.
pub type Live<'a> = BTreeMap<&'a Counted, (&'a str, &'a Aggregate)>;

impl Found {
    /// Takes the next record of a results topic; a record without a value is a tombstone.
    pub fn push(&mut self, kind: Kind, key: &[u8], value: Option<&[u8]>) {
        let name = String::from_utf8_lossy(key).into_owned();
        self.unreadable.remove(&(kind, name.clone()));
        let put = match kind {
            Kind::Aggregates => put(&mut self.aggregates, &name, value),
            Kind::Insights => put(&mut self.insights, &name, value),
            Kind::Alerts => put(&mut self.alerts, &name, value),
        };
        if let Err(error) = put {
            self.unreadable.insert((kind, name), error.to_string());
        }
    }

    /// The readable aggregates, in key order.
    pub fn aggregates(&self) -> impl Iterator<Item = &Aggregate> {
        self.aggregates.values()
    }

    /// The readable insights, in key order.
    pub fn insights(&self) -> impl Iterator<Item = &Insight> {
        self.insights.values()
    }

    /// The readable alerts, in key order.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// How many records there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        let records = self.aggregates.len() + self.insights.len() + self.alerts.len() + self.unreadable.len();
        u64::try_from(records).unwrap_or(u64::MAX)
    }

    /// The unreadable records, as mismatches.
    pub(super) fn unreadable(&self) -> Mismatches {
        let mut mismatches = Mismatches::default();
        for ((kind, key), why) in &self.unreadable {
            let mut differences = Differences::default();
            differences.compare("value", "a record of this release", why.as_str());
            mismatches.add(*kind, key, differences);
        }
        mismatches
    }

    /// The records of windows, except those that came after the window's eviction.
    pub(super) fn live(&self) -> BTreeMap<Span, Live<'_>> {
        let mut windows: BTreeMap<Span, Live> = BTreeMap::new();
        for (key, aggregate) in self.aggregates.iter().filter(|(_, aggregate)| aggregate.evicted_at.is_none()) {
            windows.entry(aggregate.span).or_default().insert(&aggregate.of, (key, aggregate));
        }
        windows
    }

    /// The records that came to windows after their eviction.
    pub(super) fn evicted(&self) -> BTreeMap<Span, Evicted<'_>> {
        let mut windows: BTreeMap<Span, Evicted> = BTreeMap::new();
        for (key, aggregate) in self.aggregates.iter().filter(|(_, aggregate)| aggregate.evicted_at.is_some()) {
            let evicted = windows.entry(aggregate.span).or_default();
            evicted.keys.push((key, aggregate.count));
            match &aggregate.of {
                Counted::All => {
                    evicted.count += aggregate.count;
                    evicted.late += aggregate.late.unwrap_or_default();
                    evicted.unmerged += aggregate.unmerged.unwrap_or_default();
                }
                Counted::Value(dimension, value) => evicted.values.push((*dimension, value, aggregate.count)),
            }
        }
        windows
    }

    /// Adds the records whose key does not match their content.
    pub(super) fn misplaced(&self, mismatches: &mut Mismatches) {
        let mut check = |kind: Kind, key: &str, own: String| {
            if key != own {
                let mut differences = Differences::default();
                differences.compare("key", own.as_str(), key);
                mismatches.add(kind, key, differences);
            }
        };
        self.aggregates.iter().for_each(|(key, aggregate)| check(Kind::Aggregates, key, aggregate.key()));
        self.insights.iter().for_each(|(key, insight)| check(Kind::Insights, key, insight.key()));
        self.alerts.iter().for_each(|(key, alert)| check(Kind::Alerts, key, alert.key()));
    }
}

fn put<T: DeserializeOwned>(
    records: &mut BTreeMap<String, T>,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), ResultError> {
    // Any earlier record of this key is no longer the last.
    records.remove(key);
    if let Some(value) = value {
        records.insert(key.to_owned(), decode(value)?);
    }
    Ok(())
}
