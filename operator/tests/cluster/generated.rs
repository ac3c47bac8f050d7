//! Every accepted spec can be applied, and an applied one is not applied again.

use std::fmt::Debug;

use crds::pipeline::LoginPipeline;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use operator::{
    build::kafka_topic,
    kafka_access::Secrets,
    objects::applied::is_applied,
    pass::desired::render,
    topics::{Listener, growth::wanted},
    validate::check_pipeline,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{specs, support::World};

const MANAGER: &str = "login-pipeline-operator";

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_any_accepted_spec_is_applied_by_one_write() {
    let world = World::new().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let mut pipeline = specs::any_pipeline().new_tree(&mut runner).unwrap().current();
        pipeline.metadata.namespace = Some(world.namespace.clone());
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let accepted = world.pipelines().create(&params, &pipeline).await.unwrap();
        assert_eq!(accepted.spec, pipeline.spec, "the API server's defaults are this crate's");
        apply_all(&world, &pipeline).await;
    }
}

async fn apply_all(world: &World, pipeline: &LoginPipeline) {
    let listener = Listener::without_certificates("kafka:9092");
    let desired = render(&world.namespace, pipeline, &listener, &Secrets::default(), 7).unwrap();
    applied(world, &desired.service_account, pipeline).await;
    if let Some(policy) = &desired.network_policy {
        applied(world, policy, pipeline).await;
    }
    applied(world, &desired.pod_disruption_budget, pipeline).await;
    applied(world, &desired.service, pipeline).await;
    applied(world, &desired.config_map, pipeline).await;
    applied(world, &desired.deployment, pipeline).await;
    for topic in wanted(&check_pipeline(pipeline).unwrap(), &[]) {
        let object = kafka_topic(&check_pipeline(pipeline).unwrap(), "my-cluster", "v1", &topic, false);
        let name = object.metadata.name.clone().unwrap();
        let answer = world.topics().patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object)).await;
        assert!(is_applied(&object, &answer.unwrap(), MANAGER), "{pipeline:?}");
    }
}

/// Applies an object over that of the previous spec.
async fn applied<K>(world: &World, object: &K, pipeline: &LoginPipeline)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let api = Api::<K>::namespaced(world.client.clone(), &world.namespace);
    let name = object.meta().name.clone().unwrap();
    let params = PatchParams::apply(MANAGER).force();
    let answer = api.patch(&name, &params, &Patch::Apply(object)).await;
    let answer = answer.unwrap_or_else(|error| panic!("{error}: {object:#?} of {:#?}", pipeline.spec));
    let texts = [json!(object), json!(answer)].map(|object| object.to_string());
    assert!(is_applied(object, &answer, MANAGER), "{}\nis kept as\n{}", texts[0], texts[1]);
}
