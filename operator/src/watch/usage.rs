//! Which pipelines an object of Strimzi's concerns. Pure.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crds::{
    strimzi::CLUSTER_LABEL,
    topics::{PipelineId, topics},
};
use kube::{Resource, ResourceExt, core::DynamicObject, runtime::reflector::ObjectRef};

use crate::{build::kafka_topic_name, resource::Guarded, topics::catalog::described_topic};

/// An object that came, changed or went: its namespace, and what pipelines may use of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Touch {
    namespace: String,
    uses: Vec<Use>,
}

/// What a pipeline uses in the namespace of its `Kafka`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Kafka(String),
    Topic {
        cluster: String,
        topic: String,
    },
    /// The name of a `KafkaTopic` that is the pipeline's, or should be, whatever the object describes.
    Name(String),
}

impl Touch {
    /// A `Kafka` that came, changed or went.
    pub(super) fn of_kafka(kafka: &DynamicObject) -> Self {
        Self { namespace: kafka.namespace().unwrap_or_default(), uses: vec![Use::Kafka(kafka.name_any())] }
    }

    /// A `KafkaTopic` that came, changed or went.
    pub(super) fn of_topic(object: &DynamicObject) -> Self {
        let cluster = object.labels().get(CLUSTER_LABEL).cloned();
        let described = cluster.map(|cluster| Use::Topic { cluster, topic: described_topic(object) });
        let uses = described.into_iter().chain([Use::Name(object.name_any())]).collect();
        Self { namespace: object.namespace().unwrap_or_default(), uses }
    }
}

/// Which pipelines, of whichever namespace, use what.
#[derive(Default)]
pub(super) struct UsageIndex {
    /// The UIDs of the pipelines and the generations of their specs that the index was made from.
    specs: Vec<(Option<String>, Option<i64>)>,
    users: BTreeMap<(String, Use), Vec<ObjectRef<Guarded>>>,
}

impl UsageIndex {
    /// Makes the index anew, if a pipeline came, went or has another spec.
    pub(super) fn update(&mut self, pipelines: &[Arc<Guarded>]) {
        let spec = |pipeline: &Arc<Guarded>| (pipeline.meta().uid.clone(), pipeline.meta().generation);
        let specs: Vec<_> = pipelines.iter().map(spec).collect();
        if specs == self.specs {
            return;
        }
        self.specs = specs;
        self.users.clear();
        for pipeline in pipelines {
            for used in uses(pipeline) {
                self.users.entry(used).or_default().push(ObjectRef::from_obj(&**pipeline));
            }
        }
    }

    /// The pipelines that use any of these objects, each once.
    pub(super) fn of(&self, touched: &[Touch]) -> Vec<ObjectRef<Guarded>> {
        let users = |touch: &Touch| {
            let used = touch.uses.iter().filter_map(|used| self.users.get(&(touch.namespace.clone(), used.clone())));
            used.flatten().cloned().collect::<Vec<_>>()
        };
        let users: HashSet<_> = touched.iter().flat_map(users).collect();
        users.into_iter().collect()
    }
}

/// What a pipeline uses, and in which namespace.
fn uses(pipeline: &Guarded) -> Vec<(String, Use)> {
    let Ok(pipeline) = &pipeline.0 else { return Vec::new() };
    let Some(strimzi) = &pipeline.spec.kafka.strimzi else { return Vec::new() };
    let id = PipelineId { namespace: pipeline.namespace().unwrap_or_default(), name: pipeline.name_any() };
    let cluster = &strimzi.cluster;
    let topics = topics(&id, &pipeline.spec).into_iter().flat_map(|topic| {
        let name = Use::Name(kafka_topic_name(&id, topic.role));
        [Use::Topic { cluster: cluster.clone(), topic: topic.name }, name]
    });
    let namespace = strimzi.namespace.as_ref().unwrap_or(&id.namespace);
    [Use::Kafka(cluster.clone())].into_iter().chain(topics).map(|used| (namespace.clone(), used)).collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::{Value, json};

    use super::*;

    /// The names of the pipelines that an object of Strimzi's in this namespace concerns.
    fn concerned_by(kind: &str, namespace: &str, name: &str, spec: &Value) -> Vec<String> {
        let (pipelines, mut writer) = reflector::store();
        for (name, kafka) in [
            ("own", json!({"cluster": "a"})),
            ("elsewhere", json!({"cluster": "a", "namespace": "kafka"})),
            ("other", json!({"cluster": "b", "namespace": "kafka"})),
        ] {
            let pipeline = json!({
                "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
                "metadata": {"name": name, "namespace": "streams"}, "spec": {"kafka": {"strimzi": kafka}},
            });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(pipeline).unwrap()));
        }
        let object = json!({
            "apiVersion": "kafka.strimzi.io/v1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "labels": {"strimzi.io/cluster": "a"}},
        });
        let object = serde_json::from_value(object).unwrap();
        let touch = if kind == "Kafka" { Touch::of_kafka(&object) } else { Touch::of_topic(&object) };
        let mut users = UsageIndex::default();
        users.update(&pipelines.state());
        users.of(&[touch.clone(), touch]).into_iter().map(|pipeline| pipeline.name).collect()
    }

    #[test]
    fn objects_map_to_pipelines_of_their_kafka_in_any_namespace() {
        assert_eq!(concerned_by("Kafka", "streams", "a", &json!({})), ["own"]);
        assert_eq!(concerned_by("Kafka", "kafka", "a", &json!({})), ["elsewhere"]);
        assert_eq!(concerned_by("Kafka", "others", "a", &json!({})), [""; 0]);
        let named = json!({"topicName": "user-login"});
        assert_eq!(concerned_by("KafkaTopic", "kafka", "theirs", &named), ["elsewhere"]);
        assert_eq!(concerned_by("KafkaTopic", "kafka", "user-login", &json!({})), ["elsewhere"]);
        // Whatever it describes, it has the name of one of ours.
        assert_eq!(concerned_by("KafkaTopic", "kafka", "streams-other-source", &json!({})), ["other"]);
        assert_eq!(concerned_by("KafkaTopic", "streams", "streams-other-source", &json!({})), [""; 0]);
    }

    #[test]
    fn users_are_those_of_the_specs_of_now() {
        let pipeline = |cluster: &str, generation: i64| -> Arc<Guarded> {
            let pipeline = json!({
                "metadata": {"name": "a", "namespace": "streams", "uid": "1", "generation": generation},
                "spec": {"kafka": {"strimzi": {"cluster": cluster}}},
            });
            Arc::new(serde_json::from_value(pipeline).unwrap())
        };
        let touch = Touch { namespace: "streams".to_owned(), uses: vec![Use::Kafka("b".to_owned())] };
        let mut users = UsageIndex::default();
        let mut found = |pipelines: &[Arc<Guarded>]| {
            users.update(pipelines);
            users.of(std::slice::from_ref(&touch)).len()
        };

        assert_eq!(found(&[pipeline("a", 1)]), 0);
        assert_eq!(found(&[pipeline("b", 2)]), 1);
        assert_eq!(found(&[]), 0);
    }
}
