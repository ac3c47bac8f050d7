//! The Kafka clusters are real: they take records and transactions, and lose and regain brokers.

#![expect(clippy::unwrap_used, reason = "the helpers of the tests fail as the tests do")]

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use testkit::kafka::{Cluster, Committed, Identity, Isolation, NewRecord, PASSWORD, Secured, USER, shared};
use testkit::{Error, unique, wait_for};

const REQUEST: Duration = Duration::from_secs(30);

fn text(payload: &str) -> NewRecord {
    NewRecord { payload: Some(payload.into()), partition: Some(0), ..NewRecord::default() }
}

fn payloads(cluster: &Cluster, topic: &str, isolation: Isolation) -> Vec<String> {
    let records = cluster.read_to_end(topic, isolation).unwrap();
    records.into_iter().map(|record| String::from_utf8(record.payload.unwrap_or_default()).unwrap()).collect()
}

fn transactional(cluster: &Cluster) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", unique("id"))
        .create()
        .unwrap();
    producer.init_transactions(REQUEST).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, payload: &str) {
    producer.send(BaseRecord::<(), str>::to(topic).payload(payload).partition(0)).map_err(|(error, _)| error).unwrap();
}

#[test]
fn a_record_comes_back_as_it_was_written() {
    let (cluster, topic) = (shared(), unique("record"));
    cluster.create_topic(&topic, 2, &[]).unwrap();
    let written = NewRecord {
        partition: Some(1),
        timestamp: Some(1_720_576_825_000),
        key: Some(b"key".to_vec()),
        payload: Some(vec![0xff, 0]),
        headers: vec![("a".into(), Some(b"1".to_vec())), ("a".into(), None), ("b".into(), Some(Vec::new()))],
    };
    let tombstone = NewRecord { partition: Some(0), key: Some(b"gone".to_vec()), ..NewRecord::default() };
    cluster.produce(&topic, [written.clone(), tombstone]).unwrap();

    let records = cluster.read_to_end(&topic, Isolation::ReadCommitted).unwrap();
    let [deleted, record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(deleted.partition, 0);
    assert_eq!(deleted.offset, 0);
    assert_eq!(deleted.payload, None);
    assert_eq!(record.partition, 1);
    assert_eq!(record.offset, 0);
    assert_eq!(record.timestamp, written.timestamp);
    assert_eq!(record.key, written.key);
    assert_eq!(record.payload, written.payload);
    assert_eq!(record.headers, written.headers);
}

#[test]
fn many_records_come_back_in_order() {
    let (cluster, topic) = (shared(), unique("many"));
    cluster.create_topic(&topic, 1, &[]).unwrap();
    let written: Vec<_> = (0..250_000).map(|n| format!("{n}")).collect();
    cluster.produce(&topic, written.iter().map(|payload| text(payload))).unwrap();
    assert_eq!(payloads(cluster, &topic, Isolation::ReadCommitted), written);
}

#[test]
fn read_committed_hides_aborted_and_open_transactions() {
    let (cluster, topic) = (shared(), unique("transactions"));
    cluster.create_topic(&topic, 1, &[]).unwrap();
    let producer = transactional(cluster);
    for (payload, commit) in [("committed", true), ("aborted", false)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, payload);
        producer.flush(REQUEST).unwrap();
        if commit { producer.commit_transaction(REQUEST) } else { producer.abort_transaction(REQUEST) }.unwrap();
    }
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "open");
    producer.flush(REQUEST).unwrap();

    assert_eq!(payloads(cluster, &topic, Isolation::ReadCommitted), ["committed"]);
    assert_eq!(payloads(cluster, &topic, Isolation::ReadUncommitted), ["committed", "aborted", "open"]);
    // Each of the two ended transactions left a control record.
    assert_eq!(cluster.end_offsets(&topic, Isolation::ReadCommitted).unwrap()[&0], 4);
    assert_eq!(cluster.end_offsets(&topic, Isolation::ReadUncommitted).unwrap()[&0], 5);
}

#[test]
fn transactional_offsets_and_metadata_last_until_group_deletion() {
    let (cluster, topic, group) = (shared(), unique("offsets"), unique("group"));
    cluster.create_topic(&topic, 2, &[]).unwrap();
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).set("group.id", &group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    let mut second = offsets.add_partition(&topic, 1);
    second.set_offset(Offset::Offset(7)).unwrap();
    second.set_metadata("seven");
    let producer = transactional(cluster);
    producer.begin_transaction().unwrap();
    producer.send_offsets_to_transaction(&offsets, &consumer.group_metadata().unwrap(), REQUEST).unwrap();
    producer.commit_transaction(REQUEST).unwrap();

    let committed = cluster.committed(&group, &topic, Isolation::ReadCommitted).unwrap();
    assert_eq!(committed.into_iter().collect::<Vec<_>>(), [(1, Committed { offset: 7, metadata: "seven".into() })]);
    cluster.delete_group(&group).unwrap();
    assert!(cluster.committed(&group, &topic, Isolation::ReadCommitted).unwrap().is_empty());
}

