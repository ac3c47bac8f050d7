//! Alerts and dashboards name existing metrics, with existing labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use crds::pipeline::ConditionStatus;
use operator::serve::metrics::{Metrics, Readiness, expose};
use serde_json::{Value, json};
use testkit::{process::Folder, tools::Tools};

use crate::{
    promql::{Named, named},
    read,
};

const MONITORING: &str = include_str!("../../../docs/monitoring.md");

/// Labels that Prometheus itself and the monitors of the chart add to every series.
const OF_TARGETS: [&str; 2] = ["namespace", "pipeline"];

/// Each metric, as Prometheus names it, with its labels.
type Known = BTreeMap<String, BTreeSet<String>>;

/// The operator's metrics, from its endpoint.
fn of_the_operator() -> Known {
    let (metrics, registry) = Metrics::new();
    metrics.passed(std::time::Duration::ZERO, Some("category"));
    metrics.requested("get", "pods".to_owned());
    let pipeline = Readiness {
        namespace: "streams".to_owned(),
        name: "logins".to_owned(),
        ready: ConditionStatus::False,
        reason: None,
    };
    metrics.count_pipelines([pipeline].into_iter());
    let text = expose(&registry).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|sample| {
            let (series, _) = sample.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            (name.to_owned(), labels.map(str::to_owned).collect())
        })
        .collect()
}

/// The processor's metrics, from the documentation: another test compares that with its endpoint.
fn of_the_processor() -> Known {
    let mut known = Known::new();
    for line in MONITORING.lines().filter_map(|line| line.strip_prefix("| `login_processor_")) {
        let (series, rest) = line.split_once("` | ").unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels: BTreeSet<_> =
            labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let name = format!("login_processor_{name}");
        if rest.starts_with("histogram") {
            let buckets = labels.iter().cloned().chain(["le".to_owned()]).collect();
            known.insert(format!("{name}_bucket"), buckets);
            known.insert(format!("{name}_count"), labels.clone());
            known.insert(format!("{name}_sum"), labels);
        } else {
            known.insert(name, labels);
        }
    }
    known
}

fn check(place: &str, query: &str, known: &Known) {
    let Named { metrics, labels } = named(query);
    assert!(!metrics.is_empty(), "{place}: no metric is read in {query}");
    let mut allowed: BTreeSet<_> = OF_TARGETS.map(str::to_owned).into();
    for metric in &metrics {
        let labels = known.get(metric).unwrap_or_else(|| panic!("{place}: there is no metric {metric}"));
        allowed.extend(labels.iter().cloned());
    }
    let unknown: Vec<_> = labels.difference(&allowed).collect();
    assert!(unknown.is_empty(), "{place}: none of {metrics:?} has a label {unknown:?}");
}

fn known() -> Known {
    let (mut operator, processor) = (of_the_operator(), of_the_processor());
    assert!(operator.len() >= 9 && processor.len() >= 28, "{operator:?} {processor:?}");
    operator.extend(processor);
    operator
}

fn rules() -> Vec<Value> {
    let file: Value = serde_yaml::from_str(&read("files/alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

#[test]
fn alerts_name_metrics_that_exist() {
    let known = known();
    for rule in rules() {
        check(rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap(), &known);
    }
}

#[test]
fn dashboards_name_metrics_that_exist() {
    let known = known();
    for name in ["pipelines", "operator"] {
        let board: Value = serde_json::from_str(&read(&format!("files/dashboards/{name}.json"))).unwrap();
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert!(ids.len() == panels.len() && ids.len() > 5, "{name}: {ids:?}");
        for panel in panels {
            let place = format!("{name}: {}", panel["title"]);
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{place}");
            for target in panel["targets"].as_array().unwrap() {
                check(&place, target["expr"].as_str().unwrap(), &known);
            }
        }

        for variable in board["templating"]["list"].as_array().unwrap() {
            if let Some(query) = variable["query"]["query"].as_str() {
                // `label_values(series, label)`: the label is not a metric.
                let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
                let (series, label) = inner.rsplit_once(", ").unwrap();
                check(&format!("{name}: {}", variable["name"]), series, &known);
                assert!(OF_TARGETS.contains(&label), "{name}: {label}");
            }
        }
    }
}

/// Whether Prometheus can parse queries.
fn is_read(queries: &[String]) -> bool {
    let rule = |(index, query): (usize, &String)| json!({"record": format!("panel:{index}"), "expr": query});
    let rules: Vec<_> = queries.iter().enumerate().map(rule).collect();
    let folder = Folder::new("queries").unwrap();
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    let arguments = [OsStr::new("check"), OsStr::new("rules"), file.as_os_str()];
    Tools::find().unwrap().promtool(&arguments).unwrap().status.success()
}

#[test]
fn dashboards_ask_what_prometheus_can_read() {
    let mut queries = Vec::new();
    for name in ["pipelines", "operator"] {
        let board: Value = serde_json::from_str(&read(&format!("files/dashboards/{name}.json"))).unwrap();
        let targets = board["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        // As Grafana would send them.
        queries.extend(targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m")));
    }
    assert!(queries.len() > 20 && is_read(&queries));
    assert!(!is_read(&["sum(login_processor_lag_records".to_owned()]));
}

#[test]
fn every_alert_has_a_remedy_a_test_and_a_line_in_the_docs() {
    let (tests, rules) = (read("tests/alerts.yaml"), rules());
    assert_eq!(rules.len(), 10);
    let alerts = MONITORING.split("## Alerts").nth(1).unwrap();

    for rule in &rules {
        let (name, severity) = (rule["alert"].as_str().unwrap(), rule["labels"]["severity"].as_str().unwrap());
        for annotation in ["summary", "description", "runbook"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
        assert!(tests.contains(name), "tests/alerts.yaml does not let {name} fire");
        assert!(alerts.contains(&format!("\n| `{name}` | {severity} | ")), "docs/monitoring.md has no line for {name}");
    }

    let lines = alerts.lines().filter(|line| line.starts_with("| `LoginPipeline")).count();
    assert_eq!(lines, rules.len(), "docs/monitoring.md has lines for alerts that do not exist");
}

#[test]
fn a_metric_or_a_label_that_does_not_exist_is_found() {
    for query in ["login_processor_lag", "sum by (reason) (login_processor_lag_records)", "up"] {
        let known = known();
        assert!(std::panic::catch_unwind(|| check("a test", query, &known)).is_err(), "{query}");
    }
}
