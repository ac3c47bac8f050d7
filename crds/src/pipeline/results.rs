//! What the aggregation reports: which anomalies, and where counts, insights and alerts go.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Dimension, Window};

/// An anomaly to report: a count above a threshold, or far from what it was in the windows before.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("has(self.above) != has(self.deviation)")
        .message("set exactly one of above (a threshold) and deviation (from the windows before) in each of alerts"),
    validation = Rule::new("!has(self.value) || has(self.dimension)")
        .message("an alert with a value needs the dimension that has it"),
    validation = Rule::new("!has(self.deviation) || self.window != 'all'")
        .message("an alert with deviation compares closed windows, and all never closes: choose a finite window")
)]
pub struct Alert {
    /// Its name, by which its records are known.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// By which dimension to count, one of `aggregation.dimensions`; without it all events of the window are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<Dimension>,
    /// Which value of the dimension; without it each value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self != '_other'").message("an alert cannot name _other, the sum of the values that are not kept"))]
    pub value: Option<String>,
    /// In which window, one of `aggregation.windows`.
    pub window: Window,
    /// Fires once in each window, as soon as a count is larger than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub above: Option<i64>,
    /// Fires when a window closes whose count is further than so many standard deviations from the mean of the 12 windows
    /// before it. At least 6 must have been since the pipeline began; the standard deviation counts as at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 1000.0))]
    // The API server compares a whole number with the schema's minimum rounded down.
    #[x_kube(validation = Rule::new("self >= 0.1").message("the deviation of an alert must be at least 0.1 standard deviations"))]
    pub deviation: Option<f64>,
}

/// Where counts, insights and alerts go.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Results {
    /// Counts by window, dimension and value.
    #[serde(default = "aggregates_topic")]
    pub aggregates: ResultTopic,
    /// What is worth knowing of each closed window.
    #[serde(default = "insights_topic")]
    pub insights: ResultTopic,
    /// Anomalies.
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
    #[schemars(length(min = 1, max = 249), regex(pattern = "^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("a results topic cannot change: create another LoginPipeline for another topic"),
        validation = Rule::new("self != '.' && self != '..'").message("a results topic has a name that Kafka does not take: choose another")
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
