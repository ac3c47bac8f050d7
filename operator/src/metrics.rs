//! What the operator counts, for Prometheus.

use std::{fmt, time::Duration};

use crds::pipeline::ConditionStatus;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The operator's metrics. A clone counts into the same.
#[derive(Clone)]
pub struct Metrics {
    reconciliations: Counter,
    errors: Family<Category, Counter>,
    duration: Histogram,
    pipelines: Family<Ready, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ready {
    ready: &'static str,
}

/// Upper bounds of the duration's buckets, in seconds: from a pass that changes nothing to one that waits for Kafka.
const BUCKETS: [f64; 9] = [0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

impl Metrics {
    /// The metrics, and the registry that exposes them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciliations: Counter::default(),
            errors: Family::default(),
            duration: Histogram::new(BUCKETS),
            pipelines: Family::default(),
        };
        let mut registry = Registry::with_prefix("login_pipeline_operator");
        registry.register("reconciliations", "Passes over a pipeline", metrics.reconciliations.clone());
        registry.register("reconcile_errors", "Passes that failed, by category", metrics.errors.clone());
        registry.register("reconcile_duration_seconds", "How long a pass takes", metrics.duration.clone());
        registry.register("pipelines", "Pipelines by their condition Ready", metrics.pipelines.clone());
        (metrics, registry)
    }

    /// Counts a pass; `error` is the category of its failure.
    pub fn passed(&self, took: Duration, error: Option<&'static str>) {
        self.reconciliations.inc();
        self.duration.observe(took.as_secs_f64());
        if let Some(category) = error {
            self.errors.get_or_create(&Category { category }).inc();
        }
    }

    /// Says how many pipelines there are of each readiness.
    pub fn count_pipelines(&self, readiness: impl Iterator<Item = ConditionStatus>) {
        let mut counts = [("True", 0), ("False", 0), ("Unknown", 0)];
        for status in readiness {
            let index = match status {
                ConditionStatus::True => 0,
                ConditionStatus::False => 1,
                ConditionStatus::Unknown => 2,
            };
            counts[index].1 += 1;
        }
        for (ready, count) in counts {
            self.pipelines.get_or_create(&Ready { ready }).set(count);
        }
    }
}

/// Everything in the registry, in the text format.
///
/// # Errors
/// Never in practice: text can always be appended to a string.
pub fn expose(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    encode(&mut text, registry)?;
    Ok(text)
}
