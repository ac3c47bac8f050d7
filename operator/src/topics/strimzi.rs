//! Topics as `KafkaTopic` objects, which Strimzi's topic operator carries out, in the namespace of the `Kafka`.
//!
//! An object that is not this pipeline's is referenced: its readiness counts, and it is never changed. Where there is none,
//! the topic may still exist, and Strimzi would take it over and reset every config that the new object does not name. So
//! Kafka is asked before one is made, unless `spec.topics.adopt` allows for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::{
    pipeline::StrimziKafka,
    strimzi::{self, CLUSTER_LABEL, Kafka, KafkaTopic},
    topics::{Role, Topic},
};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;
use tokio::{sync::watch, time::timeout};

use super::{
    Control, KafkaSeen, Listener, NoListener, Seen, State, TopicsError,
    admin::{Access, Admin, Existing},
    catalog::{Catalog, described_topic},
    grant::{ALLOW_ANNOTATION, is_allowed},
    lost::Known,
    obstacle::{Cause, Obstacle},
    readiness::readiness,
    shape,
};
use crate::{
    build::{ADOPTED_ANNOTATION, OWNER_UID_LABEL, kafka_topic, kafka_topic_name},
    kafka_access::Credentials,
    owned::{self, ApplyError, is_owned},
    validate::Valid,
    watching::PAGE,
};

/// What the API server says of Strimzi's resources.
#[derive(Clone, Debug)]
pub enum Strimzi {
    /// Nothing yet: it was not asked, or did not answer.
    Unknown,
    /// It serves none of them.
    NotInstalled,
    /// It serves them.
    Served(StrimziApi),
}

impl Strimzi {
    /// The version that is served, if there is one; none when that is not known.
    #[must_use]
    pub const fn version(&self) -> Option<Option<&'static str>> {
        match self {
            Self::Unknown => None,
            Self::NotInstalled => Some(None),
            Self::Served(api) => Some(Some(api.version)),
        }
    }
}

/// Strimzi's API, as the API server serves it.
#[derive(Clone, Debug)]
pub struct StrimziApi {
    /// Its version.
    pub version: &'static str,
    /// The `KafkaTopic` objects there are, as the watch tells.
    pub catalog: watch::Receiver<Catalog>,
}

/// How long a pass waits for the watch's first list, which is shorter than if each pass made its own.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(10);

/// A pipeline's topics in a cluster that Strimzi runs.
pub struct StrimziTopics<'a> {
    client: &'a Client,
    valid: &'a Valid,
    kafka: &'a StrimziKafka,
    api: &'a StrimziApi,
    /// How clients prove who they are, for the questions that only Kafka can answer.
    credentials: &'a Credentials,
    objects: Vec<KafkaTopic>,
    /// Topics that exist, or may, though this pipeline did not make them.
    adopting: BTreeSet<Role>,
}

impl<'a> StrimziTopics<'a> {
    /// The topics of a pipeline on this Kafka.
    #[must_use]
    pub fn new(
        client: &'a Client,
        valid: &'a Valid,
        kafka: &'a StrimziKafka,
        api: &'a StrimziApi,
        credentials: &'a Credentials,
    ) -> Self {
        let (objects, adopting) = (Vec::new(), BTreeSet::new());
        Self { client, valid, kafka, api, credentials, objects, adopting }
    }

