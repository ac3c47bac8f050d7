//! The chart, installed by Helm on a real API server: its rights are what the operator needs, and its definition is
//! installed and kept correctly. `tests/chart` checks what it renders.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crds::pipeline::ConditionStatus::{False, True};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::Namespace,
        rbac::v1::{ClusterRole, PolicyRule, Role},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use testkit::{
    process::{Folder, Program},
    tools::Tools,
    unique, wait_for_async,
};

use crate::support::{BOUND, EXAMPLE, Operator, StandIn, User, World};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/login-pipeline-operator");

/// Helm's name for objects of the release `lp`.
const NAME: &str = "lp-login-pipeline-operator";

const DEFINITION: &str = "loginpipelines.loginpipeline.dev";

/// Runs Helm in the operator's namespace, `<namespace>-ops`. Returns its output.
fn helm(world: &World, arguments: &[&str]) -> Result<String, String> {
    let namespace = operators(world);
    let all = [arguments, &["--namespace", &namespace]].concat();
    let output = Tools::find().unwrap().helm(Some(world.server.kubeconfig()), &all).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The operator's namespace, which differs from that of pipelines.
fn operators(world: &World) -> String {
    format!("{}-ops", world.namespace)
}

fn install(world: &World, arguments: &[&str]) -> String {
    helm(world, &[&["install", "lp", CHART, "--create-namespace"], arguments].concat()).unwrap()
}

/// What the chart's Deployment would run, as the chart's ServiceAccount.
struct Installed {
    user: User,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Installed {
    async fn on(world: &World) -> Self {
        let deployments = Api::<Deployment>::namespaced(world.client.clone(), &operators(world));
        let pod = deployments.get(NAME).await.unwrap().spec.unwrap().template.spec.unwrap();
        let container = pod.containers.into_iter().next().unwrap();
        let variables = container.env.unwrap().into_iter().map(|variable| (variable.name, variable.value.unwrap()));
        Self {
            user: world.account(&operators(world), &pod.service_account_name.unwrap()),
            arguments: container.args.unwrap(),
            // The only changed setting: the operator listens on a free port.
            variables: variables.chain([("LOGIN_PIPELINE_LISTEN".to_owned(), "127.0.0.1:0".to_owned())]).collect(),
        }
    }

    async fn start(&self) -> Operator {
        let operator =
            tokio::task::block_in_place(|| Operator::launch(&self.user.kubeconfig, &self.arguments, &self.variables));
        let ready = || async { operator.get("/readyz").starts_with("HTTP/1.1 200").then_some(()) };
        wait_for_async("the operator's readiness", BOUND, ready).await;
        operator
    }

    /// The output of `operator check` in the chart's pod, and its exit status.
    fn check(&self) -> (String, i32) {
        let folder = Folder::new("check").unwrap();
        let program = Program::new("operator", env!("CARGO_BIN_EXE_operator")).arg("check");
        let program = self.variables.iter().fold(program, |program, (name, value)| program.env(name, value));
        let mut process = program.env("KUBECONFIG", &self.user.kubeconfig).spawn(&folder).unwrap();
        let status = tokio::task::block_in_place(|| process.wait(BOUND)).unwrap();
        (process.log(), status)
    }
}

/// A pipeline's whole life, under an operator with exactly the chart's rights.
async fn lives(world: &World) {
    let installed = Installed::on(world).await;
    let _cluster = StandIn::start(world, &[]);
    world.kafka("my-cluster").await;
    let operator = installed.start().await;
    world.apply(EXAMPLE).unwrap();
    world.wait_ready("logins").await;
    let (report, status) = installed.check();
    assert_eq!(status, 0, "{report}");
    world
        .change("logins", json!({"networkPolicy": {"enabled": false}, "deletionPolicy": "Delete", "suspend": true}))
        .await;
    world.wait_condition("logins", "ProcessorAvailable", False, "Suspended").await;
    world.delete("loginpipeline", "logins").unwrap();
    let is_gone = || async { world.pipelines().get_opt("logins").await.unwrap().is_none().then_some(()) };
    wait_for_async("the pipeline's end", BOUND, is_gone).await;
    assert!(world.topic("output").await.is_none());
    let log = operator.process.log();
    assert!(!log.contains("forbidden") && !log.contains("Forbidden"), "{log}");
    assert_eq!(operator.metric("login_pipeline_operator_leader"), 1.0);
}

async fn with_strimzi() -> World {
    let world = World::empty().await;
    tokio::task::block_in_place(|| world.install_strimzi(&["v1"]));
    world
}

/// Runs kubectl as the operator. Returns whether it succeeded.
fn as_operator(world: &World, arguments: &[&str]) -> bool {
    let user = format!("system:serviceaccount:{}:{NAME}", operators(world));
    world.server.kubectl(&[arguments, &["--as", &user]].concat(), "").unwrap().status.success()
}

fn can(world: &World, what: &[&str]) -> bool {
    as_operator(world, &[&["auth", "can-i"], what].concat())
}

fn sees_namespace(world: &World, namespace: &str) -> bool {
    as_operator(world, &["get", "namespace", namespace])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_rights_are_enough_in_the_cluster() {
    let world = with_strimzi().await;
    let said = install(&world, &[]);
    assert!(said.contains("kubectl -n kafka wait --for=condition=Ready") && !said.contains("WARNING"), "{said}");
    lives(&world).await;
    assert!(can(&world, &["get", "secrets", "--namespace", "default"]));
    assert!(
        !can(&world, &["list", "secrets", "--all-namespaces"]) && !can(&world, &["create", "roles", "-n", "default"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_charts_rights_are_enough_in_a_namespace_and_end_there() {
    let world = with_strimzi().await;
    install(&world, &["--set", &format!("watchNamespaces={{{}}}", world.namespace)]);
    lives(&world).await;
    assert!(can(&world, &["get", "secrets", "--namespace", &world.namespace]));
    // A Role also covers the namespace object of its own namespace.
    assert!(sees_namespace(&world, &world.namespace) && !sees_namespace(&world, "default"));
    assert!(!can(&world, &["get", "secrets", "--namespace", "default"]));
    assert!(!can(&world, &["get", "secrets", "--namespace", &operators(&world)]));
    assert!(!can(&world, &["list", "loginpipelines", "--all-namespaces"]));
    let roles = Api::<ClusterRole>::all(world.client.clone());
    assert!(roles.get_opt(NAME).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_taken_away_is_missed() {
    let world = with_strimzi().await;
    install(&world, &["--set", &format!("watchNamespaces={{{}}}", world.namespace)]);
    let installed = Installed::on(&world).await;
    // Without Strimzi, no right to it is needed.
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();

    let expect = async |what: String, expected: i32| {
        let check = || {
            let (report, status) = installed.check();
            std::future::ready((status == expected).then_some(report))
        };
        // The API server applies roles with a delay.
        wait_for_async(&format!("status {expected} of the check {what}"), BOUND, check).await
    };

    expect("with all rights".to_owned(), 0).await;
    let mut taken = 0;
    for (namespace, name) in [(world.namespace.clone(), NAME.to_owned()), (operators(&world), format!("{NAME}-lease"))]
    {
        let roles = Api::<Role>::namespaced(world.client.clone(), &namespace);
        let all = roles.get(&name).await.unwrap().rules.unwrap();
        let give = async |rules: Vec<&PolicyRule>| {
            let patch = Patch::Merge(json!({"rules": rules}));
            roles.patch(&name, &PatchParams::default(), &patch).await.unwrap();
        };
        for missing in &all {
            give(all.iter().filter(|rule| *rule != missing).collect()).await;
            let resource = &missing.resources.as_ref().unwrap()[0];
            let report = expect(format!("without {resource}"), 1).await;
            let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
            let line = report.lines().find(|line| line.contains('×') && line.contains(plural));
            assert!(line.is_some_and(|line| line.contains(subresource)), "without {resource}: {report}");
            taken += 1;
        }
        give(all.iter().collect()).await;
        expect("with all rights again".to_owned(), 0).await;
    }

    assert_eq!(taken, 15);
}

/// The pods of a pipeline are in one namespace, its Kafka in another that is not watched.
#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_in_a_namespace_that_is_not_watched_is_reached() {
    let world = with_strimzi().await;
    let streams = unique("streams");
    let object: Namespace = serde_json::from_value(json!({"metadata": {"name": streams}})).unwrap();
    Api::<Namespace>::all(world.client.clone()).create(&PostParams::default(), &object).await.unwrap();
    let watched = format!("watchNamespaces={{{streams}}}");
    let pipelines = World { server: world.server, client: world.client.clone(), namespace: streams };
    install(&world, &["--set", &watched]);
    let _cluster = (StandIn::start(&world, &[]), StandIn::start(&pipelines, &[]));
    world.kafka("my-cluster").await;
    let allow = Patch::Merge(json!({"metadata": {"annotations": {"loginpipeline.dev/allow-namespaces": "*"}}}));
    world.dynamic("Kafka").patch("my-cluster", &PatchParams::default(), &allow).await.unwrap();

    let _operator = Installed::on(&world).await.start().await;
    let there = format!("cluster: my-cluster, namespace: {}", world.namespace);
    pipelines.apply(&EXAMPLE.replace("cluster: my-cluster", &there)).unwrap();
    let refused = || async {
        let ready = pipelines.condition("logins", "Ready").await?;
        (ready.status != True && ready.message.contains("forbidden")).then_some(())
    };
    wait_for_async("a refusal", BOUND, refused).await;

    let kafkas = format!("kafkaNamespaces={{{}}}", world.namespace);
    helm(&world, &["upgrade", "lp", CHART, "--set", &watched, "--set", &kafkas]).unwrap();
    pipelines.wait_ready("logins").await;
    assert!(!can(&world, &["get", "secrets", "--namespace", &world.namespace]));
}

/// A copy of the chart whose definition has one more short name.
fn changed_chart(folder: &Path) -> PathBuf {
    let copy = folder.join("login-pipeline-operator");
    let output = std::process::Command::new("cp").arg("-r").arg(CHART).arg(&copy).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let definition = copy.join("files/crd.yaml");
    let text = fs::read_to_string(&definition).unwrap();
    let changed = text.replace("    shortNames:\n    - lp\n", "    shortNames:\n    - lp\n    - logins\n");
    assert!(changed != text);
    fs::write(&definition, changed).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_updates_the_crd_and_an_uninstall_keeps_pipelines() {
    let world = World::empty().await;
    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    let deployments = Api::<Deployment>::namespaced(world.client.clone(), &operators(&world));
    let short_names = async || definitions.get(DEFINITION).await.unwrap().spec.names.short_names.unwrap();
    let said = install(&world, &[]);
    assert!(said.contains("WARNING: Strimzi is not installed"), "{said}");
    let is_served = || async { world.apply(EXAMPLE).ok() };
    wait_for_async("the resource", BOUND, is_served).await;
    let uid = world.pipelines().get("logins").await.unwrap().uid();
    assert_eq!(short_names().await, ["lp"]);

    let folder = Folder::new("chart").unwrap();
    let changed = changed_chart(folder.path());
    helm(&world, &["upgrade", "lp", changed.to_str().unwrap()]).unwrap();
    assert_eq!(short_names().await, ["lp", "logins"]);
    assert_eq!(world.pipelines().get("logins").await.unwrap().uid(), uid);

    helm(&world, &["uninstall", "lp"]).unwrap();
    let is_gone = || async { deployments.get_opt(NAME).await.unwrap().is_none().then_some(()) };
    wait_for_async("the Deployment's end", BOUND, is_gone).await;
    assert_eq!(short_names().await, ["lp", "logins"]);
    assert_eq!(world.pipelines().get("logins").await.unwrap().uid(), uid);

    // It is restored, under its name or another one.
    install(&world, &[]);
    assert_eq!(short_names().await, ["lp"]);
    helm(&world, &["uninstall", "lp"]).unwrap();
    let refused = helm(&world, &["install", "other", CHART]).unwrap_err();
    assert!(refused.contains("invalid ownership metadata"), "{refused}");
    helm(&world, &["install", "other", CHART, "--take-ownership"]).unwrap();
    assert_eq!(world.pipelines().get("logins").await.unwrap().uid(), uid);

    // A user who asks for its removal gets that.
    helm(&world, &["upgrade", "other", CHART, "--set", "crds.keep=false"]).unwrap();
    helm(&world, &["uninstall", "other"]).unwrap();
    let is_gone = || async { definitions.get_opt(DEFINITION).await.unwrap().is_none().then_some(()) };
    wait_for_async("the definition's end", BOUND, is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_chart_has_is_taken_by_an_api_server() {
    let world = World::empty().await;
    let tools = Tools::find().unwrap();
    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let definition = tools.monitoring_definition(plural).unwrap();
        let output = world.server.kubectl(&["apply", "--server-side", "-f", "-"], &definition).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/everything.yaml");
    let is_installed = || async { helm(&world, &["install", "lp", CHART, "--create-namespace", "-f", values]).ok() };
    wait_for_async("an installation", BOUND, is_installed).await;

    let monitoring = "servicemonitor,podmonitor,prometheusrule,networkpolicy,poddisruptionbudget,configmap";
    let found = world.server.kubectl(&["get", monitoring, "-n", &operators(&world), "-o", "name"], "").unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    for kind in ["servicemonitor", "podmonitor", "prometheusrule", "networkpolicy", "poddisruptionbudget", "configmap"]
    {
        assert!(found.lines().any(|line| line.starts_with(kind) && line.contains(NAME)), "{kind}: {found}");
    }

    // The second time, nothing changes.
    let deployments = Api::<Deployment>::namespaced(world.client.clone(), &operators(&world));
    let before = deployments.get(NAME).await.unwrap().metadata.generation;
    helm(&world, &["upgrade", "lp", CHART, "-f", values]).unwrap();
    assert_eq!(deployments.get(NAME).await.unwrap().metadata.generation, before);
    deployments.delete(NAME, &DeleteParams::default()).await.unwrap();
}
