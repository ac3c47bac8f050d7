//! Reads the `Kafka` and the `KafkaTopic` objects that concern a pipeline, and asks Kafka about topics without an
//! object. I/O only: what to ask and what the answers mean is decided by [`Judge`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::{
    pipeline::StrimziKafka,
    strimzi::{self, Kafka, KafkaTopic},
    topics::Topic,
};
use jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    core::{ApiResource, DynamicObject},
};
use tokio::time::timeout;

use super::{
    api::StrimziApi,
    judge::Judge,
    snapshot::{Snapshot, listener},
    write::StrimziWriter,
};
use crate::{
    build::{OWNER_UID_LABEL, kafka_topic_name},
    kafka_access::Credentials,
    pace::PAGE,
    topics::{
        admin::{Access, Admin},
        catalog::described_topic,
        error::TopicsError,
        lost::Known,
        policy::{Policy, check_grant},
        seen::{KafkaSeen, Listener},
        shape::Existing,
    },
    validate::Valid,
};

/// How long a pass waits for the watch's first list. Waiting takes less time than a list of the pass's own.
const CATALOG_TIMEOUT: Duration = Duration::from_secs(10);

/// A pipeline's topics in a Kafka that Strimzi runs.
pub struct StrimziTopics<'a> {
    pub(in crate::topics) client: &'a Client,
    pub(in crate::topics) valid: &'a Valid,
    pub(in crate::topics) kafka: &'a StrimziKafka,
    pub(in crate::topics) api: &'a StrimziApi,
    /// For the questions that only Kafka itself can answer.
    pub(in crate::topics) credentials: &'a Credentials,
}

impl<'a> StrimziTopics<'a> {
    /// Observes the topics. Only what is returned can change them.
    ///
    /// # Errors
    /// When there is no such `Kafka`, it is not for this namespace, or the API server fails.
    pub(in crate::topics) async fn observe(
        self,
        known: Known<'a>,
    ) -> Result<(KafkaSeen, StrimziWriter<'a>), TopicsError> {
        let Self { client, valid, kafka, api, .. } = self;
        let judge = Judge { valid, cluster: &kafka.cluster, known, policy: Policy::of(valid) };
        let snapshot = self.snapshot(&judge).await?;
        let (mut topics, mut actions) = (Vec::new(), BTreeMap::new());
        for judged in judge.judge(&snapshot) {
            actions.insert(judged.seen.role, judged.action);
            topics.push(judged.seen);
        }
        let writer = StrimziWriter { client, version: api.version, judge, actions };
        Ok((KafkaSeen { listener: snapshot.listener, topics }, writer))
    }

    async fn snapshot(&self, judge: &Judge<'_>) -> Result<Snapshot, TopicsError> {
        let kafka = self.read_kafka().await?;
        check_grant(self.valid, &self.kafka.cluster, kafka.annotations())?;
        let objects = self.read_objects().await?;
        let at = Timestamp::now();
        let listener = listener(self.kafka, &kafka);
        let questions = judge.questions(&objects, at);
        let existing = match &listener {
            _ if questions.is_empty() => Ok(BTreeMap::new()),
            Ok(listener) => self.ask(listener, questions).await,
            Err(unknown) => Err(unknown.to_string()),
        };
        Ok(Snapshot { listener, objects, at, existing })
    }

    async fn read_kafka(&self) -> Result<Kafka, TopicsError> {
        let namespace = self.valid.kafka_namespace();
        let resource = strimzi::api_resource(self.api.version, "Kafka");
        let kafkas = Api::<Kafka>::namespaced_with(self.client.clone(), namespace, &resource);
        kafkas.get_opt(&self.kafka.cluster).await?.ok_or_else(|| TopicsError::KafkaNotFound {
            namespace: namespace.to_owned(),
            cluster: self.kafka.cluster.clone(),
        })
    }

    /// The objects that have the pipeline's label, that have the name of one of its objects, or that describe one of
    /// its topics.
    ///
    /// No selector can find them all, and a namespace may have thousands, so the watch's catalog names them. Where it
    /// cannot, all objects are listed. A catalog that is behind does no harm: a new object never overwrites an existing
    /// one, and Strimzi reports two objects that describe one topic.
    async fn read_objects(&self) -> Result<Vec<KafkaTopic>, kube::Error> {
        let (namespace, wanted) = (self.valid.kafka_namespace(), self.valid.topics());
        let is_used = |name: &str| wanted.iter().any(|topic| topic.name == name);
        let names: BTreeSet<_> =
            wanted.iter().map(|Topic { role, .. }| kafka_topic_name(&self.valid.id, *role)).collect();
        let is_taken = |name: &str| names.contains(name);
        let mut catalog = self.api.catalog.clone();
        // A time-out and a closed channel are handled below: the catalog names no objects then.
        let _ = timeout(CATALOG_TIMEOUT, catalog.wait_for(|catalog| !catalog.is_awaited(namespace))).await;
        let concerning = catalog.borrow().concerning(namespace, &self.kafka.cluster, is_used, is_taken);
        // Objects are read untyped: one that cannot be parsed must not hide the others.
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

    /// Asks Kafka which of these topics exist.
    async fn ask(&self, listener: &Listener, names: Vec<String>) -> Result<BTreeMap<String, Existing>, String> {
        let servers = listener.bootstrap_servers.clone();
        let settings = self.credentials.settings(&listener.certificates);
        let found = Admin::new(Access { servers, settings }).existing(names).await;
        found.map_err(|error| match error {
            TopicsError::Unreachable { servers, error } => {
                format!("no broker answers the operator at {servers} ({error})")
            }
            other => other.to_string(),
        })
    }

    fn resource(&self) -> ApiResource {
        strimzi::api_resource(self.api.version, "KafkaTopic")
    }
}

/// Lists the objects that concern a pipeline, in pages: there may be thousands, and many passes run at the same time.
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
