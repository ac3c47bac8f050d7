//! An API server with the CRDs, a namespace of one's own, the operator as a process, and who answers it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
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
    process::{Folder, Process, Program},
    stand_in::strimzi_definitions,
    unique, wait_for, wait_for_async,
};

use crate::fates::{Deployments, Fate, Fates};

/// For anything that the operator does.
pub const BOUND: Duration = Duration::from_secs(60);

/// The manifest of the README.
pub const EXAMPLE: &str = include_str!("../../../examples/pipeline.yaml");

const CRD: &str = include_str!("../../../crds/login-pipeline.yaml");

/// A namespace of one's own on an API server.
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

    /// On an API server of one's own, without Strimzi.
    pub async fn bare() -> Self {
        Self::with_definition(CRD).await
    }

    /// The same with the resource as another version defined it.
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

    /// `kubectl apply`, in the namespace. Gives what it says.
    pub fn apply(&self, manifest: &str) -> Result<String, String> {
        self.kubectl(&["apply", "-n", &self.namespace, "-f", "-"], manifest)
    }

    /// `kubectl delete`, in the namespace. Gives what it says.
    pub fn delete(&self, kind: &str, name: &str) -> Result<String, String> {
        self.kubectl(&["delete", "-n", &self.namespace, kind, name], "")
    }

    /// Deletes what Kubernetes' garbage collector takes when a pipeline is gone, which an API server alone has not.
    pub fn collect_garbage(&self, pipeline: &str) {
        let kinds = "deployment,configmap,serviceaccount,service,networkpolicy,poddisruptionbudget";
        let label = format!("loginpipeline.dev/pipeline={pipeline}");
        self.kubectl(&["delete", "-n", &self.namespace, kinds, "-l", &label], "").unwrap();
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let output = self.server.kubectl(arguments, input).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A `Kafka` with two listeners, as Strimzi shows it. Behind the plain one is a real Kafka, for the questions that only
    /// Kafka answers; what the stand-in says was made is not there.
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

    /// The job config in use.
    pub async fn config(&self, name: &str) -> ConfigStatus {
        self.pipelines().get(name).await.unwrap().status.unwrap().config.unwrap()
    }

    /// Changes a pipeline's spec.
    pub async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.pipelines().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Accepts, as a person would, that every topic that the status knows is lost.
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

    /// Waits until a condition has this status and reason. Gives it.
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
            // Sooner than the bound, to say more.
            () = tokio::time::sleep(BOUND - Duration::from_secs(1)) => {
                panic!("waiting for {type_} {status:?} {reason}, but the last was {:?}", last.lock().unwrap())
            }
        }
    }

    /// Waits until a pipeline is Ready.
    pub async fn wait_ready(&self, name: &str) {
        self.wait_condition(name, "Ready", ConditionStatus::True, "Running").await;
    }

    /// Waits until the Deployment of the pipeline `logins` is asked for this many replicas.
    pub async fn wait_replicas(&self, replicas: i32) {
        let scaled = || async {
            let deployment = self.deployments().get("logins-processor").await.unwrap();
            (deployment.spec.unwrap().replicas == Some(replicas)).then_some(())
        };
        wait_for_async(&format!("{replicas} replicas"), BOUND, scaled).await;
    }

    /// Pipelines, whatever their shape.
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

fn install(server: &ApiServer, manifest: &str) {
    let output = server.kubectl(&["apply", "--server-side", "-f", "-"], manifest).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let arguments = ["wait", "--for=condition=Established", "--timeout=30s", "-f", "-"];
    // One that was made this moment has no conditions yet, on which kubectl gives up.
    wait_for("the definitions", BOUND, || server.kubectl(&arguments, manifest).unwrap().status.success().then_some(()));
}

impl World {
    /// Installs Strimzi's CRDs in these versions, the first one stored.
    pub fn install_strimzi(&self, versions: &[&str]) {
        install(self.server, &strimzi_definitions(versions));
    }
}