    /// Reads the `Kafka`, and of the `KafkaTopic` objects in its namespace those that concern the pipeline.
    ///
    /// # Errors
    /// When there is no such `Kafka`, it is not for this namespace, or the API server fails.
    pub async fn observe(&mut self, known: Known<'_>) -> Result<KafkaSeen, TopicsError> {
        let namespace = self.valid.kafka_namespace();
        let resource = strimzi::api_resource(self.api.version, "Kafka");
        let kafkas = Api::<Kafka>::namespaced_with(self.client.clone(), namespace, &resource);
        let Some(kafka) = kafkas.get_opt(&self.kafka.cluster).await? else {
            return Err(TopicsError::KafkaNotFound {
                namespace: namespace.to_owned(),
                cluster: self.kafka.cluster.clone(),
            });
        };
        if !is_allowed(&self.valid.id.namespace, namespace, kafka.annotations()) {
            return Err(TopicsError::NamespaceNotAllowed {
                namespace: self.valid.id.namespace.clone(),
                kafka: format!("{namespace}/{}", self.kafka.cluster),
                annotation: ALLOW_ANNOTATION,
            });
        }
        let wanted = self.valid.topics();
        self.objects = self.read(namespace, &wanted).await?;
        let mut topics: Vec<_> = wanted.iter().map(|topic| self.see(topic, known)).collect();
        let listener = listener(self.kafka, &kafka);
        self.adopting.clear();
        if topics.iter().any(|seen| seen.state == State::Missing) {
            self.look_for_missing(&wanted, &mut topics, known, &listener).await;
        }
        Ok(KafkaSeen { listener, topics })
    }

