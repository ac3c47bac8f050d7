//! What the operator may do, and why: the one table, for `operator check`, for the chart and for the documentation.

use serde_json::{Value, json};

/// Something that the operator does to a kind of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core one.
    pub group: &'static str,
    /// The resource, and after a slash its subresource.
    pub resource: &'static str,
    /// What is done, in the words of RBAC.
    pub verbs: &'static [&'static str],
    /// Where.
    pub place: Place,
    /// What for.
    pub why: &'static str,
}

/// Where a right is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In every namespace that is watched.
    Watched,
    /// In the namespace of the Lease.
    Lease,
    /// In the namespace of a Kafka that a pipeline names, where that namespace is not watched itself.
    Kafka,
}

/// Everything that the operator does to the API server, but for [`RIGHTS_ABROAD`].
#[rustfmt::skip]
pub const RIGHTS: &[Right] = &[
    watched("loginpipeline.dev", "loginpipelines", &["get", "list", "watch", "patch"], "to read the specs, and to set and remove the finalizer"),
    watched("loginpipeline.dev", "loginpipelines/status", &["patch"], "to report the status"),
    watched("", "configmaps", &["list", "watch", "create", "patch", "delete"], "to write job configs, and to delete those that no pod needs"),
    watched("", "serviceaccounts", &["get", "list", "watch", "create", "patch"], "an identity for the pods, without rights"),
    watched("apps", "deployments", &["get", "list", "watch", "create", "patch", "delete"], "to run the pods; deleted before the topics, when the spec asks for that"),
    watched("", "services", &["get", "list", "watch", "create", "patch"], "so that Prometheus finds the pods"),
    watched("networking.k8s.io", "networkpolicies", &["get", "list", "watch", "create", "patch", "delete"], "to limit who reaches the pods and whom they reach; deleted when the spec disables it"),
    watched("policy", "poddisruptionbudgets", &["get", "list", "watch", "create", "patch"], "so that a drain evicts one pod at a time"),
    watched("", "pods", &["list"], "to learn why they are not ready, and where to ask for lag and rate"),
    watched("", "secrets", &["get"], "to check those that specs name, and to reach Kafka as the pods do"),
    watched("", "namespaces", &["get"], "to learn whether the namespace of a deleted pipeline is being deleted too"),
    watched("kafka.strimzi.io", "kafkas", &["get", "list", "watch"], "to learn how to reach Kafka"),
    watched("kafka.strimzi.io", "kafkatopics", &["get", "list", "watch", "create", "patch", "delete"], "to create topics with Strimzi; deleted when the spec asks for that"),
    watched("events.k8s.io", "events", &["list", "create", "patch"], "to publish transitions and count repeated ones; the page shows those of a pipeline"),
    Right { group: "coordination.k8s.io", resource: "leases", verbs: &["get", "create", "update"], place: Place::Lease, why: "so that one of several operators leads" },
];

/// What the operator does in the namespace of a Kafka that is not watched, but used from one that is. All of it is allowed
/// there by [`RIGHTS`] too.
pub const RIGHTS_ABROAD: &[Right] = &[
    abroad("kafkas", &["get"], "to learn how to reach Kafka"),
    abroad(
        "kafkatopics",
        &["get", "list", "create", "patch", "delete"],
        "to create the topics of pipelines in other namespaces",
    ),
];

const fn abroad(resource: &'static str, verbs: &'static [&'static str], why: &'static str) -> Right {
    Right { group: crds::strimzi::GROUP, resource, verbs, place: Place::Kafka, why }
}

const fn watched(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { group, resource, verbs, place: Place::Watched, why }
}

/// The rules of a role that allows what is done in a place.
#[must_use]
pub fn rules(place: Place) -> Vec<Value> {
    let rights = RIGHTS.iter().chain(RIGHTS_ABROAD).filter(|right| right.place == place);
    rights
        .map(|right| json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": right.verbs}))
        .collect()
}

/// The table for people, in Markdown.
#[must_use]
pub fn table() -> String {
    let mut table = "| On | May | Why |\n|---|---|---|\n".to_owned();
    for Right { group, resource, verbs, place, why } in RIGHTS {
        let group = if group.is_empty() { "core" } else { group };
        let place = match place {
            Place::Watched => "",
            Place::Lease => ", in the Lease's namespace",
            Place::Kafka => ", in the Kafka's namespace",
        };
        table.push_str(&format!("| `{resource}` ({group}) | {}{place} | {why} |\n", verbs.join(", ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_table() {
        let documentation = include_str!("../../docs/operator.md");
        assert!(documentation.contains(&table()), "docs/operator.md needs:\n{}", table());
    }
}
