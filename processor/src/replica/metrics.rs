//! The metrics of a replica, for Prometheus and for the live page.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crds::records::dead_letter::Reason;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};
use stages::ingest::machine::Tally;

use super::{aggregate::metrics::AggregateMetrics, statistics::Statistics};
use crate::view::{Latencies, Samples, Totals};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    partition: i32,
}

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    processed: Counter,
    late: Counter,
    unmerged: Counter,
    dead_letters: Family<ReasonLabel, Counter>,
    commits: Histogram,
    /// The number of observations in `commits`, which cannot be read back.
    committed: AtomicU64,
    /// Transactions of stage 1 that were given up.
    pub aborts: Counter,
    /// Changes of the assignment of stage 1.
    pub rebalances: Counter,
    lag: Family<PartitionLabel, Gauge>,
    watermark: Family<PartitionLabel, Gauge>,
    brokers_up: Gauge,
    /// The metrics of stage 2.
    pub aggregate: AggregateMetrics,
    /// How long commits took, for the live page.
    pub latencies: Latencies,
    /// Masked dead letters, for the live page.
    pub samples: Samples,
}

impl Metrics {
    /// Creates all metrics, at zero.
    #[must_use]
    pub fn new(revision: u64) -> Self {
        let mut registry = Registry::with_prefix("login_processor");
        let build = Info::new(vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("config_revision", revision.to_string()),
        ]);
        registry.register("build", "The version and config revision that run", build);
        let metrics = Self {
            processed: Counter::default(),
            late: Counter::default(),
            unmerged: Counter::default(),
            dead_letters: Family::default(),
            commits: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            committed: AtomicU64::default(),
            aborts: Counter::default(),
            rebalances: Counter::default(),
            lag: Family::default(),
            watermark: Family::default(),
            brokers_up: Gauge::default(),
            aggregate: AggregateMetrics::new(&mut registry),
            latencies: Latencies::default(),
            samples: Samples::default(),
            registry,
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("events_processed", "Valid events, aborted transactions included", self.processed.clone());
        registry.register("events_late", "Valid events before their partition's watermark", self.late.clone());
        registry.register("events_unmerged", "Valid events too old for finite windows", self.unmerged.clone());
        registry.register(
            "events_dead_lettered",
            "Events that failed validation, by reason",
            self.dead_letters.clone(),
        );
        registry.register_with_unit(
            "transaction_commit",
            "Time to commit a transaction",
            Unit::Seconds,
            self.commits.clone(),
        );
        registry.register("transactions_aborted", "Transactions that were aborted", self.aborts.clone());
        registry.register("rebalances", "Changes of the partition assignment", self.rebalances.clone());
        registry.register("lag_records", "Last stable offset minus position, by source partition", self.lag.clone());
        registry.register_with_unit(
            "watermark",
            "Event time of the watermark, Unix time, by source partition",
            Unit::Seconds,
            self.watermark.clone(),
        );
        registry.register(
            "brokers_up",
            "Brokers that a consumer of this replica is connected to",
            self.brokers_up.clone(),
        );
        for reason in Reason::ALL {
            drop(self.dead_letters.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        self
    }

    /// Adds the outcomes of events.
    pub fn count(&self, tally: &Tally) {
        self.processed.inc_by(tally.output);
        self.late.inc_by(tally.late);
        self.unmerged.inc_by(tally.unmerged);
        for reason in Reason::ALL {
            let count = tally.dead_letters[reason as usize];
            if count > 0 {
                self.dead_letters.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc_by(count);
            }
        }
    }

    /// Records a committed transaction.
    pub fn committed(&self, took: Duration, watermarks: impl Iterator<Item = (i32, i64)>) {
        self.commits.observe(took.as_secs_f64());
        self.committed.fetch_add(1, Ordering::Relaxed);
        self.latencies.note(took);
        for (partition, watermark) in watermarks {
            self.watermark.get_or_create(&PartitionLabel { partition }).set(watermark);
        }
    }

    /// Updates the metrics from librdkafka's statistics. Returns whether any broker is connected.
    pub fn statistics(&self, json: &str, topic: &str, positions: &BTreeMap<i32, i64>) -> bool {
        let Some(statistics) = Statistics::parse(json) else { return false };
        let up = statistics.brokers_up();
        self.brokers_up.set(i64::try_from(up).unwrap_or(i64::MAX));
        for (partition, position) in positions {
            if let Some(end) = statistics.last_stable_offset(topic, *partition) {
                self.lag.get_or_create(&PartitionLabel { partition: *partition }).set((end - position).max(0));
            }
        }
        up > 0
    }

    /// Removes the metrics of a partition that the replica no longer owns.
    pub fn released(&self, partition: i32) {
        self.lag.remove(&PartitionLabel { partition });
        self.watermark.remove(&PartitionLabel { partition });
    }

    /// The counts that the page shows; Prometheus reads the same ones.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let dead =
            |reason: Reason| self.dead_letters.get(&ReasonLabel { reason: reason.as_str() }).map(|dead| dead.get());
        let ingest = Totals {
            processed: self.processed.get(),
            late: self.late.get(),
            unmerged: self.unmerged.get(),
            dead_letters: Reason::ALL.into_iter().map(|reason| (reason, dead(reason).unwrap_or_default())).collect(),
            transactions: self.committed.load(Ordering::Relaxed),
            aborted: self.aborts.get(),
            rebalances: self.rebalances.get(),
            ..Totals::default()
        };
        self.aggregate.totals(ingest)
    }

    /// The number of records of an own partition that are not processed yet, if it is known.
    #[must_use]
    pub fn lag(&self, partition: i32) -> Option<u64> {
        Some(self.lag.get(&PartitionLabel { partition })?.get().unsigned_abs())
    }

    /// The watermark of an own partition, Unix seconds.
    #[must_use]
    pub fn watermark(&self, partition: i32) -> Option<i64> {
        Some(self.watermark.get(&PartitionLabel { partition })?.get())
    }

    /// Encodes the metrics as the text that Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of metrics for the documentation, in Markdown: Prometheus names, labels and help texts.
    fn table() -> String {
        let metrics = Metrics::new(7);
        drop(metrics.lag.get_or_create(&PartitionLabel { partition: 0 }));
        drop(metrics.watermark.get_or_create(&PartitionLabel { partition: 0 }));
        let text = metrics.encode();
        let mut table = "| Metric | Type | |\n|---|---|---|\n".to_owned();
        for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
            let (name, help) = help.split_once(' ').unwrap();
            let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let sample =
                text.lines().find_map(|line| line.strip_prefix(&format!("{name}{suffix}{{"))).unwrap_or_default();
            let labels = sample.split_once('}').map_or("", |(labels, _)| labels);
            let labels: Vec<_> = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            table.push_str(&format!("| `{name}{suffix}{labels}` | {kind} | {} |\n", help.trim_end_matches('.')));
        }
        table
    }

    #[test]
    fn the_documentation_has_every_metric() {
        let documentation = include_str!("../../../docs/monitoring.md");
        assert!(table().lines().count() > 30, "{}", table());
        assert!(documentation.contains(&table()), "docs/monitoring.md needs:\n{}", table());
    }
}