/// The operator as a process.
pub struct Operator {
    pub process: Process,
    address: String,
    _folder: Folder,
}

impl Operator {
    /// Starts it for the namespace, and waits until it is ready.
    pub async fn start(world: &World) -> Self {
        Self::start_with(world, world.server.kubeconfig(), &["--leader-election=false"]).await
    }

    /// Starts it for the namespace as the user of a kubeconfig, with more arguments, and waits until it is ready.
    pub async fn start_with(world: &World, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let operator = Self::start_unready(world, kubeconfig, arguments).await;
        let ready = || async { operator.get("/readyz").starts_with("HTTP/1.1 200").then_some(()) };
        wait_for_async("the operator's readiness", BOUND, ready).await;
        operator
    }

    /// The same, but returns when it serves.
    pub async fn start_unready(world: &World, kubeconfig: &Path, arguments: &[&str]) -> Self {
        let kubeconfig = kubeconfig.to_owned();
        let mut all = vec!["run", "--listen", "127.0.0.1:0", "--log-format", "json"];
        if !arguments.contains(&"--watch-namespaces") {
            all.extend(["--watch-namespaces", &world.namespace]);
        }
        all.extend(arguments);
        let arguments: Vec<_> = all.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || Self::launch(&kubeconfig, &arguments, &[])).await.unwrap()
    }

    /// Starts it with these arguments and variables, and no others, and returns when it serves. It must log JSON.
    pub fn launch(kubeconfig: &Path, arguments: &[String], variables: &[(String, String)]) -> Self {
        let folder = Folder::new("operator").unwrap();
        let program = Program::new("operator", env!("CARGO_BIN_EXE_operator")).args(arguments);
        let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
        let process = program.env("KUBECONFIG", kubeconfig).spawn(&folder).unwrap();
        let mut operator = Self { process, address: String::new(), _folder: folder };
        operator.address = wait_for("the operator's address", BOUND, || {
            let log = operator.process.log();
            let started = log.lines().find(|line| line.contains("\"message\":\"started\""))?;
            let line: Value = serde_json::from_str(started).ok()?;
            Some(line["fields"]["listen"].as_str()?.to_owned())
        });
        operator
    }

    /// The answer to a GET, head and all.
    pub fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        let mut exchange = || -> std::io::Result<()> {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n")?;
            stream.read_to_string(&mut answer)?;
            Ok(())
        };
        exchange().unwrap_or_else(|error| panic!("GET {path}: {error}; the operator's log:\n{}", self.process.log()));
        answer
    }

    /// A metric's value; 0 when it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Passes so far.
    pub fn passes(&self) -> f64 {
        self.metric("login_pipeline_operator_reconciliations_total")
    }

    /// Waits until the operator has nothing to do: what it notices then, it notices by itself.
    pub async fn quiet(&self) {
        const QUIET: Duration = Duration::from_millis(500);
        let mut last = (self.passes(), Instant::now());
        let still = || {
            let passes = self.passes();
            if passes > last.0 {
                last = (passes, Instant::now());
            }
            let is_quiet = last.1.elapsed() > QUIET;
            async move { is_quiet.then_some(()) }
        };
        wait_for_async("a quiet operator", BOUND, still).await;
    }

    /// Makes the operator look at a pipeline this many times, one after the other.
    pub async fn look(&self, world: &World, pipeline: &str, times: usize) {
        for _ in 0..times {
            let before = self.passes();
            let patch = Patch::Merge(json!({"metadata": {"annotations": {"test/look": unique("look")}}}));
            world.pipelines().patch(pipeline, &PatchParams::default(), &patch).await.unwrap();
            wait_for_async("a pass", BOUND, || async { (self.passes() > before).then_some(()) }).await;
        }
    }
}

/// How a part of the cluster answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// As it should.
    #[default]
    Well,
    /// It does not.
    Never,
    /// That it failed.
    Badly,
}

