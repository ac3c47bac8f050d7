use crds::{
    job::KafkaConfig,
    pipeline::{Condition, LoginPipeline, LoginPipelineSpec},
    topics::{Role, Topic},
};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::*;
use crate::{
    build::{Revision, Shape},
    conditions::condition::{DEGRADED, PAUSED, RECONCILING, STALLED, TOPICS_READY, condition},
    kafka_access::Settings,
    objects::owned::ApplyError,
    pass::{
        desired::desired,
        inputs::Inputs,
        outcome::{Applied, Drain, Kafka, KafkaProblem, KnownTopics},
        revisions::render,
        rollout::size,
    },
    resource,
    topics::{Cause, Control, Obstacle, State, TopicsError},
    validate::{ValidateError, check_pipeline},
};

const GENERATION: i64 = 4;

const FIRST: &str = "2026-05-01T12:00:00Z";
const SECOND: &str = "2026-05-01T12:00:01Z";
const THIRD: &str = "2026-05-01T12:00:02Z";
const FOURTH: &str = "2026-05-01T12:00:03Z";

fn observed() -> Observed {
    let mut resource = DynamicObject::new("logins", &resource::resource()).within("streams");
    resource.metadata.generation = Some(GENERATION);
    resource.metadata.uid = Some("1".to_owned());
    Observed {
        resource,
        status: LoginPipelineStatus::default(),
        config_maps: Vec::new(),
        service_account: None,
        network_policy: None,
        pod_disruption_budget: None,
        service: None,
        deployment: None,
    }
}

/// A pass over a pipeline of two replicas that is as it should be.
fn fine() -> Pass {
    let spec = json!({"kafka": {"strimzi": {"cluster": "a"}}, "processor": {"replicas": 2}});
    let spec: LoginPipelineSpec = serde_json::from_value(spec).unwrap();
    let valid = check_pipeline(&LoginPipeline::new("logins", spec)).unwrap();
    let inputs = Inputs {
        kafka: KafkaConfig { bootstrap_servers: "kafka:9092".to_owned(), security: None, max_message_bytes: None },
        shape: Shape::default(),
        secrets: Value::Null,
    };
    let desired = desired(&valid, &Revision::new(&valid, 3, render(&valid, &inputs)), 2);
    let mut deployment = desired.deployment;
    deployment.metadata.generation = Some(9);
    let wanted = valid.topics();
    let topics = KnownTopics { seen: wanted.iter().map(ready_topic).collect(), wanted };
    let applied = Applied { deployment, config: desired.config, rolled_back: None, words: None };
    let mut pass = Pass {
        kafka: Kafka::Usable { topics, inputs: Box::new(inputs), access: Settings::default() },
        size: size(&valid, &[], &[]),
        valid,
        workload: Workload::Applied(Box::new(applied)),
        drain: Drain::NotSuspended,
    };
    deployed(&mut pass, &json!({}));
    pass
}

fn topics(pass: &mut Pass) -> &mut Vec<Seen> {
    let Kafka::Usable { topics, .. } = &mut pass.kafka else { panic!("a Kafka that is usable") };
    &mut topics.seen
}

fn applied(pass: &mut Pass) -> &mut Applied {
    let Workload::Applied(applied) = &mut pass.workload else { panic!("a workload") };
    applied
}

fn status_of(observed: &Observed, pass: Pass, now: &str) -> LoginPipelineStatus {
    status(observed, &Outcome::Performed(Box::new(pass)), now.parse().unwrap())
}

fn ready_topic(topic: &Topic) -> Seen {
    Seen {
        role: topic.role,
        name: topic.name.clone(),
        state: State::Ready,
        partitions: Some(topic.partitions),
        config: topic.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        topic_id: Some("abc".to_owned()),
        expected_id: None,
        created: true,
        control: Control::Own,
    }
}

/// What the Deployment reports: all is well, but for `change`.
fn deployed(pass: &mut Pass, change: &Value) {
    let mut status = json!({
        "observedGeneration": 9, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    });
    for (key, value) in change.as_object().unwrap() {
        status[key] = value.clone();
    }
    applied(pass).deployment.status = serde_json::from_value(status).unwrap();
}

/// `Ready` after a pass: its status and reason.
fn ready_of(pass: Pass) -> (ConditionStatus, String) {
    let status = status_of(&observed(), pass, FIRST);
    let ready = condition(&status, READY).unwrap();
    (ready.status, ready.reason.clone())
}

fn after(change: impl FnOnce(&mut Pass)) -> (ConditionStatus, String) {
    let mut pass = fine();
    change(&mut pass);
    ready_of(pass)
}

