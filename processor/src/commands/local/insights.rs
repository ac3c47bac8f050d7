//! Sums up what the aggregation wrote about the events of a run. Pure.

use std::{cmp::Reverse, collections::BTreeMap, fmt};

use audit::batch::Found;
use crds::{
    pipeline::{Dimension, Window},
    records::{
        aggregate::{Aggregate, Counted, Frequency, OTHER, rounded},
        delta::MISSING,
    },
};
use serde::Serialize;

/// How many of the most frequent and of the least frequent values are listed.
const TOP: usize = 3;

/// Most characters of a value in the table.
const WIDTH: usize = 24;

/// Insights of a run. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
pub struct Insights {
    /// Events that were counted.
    pub events: u64,
    /// Estimated number of different users; null when the pipeline has no estimate for the window `all`.
    pub unique_users: Option<u64>,
    /// Frequent and rare values, by dimension.
    pub dimensions: BTreeMap<Dimension, Values>,
    /// Windows that have closed.
    pub windows_closed: u64,
    /// Number of alerts, by name.
    pub alerts: BTreeMap<String, u64>,
}

/// Values of a dimension. Shares are relative to all events.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The most frequent values, in descending order.
    pub most: Vec<Frequency>,
    /// The least frequent values, in ascending order.
    pub least: Vec<Frequency>,
    /// Events whose values exceed `maxValues`: they are not counted by value, and their values are in neither list. 0
    /// when all values are counted.
    pub left_out: u64,
}

impl Insights {
    /// Sums up the aggregates. The window `all` holds all events; without it, the windows of the smallest size do so
    /// together.
    #[must_use]
    pub fn of(found: &Found) -> Self {
        let size = found.aggregates().map(|aggregate| aggregate.span.window).max_by_key(size_rank);
        let mut counts: BTreeMap<&Counted, u64> = BTreeMap::new();
        let mut unique_users = None;
        for Aggregate { span, of, count, unique_users: users, .. } in found.aggregates() {
            if Some(span.window) == size {
                *counts.entry(of).or_default() += count;
                unique_users = unique_users.or(users.filter(|_| span.window == Window::All));
            }
        }
        let events = counts.get(&Counted::All).copied().unwrap_or_default();
        let mut alerts = BTreeMap::new();
        for alert in found.alerts() {
            *alerts.entry(alert.name.clone()).or_default() += 1;
        }
        Self {
            events,
            unique_users,
            dimensions: Dimension::ALL
                .into_iter()
                .filter_map(|dimension| Some((dimension, Values::of(dimension, &counts, events)?)))
                .collect(),
            windows_closed: found.insights().count() as u64,
            alerts,
        }
    }
}

/// Ranks `all` highest, then smaller windows above larger ones.
fn size_rank(window: &Window) -> (bool, Reverse<Window>) {
    (*window == Window::All, Reverse(*window))
}

impl Values {
    fn of(dimension: Dimension, counts: &BTreeMap<&Counted, u64>, events: u64) -> Option<Self> {
        let value = |(of, count): (&&Counted, &u64)| match of {
            Counted::Value(of, value) if *of == dimension && value != MISSING && value != OTHER => {
                let share = rounded(*count as f64 / events.max(1) as f64);
                Some(Frequency { value: value.clone(), count: *count, share })
            }
            _ => None,
        };
        // The sort is stable, so that values with equal counts stay in lexicographical order.
        let mut most: Vec<Frequency> = counts.iter().filter_map(value).collect();
        let mut least = most.clone();
        most.sort_by_key(|value| Reverse(value.count));
        least.sort_by_key(|value| value.count);
        most.truncate(TOP);
        least.truncate(TOP);
        let left_out = counts.get(&Counted::Value(dimension, OTHER.to_owned())).copied().unwrap_or_default();
        (!most.is_empty()).then_some(Self { most, least, left_out })
    }
}

/// The lines of the table.
impl fmt::Display for Insights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(users) = self.unique_users {
            writeln!(f, "{:<16}{users:>14}  estimated", "unique users")?;
        }
        for (dimension, Values { most, least, left_out }) in &self.dimensions {
            let (most_of, least_of) = match dimension {
                Dimension::DeviceType => ("top devices", None),
                Dimension::AppVersion => ("top versions", None),
                Dimension::Locale => ("most logins", Some("fewest logins")),
            };
            write_line(f, most_of, most)?;
            if let Some(name) = least_of {
                write_line(f, name, least)?;
            }
            if *left_out > 0 {
                writeln!(
                    f,
                    "{:<16}{left_out:>14}  events with values beyond maxValues, not among these",
                    "  left out"
                )?;
            }
        }
        writeln!(f, "{:<16}{:>14}", "windows closed", self.windows_closed)?;
        writeln!(f, "{:<16}{:>14}", "alerts", self.alerts.values().sum::<u64>())?;
        self.alerts.iter().try_for_each(|(name, times)| writeln!(f, "  {name:<14}{times:>14}"))
    }
}

