use std::collections::BTreeMap;

use crds::{pipeline::LoginPipeline, strimzi::api_resource, topics::Role};
use kube::CustomResourceExt;

use super::{
    facts::{Facts, KafkaFact, PipelineFact, RightFact, StrimziFact, TopicFact, Version},
    judge::judge,
    *,
};
use crate::rights::{Place, Right};

const fn right(group: &'static str, resource: &'static str, verbs: &'static [&'static str]) -> Right {
    Right { group, resource, verbs, place: Place::Watched, why: "for a reason" }
}

const RIGHTS: [Right; 4] = [
    right("loginpipeline.dev", "loginpipelines", &["get", "list"]),
    right("loginpipeline.dev", "loginpipelines/status", &["patch"]),
    right("", "configmaps", &["list", "watch", "create"]),
    right("kafka.strimzi.io", "kafkas", &["get", "watch"]),
];

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn topic(role: Role, bytes: &str) -> TopicFact {
    TopicFact { role, name: format!("my-{role}"), settings: Ok(Some(settings(&[("max.message.bytes", bytes)]))) }
}

fn broker(timeout: &str, factor: &str, min_isr: &str, expiration: &str) -> BTreeMap<String, String> {
    settings(&[
        ("transaction.max.timeout.ms", timeout),
        ("transaction.state.log.replication.factor", factor),
        ("transaction.state.log.min.isr", min_isr),
        ("transactional.id.expiration.ms", expiration),
    ])
}

fn pipeline(kafka: Result<KafkaFact, String>) -> PipelineFact {
    PipelineFact {
        name: "shop/logins".to_owned(),
        is_strimzi: true,
        servers: Ok("kafka:9092".to_owned()),
        credentials: Ok(()),
        kafka,
    }
}

/// A cluster where everything is as it should be.
fn good() -> Facts {
    let kafka = KafkaFact {
        brokers: 3,
        settings: Ok(broker("900000", "3", "2", "604800000")),
        topics: vec![
            topic(Role::Source, "1048588"),
            topic(Role::Output, "1114124"),
            TopicFact { role: Role::DeadLetters, name: "my-dead-letters".to_owned(), settings: Ok(None) },
        ],
    };
    Facts {
        version: Ok(Version { name: "v1.36.3".to_owned(), parts: Some((1, 36)) }),
        definition: Ok(Some(LoginPipeline::crd())),
        rights: RIGHTS.iter().map(|right| RightFact { right: *right, refused: Ok(Vec::new()) }).collect(),
        strimzi: Ok(StrimziFact {
            served: Some(api_resource("v1", "Kafka")),
            kafkas: vec![("shop/my-cluster".to_owned(), true)],
            answered: 8,
            unanswered: Vec::new(),
        }),
        pipelines: Ok(vec![pipeline(Ok(kafka))]),
    }
}

fn kafka_of(facts: &mut Facts) -> &mut KafkaFact {
    facts.pipelines.as_mut().unwrap()[0].kafka.as_mut().unwrap()
}

#[test]
fn a_cluster_where_all_is_well() {
    let report = judge(&good());
    assert!(report.is_success());
    insta::assert_snapshot!(report.to_string());
}

#[test]
fn a_cluster_where_much_is_amiss() {
    let mut facts = good();
    let definition = facts.definition.as_mut().unwrap().as_mut().unwrap();
    definition.spec.versions[0].schema = None;
    facts.rights[1].refused = Ok(vec![("patch", None)]);
    facts.rights[2].refused =
        Ok(vec![("watch", Some("a".to_owned())), ("list", Some("a".to_owned())), ("list", Some("b".to_owned()))]);
    facts.rights[0].refused = Err("forbidden".to_owned());
    facts.strimzi = Ok(StrimziFact {
        kafkas: vec![("shop/my-cluster".to_owned(), false)],
        answered: 0,
        unanswered: (1..6).map(|number| format!("shop/topic-{number}")).collect(),
        ..good().strimzi.unwrap()
    });
    let kafka = kafka_of(&mut facts);
    kafka.settings = Ok(broker("5000", "3", "3", "60000"));
    kafka.topics[1] = topic(Role::Output, "1000");
    kafka.topics[2].settings = Err("TopicAuthorizationFailed".to_owned());
    let broken = PipelineFact { servers: Err("it publishes none".to_owned()), ..pipeline(Err(String::new())) };
    let away = pipeline(Err("all brokers are down".to_owned()));
    let unknown = PipelineFact { credentials: Err("there is no Secret".to_owned()), ..pipeline(Err(String::new())) };
    facts.pipelines.as_mut().unwrap().extend([broken, away, unknown]);

    let report = judge(&facts);
    assert!(!report.is_success());
    insta::assert_snapshot!(report.to_string());
    insta::assert_json_snapshot!(report.json());
}

