use crds::pipeline::{LoginPipeline, TopicStatus};
use serde_json::json;

use super::*;
use crate::{topics::shape::Existing, validate::check_pipeline};

const CLUSTER: &str = "my-cluster";

fn valid() -> Valid {
    let manifest = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
        "metadata": {"name": "logins", "namespace": "streams", "uid": "1"},
        "spec": {"kafka": {"strimzi": {"cluster": CLUSTER}}},
    });
    check_pipeline(&serde_json::from_value::<LoginPipeline>(manifest).unwrap()).unwrap()
}

fn judge(valid: &Valid, adopt: bool) -> Judge<'_> {
    Judge { valid, cluster: CLUSTER, known: Known::default(), policy: Policy { adopt } }
}

/// A snapshot of these objects, in which Kafka gave this answer.
fn snapshot(objects: Vec<KafkaTopic>, existing: Result<BTreeMap<String, Existing>, String>) -> Snapshot {
    let listener = Ok(crate::topics::Listener::without_certificates("kafka:9092"));
    Snapshot { listener, objects, at: Timestamp::UNIX_EPOCH, existing }
}

/// A `KafkaTopic` of the output that is as it should be.
fn ready() -> Value {
    json!({
        "apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic",
        "metadata": {
            "name": "streams-logins-output", "namespace": "streams", "generation": 2,
            "labels": {"strimzi.io/cluster": "my-cluster", "loginpipeline.dev/owner-uid": "1"},
        },
        "spec": {"topicName": "processed-user-login", "partitions": 8, "config": {"max.message.bytes": "5000"}},
        "status": {
            "observedGeneration": 2, "topicId": "abc", "topicName": "processed-user-login",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}

/// What is judged of the output when `change` has been done to its object.
fn judged(change: impl Fn(&mut Value)) -> Judged {
    let mut object = ready();
    change(&mut object);
    let objects = vec![serde_json::from_value(object).unwrap()];
    judge(&valid(), false).judge(&snapshot(objects, Ok(BTreeMap::new()))).swap_remove(0)
}

fn seen(change: impl Fn(&mut Value)) -> Seen {
    judged(change).seen
}

#[test]
fn a_topic_is_what_its_object_says() {
    let fine = seen(|_| {});
    assert_eq!(fine.state, State::Ready);
    assert!(fine.created && fine.control == Control::Own);
    assert_eq!(fine.partitions, Some(8));
    assert_eq!(fine.max_message_bytes(), Some(5000));
    assert_eq!(fine.topic_id.as_deref(), Some("abc"));
    let adopted = seen(|object| object["metadata"]["annotations"] = json!({ADOPTED_ANNOTATION: "true"}));
    assert!(!adopted.created && adopted.control == Control::Own);
    assert!(matches!(seen(|object| object["metadata"]["generation"] = 3.into()).state, State::Pending(_)));
}

#[test]
fn what_belongs_to_others_is_referenced_and_not_taken() {
    let theirs = |change: &dyn Fn(&mut Value)| {
        let Judged { seen, action } = judged(change);
        assert!(matches!(action, Action::Leave), "{action:?}");
        assert_eq!(seen.state, State::Ready);
        assert!(!seen.created && seen.control == Control::Theirs);
    };
    // A predecessor's of the same name.
    theirs(&|object| object["metadata"]["labels"]["loginpipeline.dev/owner-uid"] = "2".into());
    theirs(&|object| object["metadata"]["labels"] = json!({"strimzi.io/cluster": "my-cluster"}));
    theirs(&|object| object["metadata"]["name"] = "theirs".into());
    // The owner reference counts more than a copied label.
    theirs(&|object| {
        object["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Other", "name": "other", "uid": "2", "controller": true}]);
    });

    // Without topicName the object's own name is the topic's.
    let named_so = seen(|object| {
        object["metadata"]["name"] = "processed-user-login".into();
        object["spec"]["topicName"] = Value::Null;
    });
    assert_eq!(named_so.state, State::Ready);

    let other_cluster = seen(|object| {
        object["metadata"]["name"] = "theirs".into();
        object["metadata"]["labels"]["strimzi.io/cluster"] = "another".into();
    });
    assert_eq!(other_cluster.state, State::Missing);

    let taken_name = seen(|object| {
        object["metadata"]["labels"]["loginpipeline.dev/owner-uid"] = "2".into();
        object["spec"]["topicName"] = "something-else".into();
    });
    let State::Pending(contested) = taken_name.state else { panic!("{:?}", taken_name.state) };
    assert!(contested.cause == Cause::Contested && taken_name.control == Control::Theirs);
}

fn output() -> Topic {
    valid().topics().into_iter().find(|topic| topic.role == Role::Output).unwrap()
}

/// The output as it exists in Kafka: with these partitions, another value of one config, and these configs set on it.
fn existing(partitions: i32, bytes: &str, dynamic: &[&str]) -> BTreeMap<String, Existing> {
    let mut config: BTreeMap<_, _> = output().config.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    config.insert(shape::MAX_MESSAGE_BYTES.to_owned(), bytes.to_owned());
    config.insert("retention.ms".to_owned(), "7".to_owned());
    let dynamic = dynamic.iter().map(|key| (*key).to_owned()).collect();
    [(output().name, Existing { id: "abc".to_owned(), partitions, config, dynamic })].into()
}

/// What is judged of an output without an object: what keeps its object from being created, or whether that is marked
/// as adopted.
fn creation(judge: &Judge<'_>, answer: Result<BTreeMap<String, Existing>, String>) -> Result<bool, Obstacle> {
    let Judged { seen, action } = judge.judge(&snapshot(Vec::new(), answer)).swap_remove(0);
    match (seen.state, action) {
        (State::Missing, Action::Create { is_adopted }) => Ok(is_adopted),
        (State::Pending(obstacle), Action::Leave) => Err(obstacle),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_existing_topic_gets_an_object_only_if_nothing_changes() {
    let valid = valid();
    let judge = judge(&valid, false);
    let bytes = output().config.into_iter().find(|(key, _)| *key == shape::MAX_MESSAGE_BYTES).unwrap().1;
    assert_eq!(creation(&judge, Ok(BTreeMap::new())), Ok(false));
    assert_eq!(creation(&judge, Ok(existing(8, &bytes, &["max.message.bytes"]))), Ok(true));
    assert_eq!(creation(&judge, Ok(existing(9, &bytes, &[]))), Ok(true));
    let others = [existing(7, &bytes, &[]), existing(8, "4000", &[]), existing(8, &bytes, &["retention.ms"])];
    for other in others {
        assert_eq!(creation(&judge, Ok(other.clone())).unwrap_err().cause, Cause::AdoptionRequired);
    }
    // The object was taken away from a topic that this pipeline created.
    let reported = [TopicStatus {
        role: Role::Output,
        name: output().name,
        partitions: Some(8),
        topic_id: Some("abc".to_owned()),
        created: true,
    }];
    let known = Known::new(&reported, None);
    assert_eq!(creation(&Judge { known, ..judge }, Ok(existing(8, &bytes, &[]))), Ok(false));

    let unknown = creation(&judge, Err("silence".to_owned())).unwrap_err();
    assert_eq!(unknown.cause, Cause::AdoptionUnknown);
    assert!(unknown.message.contains("silence") && unknown.message.contains("adopt: true"), "{}", unknown.message);
}

#[test]
fn adoption_allows_a_takeover_that_changes_the_topic() {
    let valid = valid();
    let adopting = judge(&valid, true);
    assert_eq!(creation(&adopting, Err("silence".to_owned())), Ok(true), "Kafka is not needed");

    // A topic that was in use is looked up, and the takeover is allowed all the same.
    let reported = [TopicStatus {
        role: Role::Output,
        name: output().name,
        partitions: None,
        topic_id: Some("abc".to_owned()),
        created: false,
    }];
    let adopting = Judge { known: Known::new(&reported, None), ..adopting };
    assert_eq!(creation(&adopting, Ok(existing(2, "4000", &[]))), Ok(true));
    assert_eq!(creation(&adopting, Err("silence".to_owned())).unwrap_err().cause, Cause::AdoptionUnknown);
}

#[test]
fn kafka_is_asked_only_about_topics_without_an_object() {
    let valid = valid();
    let object: KafkaTopic = serde_json::from_value(ready()).unwrap();
    let names: Vec<_> = valid.topics().into_iter().map(|topic| topic.name).collect();
    let asked = |judge: &Judge<'_>, objects: &[KafkaTopic]| judge.questions(objects, Timestamp::UNIX_EPOCH);
    assert_eq!(asked(&judge(&valid, false), &[]), names);
    assert_eq!(asked(&judge(&valid, false), &[object]), names[1..]);
    assert_eq!(asked(&judge(&valid, true), &[]), [""; 0]);
}

#[test]
fn what_was_written_is_seen_with_the_identifier_that_kafka_said() {
    let valid = valid();
    let mut object = ready();
    object["status"] = Value::Null;
    let before = Seen {
        topic_id: Some("abc".to_owned()),
        expected_id: Some("abc".to_owned()),
        ..seen(|object| object["metadata"]["generation"] = 3.into())
    };
    let written = serde_json::from_value(object).unwrap();

    let now = judge(&valid, false).after_write(&output(), &before, &written, Timestamp::UNIX_EPOCH);
    assert!(matches!(now.state, State::Pending(_)), "{:?}", now.state);
    assert_eq!(now.topic_id, before.topic_id);
    assert_eq!(now.expected_id, before.expected_id);
}