fn write_line(f: &mut fmt::Formatter<'_>, name: &str, values: &[Frequency]) -> fmt::Result {
    let value = |Frequency { value, count, share }: &Frequency| {
        let value: String = value.chars().take(WIDTH).collect();
        format!("{value} {count} ({:.1}%)", share * 100.0)
    };
    writeln!(f, "{name:<16}  {}", values.iter().map(value).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use crds::{
        pipeline::Duration,
        records::aggregate::{Alert, Cause, Span, VERSION},
    };

    use super::*;
    use audit::batch::Kind;

    const MINUTE: Window = Window::Finite(Duration::from_secs(60));

    fn aggregate(span: Span, of: Counted, count: u64, unique_users: Option<u64>) -> Aggregate {
        Aggregate {
            v: VERSION,
            span,
            of,
            count,
            late: None,
            unmerged: None,
            unique_users,
            is_final: false,
            revision: 0,
            partial: false,
            evicted_at: None,
        }
    }

    fn push(found: &mut Found, window: Window, start: i64, locales: &[(&str, u64)]) {
        let span = Span::of(window, start);
        let total = locales.iter().map(|(_, count)| count).sum();
        let values = locales.iter().map(|(value, count)| {
            aggregate(span, Counted::Value(Dimension::Locale, (*value).to_owned()), *count, None)
        });
        for aggregate in values.chain([aggregate(span, Counted::All, total, Some(total / 2))]) {
            found.push(Kind::Aggregates, aggregate.key().as_bytes(), Some(&serde_json::to_vec(&aggregate).unwrap()));
        }
    }

    fn names(values: &[Frequency]) -> Vec<(&str, u64)> {
        values.iter().map(|value| (value.value.as_str(), value.count)).collect()
    }

    #[test]
    fn all_events_are_in_the_window_without_end() {
        let mut found = Found::default();
        push(&mut found, MINUTE, 0, &[("CA", 1)]);
        push(&mut found, Window::All, 0, &[("CA", 5), ("RI", 1), ("TX", 5), ("WY", 2), (MISSING, 30), (OTHER, 57)]);
        let insights = Insights::of(&found);
        let locale = &insights.dimensions[&Dimension::Locale];

        assert_eq!(insights.events, 100);
        assert_eq!(insights.unique_users, Some(50));
        assert_eq!(names(&locale.most), [("CA", 5), ("TX", 5), ("WY", 2)]);
        assert_eq!(names(&locale.least), [("RI", 1), ("WY", 2), ("CA", 5)]);
        assert_eq!(locale.most[0].share, 0.05);
        assert_eq!(locale.left_out, 57);
        assert!(insights.to_string().contains("left out                  57  events"), "{insights}");
        assert_eq!(insights.dimensions.len(), 1);
    }

    #[test]
    fn without_it_the_smallest_windows_have_them_together() {
        let mut found = Found::default();
        push(&mut found, MINUTE, 0, &[("CA", 1), ("RI", 2)]);
        push(&mut found, MINUTE, 60, &[("CA", 3)]);
        push(&mut found, Window::Finite(Duration::from_secs(3600)), 0, &[("CA", 4), ("RI", 2)]);
        let insights = Insights::of(&found);
        assert_eq!(insights.events, 6);
        assert_eq!(insights.unique_users, None);
        assert_eq!(names(&insights.dimensions[&Dimension::Locale].most), [("CA", 4), ("RI", 2)]);
    }

    #[test]
    fn alerts_are_counted_by_name() {
        let mut found = Found::default();
        for start in [0, 60] {
            let span = Span::of(MINUTE, start);
            let cause = Cause::Above { threshold: 1 };
            let alert = Alert { v: VERSION, name: "spike".to_owned(), span, of: Counted::All, count: 2, cause };
            found.push(Kind::Alerts, alert.key().as_bytes(), Some(&serde_json::to_vec(&alert).unwrap()));
        }

        let insights = Insights::of(&found);
        assert_eq!(insights.alerts, BTreeMap::from([("spike".to_owned(), 2)]));
        assert_eq!(
            insights.to_string(),
            "windows closed               0\nalerts                       2\n  spike                      2\n"
        );
    }
}