    /// The objects that bear the pipeline's label, that have the name of one of its objects, or describe one of its topics.
    ///
    /// The watch tells which they are, for no selector can, and a namespace may have thousands. Where it does not tell all are
    /// listed. What it did not see in time is no danger: a new object is never forced upon one that is there, and where two
    /// describe one topic, Strimzi says so.
    async fn read(&self, namespace: &str, wanted: &[Topic]) -> Result<Vec<KafkaTopic>, kube::Error> {
        let is_used = |name: &str| wanted.iter().any(|topic| topic.name == name);
        let names: BTreeSet<_> = wanted.iter().map(|topic| kafka_topic_name(&self.valid.id, topic.role)).collect();
        let is_taken = |name: &str| names.contains(name);
        let mut catalog = self.api.catalog.clone();
        // Whether it has told by then, or will never, is seen next.
        let _ = timeout(CATALOG_TIMEOUT, catalog.wait_for(|catalog| !catalog.is_awaited(namespace))).await;
        let concerning = catalog.borrow().concerning(namespace, &self.kafka.cluster, is_used, is_taken);
        // As they are: an odd object of somebody else's must not hide the others.
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), namespace, &self.resource());
        let Some(concerning) = concerning else {
            let concerns = |object: &DynamicObject| is_taken(&object.name_any()) || is_used(&described_topic(object));
            return list(&api, concerns).await;
        };
        let label = format!("{OWNER_UID_LABEL}={}", self.valid.owner.uid);
        let mut objects = api.list(&ListParams::default().labels(&label)).await?.items;
        for name in concerning {
            if !objects.iter().any(|object| object.name_any() == name) {
                objects.extend(api.get_opt(&name).await?);
            }
        }
        Ok(objects.into_iter().filter_map(|object| object.try_parse().ok()).collect())
    }

    /// Makes or updates the topic's object. It is ready when the topic operator has answered.
    ///
    /// # Errors
    /// When the API server refuses or fails.
    pub async fn ensure(&mut self, topic: &Topic, seen: &Seen) -> Result<Seen, ApplyError> {
        let is_missing = seen.state == State::Missing;
        let name = kafka_topic_name(&self.valid.id, topic.role);
        let existing = self.objects.iter().find(|object| object.name_any() == name);
        let may_write = is_missing || (seen.control == Control::Own && existing.is_some());
        if !may_write {
            return Ok(seen.clone());
        }
        let is_adopted = existing.map_or_else(|| self.adopting.contains(&topic.role), is_adopted);
        let desired = kafka_topic(self.valid, &self.kafka.cluster, self.api.version, topic, is_adopted);
        let namespace = self.valid.kafka_namespace();
        let api = Api::<KafkaTopic>::namespaced_with(self.client.clone(), namespace, &self.resource());
        let applied = owned::apply(&api, "KafkaTopic", desired, existing, &self.valid.owner.uid).await?;
        self.objects.retain(|object| object.name_any() != name);
        self.objects.push(applied);
        let now = see(topic, self.valid, &self.kafka.cluster, &self.objects, Timestamp::now());
        // Kafka was asked for the identifier of one that had no object; its topic operator says it later.
        let topic_id = now.topic_id.clone().or_else(|| seen.topic_id.clone());
        Ok(Seen { expected_id: seen.expected_id.clone(), topic_id, ..now })
    }

    /// Deletes the topic's object, if it is this pipeline's, and with it Strimzi deletes the topic.
    ///
    /// # Errors
    /// When the API server refuses or fails.
    pub async fn delete(&self, seen: &Seen) -> Result<(), ApplyError> {
        let name = kafka_topic_name(&self.valid.id, seen.role);
        let is_ours = |object: &&KafkaTopic| object.name_any() == name && is_owned(*object, &self.valid.owner.uid);
        let Some(object) = self.objects.iter().find(is_ours) else { return Ok(()) };
        let namespace = self.valid.kafka_namespace();
        let api = Api::<KafkaTopic>::namespaced_with(self.client.clone(), namespace, &self.resource());
        owned::delete(&api, "KafkaTopic", object).await
    }

    fn see(&self, topic: &Topic, known: Known<'_>) -> Seen {
        let expected_id = known.expected_id(topic).map(ToOwned::to_owned);
        Seen { expected_id, ..see(topic, self.valid, &self.kafka.cluster, &self.objects, Timestamp::now()) }
    }

    /// Finds out what making the missing objects would do.
    async fn look_for_missing(
        &mut self,
        wanted: &[Topic],
        topics: &mut [Seen],
        known: Known<'_>,
        listener: &Result<Listener, NoListener>,
    ) {
        let adopt = self.valid.spec.topics.adopt;
        let missing = |seen: &&mut Seen| seen.state == State::Missing;
        // Where it may be taken over, whether it is there does not matter; but nobody must delete later what may be another's.
        // One that was in use is looked for all the same: it may be lost.
        let (unasked, mut asked): (Vec<_>, Vec<_>) =
            topics.iter_mut().filter(missing).partition(|seen| adopt && seen.expected_id.is_none());
        self.adopting.extend(unasked.iter().map(|seen| seen.role));
        if asked.is_empty() {
            return;
        }
        let found = match listener {
            Ok(listener) => {
                let servers = listener.bootstrap_servers.clone();
                let settings = self.credentials.settings(&listener.certificates);
                let admin = Admin::new(Access { servers, settings });
                let found = admin.existing(asked.iter().map(|seen| seen.name.clone()).collect()).await;
                found.map_err(|error| match error {
                    TopicsError::Unreachable { servers, error } => {
                        format!("no broker answers the operator at {servers} ({error})")
                    }
                    other => other.to_string(),
                })
            }
            Err(unknown) => Err(unknown.to_string()),
        };
        for seen in &mut asked {
            let Some(topic) = wanted.iter().find(|topic| topic.role == seen.role) else { continue };
            if !is_creation(topic, seen, &found, known, adopt) {
                self.adopting.insert(seen.role);
            }
        }
    }

    fn resource(&self) -> ApiResource {
        strimzi::api_resource(self.api.version, "KafkaTopic")
    }
}