/// Plays the topic operator and the Deployment controller in a namespace, until it is dropped.
pub struct StandIn {
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    fates: Fates,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl StandIn {
    /// Starts it; `answers` says how objects whose name ends so are answered: the longest end counts, others are answered
    /// well.
    pub fn start(world: &World, answers: &[(&str, Answer)]) -> Self {
        let answers: BTreeMap<_, _> = answers.iter().map(|(name, answer)| ((*name).to_owned(), *answer)).collect();
        let answers = Arc::new(Mutex::new(answers));
        let fates = Fates::default();
        let (topics, deployments, shared) = (world.topics(), Deployments::of(world, &fates), answers.clone());
        let task = tokio::spawn(async move {
            loop {
                let answer = |name: &str| {
                    let answers = shared.lock().unwrap();
                    let longest =
                        answers.iter().filter(|(end, _)| name.ends_with(*end)).max_by_key(|(end, _)| end.len());
                    longest.map_or(Answer::Well, |(_, answer)| *answer)
                };
                answer_topics(&topics, answer).await;
                deployments.answer(answer).await;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        Self { answers, fates, task }
    }

    /// From now on, objects whose name ends so are answered so.
    pub fn answer(&self, name: &str, answer: Answer) {
        self.answers.lock().unwrap().insert(name.to_owned(), answer);
    }

    /// From now on, pods in whose template or job config this text stands meet this fate; without one they become ready.
    pub fn fate(&self, text: &str, fate: Option<Fate>) {
        let mut fates = self.fates.lock().unwrap();
        match fate {
            Some(fate) => fates.insert(text.to_owned(), fate),
            None => fates.remove(text),
        };
    }
}

async fn answer_topics(topics: &Api<KafkaTopic>, answer: impl Fn(&str) -> Answer) {
    // Strimzi may not be installed (yet).
    let Ok(list) = topics.list(&ListParams::default()).await else { return };
    for topic in list {
        let ready = match answer(&topic.name_any()) {
            Answer::Never => continue,
            Answer::Well => json!({"type": "Ready", "status": "True"}),
            Answer::Badly => {
                json!({"type": "Ready", "status": "False", "reason": "NotSupported", "message": "Decreasing partitions not supported"})
            }
        };
        let status = json!({
            "observedGeneration": topic.metadata.generation,
            "conditions": [ready],
            "topicName": topic.spec.topic_name,
            "topicId": format!("id-{}", topic.uid().unwrap()),
        });
        if serde_json::to_value(&topic.status).unwrap() != status {
            // It may have been deleted meanwhile.
            let patch = Patch::Merge(json!({"status": status}));
            let _ = topics.patch_status(&topic.name_any(), &PatchParams::default(), &patch).await;
        }
    }
}

/// A user of the API server who may do only what is bound to him.
pub struct User {
    pub kubeconfig: PathBuf,
    /// His name in a binding.
    subject: Value,
    _folder: Folder,
}

impl World {
    /// A user without rights.
    pub fn user(&self) -> User {
        let name = unique("user");
        self.kubectl(&["create", "serviceaccount", &name, "-n", &self.namespace], "").unwrap();
        self.account(&self.namespace, &name)
    }

    /// The user that a ServiceAccount is.
    pub fn account(&self, namespace: &str, name: &str) -> User {
        let token = self.kubectl(&["create", "token", name, "-n", namespace], "").unwrap();
        let folder = Folder::new("user").unwrap();
        let admin = std::fs::read_to_string(self.server.kubeconfig()).unwrap();
        let mut kubeconfig: Value = serde_yaml::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"]["token"] = json!(token.trim());
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
        User { kubeconfig: path, subject, _folder: folder }
    }

    /// Lets a user do what these rules allow, in this world's namespace. Gives the binding's name.
    pub fn allow(&self, user: &User, rules: &[Value]) -> String {
        let name = unique("role");
        let metadata = json!({"name": name});
        let version = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": rules});
        let binding = json!({
            "apiVersion": version, "kind": "RoleBinding", "metadata": metadata, "subjects": [user.subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        });
        self.apply(&format!("{role}\n---\n{binding}")).unwrap();
        name
    }
}
