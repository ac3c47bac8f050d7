//! The operator's metrics, for Prometheus.

use std::{fmt, time::Duration};

use crds::pipeline::ConditionStatus;
use jiff::Timestamp;
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
    not_ready: Family<NotReady, Gauge>,
    in_flight: Gauge,
    waiting: Gauge,
    last_success: Gauge,
    leads: Gauge,
    requests: Family<Request, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    verb: &'static str,
    resource: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Category {
    category: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ready {
    ready: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NotReady {
    // Prometheus gives the operator's own namespace the name `namespace`.
    pipeline_namespace: String,
    pipeline: String,
    reason: String,
}

/// How a pipeline is, as its status says.
pub struct Readiness {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its condition Ready.
    pub ready: ConditionStatus,
    /// That condition's reason; none before the first one.
    pub reason: Option<String>,
}

impl Readiness {
    /// Whether it is not ready although its spec wants it to run.
    fn is_trouble(&self) -> bool {
        let is_asked_for = matches!(self.reason.as_deref(), Some("Suspended" | "ScaledToZero"));
        self.ready != ConditionStatus::True && !is_asked_for
    }
}

/// Upper bounds of the duration's buckets, in seconds: from a pass that changes nothing to one that waits for Kafka.
const BUCKETS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

impl Metrics {
    /// The metrics, and the registry that exposes them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            reconciliations: Counter::default(),
            errors: Family::default(),
            duration: Histogram::new(BUCKETS),
            pipelines: Family::default(),
            not_ready: Family::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            last_success: Gauge::default(),
            leads: Gauge::default(),
            requests: Family::default(),
        };
        let mut registry = Registry::with_prefix("login_pipeline_operator");
        registry.register("reconciliations", "Passes over a pipeline", metrics.reconciliations.clone());
        registry.register("reconcile_errors", "Passes that failed, by category", metrics.errors.clone());
        registry.register("reconcile_duration_seconds", "Duration of a pass", metrics.duration.clone());
        registry.register("pipelines", "Pipelines by their condition Ready", metrics.pipelines.clone());
        let not_ready = "Pipelines that are not Ready, but for those that are suspended or scaled to zero, by reason";
        registry.register("pipeline_not_ready", not_ready, metrics.not_ready.clone());
        registry.register("passes_in_flight", "Passes in progress", metrics.in_flight.clone());
        registry.register("passes_waiting", "Passes that are due and wait for their turn", metrics.waiting.clone());
        let last_success = "When a pass succeeded last, Unix seconds; 0 before the first one";
        registry.register("last_successful_pass_timestamp_seconds", last_success, metrics.last_success.clone());
        registry.register("leader", "1 while this replica works, 0 while it is a standby", metrics.leads.clone());
        let requests = "Requests to the API server, by verb and resource in the words of RBAC";
        registry.register("api_requests", requests, metrics.requests.clone());
        (metrics, registry)
    }

    /// A pass is due; `started` says that it has its turn.
    pub fn due(&self) {
        self.waiting.inc();
    }

    /// A pass that was due begins.
    pub fn started(&self) {
        self.waiting.dec();
        self.in_flight.inc();
    }

    /// A pass has ended; `error` is the category of its failure.
    pub fn passed(&self, took: Duration, error: Option<&'static str>) {
        self.in_flight.dec();
        self.reconciliations.inc();
        self.duration.observe(took.as_secs_f64());
        match error {
            Some(category) => {
                self.errors.get_or_create(&Category { category }).inc();
            }
            None => {
                self.last_success.set(Timestamp::now().as_second());
            }
        }
    }

    /// Says whether this replica works.
    pub fn set_leader(&self, leads: bool) {
        self.leads.set(i64::from(leads));
    }

    /// Counts a request to the API server.
    pub fn requested(&self, verb: &'static str, resource: String) {
        self.requests.get_or_create(&Request { verb, resource }).inc();
    }

    /// Says how many pipelines there are of each readiness, and which are in trouble.
    pub fn count_pipelines(&self, pipelines: impl Iterator<Item = Readiness>) {
        let mut counts = [("True", 0), ("False", 0), ("Unknown", 0)];
        // Those that are well again, or gone.
        self.not_ready.clear();
        for pipeline in pipelines {
            let index = match pipeline.ready {
                ConditionStatus::True => 0,
                ConditionStatus::False => 1,
                ConditionStatus::Unknown => 2,
            };
            counts[index].1 += 1;
            if pipeline.is_trouble() {
                let Readiness { namespace: pipeline_namespace, name: pipeline, reason, .. } = pipeline;
                let reason = reason.unwrap_or_else(|| "Unknown".to_owned());
                self.not_ready.get_or_create(&NotReady { pipeline_namespace, pipeline, reason }).set(1);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(name: &str, ready: ConditionStatus, reason: Option<&str>) -> Readiness {
        Readiness { namespace: "streams".to_owned(), name: name.to_owned(), ready, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn pipelines_in_trouble_are_named_until_they_are_well() {
        let (metrics, registry) = Metrics::new();
        let named = || {
            let text = expose(&registry).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_prefix("login_pipeline_operator_pipeline_not_ready"));
            let mut lines: Vec<_> = lines.map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let (yes, no) = (ConditionStatus::True, ConditionStatus::False);
        let pipelines = [
            readiness("well", yes, Some("Running")),
            readiness("new", ConditionStatus::Unknown, None),
            readiness("lost", no, Some("TopicLost")),
            readiness("paused", no, Some("Suspended")),
            readiness("small", no, Some("ScaledToZero")),
        ];

        metrics.count_pipelines(pipelines.into_iter());
        let line =
            |name, reason| format!("{{pipeline_namespace=\"streams\",pipeline=\"{name}\",reason=\"{reason}\"}} 1");
        assert_eq!(named(), [line("lost", "TopicLost"), line("new", "Unknown")]);
        assert!(expose(&registry).unwrap().contains("login_pipeline_operator_pipelines{ready=\"False\"} 3"));

        metrics.count_pipelines([readiness("lost", yes, Some("Running"))].into_iter());
        assert_eq!(named(), [""; 0]);
    }

    #[test]
    fn the_documentation_names_every_metric() {
        let documentation = include_str!("../../../docs/monitoring.md");
        let (metrics, registry) = Metrics::new();
        metrics.passed(Duration::ZERO, Some("category"));
        metrics.requested("get", "pods".to_owned());
        metrics.count_pipelines([readiness("a", ConditionStatus::False, None)].into_iter());
        let text = expose(&registry).unwrap();
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert!(names.len() >= 9, "{names:?}");
        for name in names {
            assert!(documentation.contains(name), "{name}");
        }
    }
}
