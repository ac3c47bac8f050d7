//! Tests of the history, of merged replicas, and of the page over HTTP.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use crds::records::dead_letter::Reason;
use proptest::prelude::*;
use serde_json::Value;
use tokio::net::TcpListener;

use super::{history::POINTS, *};

/// An idle replica.
fn view(name: &str, time: i64) -> View {
    View {
        version: VERSION,
        time,
        scope: Scope::Replica,
        pipeline: Pipeline { namespace: "default".to_owned(), name: "logins".to_owned(), revision: 1 },
        topics: Topics {
            source: "in".to_owned(),
            output: "out".to_owned(),
            dead_letters: "dead".to_owned(),
            aggregates: Some("aggregates".to_owned()),
            insights: Some("insights".to_owned()),
            alerts: Some("alerts".to_owned()),
        },
        replicas: vec![Replica {
            name: name.to_owned(),
            state: ReplicaState::Running,
            not_ready: None,
            uptime_seconds: 1,
            role: Some(Role::Standby),
            threads: Vec::new(),
            page: None,
        }],
        totals: Totals::default(),
        rates: Rates::default(),
        latency: Latency::default(),
        lag: 0,
        partitions: Vec::new(),
        frontier: None,
        latest: None,
        windows_open: 0,
        windows_kept: 0,
        windows: Vec::new(),
        alerts: Vec::new(),
        dead_letters: Vec::new(),
        audit: None,
    }
}

fn with_rate(time: i64, processed: f64) -> View {
    View { rates: Rates { processed, ..Rates::default() }, ..view("a", time) }
}

/// The history of views at these times, each with its index as its rate. Returns the time and the rate of each point.
fn points(times: &[i64]) -> Vec<(i64, Option<f64>)> {
    let mut history = history::History::default();
    for (place, time) in times.iter().enumerate() {
        history.push(&with_rate(*time, place as f64));
    }
    let columns = serde_json::to_value(&history).unwrap();
    let lengths: Vec<usize> =
        columns.as_object().unwrap().values().map(|column| column.as_array().unwrap().len()).collect();
    assert!(lengths.iter().all(|length| *length == lengths[0]), "{lengths:?}");
    let column = |name: &str| columns[name].as_array().unwrap().clone();
    let times = column("time").into_iter().map(|time| time.as_i64().unwrap());
    times.zip(column("processed").iter().map(Value::as_f64)).collect()
}

#[test]
fn each_second_has_one_point_and_unknown_seconds_have_no_values() {
    assert_eq!(points(&[]), []);
    assert_eq!(points(&[1500, 2500, 3500]), [(1000, Some(0.0)), (2000, Some(1.0)), (3000, Some(2.0))]);
    assert_eq!(points(&[1500, 3999]), [(1000, Some(0.0)), (2000, None), (3000, Some(1.0))]);
    assert_eq!(points(&[1000, 1999]), [(1000, Some(1.0))], "the last of a second stands for it");
    assert_eq!(points(&[1000, 2000, 3000, 2500]), [(1000, Some(0.0)), (2000, Some(3.0))], "the clock was set back");
}

#[test]
fn an_hour_is_kept() {
    let seconds: Vec<i64> = (0..5000).map(|second| second * 1000 + 500).collect();
    let kept = points(&seconds);
    assert_eq!(kept.len(), POINTS);
    assert_eq!(kept[0].0, 1_400_000);
    assert_eq!(kept[POINTS - 1], (4_999_000, Some(4999.0)));
    // A gap of more than an hour, and then one view.
    let kept = points(&[500, 20_000_500]);
    assert_eq!(kept.len(), POINTS);
    assert_eq!(kept[0].0, 16_401_000);
    assert_eq!(kept[POINTS - 1], (20_000_000, Some(1.0)));
    assert_eq!(kept.iter().filter(|(_, rate)| rate.is_some()).count(), 1);
}

proptest! {
    /// For any clock steps, the history equals the last hour of a list of all seconds.
    #[test]
    fn the_history_is_that_of_the_last_hour(
        steps in prop::collection::vec(prop_oneof![8 => 900..1100_i64, 1 => 0..9000_i64, 1 => -3000..0_i64, 1 => 0..5_000_000_i64], 1..60),
    ) {
        let mut times = vec![1_720_576_800_500];
        times.extend(steps.iter().scan(times[0], |time, step| { *time += step; Some(*time) }));
        let mut expected: BTreeMap<i64, f64> = BTreeMap::new();
        for (place, time) in times.iter().enumerate() {
            let second = time.div_euclid(1000) * 1000;
            expected.split_off(&second);
            expected.insert(second, place as f64);
        }
        let (first, last) = (*expected.first_key_value().unwrap().0, *expected.last_key_value().unwrap().0);

        // Points that were dropped after an hour do not return when the clock is set back.
        let kept = points(&times);
        prop_assert!(kept.len() <= POINTS);
        prop_assert_eq!(kept.last().unwrap().0, last);
        prop_assert!(kept[0].0 >= first.max(last - (POINTS as i64 - 1) * 1000));
        for pair in kept.windows(2) {
            prop_assert_eq!(pair[1].0, pair[0].0 + 1000);
        }
        for (time, rate) in kept {
            prop_assert_eq!(rate, expected.get(&time).copied(), "at {}", time);
        }
    }
}

fn partition(partition: i32, replica: Option<&str>, lag: Option<u64>, watermark: i64) -> Partition {
    let replica = replica.map(str::to_owned);
    Partition { partition, replica, lag, watermark: Some(watermark), effective: Some(watermark), idle: false }
}

