//! What docs/operating.md says is all there is: every reason, right, annotation and metric.

#![expect(clippy::unwrap_used, reason = "assertions of tests")]

use operator::rights::{Place, RIGHTS, Right};

const OPERATING: &str = include_str!("../../docs/operating.md");
const METRICS: &str = include_str!("../src/metrics.rs");
const REASONS: &str = include_str!("../src/status/reason.rs");

/// The reasons that a condition can have.
fn reasons() -> Vec<&'static str> {
    let (_, body) = REASONS.split_once("pub enum Reason {").unwrap();
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
    let missing: Vec<_> = reasons.iter().filter(|reason| !OPERATING.contains(&format!("\n| `{reason}` |"))).collect();
    assert!(missing.is_empty(), "docs/operating.md has no line for {missing:?}");
    let documented = OPERATING.split("### Reasons").nth(1).unwrap().split("## Rights").next().unwrap();
    let documented =
        documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(reason, _)| reason);
    let unknown: Vec<_> = documented.filter(|reason| !reasons.contains(reason)).collect();
    assert!(unknown.is_empty(), "no condition has {unknown:?}");
}

#[test]
fn every_right_has_a_line_with_its_verbs_and_its_reason() {
    let lines: Vec<_> = OPERATING.lines().collect();
    for Right { group, resource, verbs, place, why } in RIGHTS {
        let group = if group.is_empty() { "core" } else { group };
        let place = if *place == Place::Lease { ", in the Lease's namespace" } else { "" };
        let line = format!("| `{resource}` ({group}) | {}{place} | {why} |", verbs.join(", "));
        assert!(lines.contains(&line.as_str()), "docs/operating.md has no line\n{line}");
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
        assert!(OPERATING.contains(&line), "docs/operating.md has no line for the metric {name}");
    }
}