#[test]
fn topics_grow_and_go_and_never_make_themselves() {
    let (cluster, topic) = (shared(), unique("topic"));
    assert_eq!(cluster.partitions(&topic).unwrap(), None);
    assert!(matches!(cluster.produce(&topic, [text("nowhere")]), Err(Error::Refused { .. })));
    cluster.create_topic(&topic, 1, &[("cleanup.policy", "compact")]).unwrap();
    cluster.add_partitions(&topic, 3).unwrap();
    assert_eq!(cluster.partitions(&topic).unwrap(), Some(3));
    let refused = cluster.create_topic(&topic, 1, &[]).unwrap_err();
    assert!(refused.to_string().contains("already exists"), "{refused}");
    cluster.delete_topic(&topic).unwrap();
    wait_for("the end of the topic", REQUEST, || cluster.partitions(&topic).unwrap().is_none().then_some(()));
    let refused = cluster.read_to_end(&topic, Isolation::ReadCommitted).unwrap_err();
    assert!(refused.to_string().contains(&topic), "{refused}");
}

#[test]
fn three_brokers_survive_the_death_of_one_and_take_it_back() {
    let began = Instant::now();
    let cluster = Cluster::start(3).unwrap();
    println!("three brokers: {:?}", began.elapsed());
    let topic = unique("replicated");
    cluster.create_topic(&topic, 3, &[]).unwrap();
    let on_each = |payload: &str| (0..3).map(|n| NewRecord { partition: Some(n), ..text(payload) }).collect::<Vec<_>>();

    cluster.produce(&topic, on_each("before")).unwrap();
    for broker in 0..2 {
        cluster.kill_broker(broker).unwrap();
        cluster.produce(&topic, on_each("without")).unwrap();
        cluster.restart_broker(broker).unwrap();
    }
    cluster.produce(&topic, on_each("after")).unwrap();

    assert_eq!(
        payloads(&cluster, &topic, Isolation::ReadCommitted),
        ["before", "without", "without", "after"].repeat(3),
        "each partition keeps its order and its records"
    );
    assert!(matches!(cluster.kill_broker(3), Err(Error::NoSuchBroker { broker: 3, last: 2 })));
    cluster.stop();
}

#[test]
fn a_single_broker_comes_back_with_its_data() {
    let began = Instant::now();
    let cluster = Cluster::start(1).unwrap();
    println!("one broker: {:?}", began.elapsed());
    cluster.create_topic("kept", 1, &[]).unwrap();
    cluster.produce("kept", [text("here")]).unwrap();
    cluster.kill_broker(0).unwrap();
    cluster.restart_broker(0).unwrap();
    assert_eq!(payloads(&cluster, "kept", Isolation::ReadCommitted), ["here"]);
    transactional(&cluster);
}

/// Whether a client with these settings gets an answer, and what it says if not.
fn reach(settings: &[(&str, &str)]) -> Result<(), String> {
    let mut config = ClientConfig::new();
    for (name, value) in settings {
        config.set(*name, *value);
    }
    let client: BaseConsumer = config.create().map_err(|error| error.to_string())?;
    client.fetch_metadata(None, Duration::from_secs(5)).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_secured_broker_lets_in_whom_it_knows_and_nobody_else() {
    let secured = Secured::start().unwrap();
    let (servers, ca) = (("bootstrap.servers", &*secured.sasl_ssl), ("ssl.ca.pem", &*secured.ca));
    let mut cases = vec![("a listener with TLS must not answer without", false, vec![servers])];
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let user = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", mechanism), ("sasl.username", USER)];
        for (password, expected) in [(PASSWORD, true), ("wrong", false)] {
            cases.push((mechanism, expected, [&user[..], &[servers, ca, ("sasl.password", password)]].concat()));
        }
    }

    let other = Identity::unknown().unwrap();
    let tls = [("security.protocol", "SSL"), ("bootstrap.servers", &*secured.mutual_tls)];
    let shown = |identity| {
        let Identity { certificate, key }: &Identity = identity;
        [("ssl.certificate.pem", &**certificate), ("ssl.key.pem", &**key)]
    };
    cases.extend([
        ("who is known", true, [&tls[..], &[ca], &shown(&secured.client)].concat()),
        ("the broker must ask who it is", false, [&tls[..], &[ca]].concat()),
        ("the broker must verify it", false, [&tls[..], &[ca], &shown(&other)].concat()),
        (
            "the client must verify the broker",
            false,
            [&tls[..], &[("ssl.ca.pem", &*other.certificate)], &shown(&secured.client)].concat(),
        ),
    ]);

    std::thread::scope(|scope| {
        for (name, expected, settings) in &cases {
            scope.spawn(move || assert_eq!(reach(settings).is_ok(), *expected, "{name}"));
        }
    });
}
