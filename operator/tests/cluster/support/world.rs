//! A separate namespace on an API server, and queries on it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use crds::{
    pipeline::{Condition, ConditionStatus, ConfigStatus, LoginPipeline, TopicStatus},
    strimzi::{KafkaTopic, api_resource},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Namespace, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::{
    kubernetes::{self, ApiServer},
    stand_in::strimzi_definitions,
    unique, wait_for_async,
};

use super::{
    BOUND,
    definitions::{CRD, install},
};

/// A separate namespace on an API server.
pub struct World {
    pub server: &'static ApiServer,
    pub client: Client,
    pub namespace: String,
}

impl World {
    /// On the shared API server, with Strimzi's CRDs.
    pub async fn new() -> Self {
        static READY: OnceLock<()> = OnceLock::new();
        let server = tokio::task::spawn_blocking(|| {
            let server = kubernetes::shared();
            READY.get_or_init(|| {
                install(server, CRD);
                install(server, &strimzi_definitions(&["v1", "v1beta2"]));
            });
            server
        });
        Self::on(server.await.unwrap()).await
    }

    /// On a separate API server, without Strimzi.
    pub async fn bare() -> Self {
        Self::with_definition(CRD).await
    }

    /// The same, with the resource as another version defines it.
    pub async fn with_definition(definition: &'static str) -> Self {
        let world = Self::empty().await;
        tokio::task::block_in_place(|| install(world.server, definition));
        world
    }

    /// The same without the resource.
    pub async fn empty() -> Self {
        let server = tokio::task::spawn_blocking(|| &*Box::leak(Box::new(ApiServer::start().unwrap())));
        Self::on(server.await.unwrap()).await
    }

    /// Installs the resource as this version defines it.
    pub fn upgrade(&self) {
        install(self.server, CRD);
    }

    async fn on(server: &'static ApiServer) -> Self {
        let client = server.client().unwrap();
        let namespace = unique("ns");
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        Self { server, client, namespace }
    }

