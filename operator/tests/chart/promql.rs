//! The metrics and labels that a PromQL query names. It covers the part of the language that this project uses:
//! anything other than a function, a keyword, a label or a string counts as a metric.

use std::collections::BTreeSet;

/// The names in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

/// A list of labels in parentheses follows these.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

const KEYWORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "atan2"];

/// What the query names.
pub fn named(query: &str) -> Named {
    let mut named = Named::default();
    let mut rest = query;
    while let Some(next) = rest.chars().next() {
        match next {
            '"' | '\'' => rest = after(&rest[1..], next),
            '{' => {
                let (labels, behind) = rest[1..].split_once('}').unwrap();
                named.labels.extend(labels_of(labels));
                rest = behind;
            }
            // A range, with its units.
            '[' => rest = after(rest, ']'),
            // A variable of a dashboard.
            '$' => rest = word(&rest[1..]).1,
            _ if next.is_alphabetic() || next == '_' => {
                let (found, behind) = word(rest);
                rest = behind;
                let argument = behind.trim_start().strip_prefix('(');
                match argument {
                    Some(list) if LISTS.contains(&found) => {
                        let (labels, behind) = list.split_once(')').unwrap();
                        named.labels.extend(labels.split(',').map(|label| label.trim().to_owned()));
                        rest = behind;
                    }
                    // A function, or an aggregation with its grouping after it.
                    Some(_) => {}
                    None if KEYWORDS.contains(&found) || is_aggregation(behind) => {}
                    None => drop(named.metrics.insert(found.to_owned())),
                }
            }
            // A number, with its unit or exponent.
            _ if next.is_ascii_digit() => rest = word(rest).1,
            _ => rest = &rest[next.len_utf8()..],
        }
    }
    named
}

/// `sum by (a) (…)`: the part before `by`.
fn is_aggregation(behind: &str) -> bool {
    matches!(word(behind.trim_start()).0, "by" | "without")
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text.split_at(end)
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).unwrap().1
}

fn labels_of(matchers: &str) -> impl Iterator<Item = String> {
    let parts = matchers.split(',').filter(|part| !part.trim().is_empty());
    parts.map(|part| word(part.trim()).0.to_owned())
}

#[test]
fn what_a_query_names_is_found() {
    let query = r#"
        sum by (le, pod) (rate(a_bucket{job=~"x|y", pod!=""}[$__rate_interval]))
          / on (job) group_left () count(b:c) > 1e3 * histogram_quantile(0.99, d offset 5m)
        and deriv(max without (z) (e)[15m:1m]) > 0 unless absent(f == bool 1)"#;
    let named = named(query);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(named.metrics, words("a_bucket b:c d e f"));
    assert_eq!(
        named.labels.into_iter().filter(|label| !label.is_empty()).collect::<BTreeSet<_>>(),
        words("le pod job z")
    );
}