fn unobserved(error: TopicsError) -> Kafka {
    Kafka::Unobserved(KafkaProblem::Topics(error))
}

fn is(status: ConditionStatus, reason: Reason) -> (ConditionStatus, String) {
    (status, format!("{reason:?}"))
}

#[test]
fn ready_means_all_of_it() {
    use ConditionStatus::{False, True, Unknown};
    assert_eq!(after(|_| {}), is(True, Reason::Running));

    for role in Role::ALL {
        let missing = |pass: &mut Pass| {
            let topic = topics(pass).iter_mut().find(|seen| seen.role == role).unwrap();
            topic.state = State::Pending(Obstacle { cause: Cause::Awaited, message: "not yet".to_owned() });
        };
        assert_eq!(after(missing), is(False, Reason::TopicsNotReady), "{role}");
    }
    let servers = "kafka:9092".to_owned();
    let unreachable = TopicsError::Unreachable { servers, error: "silence".to_owned() };
    assert_eq!(after(|pass| pass.kafka = unobserved(unreachable)), is(Unknown, Reason::KafkaUnreachable));
    let unknown = TopicsError::StrimziUnknown;
    assert_eq!(after(|pass| pass.kafka = unobserved(unknown)), is(Unknown, Reason::ApiServerFailed));
    let absent = TopicsError::StrimziNotInstalled;
    assert_eq!(after(|pass| pass.kafka = unobserved(absent)), is(False, Reason::StrimziNotInstalled));

    assert_eq!(after(|pass| pass.workload = Workload::Waiting), is(False, Reason::WaitingForTopics));
    for change in [
        json!({"observedGeneration": 8}),
        json!({"observedGeneration": null}),
        json!({"updatedReplicas": 1}),
        json!({"availableReplicas": 1}),
        json!({"availableReplicas": null}),
        json!({"replicas": 3}),
    ] {
        assert_eq!(after(|pass| deployed(pass, &change)), is(False, Reason::Progressing), "{change}");
    }
    let other_config = |pass: &mut Pass| applied(pass).config.config_map = "another".to_owned();
    assert_eq!(after(other_config), is(False, Reason::Progressing));
    let no_status = |pass: &mut Pass| applied(pass).deployment.status = None;
    assert_eq!(after(no_status), is(False, Reason::Progressing));

    let taken = ApplyError::NameTaken { kind: "Deployment".to_owned(), name: "a".to_owned() };
    assert_eq!(after(|pass| pass.workload = Workload::Failed(taken)), is(False, Reason::NameTaken));
}

#[test]
fn a_deployment_that_is_stuck_says_why() {
    let conditions = |type_: &str, status: &str| json!({"availableReplicas": 0, "conditions": [{"type": type_, "status": status, "message": "quota"}]});
    let stuck = after(|pass| deployed(pass, &conditions("ReplicaFailure", "True")));
    assert_eq!(stuck, is(ConditionStatus::False, Reason::ReplicaFailure));
    let stuck = after(|pass| deployed(pass, &conditions("Progressing", "False")));
    assert_eq!(stuck, is(ConditionStatus::False, Reason::ProgressDeadlineExceeded));
    // What it said of an older generation is old.
    let mut old = conditions("Progressing", "False");
    old["observedGeneration"] = 8.into();
    assert_eq!(after(|pass| deployed(pass, &old)), is(ConditionStatus::False, Reason::Progressing));
}

#[test]
fn zero_replicas_are_not_ready_and_say_so() {
    let scaled = |replicas: i32| {
        after(|pass| {
            pass.size.replicas = 0;
            let counts = json!({
                "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas,
            });
            deployed(pass, &counts);
        })
    };
    assert_eq!(scaled(0), is(ConditionStatus::False, Reason::ScaledToZero));
    assert_eq!(scaled(1), is(ConditionStatus::False, Reason::Progressing));
}

#[test]
fn a_transition_time_changes_only_with_the_status() {
    let mut observed = observed();
    observed.status = status_of(&observed, fine(), FIRST);
    let again = status_of(&observed, fine(), SECOND);
    assert_eq!(again, observed.status, "nothing to write");

    let mut pass = fine();
    deployed(&mut pass, &json!({"availableReplicas": 1}));
    observed.status = status_of(&observed, pass, THIRD);
    let time =
        |observed: &Observed, type_: &str| condition(&observed.status, type_).unwrap().last_transition_time.clone();
    assert_eq!(time(&observed, READY), THIRD);
    assert_eq!(time(&observed, PROCESSOR_AVAILABLE), THIRD);
    assert_eq!(time(&observed, TOPICS_READY), FIRST);

    // Another reason and message of the same status.
    observed.status = status_of(&observed, Pass { workload: Workload::Waiting, ..fine() }, FOURTH);
    assert_eq!(condition(&observed.status, READY).unwrap().reason, "WaitingForTopics");
    assert_eq!(time(&observed, READY), THIRD);
}

