//! What the aggregation reports: which anomalies, and where counts, insights and alerts go.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    aggregation::Dimension,
    duration::Window,
    pattern::{DNS_LABEL, TOPIC},
    rule::{Broken, Rule, quoted},
    topics::KAFKA_NAME,
};

/// The value that stands for all values of a dimension that a window does not keep.
pub const OTHER: &str = "_other";

/// An anomaly to report: a count above a threshold, or far from the counts of the windows before.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = ONE_CONDITION.validation(),
    validation = DIMENSION_OF_VALUE.validation(),
    validation = CLOSED_WINDOWS.validation()
)]
pub struct Alert {
    /// Name of the alert, which its records carry: 1 to 63 lower case letters, digits and hyphens.
    #[schemars(length(min = 1, max = 63), regex(pattern = DNS_LABEL))]
    pub name: String,
    /// Dimension whose values are counted, one of `aggregation.dimensions`. All events of the window are counted
    /// together when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<Dimension>,
    /// Value of the dimension to watch, 1 to 256 characters; `_missing` stands for events without the field. Each value
    /// is watched on its own when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = NOT_OTHER.validation())]
    pub value: Option<String>,
    /// Window to watch, one of `aggregation.windows`.
    pub window: Window,
    /// Fires once per window, as soon as a count is larger than this: 0 to 1000000000000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub above: Option<i64>,
    /// Fires when a closed window's count lies more than this many standard deviations from the mean of the 12 windows
    /// before it: 0.1 to 1000. Needs at least 6 of them; a standard deviation below 1 counts as 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1000.0))]
    // The API server compares a whole number with the schema's minimum rounded down.
    #[x_kube(validation = DEVIATION.validation())]
    pub deviation: Option<f64>,
}

pub(super) const ONE_CONDITION: Rule<Alert> = Rule {
    cel: || "has(self.above) != has(self.deviation)".to_owned(),
    message: "set exactly one of above (a threshold) and deviation (from the windows before) in each of alerts",
    broken: |alert| match (alert.above, alert.deviation) {
        (Some(_), Some(_)) => Broken::value_if(true, "both above and deviation"),
        (None, None) => Broken::value_if(true, "neither above nor deviation"),
        _ => Vec::new(),
    },
};

pub(super) const DIMENSION_OF_VALUE: Rule<Alert> = Rule {
    cel: || "!has(self.value) || has(self.dimension)".to_owned(),
    message: "an alert with a value needs the dimension that has it",
    broken: |alert| {
        let value = alert.value.as_deref().unwrap_or_default();
        Broken::field_if(alert.value.is_some() && alert.dimension.is_none(), ".value", quoted(value))
    },
};

pub(super) const CLOSED_WINDOWS: Rule<Alert> = Rule {
    cel: || "!has(self.deviation) || self.window != 'all'".to_owned(),
    message: "an alert with deviation compares closed windows, and all never closes: choose a finite window",
    broken: |alert| Broken::field_if(alert.deviation.is_some() && alert.window == Window::All, ".window", alert.window),
};

pub(super) const NOT_OTHER: Rule<String> = Rule {
    cel: || format!("self != '{OTHER}'"),
    message: "an alert cannot name _other, the sum of the values that are not kept",
    broken: |value| Broken::value_if(value == OTHER, quoted(value)),
};

pub(super) const DEVIATION: Rule<f64> = Rule {
    cel: || "self >= 0.1".to_owned(),
    message: "the deviation of an alert must be at least 0.1 standard deviations",
    broken: |deviation| Broken::value_if(deviation.is_nan() || *deviation < 0.1, deviation),
};

/// The topics of counts, insights and alerts. Each is compacted and has one partition.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// Topic of the counts by window, dimension and value. Default: `login-aggregates`.
    #[serde(default = "aggregates_topic")]
    pub aggregates: ResultTopic,
    /// Topic of a summary of each closed window. Default: `login-insights`.
    #[serde(default = "insights_topic")]
    pub insights: ResultTopic,
    /// Topic of the anomalies that `alerts` asks for. Default: `login-alerts`.
    #[serde(default = "alerts_topic")]
    pub alerts: ResultTopic,
}

impl Default for Results {
    fn default() -> Self {
        Self { aggregates: aggregates_topic(), insights: insights_topic(), alerts: alerts_topic() }
    }
}

/// A topic of results: compacted, with one partition.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResultTopic {
    /// Topic name. It cannot change.
    #[schemars(length(min = 1, max = 249), regex(pattern = TOPIC))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("a results topic cannot change: create another LoginPipeline for another topic"),
        validation = KAFKA_NAME.validation()
    )]
    pub topic: String,
}

fn aggregates_topic() -> ResultTopic {
    ResultTopic { topic: "login-aggregates".to_owned() }
}

fn insights_topic() -> ResultTopic {
    ResultTopic { topic: "login-insights".to_owned() }
}

fn alerts_topic() -> ResultTopic {
    ResultTopic { topic: "login-alerts".to_owned() }
}