#[test]
fn several_replicas_are_one_pipeline() {
    let dead = |malformed| BTreeMap::from([(Reason::Malformed, malformed), (Reason::Future, 1)]);
    let mut standby = View { lag: 3, frontier: Some(100), windows_open: 1, ..view("a", 1000) };
    standby.totals = Totals { processed: 10, dead_letters: dead(2), windows_closed: 7, ..Totals::default() };
    standby.rates.processed = 5.0;
    standby.latency.commit = LatencyOf { count: 3, p50: Some(0.01), p99: Some(0.05) };
    standby.partitions = vec![partition(0, Some("a"), Some(3), 110), partition(1, None, None, 90)];
    let mut emitter = View { lag: 4, frontier: Some(90), windows_open: 2, ..view("b", 2000) };
    emitter.replicas[0].role = Some(Role::Emitter);
    emitter.totals = Totals { processed: 20, dead_letters: dead(5), windows_closed: 4, ..Totals::default() };
    emitter.rates.processed = 7.0;
    emitter.latency.commit = LatencyOf { count: 1, p50: Some(0.03), p99: Some(0.03) };
    emitter.partitions = vec![partition(0, None, None, 100), partition(1, Some("b"), Some(4), 95)];

    let merged = merge(&[standby.clone(), emitter.clone()]).unwrap();
    assert_eq!(merged, merge(&[emitter.clone(), standby.clone()]).unwrap());
    assert_eq!(merged.scope, Scope::Pipeline);
    assert_eq!(merged.time, 2000);
    assert_eq!(merged.lag, 7);
    let names: Vec<&str> = merged.replicas.iter().map(|replica| replica.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(merged.totals.processed, 30);
    assert_eq!(merged.totals.dead_letters[&Reason::Malformed], 7);
    assert_eq!(merged.totals.windows_closed, 7, "each counts what all fold");
    assert!((merged.rates.processed - 12.0).abs() < 1e-9);
    assert_eq!(merged.latency.commit, LatencyOf { count: 4, p50: Some(0.015), p99: Some(0.05) });
    assert_eq!(merged.frontier, Some(90), "the emitter's fold");
    assert_eq!(merged.windows_open, 2, "the emitter's fold");
    let of_a = Partition { effective: Some(100), ..partition(0, Some("a"), Some(3), 110) };
    assert_eq!(merged.partitions, [of_a, partition(1, Some("b"), Some(4), 95)]);
}

#[test]
fn one_that_is_gone_leaves_its_counts() {
    let mut gone = View { lag: 9, frontier: Some(500), ..view("a", 9000) };
    gone.replicas[0].state = ReplicaState::Gone;
    gone.replicas[0].role = Some(Role::Emitter);
    gone.totals.processed = 10;
    gone.rates.processed = 5.0;
    gone.partitions = vec![partition(0, Some("a"), Some(9), 500)];
    let mut again = View { frontier: Some(400), ..view("a", 9500) };
    again.totals.processed = 1;
    again.partitions = vec![partition(0, Some("a"), Some(2), 450)];

    let merged = merge(&[gone.clone(), again.clone()]).unwrap();
    assert_eq!(merged.totals.processed, 11);
    assert_eq!(merged.lag, 0);
    assert_eq!(merged.frontier, Some(400));
    assert_eq!(merged.replicas, again.replicas);
    assert_eq!(merged.partitions, again.partitions);
    assert_eq!(merge(&[gone.clone()]).unwrap().replicas, gone.replicas);
    assert_eq!(merge(&[]), None);
}

#[test]
fn a_view_is_read_back_as_it_was_written() {
    let mut view = view("a", 1);
    view.totals.dead_letters = BTreeMap::from([(Reason::TooLarge, 3)]);
    view.dead_letters = vec![DeadLetter { reason: Reason::TooLarge, count: 3, sample: None }];
    let text = serde_json::to_string(&view).unwrap();
    assert!(text.contains(r#""dead_letters":{"too-large":3}"#), "{text}");
    assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
}

/// Starts a server of a page.
async fn serve(page: Page) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, page.router()).into_future());
    address
}

/// Returns the first bytes of an answer, and the connection.
fn ask(address: SocketAddr, path: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).unwrap();
    (String::from_utf8_lossy(&answer[..length]).into_owned(), stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_tells_what_was_published_last() {
    let (publisher, page) = channel();
    let address = serve(page).await;
    assert!(ask(address, "/view").0.starts_with("HTTP/1.1 503"), "nothing was published yet");
    publisher.publish(with_rate(1_000_000, 1.0));
    publisher.publish(with_rate(1_001_000, 2.0));
    let (answer, _) = ask(address, "/view");
    assert!(answer.contains("cache-control: no-store") && answer.contains(r#""time":1001000"#), "{answer}");
    let (answer, _) = ask(address, "/view/history");
    assert!(answer.contains(r#"{"time":[1000000,1001000],"processed":[1.0,2.0]"#), "{answer}");
    let (answer, _) = ask(address, "/");
    let (_, nonce) = answer.split_once("script-src 'nonce-").unwrap();
    assert!(nonce.starts_with(|digit: char| digit.is_ascii_hexdigit()) && !answer.contains("{{nonce}}"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_follow_and_no_more_until_one_goes() {
    let (publisher, page) = channel();
    let address = serve(page).await;
    publisher.publish(view("a", 1));

    let mut readers = Vec::new();
    for _ in 0..64 {
        let (answer, stream) = ask(address, "/view/events");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        readers.push(stream);
    }
    let (answer, _) = ask(address, "/view/events");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

    readers.pop();
    // The server notices the closed connection when it writes the next view.
    for time in 2.. {
        publisher.publish(view("a", time));
        thread::sleep(Duration::from_millis(20));
        if ask(address, "/view/events").0.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(time < 200, "the place of a reader that is gone stays taken");
    }
}
