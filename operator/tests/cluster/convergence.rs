//! Every history ends in the same objects, and then in no further write.

use std::{collections::BTreeMap, time::Duration};

use crds::{job::JobConfig, pipeline::ConditionStatus::False, topics::Role};
use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::ConfigMap, events::v1::Event},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use rand::Rng as _;
use serde_json::{Value, json};
use testkit::wait_for_async;

use crate::support::{Answer, BOUND, EXAMPLE, Operator, StandIn, World, running, started};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_ready_is_left_alone() {
    let (world, operator, _cluster) = running().await;
    operator.look(&world, "logins", 1).await;

    let before = world.versions().await;
    operator.look(&world, "logins", 5).await;
    let mut after = world.versions().await;
    // The test's own annotation.
    after.insert("LoginPipeline/logins".to_owned(), before["LoginPipeline/logins"].clone());
    assert_eq!(before, after);
    let pipeline = world.pipelines().get("logins").await.unwrap();
    let written =
        pipeline.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some("login-pipeline-operator"));
    let written = written.unwrap().time.clone();

    // A new process finds nothing to do either.
    drop(operator);
    let operator = Operator::start(&world).await;
    operator.look(&world, "logins", 2).await;
    let mut after = world.versions().await;
    after.insert("LoginPipeline/logins".to_owned(), before["LoginPipeline/logins"].clone());
    assert_eq!(before, after);
    let pipeline = world.pipelines().get("logins").await.unwrap();
    let last =
        pipeline.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some("login-pipeline-operator"));
    assert_eq!(last.unwrap().time, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_has_one_revision_and_replicas_are_no_part_of_it() {
    let (world, operator, _cluster) = running().await;
    let first = world.config("logins").await;
    assert_eq!(first.revision, world.first_revision("logins").await);

    let scale = ["scale", "loginpipeline", "logins", "--replicas=4", "-n", &world.namespace];
    assert!(world.server.kubectl(&scale, "").unwrap().status.success());
    let scaled = || async {
        let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
        (status.ready_replicas == 4).then_some(status)
    };
    let status = wait_for_async("four replicas", BOUND, scaled).await;
    assert_eq!(status.config.as_ref(), Some(&first));

    let mut names = vec![first.config_map.clone()];
    for change in 1..=3 {
        world.change("logins", json!({"aggregation": {"allowedLateness": format!("{change}m")}})).await;
        let changed = || async {
            let config = world.config("logins").await;
            (config.revision == first.revision + change).then_some(config)
        };
        names.push(wait_for_async("the next revision", BOUND, changed).await.config_map);
        world.wait_ready("logins").await;
    }
    // The current config and its predecessor stay.
    let kept = || async {
        let list = world.config_maps().list(&ListParams::default()).await.unwrap();
        let mut kept: Vec<_> = list.iter().map(ResourceExt::name_any).collect();
        kept.sort();
        let mut expected = names[2..].to_vec();
        expected.sort();
        (kept == expected).then_some(())
    };
    wait_for_async("the end of older ConfigMaps", BOUND, kept).await;

    // The way back is a new revision: the log says which rules applied when.
    world.change("logins", json!({"aggregation": {"allowedLateness": "30s"}})).await;
    let back = || async { (world.config("logins").await.revision == first.revision + 4).then_some(()) };
    wait_for_async("the fifth revision", BOUND, back).await;
    world.wait_ready("logins").await;

    // Scaled to zero: not ready, with the reason.
    world.change("logins", json!({"processor": {"replicas": 0}})).await;
    world.wait_condition("logins", "Ready", False, "ScaledToZero").await;
    drop(operator);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_or_changed_by_hand_comes_back() {
    let (world, _operator, _cluster) = running().await;
    let config = world.pipelines().get("logins").await.unwrap().status.unwrap().config.unwrap();
    let deployment = world.deployments().get("logins-processor").await.unwrap();

    world.config_maps().delete(&config.config_map, &DeleteParams::default()).await.unwrap();
    wait_for_async("the ConfigMap", BOUND, || async { world.config_maps().get_opt(&config.config_map).await.unwrap() })
        .await;
    world.deployments().delete(&deployment.name_any(), &DeleteParams::default()).await.unwrap();
    let remade = || async {
        let remade = world.deployments().get_opt("logins-processor").await.unwrap()?;
        (remade.uid() != deployment.uid()).then_some(remade)
    };
    let remade = wait_for_async("the Deployment", BOUND, remade).await;
    assert_eq!(remade.spec.unwrap().template, deployment.spec.unwrap().template);
    world.wait_ready("logins").await;

    let by_hand =
        Patch::Merge(json!({"spec": {"replicas": 9, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}}));
    world.deployments().patch("logins-processor", &PatchParams::default(), &by_hand).await.unwrap();
    let restored = || async {
        let spec = world.deployments().get("logins-processor").await.unwrap().spec.unwrap();
        let grace = spec.template.spec.unwrap().termination_grace_period_seconds;
        (spec.replicas == Some(2) && grace == Some(30)).then_some(())
    };
    wait_for_async("the Deployment as it was", BOUND, restored).await;
    world.wait_ready("logins").await;
    assert_eq!(world.pipelines().get("logins").await.unwrap().status.unwrap().config.unwrap(), config);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_others_are_never_taken() {
    let (world, _operator, _cluster) = started().await;
    let theirs = json!({
        "metadata": {"name": "logins-processor"},
        "spec": {
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        },
    });
    let theirs: Deployment = serde_json::from_value(theirs).unwrap();
    world.deployments().create(&PostParams::default(), &theirs).await.unwrap();
    world.apply(EXAMPLE).unwrap();
    let taken = world.wait_condition("logins", "ProcessorAvailable", False, "NameTaken").await;
    assert!(taken.message.contains("Deployment logins-processor"), "{}", taken.message);
    let left = world.deployments().get("logins-processor").await.unwrap();
    assert_eq!(
        left.spec.unwrap().selector.match_labels.unwrap(),
        BTreeMap::from([("app".to_owned(), "theirs".to_owned())])
    );

    world.deployments().delete("logins-processor", &DeleteParams::default()).await.unwrap();
    world.wait_ready("logins").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transitions_become_events_and_states_do_not() {
    let (world, operator, cluster) = running().await;
    cluster.answer("-source", Answer::Badly);
    world.wait_condition("logins", "Ready", False, "TopicNotSupported").await;
    operator.look(&world, "logins", 3).await;
    cluster.answer("-source", Answer::Well);
    world.wait_ready("logins").await;

    let events: Api<Event> = Api::namespaced(world.client.clone(), &world.namespace);
    let seen = || async {
        let list = events.list(&ListParams::default()).await.unwrap();
        let all: Vec<_> =
            list.into_iter().map(|event| (event.type_.unwrap(), event.reason.unwrap(), event.series)).collect();
        let warnings: Vec<_> = all.iter().filter(|(type_, ..)| type_ == "Warning").collect();
        let running = all.iter().find(|(_, reason, _)| reason == "Running")?;
        let twice = running.2.as_ref().is_some_and(|series| series.count == 2);
        let once = matches!(warnings[..], [(_, reason, None)] if reason == "TopicNotSupported");
        (twice && once && all.iter().any(|(_, reason, _)| reason == "ConfigChanged")).then_some(())
    };
    wait_for_async("the events", BOUND, seen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_operator_recovers_from_a_kill_at_any_moment() {
    let world = World::new().await;
    let cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    // Every config so far, by its revision.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::<u64, String>::new()));
    let recorder = tokio::spawn(record(world.config_maps(), seen.clone()));
    let operator = Operator::start(&world).await;
    world.wait_ready("logins").await;
    drop(operator);

    for round in 0..12 {
        let mut operator = Operator::start(&world).await;
        let spec = json!({
            "aggregation": {"allowedLateness": format!("{}s", 1 + round % 5)},
            "source": {"partitions": 8 + round},
            "processor": {"replicas": 1 + round % 3},
        });
        world.change("logins", spec).await;
        cluster.answer("-output", if round % 4 == 1 { Answer::Never } else { Answer::Well });
        let pause = rand::rng().random_range(100..500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        operator.process.kill();
    }
    cluster.answer("-output", Answer::Well);
    let mut operator = Operator::start(&world).await;
    operator.look(&world, "logins", 1).await;
    world.wait_ready("logins").await;
    assert_eq!(operator.process.terminate(Duration::from_secs(15)).unwrap(), 0);
    assert!(!recorder.is_finished(), "a revision meant two configs");
    recorder.abort();

    // The same as from a history without faults, except for names and numbers.
    let status = world.pipelines().get("logins").await.unwrap().status.unwrap();
    let config_map = world.config_maps().get(&status.config.unwrap().config_map).await.unwrap();
    let job = JobConfig::parse(&config_map.data.unwrap()["job.json"]).unwrap();
    assert_eq!(job.rules.aggregation.allowed_lateness.to_string(), "2s");
    let topics = world.topics().list(&ListParams::default()).await.unwrap();
    assert_eq!(topics.items.len(), Role::ALL.len());
    for role in ["source", "output", "dead-letters"] {
        assert_eq!(world.topic(role).await.unwrap().spec.partitions, Some(19), "{role}");
    }
    let deployment = world.deployments().get("logins-processor").await.unwrap();
    assert_eq!(deployment.spec.unwrap().replicas, Some(3));
    let few =
        || async { (world.config_maps().list(&ListParams::default()).await.unwrap().items.len() <= 2).then_some(()) };
    wait_for_async("the end of older ConfigMaps", BOUND, few).await;
    assert!(seen.lock().unwrap().len() > 1, "the operator was never quick enough to be interrupted in its work");
}

/// Records every job config that appears, and fails when one revision has two contents.
async fn record(config_maps: Api<ConfigMap>, seen: std::sync::Arc<std::sync::Mutex<BTreeMap<u64, String>>>) {
    loop {
        for config_map in config_maps.list(&ListParams::default()).await.unwrap() {
            let text = config_map.data.unwrap()["job.json"].clone();
            let revision = serde_json::from_str::<Value>(&text).unwrap()["revision"].as_u64().unwrap();
            let held = seen.lock().unwrap().entry(revision).or_insert_with(|| text.clone()).clone();
            assert_eq!(held, text, "revision {revision} means two configs");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_cannot_be_read_stops_nothing() {
    // As after a downgrade: the API server holds a resource that this release's schema would refuse.
    let world = World::bare().await;
    let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
    world.install_strimzi(&["v1"]);
    let operator = Operator::start(&world).await;
    let _cluster = StandIn::start(&world, &[]);
    world.kafka("my-cluster").await;
    world.apply(EXAMPLE).unwrap();
    world.kafka("other-cluster").await;
    world.apply(&EXAMPLE.replace("logins", "others").replace("my-cluster", "other-cluster")).unwrap();
    world.wait_ready("logins").await;
    let before = world.versions().await;

    let name = "loginpipelines.loginpipeline.dev";
    let mut crd = crds.get(name).await.unwrap();
    let schema = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
    let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    schema.properties.as_mut().unwrap().insert("spec".to_owned(), serde_json::from_value(anything).unwrap());
    schema.x_kubernetes_validations = None;
    crds.replace(name, &PostParams::default(), &crd).await.unwrap();
    let odd = json!({"spec": {"aggregation": {"windows": "often"}}});
    let changed = || async {
        let patch = Patch::Merge(&odd);
        world.pipelines_as_they_are().patch("logins", &PatchParams::default(), &patch).await.ok()
    };
    wait_for_async("a schema that takes anything", BOUND, changed).await;
    let invalid = wait_for_async("the verdict", BOUND, || async {
        let pipeline = world.pipelines_as_they_are().get("logins").await.unwrap();
        let conditions = pipeline.data["status"]["conditions"].as_array().unwrap().clone();
        conditions.into_iter().find(|condition| condition["type"] == "Ready" && condition["reason"] == "SpecInvalid")
    });
    let invalid = invalid.await;
    assert_eq!(invalid["status"], "False");
    assert!(invalid["message"].as_str().unwrap().contains("spec.aggregation.windows"), "{invalid}");
    // The pods of this pipeline keep running, and the other pipelines are reconciled as usual.
    for name in ["Deployment/logins-processor", "ServiceAccount/logins-processor"] {
        assert_eq!(world.children().await[name], before[name]);
    }
    operator.look(&world, "others", 2).await;
    world.change("others", json!({"processor": {"replicas": 5}})).await;
    let scaled = || async {
        let deployment = world.deployments().get("others-processor").await.unwrap();
        (deployment.spec.unwrap().replicas == Some(5)).then_some(())
    };
    wait_for_async("five replicas", BOUND, scaled).await;
}
