//! Everything that the definition refuses, found without an API server: for `operator validate`, for reconciliation and
//! for `processor local` alike.

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde_json::Value;

use super::{
    aggregation, kafka,
    pattern::{DNS_LABEL, fits},
    problem::Problem,
    processor, results,
    rule::{Rule, in_entry, quoted},
    shape,
    spec::{self, LoginPipeline, LoginPipelineSpec},
    topics::KAFKA_NAME,
};

/// The schema of the spec, as the API server gets it.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let definition = serde_json::to_value(LoginPipeline::crd()).unwrap_or_default();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});

/// Everything that is wrong with a pipeline of this name and spec; empty when it can run.
#[must_use]
pub fn check(name: &str, spec: &LoginPipelineSpec) -> Vec<Problem> {
    let mut problems: Vec<Problem> = check_name(name).into_iter().collect();
    problems.extend(shape::problems("spec", &SCHEMA, &serde_json::to_value(spec).unwrap_or_default()));
    // A value that is refused is refused once.
    for BrokenRule { problem, .. } in broken_rules(&LoginPipeline::new(name, spec.clone())) {
        if !problems.iter().any(|other| other.field == problem.field && other.value == problem.value) {
            problems.push(problem);
        }
    }
    problems.sort_by(|a, b| a.field.cmp(&b.field));
    problems
}

/// What the API server asks of the name of any resource, but for the dots, which a rule of this one excludes.
fn check_name(name: &str) -> Option<Problem> {
    let is_name = fits(DNS_LABEL, name);
    (!is_name).then(|| Problem {
        field: "metadata.name".to_owned(),
        value: quoted(name),
        remedy: "use 1 to 40 lower case letters, digits and hyphens, with a letter or digit at both ends".to_owned(),
    })
}

/// A rule that a pipeline breaks.
#[derive(Debug)]
pub(super) struct BrokenRule {
    pub problem: Problem,
    /// The rule's condition and its place in the definition, by which tests know it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    pub rule: (fn() -> String, String),
}

/// Each rule is evaluated at each of its places.
pub(super) fn broken_rules(pipeline: &LoginPipeline) -> Vec<BrokenRule> {
    let mut rules = Rules::default();
    for rule in [&spec::SHORT_NAME, &spec::NAME_WITHOUT_DOT, &spec::NO_INTERNAL_TOPIC, &spec::NO_INTERNAL_RESULT] {
        rules.evaluate("", rule, pipeline);
    }
    let LoginPipelineSpec { kafka, source, output, dead_letters, aggregation, alerts, results, processor, .. } =
        &pipeline.spec;
    for rule in [&spec::SIX_TOPICS, &spec::ALERT_DIMENSION, &spec::ALERT_WINDOW] {
        rules.evaluate("spec", rule, &pipeline.spec);
    }
    rules.evaluate("spec.kafka", &kafka::ONE_KAFKA, kafka);
    if let Some(external) = &kafka.external {
        rules.evaluate("spec.kafka.external.bootstrapServers", &kafka::SERVERS, &external.bootstrap_servers);
    }
    rules.evaluate("spec.source.topic", &KAFKA_NAME, &source.topic);
    rules.evaluate("spec.output.topic", &KAFKA_NAME, &output.topic);
    rules.evaluate("spec.deadLetters.topic", &KAFKA_NAME, &dead_letters.topic);
    rules.evaluate("spec.results.aggregates.topic", &KAFKA_NAME, &results.aggregates.topic);
    rules.evaluate("spec.results.insights.topic", &KAFKA_NAME, &results.insights.topic);
    rules.evaluate("spec.results.alerts.topic", &KAFKA_NAME, &results.alerts.topic);
    for rule in
        [&aggregation::SMALLEST_FIRST, &aggregation::MULTIPLES, &aggregation::WHOLE_SECONDS, &aggregation::EACH_ONCE]
    {
        rules.evaluate("spec.aggregation.windows", rule, &aggregation.windows);
    }
    rules.evaluate("spec.aggregation.idleTimeout", &aggregation::IDLE_TIMEOUT, &aggregation.idle_timeout);
    for alert in alerts {
        rules.entry = Some(quoted(&alert.name));
        for rule in [&results::ONE_CONDITION, &results::DIMENSION_OF_VALUE, &results::CLOSED_WINDOWS] {
            rules.evaluate("spec.alerts[]", rule, alert);
        }
        if let Some(value) = &alert.value {
            rules.evaluate("spec.alerts[].value", &results::NOT_OTHER, value);
        }
        if let Some(deviation) = &alert.deviation {
            rules.evaluate("spec.alerts[].deviation", &results::DEVIATION, deviation);
        }
    }
    rules.entry = None;
    rules.evaluate("spec.processor.commitInterval", &processor::COMMIT_INTERVAL, &processor.commit_interval);
    rules.evaluate("spec.processor.progressDeadline", &processor::PROGRESS_DEADLINE, &processor.progress_deadline);
    rules.evaluate("spec.processor.podLabels", &processor::POD_LABELS, &processor.pod_labels);
    rules.evaluate("spec.processor.podAnnotations", &processor::POD_ANNOTATIONS, &processor.pod_annotations);
    rules.broken
}

#[derive(Default)]
struct Rules {
    broken: Vec<BrokenRule>,
    /// The key of the entry of a list that values are in.
    entry: Option<String>,
}

impl Rules {
    fn evaluate<T>(&mut self, place: &str, rule: &Rule<T>, value: &T) {
        for broken in (rule.broken)(value) {
            let value =
                self.entry.as_ref().map_or_else(|| broken.value.clone(), |entry| in_entry(&broken.value, entry));
            let problem = Problem { field: format!("{place}{}", broken.field), value, remedy: rule.message.to_owned() };
            self.broken.push(BrokenRule { problem, rule: (rule.cel, place.to_owned()) });
        }
    }
}

#[cfg(test)]
mod tests;
