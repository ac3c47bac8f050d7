//! Which topic each `KafkaTopic` describes, as the watches last reported: of thousands of objects, a pass then reads
//! only the few that concern its pipeline. Pure.

use std::collections::BTreeMap;

use crds::strimzi::CLUSTER_LABEL;
use kube::{ResourceExt, core::DynamicObject, runtime::watcher::Event};
use serde_json::Value;

/// The `KafkaTopic` objects of all watched namespaces.
#[derive(Debug, Default)]
pub struct Catalog {
    /// One part for each watch: of a namespace, or of all (None).
    parts: BTreeMap<Option<String>, Part>,
}

#[derive(Debug, Default)]
struct Part {
    /// None until the first list is complete.
    objects: Option<Objects>,
    /// The objects of the list that is in progress.
    listing: Objects,
}

/// By namespace and name.
type Objects = BTreeMap<String, BTreeMap<String, Described>>;

/// The topic that an object describes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Described {
    cluster: Option<String>,
    topic: String,
}

impl Catalog {
    /// An empty catalog of parts that are watched.
    pub(crate) fn of(parts: &[Option<&str>]) -> Self {
        let parts = parts.iter().map(|part| (part.map(ToOwned::to_owned), Part::default()));
        Self { parts: parts.collect() }
    }

    /// Records an event of the watch of a part.
    pub(crate) fn note(&mut self, part: Option<&str>, event: &Event<DynamicObject>) {
        let part = self.parts.entry(part.map(ToOwned::to_owned)).or_default();
        match event {
            Event::Init => part.listing.clear(),
            Event::InitApply(object) => insert(&mut part.listing, object),
            Event::InitDone => part.objects = Some(std::mem::take(&mut part.listing)),
            Event::Apply(object) => insert(part.objects.get_or_insert_default(), object),
            Event::Delete(object) => {
                let objects = part.objects.get_or_insert_default();
                if let Some(named) = objects.get_mut(&object.namespace().unwrap_or_default()) {
                    named.remove(&object.name_any());
                }
            }
        }
    }

    /// Whether the first list of a namespace is still in progress.
    pub(super) fn is_awaited(&self, namespace: &str) -> bool {
        self.part(namespace).is_some_and(|part| part.objects.is_none())
    }

    /// The names of the objects in a namespace that describe a topic of the cluster that `is_used`, or whose own name
    /// `is_taken`. None if the objects of that namespace are not known.
    pub(super) fn concerning(
        &self,
        namespace: &str,
        cluster: &str,
        is_used: impl Fn(&str) -> bool,
        is_taken: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let objects = self.part(namespace)?.objects.as_ref()?.get(namespace).into_iter().flatten();
        let concerning = objects.filter(|(name, described)| {
            is_taken(name) || (described.cluster.as_deref() == Some(cluster) && is_used(&described.topic))
        });
        Some(concerning.map(|(name, _)| name.clone()).collect())
    }

    fn part(&self, namespace: &str) -> Option<&Part> {
        self.parts.get(&None).or_else(|| self.parts.get(&Some(namespace.to_owned())))
    }
}

fn insert(objects: &mut Objects, object: &DynamicObject) {
    let described = Described { cluster: object.labels().get(CLUSTER_LABEL).cloned(), topic: described_topic(object) };
    objects.entry(object.namespace().unwrap_or_default()).or_default().insert(object.name_any(), described);
}

/// The name, in Kafka, of the topic that a `KafkaTopic` describes.
pub(crate) fn described_topic(object: &DynamicObject) -> String {
    let named = object.data.pointer("/spec/topicName").and_then(Value::as_str);
    named.map_or_else(|| object.name_any(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(namespace: &str, name: &str, cluster: &str, topic: Option<&str>) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "spec": {"topicName": topic},
            "metadata": {"name": name, "namespace": namespace, "labels": {CLUSTER_LABEL: cluster}},
        }))
        .unwrap()
    }

    /// The objects that concern a pipeline on cluster `a` that uses topic `in` and creates object `mine`.
    fn concerning(catalog: &Catalog, namespace: &str) -> Option<Vec<String>> {
        catalog.concerning(namespace, "a", |topic| topic == "in", |name| name == "mine")
    }

    #[test]
    fn objects_are_found_by_name_and_by_the_topic_they_describe() {
        let mut catalog = Catalog::of(&[None]);
        catalog.note(None, &Event::Init);
        for object in [
            object("kafka", "mine", "b", Some("other")),
            object("kafka", "named", "a", Some("in")),
            object("kafka", "in", "a", None),
            object("kafka", "of-another-cluster", "b", Some("in")),
            object("kafka", "of-another-topic", "a", Some("out")),
            object("elsewhere", "in", "a", None),
        ] {
            catalog.note(None, &Event::InitApply(object));
        }

        assert_eq!(concerning(&catalog, "kafka"), None, "the list is not complete");
        assert!(catalog.is_awaited("kafka"), "the list is not complete");

        catalog.note(None, &Event::InitDone);
        assert!(!catalog.is_awaited("kafka"));
        assert_eq!(concerning(&catalog, "kafka").unwrap(), ["in", "mine", "named"]);
        assert_eq!(concerning(&catalog, "elsewhere").unwrap(), ["in"]);
        assert_eq!(concerning(&catalog, "empty").unwrap(), [""; 0]);
    }

    #[test]
    fn the_catalog_follows_its_watches_and_knows_nothing_else() {
        let mut catalog = Catalog::of(&[Some("kafka"), Some("elsewhere")]);
        assert!(catalog.is_awaited("kafka") && !catalog.is_awaited("unwatched"));
        let mut note = |part: &str, event: Event<DynamicObject>, expected: Option<&[&str]>| {
            catalog.note(Some(part), &event);
            let found = concerning(&catalog, "kafka");
            assert_eq!(
                found.as_deref(),
                expected.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref()
            );
        };

        note("elsewhere", Event::Init, None);
        note("elsewhere", Event::InitDone, None);
        note("kafka", Event::Init, None);
        note("kafka", Event::InitDone, Some(&[]));
        note("kafka", Event::Apply(object("kafka", "named", "a", Some("in"))), Some(&["named"]));
        note("kafka", Event::Apply(object("kafka", "named", "a", Some("out"))), Some(&[]));
        note("kafka", Event::Apply(object("kafka", "mine", "a", None)), Some(&["mine"]));

        // A new list takes the place of what was known only once it is complete.
        note("kafka", Event::Init, Some(&["mine"]));
        note("kafka", Event::InitApply(object("kafka", "in", "a", None)), Some(&["mine"]));
        note("kafka", Event::InitDone, Some(&["in"]));
        note("kafka", Event::Delete(object("kafka", "in", "a", None)), Some(&[]));
    }
}