/// What is said of one thing: `√`, `‼` or `×`.
fn verdict(change: impl FnOnce(&mut Facts), what: &str) -> char {
    let mut facts = good();
    change(&mut facts);
    let report = judge(&facts);
    let mut checks = report.groups.iter().flat_map(|group| &group.checks);
    let check = checks.find(|check| check.what.contains(what)).unwrap_or_else(|| panic!("{what} in\n{report}"));
    let verdict = match check.outcome {
        Outcome::Ok => '√',
        Outcome::Warning(_) => '‼',
        Outcome::Failed(_) => '×',
    };
    assert_eq!(verdict == '×', !report.is_success(), "{report}");
    verdict
}

#[test]
fn versions() {
    for (parts, expected) in [(Some((1, 28)), '×'), (Some((1, 29)), '√'), (Some((2, 0)), '√'), (None, '‼')] {
        let change = |facts: &mut Facts| facts.version = Ok(Version { name: "v".to_owned(), parts });
        assert_eq!(verdict(change, "the API server answers"), expected, "{parts:?}");
    }
    assert_eq!(verdict(|facts| facts.version = Err("refused".to_owned()), "the API server answers"), '×');
}

#[test]
fn definitions() {
    let served = |facts: &mut Facts, served| {
        facts.definition.as_mut().unwrap().as_mut().unwrap().spec.versions[0].served = served;
    };
    assert_eq!(verdict(|facts| facts.definition = Ok(None), "is installed"), '×');
    assert_eq!(verdict(|facts| facts.definition = Err("forbidden".to_owned()), "is installed"), '‼');
    assert_eq!(verdict(|facts| served(facts, false), "it serves"), '×');
    assert_eq!(verdict(|facts| served(facts, true), "it serves"), '√');
}

#[test]
fn strimzi_is_missed_where_it_is_used() {
    let without = |facts: &mut Facts, is_strimzi| {
        facts.strimzi = Ok(StrimziFact::default());
        facts.pipelines.as_mut().unwrap()[0].is_strimzi = is_strimzi;
    };
    assert_eq!(verdict(|facts| without(facts, true), "Strimzi's resources are served"), '×');
    assert_eq!(verdict(|facts| without(facts, false), "Strimzi's resources are served"), '‼');

    let refused = |facts: &mut Facts, is_strimzi| {
        facts.pipelines.as_mut().unwrap()[0].is_strimzi = is_strimzi;
        let right = facts.rights.iter_mut().find(|fact| fact.right.resource == "kafkas").unwrap();
        right.refused = Ok(vec![("get", None)]);
    };
    assert_eq!(verdict(|facts| refused(facts, true), "kafkas.kafka.strimzi.io"), '×');
    assert_eq!(verdict(|facts| refused(facts, false), "kafkas.kafka.strimzi.io"), '‼');
}

#[test]
fn one_broker_is_singular() {
    let alone = |facts: &mut Facts| {
        kafka_of(facts).brokers = 1;
        kafka_of(facts).settings = Ok(broker("900000", "1", "1", "604800000"));
    };
    assert_eq!(verdict(alone, "the transactions' log fits 1 broker ("), '√');
}

#[test]
fn limits_of_transactions() {
    let log = |brokers: usize, factor: &str, min_isr: &str| {
        let change = |facts: &mut Facts| {
            kafka_of(facts).brokers = brokers;
            kafka_of(facts).settings = Ok(broker("900000", factor, min_isr, "604800000"));
        };
        verdict(change, "the transactions' log")
    };
    assert_eq!([log(3, "3", "2"), log(5, "3", "1"), log(1, "1", "1")], ['√'; 3]);
    assert_eq!([log(2, "3", "2"), log(1, "3", "2"), log(3, "1", "2")], ['×'; 3]);
    assert_eq!([log(3, "3", "3"), log(3, "1", "1")], ['‼'; 2]);

    let timeout = |value: &str| {
        verdict(|facts| kafka_of(facts).settings = Ok(broker(value, "3", "2", "604800000")), "transactions may take")
    };
    assert_eq!([timeout("10000"), timeout("9999")], ['√', '×']);

    let expiration = |value: &str| {
        verdict(|facts| kafka_of(facts).settings = Ok(broker("900000", "3", "2", value)), "transactional ids")
    };
    assert_eq!([expiration("3600000"), expiration("3599999")], ['√', '‼']);

    let refused = |facts: &mut Facts| kafka_of(facts).settings = Err("ClusterAuthorizationFailed".to_owned());
    assert_eq!(verdict(refused, "the brokers' limits can be read"), '‼');
}

#[test]
fn sizes_of_messages() {
    let output =
        |bytes: &str| verdict(|facts| kafka_of(facts).topics[1] = topic(Role::Output, bytes), "the output topic takes");
    assert_eq!([output("1114124"), output("1114123"), output("1048588"), output("1048587")], ['√', '‼', '‼', '×']);
}
