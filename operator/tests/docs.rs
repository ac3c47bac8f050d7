//! The pages for platform teams are complete: they list every reason, right, metric, field and alert.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use operator::rights::{Place, RIGHTS, Right};
use serde_json::Value;

const CONDITIONS: &str = include_str!("../../docs/conditions.md");
const MONITORING: &str = include_str!("../../docs/monitoring.md");
const OPERATOR: &str = include_str!("../../docs/operator.md");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const ALERTS: &str = include_str!("../../charts/login-pipeline-operator/files/alerts.yaml");
const METRICS: &str = include_str!("../src/serve/metrics.rs");
const REASONS: &str = include_str!("../src/conditions/reason.rs");

/// The reasons that a condition can have.
fn reasons() -> Vec<&'static str> {
    let (_, body) = REASONS.split_once("enum Reason {").unwrap();
    let (body, _) = body.split_once("\n}").unwrap();
    body.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .filter_map(|line| line.strip_suffix(','))
        .collect()
}

#[test]
fn every_reason_has_a_line_with_its_remedy() {
    let reasons = reasons();
    assert!(reasons.len() > 20 && reasons.contains(&"Running"), "{reasons:?}");
    let missing: Vec<_> = reasons.iter().filter(|reason| !CONDITIONS.contains(&format!("\n| `{reason}` |"))).collect();
    assert!(missing.is_empty(), "docs/conditions.md has no line for {missing:?}");
    let documented = CONDITIONS.split("## Reasons").nth(1).unwrap();
    let documented =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(reason, _)| reason);
    let unknown: Vec<_> = documented.filter(|reason| !reasons.contains(reason)).collect();
    assert!(unknown.is_empty(), "no condition has {unknown:?}");
}

#[test]
fn every_right_has_a_line_with_its_verbs_and_its_reason() {
    let lines: Vec<_> = OPERATOR.lines().collect();
    for Right { group, resource, verbs, place, why } in RIGHTS {
        let group = if group.is_empty() { "core" } else { group };
        let place = if *place == Place::Lease { ", in the Lease's namespace" } else { "" };
        let line = format!("| `{resource}` ({group}) | {}{place} | {why} |", verbs.join(", "));
        assert!(lines.contains(&line.as_str()), "docs/operator.md has no line\n{line}");
    }
    let rights =
        lines.iter().skip_while(|line| **line != "## Rights").skip(1).take_while(|line| !line.starts_with("## "));
    assert_eq!(rights.filter(|line| line.starts_with("| `")).count(), RIGHTS.len());
}

#[test]
fn every_metric_has_a_line() {
    let names: Vec<_> = METRICS.split("register(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() >= 9 && names.contains(&"leader"), "{names:?}");
    for name in names {
        let line = format!("`login_pipeline_operator_{name}");
        assert!(MONITORING.contains(&line), "docs/monitoring.md has no line for the metric {name}");
    }
}

/// The alerts of the chart.
fn alerts() -> Vec<String> {
    let file: Value = serde_yaml::from_str(ALERTS).unwrap();
    let groups = file["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    groups.map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_alert_has_a_runbook_section_and_every_section_an_alert() {
    let alerts = alerts();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let sections: Vec<_> = RUNBOOK.split("\n## ").skip(1).collect();
    let titles: Vec<_> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
    assert_eq!(titles, alerts, "docs/runbook.md has the alerts of the chart, in their order");
    for section in sections {
        let parts = ["\n**Means.** ", "\n**Look.** ", "\n**Do.** "].map(|part| section.matches(part).count());
        assert_eq!(parts, [1, 1, 1], "{section}");
    }
}

#[test]
fn every_command_that_is_mentioned_is_there() {
    let unknown = testkit::docs::unknown_mentions("operator", env!("CARGO_BIN_EXE_operator").as_ref()).unwrap();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn what_is_typed_without_a_cluster() {
    let mut script = testkit::docs::Script::of("operator/tests/docs.rs: what_is_typed_without_a_cluster");
    let checkout = testkit::docs::Checkout::new().unwrap();
    let mut checkout = checkout.built("operator", env!("CARGO_BIN_EXE_operator")).unwrap();
    let said = checkout.succeed(&script.take("docs/kubernetes.md", "target/release/operator validate"));
    assert_eq!(said, "", "nothing is wrong with the examples");
}

/// Checks the manifests of the pages, and the parts of specs after completing them.
#[test]
fn every_manifest_on_a_page_is_valid() {
    let mut checked = 0;
    for page in testkit::docs::pages().unwrap() {
        let text = testkit::docs::read(&page).unwrap();
        for block in text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            if !block.starts_with("spec:") {
                continue;
            }
            let mut manifest: Value = serde_yaml::from_str(block).unwrap();
            manifest["apiVersion"] = "loginpipeline.dev/v1alpha1".into();
            manifest["kind"] = "LoginPipeline".into();
            manifest["metadata"] = serde_json::json!({"name": "logins"});
            if manifest["spec"].get("kafka").is_none() {
                manifest["spec"]["kafka"] = serde_json::json!({"strimzi": {"cluster": "my-cluster"}});
            }

            let folder = testkit::process::Folder::new("manifest").unwrap();
            let file = folder.path().join("pipeline.yaml");
            std::fs::write(&file, manifest.to_string()).unwrap();
            let report = operator::manifest::validate_files(&[file]);
            assert!(report.lines.is_empty(), "{page}:\n{block}\n{:#?}", report.lines);
            checked += 1;
        }
    }

    assert!(checked >= 4, "{checked} manifests");
}
