//! Sends generated events to the source, at a rate, and never further ahead of the audit than the window allows.

use std::{
    hash::BuildHasher,
    mem, thread,
    time::{Duration, Instant},
};

use crds::job::KafkaConfig;
use foldhash::fast::FixedState;
use kafka::cluster::client_with;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{flow_control::FlowControl, pace::Pace};
use crate::{
    clock::now_seconds,
    commands::generate::{Deliveries, Events, GenerateError, GeneratedEvent, Options, producer_settings, serve},
};

/// Most events of a turn, after which the producer is served and the caller goes on.
const TURN: u64 = 256;

/// How long a turn waits when it cannot send more.
const IDLE: Duration = Duration::from_millis(5);

/// How long an event waits for others of its partition. The embedded broker answers each fetch with one batch, which it
/// finds by walking all batches that it keeps of the partition: with one event a batch, this work grows for an hour,
/// until it takes a whole core.
const LINGER_MS: &str = "250";

#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// Which events to send.
    pub events: Options,
    /// Their pace; the audit may slow it down.
    pub pace: Pace,
}

pub struct Feed {
    producer: BaseProducer<Deliveries>,
    topic: String,
    partitions: usize,
    options: FeedOptions,
    model: Events,
    /// The next event, and its partition.
    next: (GeneratedEvent, usize),
    flow_control: FlowControl,
    started: Instant,
    /// Events that the model has made and that were sent; `sent` counts extra events as well.
    made: u64,
    sent: u64,
    ended: bool,
}

impl Feed {
    /// Creates a feed that has not sent anything.
    ///
    /// # Errors
    /// When the client rejects a setting.
    pub fn new(
        kafka: &KafkaConfig,
        topic: &str,
        partitions: usize,
        window_bytes: usize,
        options: FeedOptions,
    ) -> Result<Self, GenerateError> {
        let mut settings = producer_settings(kafka);
        settings.set("linger.ms", LINGER_MS);
        let producer = client_with(&settings, Deliveries::default())?;
        let mut feed = Self {
            producer,
            topic: topic.to_owned(),
            partitions,
            model: Events::new(options.events.clone()),
            options,
            next: (GeneratedEvent::default(), 0),
            flow_control: FlowControl::new(partitions, window_bytes),
            started: Instant::now(),
            made: 0,
            sent: 0,
            ended: false,
        };
        feed.make_next();
        Ok(feed)
    }

    /// Stops sending events.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether all events are sent and acknowledged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_at_end() && self.producer.in_flight_count() == 0
    }

    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.producer.context().sent()
    }

    /// The source offset after the last event that the broker has acknowledged, by partition; `None` when there is
    /// none.
    #[must_use]
    pub fn ends(&self) -> Vec<Option<i64>> {
        let last = self.producer.context().last();
        (0..).zip(0..self.partitions).map(|(partition, _)| last.get(&partition).map(|last| last + 1)).collect()
    }

    /// Sends an event in addition to those that are due.
    ///
    /// # Errors
    /// When the client rejects it.
    pub fn send_extra(&mut self, event: &GeneratedEvent) -> Result<(), GenerateError> {
        let partition = self.partition_of(event);
        // Such an event is small and rare, so the window need not have room.
        self.flow_control.force(partition, bytes(event));
        self.send(event, partition)
    }

    /// Sends the events that are due and fit into the window, up to the limit of a turn. `audited` is the number of
    /// events whose outcome is known, by partition.
    ///
    /// # Errors
    /// When the client rejects an event, or an event was not delivered.
    pub fn turn(&mut self, audited: impl Iterator<Item = u64>) -> Result<(), GenerateError> {
        for (partition, audited) in audited.enumerate() {
            self.flow_control.audited(partition, audited);
        }
        let before = self.made;
        let end_of_turn = before + TURN;
        let due = self.options.pace.due(self.started.elapsed()).min(end_of_turn);
        while !self.is_at_end() && self.made < due && self.send_next()? {}
        serve(&self.producer);
        if self.made < end_of_turn {
            thread::sleep(IDLE);
        }
        let deliveries = self.producer.context();
        if deliveries.failed() { deliveries.report(self.sent, self.started.elapsed()).map(drop) } else { Ok(()) }
    }

    fn is_at_end(&self) -> bool {
        self.ended || self.options.pace.total.is_some_and(|total| self.made >= total)
    }

    /// Sends the next event. Returns false when the window has no room for it.
    fn send_next(&mut self) -> Result<bool, GenerateError> {
        if !self.flow_control.admit(self.next.1, bytes(&self.next.0)) {
            return Ok(false);
        }
        let (event, partition) = mem::take(&mut self.next);
        self.send(&event, partition)?;
        self.made += 1;
        self.next.0 = event;
        self.make_next();
        Ok(true)
    }

    fn send(&mut self, event: &GeneratedEvent, partition: usize) -> Result<(), GenerateError> {
        let mut record = BaseRecord::with_opaque_to(&self.topic, event.kind as usize).key(&event.key);
        record.partition = i32::try_from(partition).ok();
        record.payload = event.payload();
        while let Err((error, back)) = self.producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(GenerateError::Send { number: self.sent + 1, source: error });
            }
            record = back;
            thread::sleep(IDLE);
            serve(&self.producer);
        }
        self.sent += 1;
        Ok(())
    }

    fn make_next(&mut self) {
        let ago = self.options.pace.ago(self.made, self.started.elapsed());
        self.model.set_time(now_seconds().saturating_sub_unsigned(ago.as_secs()));
        self.model.next_into(&mut self.next.0);
        self.next.1 = self.partition_of(&self.next.0);
    }

    /// Picks the partition by the key, so that all events of a user are in the same partition.
    fn partition_of(&self, event: &GeneratedEvent) -> usize {
        let hash = FixedState::default().hash_one(&event.key);
        (hash % self.partitions.max(1) as u64) as usize
    }
}

fn bytes(event: &GeneratedEvent) -> usize {
    event.key.len() + event.payload().map_or(0, <[u8]>::len)
}
