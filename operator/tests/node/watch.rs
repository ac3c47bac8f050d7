//! The times at which committed events arrive in a topic.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

/// Reads a topic from its beginning, in the background, as a consumer of the results does.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Arrivals>,
}

/// The arrival time of each event.
#[derive(Default)]
pub struct Arrivals {
    /// The first arrival, by the wall clock.
    pub first: Option<SystemTime>,
    /// By partition, in order.
    times: BTreeMap<i32, Vec<Instant>>,
}

impl Watch {
    pub fn start(bootstrap: &str, topic: &str, partitions: i32) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "watch")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut arrivals = Arrivals::default();
            while !stopped.load(Ordering::Relaxed) {
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(20)) {
                    arrivals.first.get_or_insert_with(SystemTime::now);
                    arrivals.times.entry(message.partition()).or_default().push(Instant::now());
                }
            }
            arrivals
        });
        Self { stop, thread }
    }

    pub fn stop(self) -> Arrivals {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

impl Arrivals {
    /// The longest time without an event of any partition, and the longest time of a single partition.
    pub fn longest_gaps(&self, from: Instant, to: Instant) -> (Duration, Duration) {
        let all = self.times.values().flatten().copied().collect();
        let worst = self.times.values().map(|times| longest_gap(times.clone(), from, to)).max();
        (longest_gap(all, from, to), worst.unwrap_or(to - from))
    }
}

fn longest_gap(mut times: Vec<Instant>, from: Instant, to: Instant) -> Duration {
    times.retain(|time| (from..to).contains(time));
    times.extend([from, to]);
    times.sort();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}