    /// Runs `kubectl apply` in the namespace. Returns its output.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        self.kubectl(&["apply", "-n", &self.namespace, "-f", "-"], manifest)
    }

    /// Runs `kubectl delete` in the namespace. Returns its output.
    pub fn delete(&self, kind: &str, name: &str) -> Result<String, String> {
        self.kubectl(&["delete", "-n", &self.namespace, kind, name], "")
    }

    /// Deletes what Kubernetes' garbage collector deletes after a pipeline, because a bare API server has no garbage
    /// collector.
    pub fn collect_garbage(&self, pipeline: &str) {
        let kinds = "deployment,configmap,serviceaccount,service,networkpolicy,poddisruptionbudget";
        let label = format!("loginpipeline.dev/pipeline={pipeline}");
        self.kubectl(&["delete", "-n", &self.namespace, kinds, "-l", &label], "").unwrap();
    }

    pub(super) fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let output = self.server.kubectl(arguments, input).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A `Kafka` with two listeners, as Strimzi shows it. The plain one leads to a real Kafka, for the queries that
    /// only Kafka can answer; topics that the stand-in reports do not exist there.
    pub async fn kafka(&self, name: &str) {
        let kafka = tokio::task::spawn_blocking(testkit::kafka::shared).await.unwrap();
        self.kafka_at(name, kafka.bootstrap()).await;
    }

    /// The same with these bootstrap servers.
    pub async fn kafka_at(&self, name: &str, servers: &str) {
        let kafkas = self.dynamic("Kafka");
        let object =
            json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"name": name}, "spec": {}});
        kafkas.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let status = json!({"status": {"listeners": [
            {"name": "tls", "bootstrapServers": "elsewhere:9093", "certificates": ["PEM"]},
            {"name": "plain", "bootstrapServers": servers},
        ]}});
        kafkas.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    pub fn dynamic(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &api_resource("v1", kind))
    }

    pub fn topics(&self) -> Api<KafkaTopic> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &api_resource("v1", "KafkaTopic"))
    }

    /// The `KafkaTopic` of a role of the pipeline `logins`.
    pub async fn topic(&self, role: &str) -> Option<KafkaTopic> {
        self.topics().get_opt(&format!("{}-logins-{role}", self.namespace)).await.unwrap()
    }

    pub fn pipelines(&self) -> Api<LoginPipeline> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn service_accounts(&self) -> Api<ServiceAccount> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn network_policies(&self) -> Api<NetworkPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn pod_disruption_budgets(&self) -> Api<PodDisruptionBudget> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The revision of a pipeline's first config.
    pub async fn first_revision(&self, name: &str) -> u64 {
        let created = self.pipelines().get(name).await.unwrap().creation_timestamp().unwrap();
        created.0.as_second().try_into().unwrap()
    }

    pub async fn config(&self, name: &str) -> ConfigStatus {
        self.pipelines().get(name).await.unwrap().status.unwrap().config.unwrap()
    }

    /// Changes a pipeline's spec.
    pub async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.pipelines().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Accepts, as a person would, the loss of every topic in the status.
    pub async fn accept_losses(&self, name: &str) {
        let status = self.pipelines().get(name).await.unwrap().status.unwrap();
        let entry = |topic: &TopicStatus| format!("{}={}", topic.role, topic.topic_id.as_ref().unwrap());
        let accepted = status.topics.iter().map(entry).collect::<Vec<_>>().join(",");
        let patch =
            Patch::Merge(json!({"metadata": {"annotations": {"loginpipeline.dev/accept-lost-topic": accepted}}}));
        self.pipelines().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A condition of a pipeline.
    pub async fn condition(&self, name: &str, type_: &str) -> Option<Condition> {
        let pipeline = self.pipelines().get(name).await.unwrap();
        pipeline.status?.conditions.into_iter().find(|condition| condition.type_ == type_)
    }

    /// Waits until a condition has this status and reason. Returns it.
    pub async fn wait_condition(&self, name: &str, type_: &str, status: ConditionStatus, reason: &str) -> Condition {
        let last = Mutex::new(None);
        let what = format!("{type_} {status:?} {reason}");
        let wait = wait_for_async(&what, BOUND, || async {
            let condition = self.condition(name, type_).await;
            last.lock().unwrap().clone_from(&condition);
            condition.filter(|condition| condition.status == status && condition.reason == reason)
        });
        tokio::select! {
            condition = wait => condition,
            // Earlier than the time limit, to give more detail.
            () = tokio::time::sleep(BOUND - Duration::from_secs(1)) => {
                panic!("waiting for {type_} {status:?} {reason}, but the last was {:?}", last.lock().unwrap())
            }
        }
    }

    pub async fn wait_ready(&self, name: &str) {
        self.wait_condition(name, "Ready", ConditionStatus::True, "Running").await;
    }

    /// Waits until the Deployment of the pipeline `logins` has this number of desired replicas.
    pub async fn wait_replicas(&self, replicas: i32) {
        let scaled = || async {
            let deployment = self.deployments().get("logins-processor").await.unwrap();
            (deployment.spec.unwrap().replicas == Some(replicas)).then_some(())
        };
        wait_for_async(&format!("{replicas} replicas"), BOUND, scaled).await;
    }

    /// Pipelines in any form.
    pub fn pipelines_as_they_are(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &ApiResource::erase::<LoginPipeline>(&()))
    }

    /// Every object of the namespace that the operator could write, with its resource version.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = self.children().await;
        for object in self.pipelines().list(&ListParams::default()).await.unwrap() {
            versions.insert(format!("LoginPipeline/{}", object.name_any()), object.resource_version().unwrap());
        }
        versions
    }

    /// The same without the pipelines themselves.
    pub async fn children(&self) -> BTreeMap<String, String> {
        let all = ListParams::default();
        let mut versions = BTreeMap::new();
        let mut see = |kind: &str, name: String, version: Option<String>| {
            versions.insert(format!("{kind}/{name}"), version.unwrap());
        };
        for object in self.topics().list(&all).await.unwrap() {
            see("KafkaTopic", object.name_any(), object.resource_version());
        }
        for object in self.deployments().list(&all).await.unwrap() {
            see("Deployment", object.name_any(), object.resource_version());
        }
        for object in self.config_maps().list(&all).await.unwrap() {
            see("ConfigMap", object.name_any(), object.resource_version());
        }
        for object in self.service_accounts().list(&all).await.unwrap() {
            see("ServiceAccount", object.name_any(), object.resource_version());
        }
        for object in self.network_policies().list(&all).await.unwrap() {
            see("NetworkPolicy", object.name_any(), object.resource_version());
        }
        for object in self.pod_disruption_budgets().list(&all).await.unwrap() {
            see("PodDisruptionBudget", object.name_any(), object.resource_version());
        }
        for object in self.services().list(&all).await.unwrap() {
            see("Service", object.name_any(), object.resource_version());
        }
        versions
    }
}
