use crds::pipeline::LoginPipeline;
use serde_json::json;

use super::*;
use crate::pass::validate::check_pipeline;

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

/// What is seen of the output when `change` has been done to its object.
fn seen(change: impl Fn(&mut Value)) -> Seen {
    let manifest = json!({
        "apiVersion": "loginpipeline.dev/v1alpha1", "kind": "LoginPipeline",
        "metadata": {"name": "logins", "namespace": "streams", "uid": "1"},
        "spec": {"kafka": {"strimzi": {"cluster": "my-cluster"}}},
    });
    let valid = check_pipeline(&serde_json::from_value::<LoginPipeline>(manifest).unwrap()).unwrap();
    let mut object = ready();
    change(&mut object);
    let objects = [serde_json::from_value(object).unwrap()];
    see(&valid.topics()[0], &valid, "my-cluster", &objects, Timestamp::UNIX_EPOCH)
}

#[test]
fn a_topic_is_what_its_object_says() {
    let fine = seen(|_| {});
    assert_eq!(fine.state, State::Ready);
    assert!(fine.created && fine.control == Control::Own);
    assert_eq!((fine.partitions, fine.max_message_bytes()), (Some(8), Some(5000)));
    assert_eq!(fine.topic_id.as_deref(), Some("abc"));
    let adopted = seen(|object| object["metadata"]["annotations"] = json!({ADOPTED_ANNOTATION: "true"}));
    assert!(!adopted.created && adopted.control == Control::Own);
    assert!(matches!(seen(|object| object["metadata"]["generation"] = 3.into()).state, State::Pending(_)));
}

#[test]
fn what_belongs_to_others_is_referenced_and_not_taken() {
    let theirs = |change: &dyn Fn(&mut Value)| {
        let seen = seen(change);
        assert_eq!(seen.state, State::Ready);
        assert!(!seen.created && seen.control == Control::Theirs);
    };
    // A predecessor's of the same name.
    theirs(&|object| object["metadata"]["labels"]["loginpipeline.dev/owner-uid"] = "2".into());
    theirs(&|object| object["metadata"]["labels"] = json!({"strimzi.io/cluster": "my-cluster"}));
    theirs(&|object| object["metadata"]["name"] = "theirs".into());
    // Whoever copied the label, a controller says more.
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

#[test]
fn a_listener_is_what_the_kafka_publishes() {
    let of = |name: &str, kafka: Value| {
        let wanted = serde_json::from_value(json!({"cluster": "my-cluster", "listener": name})).unwrap();
        listener(&wanted, &serde_json::from_value(kafka).unwrap())
    };
    let kafka = || {
        json!({"metadata": {"name": "my-cluster"}, "spec": {}, "status": {"listeners": [
            {"name": "plain", "bootstrapServers": "a:9092"},
            {"name": "tls", "bootstrapServers": "a:9093", "certificates": ["one", "two"]},
            {"name": "new"},
        ]}})
    };
    let plain = Listener::without_certificates("a:9092");
    assert_eq!(of("plain", kafka()).unwrap(), plain);
    let tls =
        Listener { bootstrap_servers: "a:9093".to_owned(), certificates: vec!["one".to_owned(), "two".to_owned()] };
    assert_eq!(of("tls", kafka()).unwrap(), tls);
    assert_eq!(of("external", kafka()).unwrap_err().found, "plain, tls, new");
    assert!(of("new", kafka()).is_err());
    assert_eq!(of("plain", json!({"metadata": {}, "spec": {}})).unwrap_err().found, "none");
}

/// Whether the pipeline would be the topic's maker, and what keeps it from making its object.
fn creation(existing: Option<Existing>, known: Known<'_>) -> (bool, Option<Cause>) {
    let topic = Topic {
        role: Role::Output,
        name: "out".to_owned(),
        partitions: 3,
        config: vec![("max.message.bytes", "5000".to_owned())],
    };
    let mut seen = Seen { state: State::Missing, ..seen(|_| {}) };
    let found = Ok(existing.map(|existing| ("out".to_owned(), existing)).into_iter().collect());
    let made = is_creation(&topic, &mut seen, &found, known, false);
    let cause = match seen.state {
        State::Pending(obstacle) => Some(obstacle.cause),
        State::Missing => None,
        State::Ready => panic!("nobody can tell"),
    };
    (made, cause)
}

#[test]
fn a_topic_that_exists_is_given_an_object_only_where_nothing_would_change() {
    let existing = |partitions: i32, bytes: &str, dynamic: &[&str]| {
        let config = [("max.message.bytes", bytes), ("retention.ms", "7")];
        Some(Existing {
            id: "abc".to_owned(),
            partitions,
            config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            dynamic: dynamic.iter().map(|key| (*key).to_owned()).collect(),
        })
    };
    let known = Known::default();
    assert_eq!(creation(None, known), (true, None));
    assert_eq!(creation(existing(3, "5000", &["max.message.bytes"]), known), (false, None));
    assert_eq!(creation(existing(4, "5000", &[]), known), (false, None));
    for other in [existing(2, "5000", &[]), existing(3, "4000", &[]), existing(3, "5000", &["retention.ms"])] {
        assert_eq!(creation(other, known), (false, Some(Cause::AdoptionRequired)));
    }
    // The object was taken away from a topic that this pipeline made.
    let reported = [crds::pipeline::TopicStatus {
        role: Role::Output,
        name: "out".to_owned(),
        partitions: Some(3),
        topic_id: Some("abc".to_owned()),
        created: true,
    }];
    assert_eq!(creation(existing(3, "5000", &[]), Known::new(&reported, None)), (true, None));

    let topic = Topic { role: Role::Output, name: "out".to_owned(), partitions: 3, config: Vec::new() };
    let mut unknown = Seen { state: State::Missing, ..seen(|_| {}) };
    assert!(!is_creation(&topic, &mut unknown, &Err("silence".to_owned()), known, false));
    let State::Pending(obstacle) = unknown.state else { panic!("{:?}", unknown.state) };
    assert_eq!(obstacle.cause, Cause::AdoptionUnknown);
    assert!(obstacle.message.contains("silence") && obstacle.message.contains("adopt: true"));
}
