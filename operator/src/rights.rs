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
    watched("loginpipeline.dev", "loginpipelines", &["get", "list", "watch", "patch"], "to know what is wanted; the finalizer is set and taken off"),
    watched("loginpipeline.dev", "loginpipelines/status", &["patch"], "to report"),
    watched("", "configmaps", &["list", "watch", "create", "patch", "delete"], "job configs; those that no pod needs are deleted"),
    watched("", "serviceaccounts", &["get", "list", "watch", "create", "patch"], "an identity for the pods, without rights"),
    watched("apps", "deployments", &["get", "list", "watch", "create", "patch", "delete"], "the pods; deleted before topics are, when the spec asks for that"),
    watched("", "services", &["get", "list", "watch", "create", "patch"], "where metrics are found"),
    watched("networking.k8s.io", "networkpolicies", &["get", "list", "watch", "create", "patch", "delete"], "who may reach the pods, and whom they may; deleted when the spec says that there is none"),
    watched("policy", "poddisruptionbudgets", &["get", "list", "watch", "create", "patch"], "so that a drained node takes one pod at a time"),
    watched("", "pods", &["list"], "their own words on why they are not ready, and where to ask for lag and rate"),
    watched("", "secrets", &["get"], "those that specs name: whether they are complete, and to reach Kafka as the pods do"),
    watched("", "namespaces", &["get"], "whether the namespace of a pipeline that is deleted goes too"),
    watched("kafka.strimzi.io", "kafkas", &["get", "list", "watch"], "how Kafka is reached"),
    watched("kafka.strimzi.io", "kafkatopics", &["get", "list", "watch", "create", "patch", "delete"], "topics, where Strimzi makes them; deleted when the spec asks for it"),
    watched("events.k8s.io", "events", &["list", "create", "patch"], "to tell of transitions; repeated ones are counted; the page shows those of a pipeline"),
    Right { group: "coordination.k8s.io", resource: "leases", verbs: &["get", "create", "update"], place: Place::Lease, why: "so that of several operators one works" },
];

/// What the operator does in the namespace of a Kafka that is not watched, but used from one that is. All of it is allowed
/// there by [`RIGHTS`] too.
pub const RIGHTS_ABROAD: &[Right] = &[
    abroad("kafkas", &["get"], "how Kafka is reached"),
    abroad("kafkatopics", &["get", "list", "create", "patch", "delete"], "the topics of pipelines of other namespaces"),
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
        let documentation = include_str!("../../docs/operating.md");
        assert!(documentation.contains(&table()), "docs/operating.md needs:\n{}", table());
    }
}
