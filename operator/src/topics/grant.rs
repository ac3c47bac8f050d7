//! Which namespaces may use a Kafka of another namespace: what its owner wrote on it. Pure.

use std::collections::BTreeMap;

/// The annotation of a `Kafka` that names the namespaces whose pipelines may have topics in it, separated by commas; `*`
/// stands for all. Pipelines of its own namespace need none.
pub const ALLOW_ANNOTATION: &str = "loginpipeline.dev/allow-namespaces";

/// Whether a pipeline of this namespace may use the `Kafka` that has these annotations and is in that namespace.
#[must_use]
pub fn is_allowed(namespace: &str, kafka_namespace: &str, annotations: &BTreeMap<String, String>) -> bool {
    let granted = annotations.get(ALLOW_ANNOTATION).map(String::as_str).unwrap_or_default();
    namespace == kafka_namespace || granted.split(',').map(str::trim).any(|entry| entry == "*" || entry == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_namespace_needs_to_be_named() {
        let allowed = |granted: Option<&str>| {
            let annotations = granted.map(|granted| (ALLOW_ANNOTATION.to_owned(), granted.to_owned()));
            is_allowed("teams", "kafka", &annotations.into_iter().collect())
        };
        assert!(is_allowed("kafka", "kafka", &BTreeMap::new()));
        for granted in ["teams", "*", "others, teams", "teams,others", " teams "] {
            assert!(allowed(Some(granted)), "{granted}");
        }
        assert!(!allowed(None));
        for refused in ["", "others", "team", "teams2", "teams-a", "kafka", "team*"] {
            assert!(!allowed(Some(refused)), "{refused}");
        }
    }
}
