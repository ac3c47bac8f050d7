//! The API server is real: kubectl and the Rust client use it, and RBAC decides.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use testkit::kubernetes::{ApiServer, shared};
use testkit::{unique, wait_for_async};

#[test]
fn kubectl_applies_and_reads() {
    let began = Instant::now();
    let server = shared();
    println!("API server: {:?}", began.elapsed());
    let name = unique("kubectl");
    let manifest = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let applied = server.kubectl(&["apply", "-f", "-"], &manifest).unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let read = server.kubectl(&["get", "namespace", &name, "-o=jsonpath={.status.phase}"], "").unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "Active", "{read:?}");
    let missing = server.kubectl(&["get", "namespace", "nowhere"], "").unwrap();
    assert!(!missing.status.success());
}

#[tokio::test]
async fn a_client_writes_and_reads_and_sees_the_version() {
    let client = shared().client().unwrap();
    let name = unique("client");
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata: metadata.clone(), ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();

    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &name);
    maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();
    let found = wait_for_async("the ConfigMap", Duration::from_secs(10), || async {
        maps.list(&ListParams::default()).await.ok().map(|list| list.items.len()).filter(|count| *count == 1)
    });
    assert_eq!(found.await, 1);

    let version = client.apiserver_version().await.unwrap();
    let versions = include_str!("../services/versions");
    assert!(versions.contains(&format!("KUBERNETES_VERSION={}\n", version.git_version.trim_start_matches('v'))));
}

#[tokio::test]
async fn who_is_nobody_may_do_nothing() {
    let mut config = shared().client_config().unwrap();
    config.auth_info.token = Some("wrong".to_owned().into());
    let refused = Api::<Namespace>::all(kube::Client::try_from(config).unwrap()).list(&ListParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 401), "{refused:?}");
    let server = shared();
    let asked = server.kubectl(&["auth", "can-i", "list", "pods", "--as=somebody"], "").unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "no", "{asked:?}");
}

#[test]
fn two_servers_stand_side_by_side_and_share_nothing() {
    let (first, second) = (shared(), ApiServer::start().unwrap());
    let name = unique("apart");
    let created = first.kubectl(&["create", "namespace", &name], "").unwrap();
    assert!(created.status.success(), "{created:?}");
    assert!(!second.kubectl(&["get", "namespace", &name], "").unwrap().status.success());
}
