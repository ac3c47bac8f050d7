//! The API server and `crds::pipeline::check` accept and refuse the same resources.

use crds::pipeline::{LoginPipeline, LoginPipelineSpec, check};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::{
    cases::{cases, changes, spec},
    support::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_and_the_check_agree() {
    let world = World::new().await;
    let pipelines = world.pipelines();
    for (name, spec, verdict) in cases() {
        let object = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": name}, "spec": spec,
        });
        let answer = world.apply(&object.to_string());
        let parsed: LoginPipelineSpec = serde_json::from_value(spec.clone()).unwrap();
        let problems = check(name, &parsed);

        match verdict {
            None => {
                assert!(answer.is_ok(), "{name}: {answer:?}");
                assert!(problems.is_empty(), "{name}: {problems:?}");
                // The defaults of the API server and of the crate are the same.
                assert_eq!(pipelines.get(name).await.unwrap().spec, parsed, "{name}");
            }
            Some(message) => {
                let refusal = answer.expect_err(name);
                assert!(refusal.contains(message), "{name}: {refusal}");
                assert!(!problems.is_empty(), "{name}: the check finds nothing");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_the_wrong_kind_are_refused_by_both() {
    let world = World::new().await;
    for part in [
        json!({"validation": {"required": ["password"]}}),
        json!({"validation": {"maxFutureSkew": "5 minutes"}}),
        json!({"validation": {"ip": "Maybe"}}),
        json!({"aggregation": {"dimensions": ["user_id"]}}),
        json!({"aggregation": {"windows": ["1d"]}}),
        json!({"alerts": [{"name": "a", "window": "1m", "above": 1, "dimension": "user_id"}]}),
        json!({"alerts": [{"name": "a", "window": "1 minute", "above": 1}]}),
        json!({"alerts": [{"name": "a", "above": 1}]}),
        json!({"alerts": [{"window": "1m", "above": 1}]}),
        json!({"alerts": [{"name": "a", "window": "1m", "above": 0.5}]}),
        json!({"results": {"alerts": {}}}),
        json!({"source": {"startFrom": "Now"}}),
        json!({"source": {"partitions": "8"}}),
        json!({"processor": {"replicas": 1.5}}),
    ] {
        let spec = spec(part.clone());
        let object = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": "odd"}, "spec": spec,
        });

        assert!(world.apply(&object.to_string()).is_err(), "{part}");
        assert!(serde_json::from_value::<LoginPipelineSpec>(spec).is_err(), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_does_not_and_the_rest_does() {
    let world = World::new().await;
    let pipelines: Api<LoginPipeline> = world.pipelines();
    let create = async |name: &str, parts: Value| {
        let object = json!({
            "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline", "metadata": {"name": name}, "spec": spec(parts),
        });
        pipelines.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    };
    let change = async |name: &str, spec: Value| {
        let patch = Patch::Merge(json!({"spec": spec}));
        pipelines.patch(name, &PatchParams::default(), &patch).await.map_err(|error| error.to_string())
    };

    for (index, (before, spec, message)) in changes().into_iter().enumerate() {
        let name = format!("logins-{index}");
        create(&name, before).await;
        let refusal = change(&name, spec.clone()).await.expect_err(message);
        assert!(refusal.contains(message), "{spec}: {refusal}");
    }

    create("logins", json!({})).await;
    for spec in [
        json!({"source": {"partitions": 12, "startFrom": "Latest"}}),
        json!({"kafka": {"strimzi": {"listener": "other"}}}),
        json!({"processor": {"replicas": 5, "resources": {"limits": {"memory": "256Mi"}}}}),
        json!({"alerts": [{"name": "a", "window": "1m", "deviation": 3}]}),
        json!({"alerts": [], "aggregation": {"windows": ["5m"]}}),
    ] {
        change("logins", spec).await.unwrap();
    }
}