/// Lists the objects that concern somebody, in pages: there may be thousands, and many passes at the same time.
async fn list(
    api: &Api<DynamicObject>,
    concerns: impl Fn(&DynamicObject) -> bool,
) -> Result<Vec<KafkaTopic>, kube::Error> {
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = api.list(&params).await?;
        objects.extend(page.items.into_iter().filter(&concerns).filter_map(|object| object.try_parse().ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// Judges what making the object of a topic that has none would do, and says in `seen` why it must not be made, if so. Gives
/// whether the pipeline makes the topic, or made it. Pure.
fn is_creation(
    topic: &Topic,
    seen: &mut Seen,
    found: &Result<BTreeMap<String, Existing>, String>,
    known: Known<'_>,
    adopt: bool,
) -> bool {
    let existing = match found {
        Ok(found) => found.get(&topic.name),
        Err(error) => {
            seen.state = State::Pending(Obstacle::of(
                topic,
                Cause::AdoptionUnknown,
                format!(
                    "it has no KafkaTopic, and whether it exists nobody can tell: {error}. Strimzi would take it over and                      reset its configs: let the operator reach that listener, or allow for it with spec.topics.adopt: true"
                ),
            ));
            return false;
        }
    };
    let Some(existing) = existing else { return true };
    seen.topic_id = Some(existing.id.clone());
    seen.partitions = Some(existing.partitions);
    seen.config.clone_from(&existing.config);
    let changes = shape::takeover(topic, existing);
    if !changes.is_empty() && !adopt {
        seen.state = State::Pending(Obstacle::of(
            topic,
            Cause::AdoptionRequired,
            format!(
                "it exists without a KafkaTopic, and Strimzi would change it when it is given one: {}; make a KafkaTopic for it                  that says what it should be, or allow for the change with spec.topics.adopt: true",
                shape::list(&changes)
            ),
        ));
    }
    known.was_created(topic, Some(&existing.id))
}

/// The listener that the pipeline names, as the `Kafka` publishes it.
fn listener(wanted: &StrimziKafka, kafka: &Kafka) -> Result<Listener, NoListener> {
    let listeners = kafka.status.iter().flat_map(|status| &status.listeners);
    let named = listeners.clone().find(|listener| listener.name.as_deref() == Some(wanted.listener.as_str()));
    let published = named.and_then(|listener| {
        let bootstrap_servers = listener.bootstrap_servers.clone()?;
        Some(Listener { bootstrap_servers, certificates: listener.certificates.clone() })
    });
    published.ok_or_else(|| {
        let names: Vec<_> = listeners.clone().filter_map(|listener| listener.name.as_deref()).collect();
        NoListener {
            cluster: wanted.cluster.clone(),
            listener: wanted.listener.clone(),
            found: if names.is_empty() { "none".to_owned() } else { names.join(", ") },
        }
    })
}

/// What the `KafkaTopic` objects of the Kafka's namespace say about a topic. Pure.
fn see(topic: &Topic, valid: &Valid, cluster: &str, objects: &[KafkaTopic], now: Timestamp) -> Seen {
    let name = kafka_topic_name(&valid.id, topic.role);
    let describes = |object: &KafkaTopic| {
        let of_cluster = object.labels().get(CLUSTER_LABEL).is_some_and(|label| label == cluster);
        of_cluster && object.spec.topic_name.clone().unwrap_or_else(|| object.name_any()) == topic.name
    };
    let ours = |object: &KafkaTopic| object.name_any() == name && is_owned(object, &valid.owner.uid);
    let mut seen = Seen {
        role: topic.role,
        name: topic.name.clone(),
        state: State::Missing,
        partitions: None,
        config: BTreeMap::new(),
        topic_id: None,
        expected_id: None,
        created: false,
        control: Control::Own,
    };
    let own = objects.iter().find(|object| ours(object));
    let Some(object) = own.or_else(|| objects.iter().find(|object| describes(object))) else {
        if objects.iter().any(|object| object.name_any() == name) {
            let why = format!(
                "KafkaTopic {name} exists, is not this pipeline's and describes another topic: rename the pipeline, or \
                 delete the KafkaTopic, and with it Strimzi deletes that topic"
            );
            seen.state = State::Pending(Obstacle::of(topic, Cause::Contested, why));
            seen.control = Control::Theirs;
        }
        return seen;
    };
    seen.state = readiness(topic, object, now);
    seen.partitions = object.spec.partitions;
    seen.config = object.spec.config.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    seen.topic_id = object.status.as_ref().and_then(|status| status.topic_id.clone());
    seen.created = ours(object) && !is_adopted(object);
    seen.control = if ours(object) { Control::Own } else { Control::Theirs };
    seen
}

/// Whether the topic was there before its object, or may have been.
fn is_adopted(object: &KafkaTopic) -> bool {
    object.annotations().contains_key(ADOPTED_ANNOTATION)
}

/// A config's value as Kafka writes it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
