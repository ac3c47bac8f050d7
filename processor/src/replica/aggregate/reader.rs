//! Reads the state topic or the deltas, as the machine requests, and passes the records to it.

use std::time::{Duration, Instant};

use crds::job::{JobConfig, ResultTopics};
use kafka::{
    error::KafkaError,
    native::consumer::{BEGINNING, Consumer, MessageKind},
    settings,
};
use stages::aggregate::machine::{Machine, Reading};

use super::stage::PARTITION;

/// The largest number of messages taken at once. It is small because a message may hold half a megabyte.
const BATCH: usize = 64;

/// Reads one topic at a time, from the position that the machine requests.
#[derive(Debug)]
pub struct Reader<'a> {
    job: &'a JobConfig,
    topics: &'a ResultTopics,
    client_id: String,
    /// The next position, and the consumer that reads it.
    following: Option<(Reading, Consumer)>,
}

impl<'a> Reader<'a> {
    /// Creates a reader that has not read anything yet.
    #[must_use]
    pub fn new(job: &'a JobConfig, topics: &'a ResultTopics, client_id: String) -> Self {
        Self { job, topics, client_id, following: None }
    }

    /// Waits for records that the machine requests, and passes on the available ones. Returns how long the machine took
    /// to process them.
    ///
    /// # Errors
    /// When a call fails; the caller tries again.
    pub fn read(&mut self, machine: &mut Machine, timeout: Duration) -> Result<Duration, KafkaError> {
        let Some(wanted) = machine.reads() else {
            // The machine has read enough for now.
            std::thread::sleep(timeout);
            return Ok(Duration::ZERO);
        };
        let (mut next, mut consumer) = match self.following.take() {
            Some(following) if following.0 == wanted => following,
            _ => (wanted, self.follow(wanted)?),
        };
        let mut gone = false;
        let mut took = Duration::ZERO;
        // Wait for the first message; then take the others that have arrived, without waiting.
        for (at_most, timeout) in [(1, timeout), (BATCH, Duration::ZERO)] {
            let batch = consumer.poll(at_most, timeout);
            let started = Instant::now();
            for message in batch.messages() {
                let offset = message.offset();
                match (message.kind(), &mut next) {
                    (MessageKind::Record, Reading::State { from }) => {
                        machine.state_record(offset, message.key().unwrap_or_default(), message.value());
                        *from = offset + 1;
                    }
                    (MessageKind::Record, Reading::Deltas { from }) => {
                        machine.delta(offset, message.value().unwrap_or_default());
                        *from = offset + 1;
                    }
                    (MessageKind::EndOfPartition, Reading::State { from }) => {
                        machine.state_reached(offset);
                        *from = offset;
                    }
                    (MessageKind::EndOfPartition, Reading::Deltas { .. }) => {}
                    (MessageKind::OffsetOutOfRange, _) => gone = true,
                    (MessageKind::Error(code), _) => {
                        let text = String::from_utf8_lossy(message.value().unwrap_or_default());
                        tracing::debug!(code, "fetch: {text}");
                    }
                }
            }
            took += started.elapsed();
        }
        if gone {
            // This consumer no longer fetches; the next one starts at the position that the machine requests.
            if let Reading::Deltas { .. } = next {
                let (low, high) = consumer.bounds(PARTITION, timeout.max(Duration::from_secs(1)))?;
                machine.deltas_gone(low, high);
            }
        } else {
            self.following = Some((next, consumer));
        }
        Ok(took)
    }

    fn follow(&self, reading: Reading) -> Result<Consumer, KafkaError> {
        let (topic, from) = match reading {
            Reading::State { from: 0 } => (&self.topics.state, BEGINNING),
            Reading::State { from } => (&self.topics.state, from),
            Reading::Deltas { from } => (&self.job.topics.deltas, from),
        };
        tracing::debug!(topic, from, "reading");
        let settings = settings::follower(self.job, &self.client_id);
        let mut consumer = Consumer::alone(&settings, topic, BATCH)?;
        consumer.assign(&[(PARTITION, from)])?;
        Ok(consumer)
    }
}
