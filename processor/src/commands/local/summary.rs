//! The result of a run: a table for people, and one JSON object. Pure.

use std::{collections::BTreeMap, fmt, time::Duration};

use crds::records::dead_letter::Reason;
use serde::Serialize;

use super::{insights::Insights, live::Conclusion};

/// The kind of a run's broker.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum BrokerKind {
    /// librdkafka's mock cluster, in this process.
    Embedded,
    /// A real Kafka.
    Kafka,
}

/// Result of a run. As JSON it is one object; its field names are stable.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Summary {
    /// Events that the broker has acknowledged.
    pub produced: u64,
    /// Events that became a record of the output.
    pub processed: u64,
    /// Events that became a dead letter.
    pub dead_letters: u64,
    /// Events without any outcome.
    pub lost: u64,
    /// Records in excess of those that events should have become.
    pub duplicated: u64,
    /// Records that come after the record of a later event.
    pub out_of_order: u64,
    /// Events per second, from the first that was sent to the last that was audited.
    pub events_per_second: u64,
    pub broker: BrokerKind,
    /// Events that became a record in the wrong topic or partition, and none in the right one.
    pub misrouted: u64,
    /// Records in the right place with the wrong content.
    pub altered: u64,
    /// Records that come from no event.
    pub unexpected: u64,
    /// Aggregates, insights and alerts that differ from what the events add up to, are missing, or should not exist.
    pub aggregate_mismatches: u64,
    /// Number of aggregates, insights and alerts that were compared.
    pub aggregates_checked: u64,
    /// What the aggregates say.
    pub insights: Insights,
    /// Dead letters by reason.
    pub dead_letters_by_reason: BTreeMap<Reason, u64>,
    /// Processed events that are late.
    pub late: u64,
    /// Number of replicas.
    pub replicas: usize,
    /// Time from the first event that was sent to the last that was audited.
    pub seconds: f64,
    #[serde(skip)]
    table: String,
}

impl Summary {
    #[must_use]
    pub fn new(conclusion: Conclusion, produced: u64, elapsed: Duration, broker: BrokerKind, replicas: usize) -> Self {
        let Conclusion { mut report, insights } = conclusion;
        // An event that was acknowledged and cannot be read was lost by the broker.
        report.lost += produced.saturating_sub(report.input);
        let seconds = elapsed.as_secs_f64();
        let audited = report.processed + report.dead_letters;
        Self {
            produced,
            processed: report.processed,
            dead_letters: report.dead_letters,
            lost: report.lost,
            duplicated: report.duplicated,
            out_of_order: report.out_of_order,
            events_per_second: (audited as f64 / seconds.max(f64::EPSILON)).round() as u64,
            broker,
            misrouted: report.misrouted,
            altered: report.altered,
            unexpected: report.unexpected,
            aggregate_mismatches: report.aggregates.aggregate_mismatches,
            aggregates_checked: report.aggregates.aggregates_checked,
            insights,
            late: report.late,
            replicas,
            seconds,
            table: report.to_string(),
            dead_letters_by_reason: report.dead_letters_by_reason,
        }
    }

    /// Whether no fault was found.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let faults = self.lost + self.duplicated + self.out_of_order + self.misrouted + self.altered + self.unexpected;
        faults + self.aggregate_mismatches == 0
    }
}

/// The table for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>14}", "produced", self.produced)?;
        writeln!(f, "{:<16}{:>14}", "replicas", self.replicas)?;
        writeln!(f, "{:<16}{:>14.1}", "seconds", self.seconds)?;
        writeln!(f, "{:<16}{:>14}", "events/s", self.events_per_second)?;
        write!(f, "{}", self.insights)?;
        writeln!(f, "{}", self.table)?;
        match self.broker {
            BrokerKind::Kafka => write!(f, "broker: kafka"),
            BrokerKind::Embedded => write!(
                f,
                "broker: embedded. It shows the data path, but has no real transactions: that delivery is exactly once is \
                 proven on a real Kafka only (--bootstrap HOST:PORT)"
            ),
        }
    }
}
