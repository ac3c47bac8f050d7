//! Sends generated events to the source: at a rate, and never further ahead of the audit than the window allows.

use std::{
    hash::BuildHasher,
    time::{Duration, Instant},
};

use crds::job::KafkaConfig;
use foldhash::fast::FixedState;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::window::Window;
use crate::{
    generate::{Deliveries, Event, Events, GenerateError, Options, now, producer_settings},
    kafka::cluster::client_with,
};

/// Events that are sent before the producer is served and others have their turn.
const TURN: u64 = 256;

/// Event time over which a limited number of events is spread that are sent as fast as possible, in seconds: so that windows
/// close meanwhile.
const SPAN: u64 = 600;

/// How long a turn waits where nothing can be sent.
const IDLE: Duration = Duration::from_millis(2);

/// What is sent.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// Which events.
    pub events: Options,
    /// How many; none without end.
    pub total: Option<u64>,
    /// Events per second; 0 is as fast as the audit goes.
    pub rate: u64,
}

/// Sends events.
pub struct Feed {
    producer: BaseProducer<Deliveries>,
    topic: String,
    partitions: usize,
    options: FeedOptions,
    model: Events,
    /// The next event, and its partition.
    next: (Event, usize),
    window: Window,
    started: Instant,
    sent: u64,
    ended: bool,
}

impl Feed {
    /// A feed that has not sent anything.
    ///
    /// # Errors
    /// When the client refuses a setting.
    pub fn new(
        kafka: &KafkaConfig,
        topic: &str,
        partitions: usize,
        window_bytes: usize,
        options: FeedOptions,
    ) -> Result<Self, GenerateError> {
        let producer = client_with(&producer_settings(kafka), Deliveries::default())?;
        let mut feed = Self {
            producer,
            topic: topic.to_owned(),
            partitions,
            model: Events::new(options.events.clone()),
            options,
            next: (Event::default(), 0),
            window: Window::new(partitions, window_bytes),
            started: Instant::now(),
            sent: 0,
            ended: false,
        };
        feed.set_time();
        feed.make_next();
        Ok(feed)
    }

    /// Sends no more events.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether all events are sent and acknowledged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_at_end() && self.producer.in_flight_count() == 0
    }

    /// How many events were sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// How many events the broker has acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.producer.context().sent()
    }

    /// Sends some events, as many as it is time for and the window has room for. `audited` are those that have found their
    /// outcome, by partition.
    ///
    /// # Errors
    /// When an event is refused or was not delivered.
    pub fn turn(&mut self, audited: impl Iterator<Item = u64>) -> Result<(), GenerateError> {
        for (partition, audited) in audited.enumerate() {
            self.window.audited(partition, audited);
        }
        self.set_time();
        let before = self.sent;
        let due = self.due().min(before + TURN);
        while !self.is_at_end() && self.sent < due && self.send_next()? {}
        self.producer.poll(if self.sent == before { IDLE } else { Duration::ZERO });
        let deliveries = self.producer.context();
        if deliveries.failed() { deliveries.report(self.sent, self.started.elapsed()).map(drop) } else { Ok(()) }
    }

    fn is_at_end(&self) -> bool {
        self.ended || self.options.total.is_some_and(|total| self.sent >= total)
    }

    /// How many events should have been sent by now.
    fn due(&self) -> u64 {
        match self.options.rate {
            0 => u64::MAX,
            rate => (self.started.elapsed().as_secs_f64() * rate as f64) as u64 + 1,
        }
    }

    /// Says when the next events happen.
    fn set_time(&mut self) {
        let behind = match self.options.total {
            Some(total) if self.options.rate == 0 => {
                let left = u128::from(total.saturating_sub(self.sent)) * u128::from(SPAN) / u128::from(total.max(1));
                u64::try_from(left).unwrap_or(SPAN)
            }
            _ => 0,
        };
        self.model.set_time(now().saturating_sub_unsigned(behind));
    }

    /// Sends the next event. False when it has to wait.
    fn send_next(&mut self) -> Result<bool, GenerateError> {
        let (event, partition) = &self.next;
        let bytes = event.key.len() + event.payload().map_or(0, <[u8]>::len);
        if !self.window.admit(*partition, bytes) {
            return Ok(false);
        }
        let mut record = BaseRecord::with_opaque_to(&self.topic, event.kind as usize).key(&event.key);
        record.partition = i32::try_from(*partition).ok();
        record.payload = event.payload();
        while let Err((error, back)) = self.producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(GenerateError::Send { number: self.sent + 1, source: error });
            }
            record = back;
            self.producer.poll(IDLE);
        }
        self.sent += 1;
        self.make_next();
        Ok(true)
    }

    /// The events of a user share a partition, as their keys are equal.
    fn make_next(&mut self) {
        let (event, partition) = &mut self.next;
        self.model.next_into(event);
        let hash = FixedState::default().hash_one(&event.key);
        *partition = (hash % self.partitions.max(1) as u64) as usize;
    }
}
