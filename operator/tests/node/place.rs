//! A namespace of the cluster, with its own Kafka and a stand-in for the topic operator.

use std::{
    path::PathBuf,
    process::Output,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use crds::{
    pipeline::{ConditionStatus, LoginPipeline},
    strimzi::api_resource,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use testkit::{
    kafka::{Cluster, Isolation},
    process::{Folder, Process, Program},
    stand_in::{StandIn, strimzi_definitions, topic_operator},
    target::{self, Target},
    unique, wait_for_async,
};
use tokio::sync::{Mutex, MutexGuard};

/// The time limit for a change to take effect, on a busy machine.
pub const BOUND: Duration = Duration::from_secs(120);

/// The operator's namespace.
pub const OPERATOR: &str = "login-pipeline";

/// The operator's Helm release.
pub const RELEASE: &str = "login-pipeline-operator";

/// A second tag of the operator's image, as if it were the next version.
pub const NEXT: &str = "next";

/// The cluster, with the operator installed as the README says.
fn installed() -> &'static Target {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    let target = target::shared();
    INSTALLED.get_or_init(|| {
        if let Some(node) = target.node() {
            for image in ["operator", "processor"] {
                node.load(&build(&format!("images/{image}.tar"))).unwrap();
            }
            let version = env!("CARGO_PKG_VERSION");
            let operator = "login-pipeline-operator";
            node.tag(&format!("{operator}:{version}"), &format!("{operator}:{NEXT}")).unwrap();
        }
        let strimzi = strimzi_definitions(&["v1", "v1beta2"]);
        success(target.kubectl(&["apply", "--server-side", "-f", "-"], &strimzi).unwrap());
        // An earlier run may have left a release on an existing cluster.
        let _ = target.helm(&["uninstall", RELEASE, "--namespace", OPERATOR, "--wait"]).unwrap();
        install(target);
    });
    target
}

pub fn install(target: &Target) {
    let chart = chart();
    let install = ["install", RELEASE, chart, "--namespace", OPERATOR, "--create-namespace", "--wait"];
    success(target.helm(&install).unwrap());
}

/// The chart of the operator.
pub fn chart() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/login-pipeline-operator")
}

/// A folder of the build that this test belongs to: `debug/deps/node-…`.
fn build(path: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(3).unwrap().join(path)
}