#[test]
fn an_invalid_spec_keeps_what_was_known_and_of_which_generation() {
    let mut observed = observed();
    observed.status = status_of(&observed, fine(), FIRST);
    observed.resource.metadata.generation = Some(GENERATION + 1);
    let error = ValidateError::Values { problems: vec!["spec.source.partitions is 0: choose 1 to 1024".to_owned()] };
    let invalid = status(&observed, &Outcome::Invalid(error), SECOND.parse().unwrap());

    assert_eq!(invalid.observed_generation, Some(GENERATION + 1));
    let ready = condition(&invalid, READY).unwrap();
    assert_eq!(ready.status, ConditionStatus::False);
    assert_eq!(ready.reason, "SpecInvalid");
    assert!(ready.message.contains("choose 1 to 1024"));
    assert_eq!(condition(&invalid, CONFIG_VALID).unwrap().status, ConditionStatus::False);
    let topics = condition(&invalid, TOPICS_READY).unwrap();
    assert_eq!(topics.status, ConditionStatus::True);
    assert_eq!(topics.observed_generation, Some(GENERATION));
    assert_eq!(invalid.config, observed.status.config);
    assert_eq!(invalid.topics, observed.status.topics);
}

#[test]
fn what_is_known_of_topics_outlives_an_unreachable_kafka() {
    let mut observed = observed();
    observed.status = status_of(&observed, fine(), FIRST);
    let unreachable = TopicsError::Unreachable { servers: "a:1".to_owned(), error: "silence".to_owned() };
    let pass = Pass { kafka: unobserved(unreachable), ..fine() };
    assert_eq!(status_of(&observed, pass, SECOND).topics, observed.status.topics);
}

#[test]
fn the_whole_status() {
    insta::assert_yaml_snapshot!(status_of(&observed(), fine(), "2026-01-01T00:00:00Z"));
}

/// The status, reason and message of a condition after a pass.
fn told(type_: &str, change: impl FnOnce(&mut Pass)) -> (ConditionStatus, String, String) {
    let mut pass = fine();
    change(&mut pass);
    let status = status_of(&observed(), pass, FIRST);
    let Condition { status, reason, message, .. } = condition(&status, type_).unwrap().clone();
    (status, reason, message)
}

#[test]
fn a_rollback_is_not_ready_and_nothing_but_a_person_helps() {
    let back = |pass: &mut Pass| applied(pass).rolled_back = Some("ErrImagePull: no such image".to_owned());
    let (status, reason, message) = told(READY, back);
    assert_eq!(status, ConditionStatus::False);
    assert_eq!(reason, "RolledBack");
    assert!(message.contains("ErrImagePull: no such image") && message.contains("revision 3"), "{message}");
    assert_eq!(told(STALLED, back).0, ConditionStatus::True);
    assert_eq!(told(RECONCILING, back).0, ConditionStatus::False);
}

#[test]
fn pending_work_is_reconciling_and_what_needs_a_user_is_stalled() {
    let missing = |pass: &mut Pass| topics(pass)[0].state = State::Missing;
    assert_eq!(told(RECONCILING, missing).0, ConditionStatus::True);
    assert_eq!(told(STALLED, missing).0, ConditionStatus::False);

    let exceeded = |pass: &mut Pass| {
        let condition = json!({"type": "Progressing", "status": "False", "message": "too late"});
        deployed(pass, &json!({"availableReplicas": 1, "conditions": [condition]}));
        applied(pass).words = Some("1 of 2 pods: CrashLoopBackOff".to_owned());
    };
    let (status, reason, message) = told(STALLED, exceeded);
    assert_eq!(status, ConditionStatus::True);
    assert_eq!(reason, "ProgressDeadlineExceeded");
    assert!(message.contains("too late; 1 of 2 pods: CrashLoopBackOff"), "{message}");

    for condition in [RECONCILING, STALLED] {
        assert_eq!(told(condition, |_| {}).0, ConditionStatus::False);
    }
}

#[test]
fn a_cap_degrades_and_keeps_ready() {
    let capped = |pass: &mut Pass| {
        pass.valid.spec.processor.replicas = 9;
        pass.size.capped = Some(2);
    };
    let (status, reason, message) = told(DEGRADED, capped);
    assert_eq!(status, ConditionStatus::True);
    assert_eq!(reason, "ReplicasCapped");
    assert!(message.contains("9 replicas") && message.contains("2 partitions"), "{message}");
    assert_eq!(told(READY, capped).0, ConditionStatus::True);
    assert_eq!(told(DEGRADED, |_| {}).0, ConditionStatus::False);
}

