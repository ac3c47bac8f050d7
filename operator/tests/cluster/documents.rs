//! Runs the documented commands to install, upgrade and uninstall, unchanged, on a real API server.

use std::fs;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt, api::ListParams};
use testkit::{
    docs::{Checkout, Script},
    tools::Tools,
    wait_for_async,
};

use crate::support::{BOUND, Operator, StandIn, World};

const INSTALL: &str = "docs/install.md";
const CHART: &str = "charts/login-pipeline-operator/README.md";
const SECURITY: &str = "docs/security.md";

/// The operator's Deployment, in the documented namespace.
async fn deployment(world: &World) -> Option<Deployment> {
    let deployments = Api::<Deployment>::namespaced(world.client.clone(), "login-pipeline");
    deployments.get_opt("login-pipeline-operator").await.unwrap()
}

fn image(deployment: &Deployment) -> String {
    deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

async fn wait_for_no_definition(world: &World) {
    let definitions = Api::<CustomResourceDefinition>::all(world.client.clone());
    let is_gone =
        || async { definitions.get_opt("loginpipelines.loginpipeline.dev").await.unwrap().is_none().then_some(()) };
    wait_for_async("the definition's end", BOUND, is_gone).await;
}

/// The documented namespace of pipelines, with the Kafka `my-cluster`.
async fn with_kafka() -> World {
    let world = World::empty().await;
    let world = World { namespace: "kafka".to_owned(), ..world };
    tokio::task::block_in_place(|| {
        assert!(world.server.kubectl(&["create", "namespace", "kafka"], "").unwrap().status.success());
        world.install_strimzi(&["v1"]);
    });
    world.kafka("my-cluster").await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_to_install_upgrade_and_uninstall() {
    let mut script = Script::of("operator/tests/cluster/documents.rs: what_is_typed_to_install_upgrade_and_uninstall");
    let world = with_kafka().await;
    let mut checkout = Checkout::new().unwrap().cluster(world.server.kubeconfig()).unwrap();
    let mut type_ =
        |page: &str, begins: &str| tokio::task::block_in_place(|| checkout.succeed(&script.take(page, begins)));

    type_(INSTALL, "registry=");
    type_(INSTALL, "helm install");
    let installed = deployment(&world).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(image(&installed), format!("registry.example.com/team/login-pipeline-operator:{version}"));
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    type_(INSTALL, "kubectl apply");
    type_(INSTALL, "kubectl wait");
    world.wait_ready("logins").await;

    type_(INSTALL, "helm upgrade");
    assert_eq!(image(&deployment(&world).await.unwrap()), image(&installed), "values are kept");
    type_(INSTALL, "helm uninstall");
    assert!(deployment(&world).await.is_none());
    world.wait_ready("logins").await;

    // To remove everything, it starts from an installation: the one of the chart's own page.
    type_(CHART, "helm install");
    assert_eq!(image(&deployment(&world).await.unwrap()), format!("login-pipeline-operator:{version}"));
    type_(INSTALL, "kubectl delete loginpipelines");
    assert!(world.pipelines().list(&ListParams::default()).await.unwrap().items.is_empty());
    drop(operator);
    for plural in ["servicemonitors", "podmonitors", "prometheusrules"] {
        let definition = Tools::find().unwrap().monitoring_definition(plural).unwrap();
        let applied = world.server.kubectl(&["apply", "--server-side", "-f", "-"], &definition).unwrap();
        assert!(applied.status.success());
    }
    type_(CHART, "helm upgrade");
    let rules = world.server.kubectl(&["get", "prometheusrule", "-n", "login-pipeline", "-o", "name"], "").unwrap();
    assert_eq!(String::from_utf8_lossy(&rules.stdout).lines().count(), 1);
    type_(INSTALL, "helm uninstall");
    type_(INSTALL, "kubectl delete crd");
    wait_for_no_definition(&world).await;
    tokio::task::block_in_place(|| world.upgrade());
    type_(CHART, "kubectl delete crd");
    wait_for_no_definition(&world).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_made_as_the_page_on_security_says() {
    let mut script = Script::of("operator/tests/cluster/documents.rs: secrets_are_made_as_the_page_on_security_says");
    let world = World::new().await;
    let checkout = Checkout::new().unwrap().cluster(world.server.kubeconfig()).unwrap();
    let mut checkout = checkout.replace("kubectl ", &format!("kubectl -n {} ", world.namespace));
    fs::write(checkout.path().join("ca.crt"), "PEM").unwrap();
    fs::write(checkout.path().join("password"), "secret\n").unwrap();

    tokio::task::block_in_place(|| {
        for command in script.take_all(SECURITY) {
            checkout.succeed(&command);
        }
    });

    let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace);
    let made = secrets.list(&ListParams::default()).await.unwrap().items;
    let keys: Vec<_> = made.iter().flat_map(|secret| secret.data.as_ref().unwrap().keys()).cloned().collect();
    let names: Vec<_> = made.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["kafka-ca", "kafka-user"]);
    assert_eq!(keys, ["ca.crt", "password"]);
}