fn success(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Only one place at a time uses the cluster.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A namespace for the pipeline `logins`.
pub struct Place {
    pub target: &'static Target,
    pub namespace: String,
    pub client: Client,
    pub kafka: Arc<Cluster>,
    topic_operator: Option<StandIn>,
    folder: Folder,
    /// `None` for a neighbour.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Place {
    /// With a Kafka resource named `my-cluster`, which points to a real Kafka.
    pub async fn new() -> Self {
        Self::named(unique("shop")).await
    }

    /// The same, in a namespace with this name.
    pub async fn named(namespace: String) -> Self {
        let mut place = Self::of(namespace, |host| Cluster::start_on(host).unwrap()).await;
        let answer = topic_operator(Arc::clone(&place.kafka), place.namespace.clone());
        let topics = api_resource("v1", "KafkaTopic");
        place.topic_operator = Some(StandIn::start(place.client.clone(), topics, answer));
        let resource = json!({"apiVersion": "kafka.strimzi.io/v1", "kind": "Kafka", "metadata": {"name": "my-cluster"}, "spec": {}});
        place.kubectl(&["create", "-f", "-"], &resource.to_string());
        let status = json!({"status": {"listeners": [{"name": "plain", "bootstrapServers": place.kafka.bootstrap()}]}});
        let shown = ["patch", "kafka", "my-cluster", "--subresource=status", "--type=merge", "-p", &status.to_string()];
        place.kubectl(&shown, "");
        place
    }

    /// With a Kafka that has no resource in the cluster, started on the address that pods reach.
    pub async fn beside(kafka: impl FnOnce(&'static str) -> Cluster) -> Self {
        Self::of(unique("shop"), kafka).await
    }

    async fn of(namespace: String, kafka: impl FnOnce(&'static str) -> Cluster) -> Self {
        let alone = ALONE.lock().await;
        let target = tokio::task::block_in_place(installed);
        let kafka = Arc::new(tokio::task::block_in_place(|| kafka(target.address())));
        success(target.kubectl(&["create", "namespace", &namespace], "").unwrap());
        let (client, folder) = (target.client().await.unwrap(), Folder::new("place").unwrap());
        Self { target, namespace, client, kafka, topic_operator: None, folder, _alone: Some(alone) }
    }

    /// Another namespace, with the same Kafka.
    pub fn neighbour(&self) -> Self {
        let namespace = unique("team");
        success(self.target.kubectl(&["create", "namespace", &namespace], "").unwrap());
        let (client, kafka, folder) = (self.client.clone(), Arc::clone(&self.kafka), Folder::new("place").unwrap());
        Self { target: self.target, namespace, client, kafka, topic_operator: None, folder, _alone: None }
    }

    /// Runs kubectl in the namespace. Returns its output.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        success(self.target.kubectl(&[&["--namespace", &self.namespace], arguments].concat(), input).unwrap())
    }

    /// Runs `kubectl apply` on the README's manifest, unchanged.
    pub fn apply_example(&self) {
        self.kubectl(&["apply", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipeline.yaml")], "");
    }

    pub fn change(&self, spec: &Value) {
        let patch = json!({"spec": spec}).to_string();
        self.kubectl(&["patch", "loginpipeline", "logins", "--type=merge", "-p", &patch], "");
    }

    pub async fn pipeline(&self) -> LoginPipeline {
        Api::namespaced(self.client.clone(), &self.namespace).get("logins").await.unwrap()
    }

    pub async fn deployment(&self) -> Deployment {
        Api::namespaced(self.client.clone(), &self.namespace).get("logins-processor").await.unwrap()
    }

    /// The replicas' pods, including terminating ones.
    pub async fn pods(&self) -> Vec<Pod> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.namespace);
        let ours = ListParams::default().labels("loginpipeline.dev/pipeline=logins");
        pods.list(&ours).await.unwrap().items
    }

    pub async fn pod_names(&self) -> Vec<String> {
        self.pods().await.iter().map(ResourceExt::name_any).collect()
    }

    /// The images that the pods run.
    pub async fn images(&self) -> Vec<Option<String>> {
        let image = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.clone();
        self.pods().await.iter().map(image).collect()
    }

    /// Waits until a condition of the pipeline, for its current generation, has this status and reason.
    pub async fn wait_condition(&self, type_: &str, status: ConditionStatus, reason: &str) {
        let what = format!("{type_} {status:?} {reason}");
        let says = || async {
            let pipeline = self.pipeline().await;
            let reported = pipeline.status?;
            let condition = reported.conditions.into_iter().find(|condition| condition.type_ == type_)?;
            let is_present = reported.observed_generation == pipeline.metadata.generation;
            (is_present && condition.status == status && condition.reason == reason).then_some(())
        };
        wait_for_async(&what, BOUND, says).await;
    }

    /// Waits until the pipeline is Ready for its current spec, with exactly the number of pods that it needs.
    pub async fn settle(&self) {
        self.wait_condition("Ready", ConditionStatus::True, "Running").await;
        self.all_pods_ready().await;
    }

    /// Waits until exactly the desired pods exist, all Ready and of the Deployment's current template.
    pub async fn all_pods_ready(&self) {
        let settled = || async {
            let deployment = self.deployment().await;
            let (wanted, status) = (deployment.spec?.replicas?, deployment.status?);
            let counted = [status.replicas, status.updated_replicas, status.ready_replicas];
            let is_present = status.observed_generation == deployment.metadata.generation;
            let pods = i32::try_from(self.pods().await.len()).ok()?;
            (is_present && pods == wanted && counted.iter().all(|count| *count == Some(wanted))).then_some(())
        };
        wait_for_async("as many pods as are specified", BOUND, settled).await;
    }

    pub fn load(&self, per_second: u32) -> Process {
        let rate = per_second.to_string();
        let send = ["generate", "--topic", "user-login", "--events", "100000000", "--rate", &rate];
        self.processor("generate").args(send).args(["--bootstrap", self.kafka.bootstrap()]).spawn(&self.folder).unwrap()
    }

    /// Runs the audit as a user does, and expects no faults.
    pub async fn audit(&self, when: &str) {
        let (status, report) = self.report().await;
        assert_eq!(status, 0, "{when}: {report}");
        eprintln!("audit {when}: clean, of {} events", self.sent());
    }

    /// The exit status of the audit, and its output. It uses the plain listener of Kafka, regardless of the pods'
    /// listener.
    pub async fn report(&self) -> (i32, String) {
        let config = self.pipeline().await.status.unwrap().config.unwrap().config_map;
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let job = maps.get(&config).await.unwrap().data.unwrap().remove("job.json").unwrap();
        let mut job: Value = serde_json::from_str(&job).unwrap();
        job["kafka"] = json!({"bootstrapServers": self.kafka.bootstrap()});
        let file = self.folder.path().join("job.json");
        std::fs::write(&file, job.to_string()).unwrap();
        let audit = self.processor(&unique("audit")).args(["audit", "--wait", "60s", "--config"]).arg(file);
        let mut audit = audit.spawn(&self.folder).unwrap();
        (audit.wait(BOUND).unwrap(), audit.log())
    }

    /// The number of events in the source.
    pub fn sent(&self) -> i64 {
        self.kafka.end_offsets("user-login", Isolation::ReadCommitted).unwrap().values().sum()
    }

    fn processor(&self, name: &str) -> Program {
        Program::new(name, build("debug/processor"))
    }
}

/// Releases the cluster; if a test fails, shows the state that a person would look at.
impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            self.describe();
        }
        let _ = self.target.kubectl(&["delete", "namespace", &self.namespace], "");
    }
}

impl Place {
    fn describe(&self) {
        let namespace = self.namespace.as_str();
        let questions: [&[&str]; 5] = [
            &["get", "pods", "-A", "-o", "wide"],
            &["get", "loginpipelines,kafkatopics,deployments", "-A"],
            &["describe", "loginpipeline", "logins", "-n", namespace],
            &["logs", "-n", namespace, "-l", "loginpipeline.dev/pipeline=logins", "--tail=30", "--prefix"],
            &["logs", "-n", OPERATOR, "-l", "app.kubernetes.io/name=login-pipeline-operator", "--tail=60"],
        ];
        for question in questions {
            if let Ok(output) = self.target.kubectl(question, "") {
                eprintln!("--- kubectl {}:\n{}", question.join(" "), String::from_utf8_lossy(&output.stdout));
            }
        }
    }
}