#[test]
fn every_topic_that_is_in_the_way_is_named() {
    let missing = |pass: &mut Pass| topics(pass).iter_mut().for_each(|seen| seen.state = State::Missing);
    let (_, reason, message) = told(TOPICS_READY, missing);
    assert_eq!(reason, "TopicsNotReady");
    for topic in fine().valid.topics() {
        assert!(message.contains(&topic.name), "{}: {message}", topic.name);
    }
}

#[test]
fn whatever_degrades_is_named_under_the_gravest_reason() {
    let any_time = |pass: &mut Pass| {
        let source = topics(pass).iter_mut().find(|seen| seen.role == Role::Source).unwrap();
        source.config.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
    };
    let both = |pass: &mut Pass| {
        pass.size.capped = Some(2);
        any_time(pass);
    };

    let (status, reason, message) = told(DEGRADED, both);
    assert_eq!(status, ConditionStatus::True);
    assert_eq!(reason, "SourceCreateTime");
    assert!(message.contains("no bound on it") && message.contains("; 2 replicas are asked for"), "{message}");
    assert_eq!(told(DEGRADED, any_time).1, "SourceCreateTime");
    assert!(!told(DEGRADED, any_time).2.contains("replicas"));
}

/// A message that counts one thing, and the same that counts several.
#[test]
fn one_of_a_thing_is_singular() {
    let one_replica = |pass: &mut Pass| {
        pass.size.replicas = 1;
        deployed(pass, &json!({"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}));
    };
    assert_eq!(told(PROCESSOR_AVAILABLE, one_replica).2, "1 replica is available");
    assert_eq!(told(PROCESSOR_AVAILABLE, |_| {}).2, "2 replicas are available");

    let back = |pass: &mut Pass| {
        one_replica(pass);
        applied(pass).rolled_back = Some("ErrImagePull".to_owned());
    };
    assert!(told(PROCESSOR_AVAILABLE, back).2.contains("so 1 replica runs config revision 3"));

    let draining = |count| told(PAUSED, |pass| pass.drain = Drain::Pods(count)).2;
    assert_eq!(draining(1), "1 pod is draining, which takes it some ten seconds");
    assert_eq!(draining(2), "2 pods are draining, which takes them some ten seconds");

    let capped = |pass: &mut Pass| pass.size.capped = Some(1);
    assert!(told(DEGRADED, capped).2.contains("the source has 1 partition, and each is read by one: 1 runs"));
}

#[test]
fn a_suspended_pipeline_without_objects_reports_not_suspended() {
    let waiting = |pass: &mut Pass| {
        pass.workload = Workload::Waiting;
        pass.drain = Drain::Unchecked;
    };
    assert_eq!(told(PAUSED, waiting).1, "NotSuspended");
}

#[test]
fn paused_is_true_only_when_everything_is_at_rest() {
    let paused = |drain: Drain| {
        let (status, reason, _) = told(PAUSED, |pass| pass.drain = drain);
        (status, reason)
    };

    assert_eq!(paused(Drain::Pods(1)), is(ConditionStatus::False, Reason::Draining));
    let open = Drain::Transactions(["processed-user-login".to_owned()].into());
    assert_eq!(paused(open), is(ConditionStatus::False, Reason::Draining));
    assert_eq!(paused(Drain::Unknown("timed out".to_owned())), is(ConditionStatus::Unknown, Reason::KafkaUnreachable));
    assert_eq!(paused(Drain::Done), is(ConditionStatus::True, Reason::Drained));
    assert_eq!(told(PAUSED, |_| {}).0, ConditionStatus::False);

    let at_rest = |pass: &mut Pass| {
        pass.valid.spec.suspend = true;
        pass.size.replicas = 0;
        deployed(pass, &json!({"replicas": 0, "updatedReplicas": 0, "readyReplicas": 0, "availableReplicas": 0}));
    };
    assert_eq!(told(READY, at_rest).1, "Suspended");
}

#[test]
fn the_last_healthy_config_is_the_last_with_all_replicas_up() {
    let mut observed = observed();
    observed.status = status_of(&observed, fine(), FIRST);
    let healthy = observed.status.last_healthy.clone();
    assert_eq!(healthy.as_ref().map(|config| config.revision), Some(3));
    let mut pass = fine();
    applied(&mut pass).config.revision = 4;
    deployed(&mut pass, &json!({"availableReplicas": 1}));
    let after = status_of(&observed, pass, FIRST);
    assert_eq!(after.config.unwrap().revision, 4);
    assert_eq!(after.last_healthy, healthy);
}
