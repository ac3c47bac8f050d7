//! Reads what the machine asks for, of the state topic or of the deltas, and hands it over.

use std::time::{Duration, Instant};

use crds::job::{JobConfig, ResultTopics};
use kafka::{
    error::KafkaError,
    native::consumer::{BEGINNING, Consumer, MessageKind},
    settings,
};
use stages::aggregate::machine::{Machine, Reading};

use super::stage::PARTITION;

/// Messages that are taken at once. Few, as each may have half a megabyte.
const BATCH: usize = 64;

/// Reads one topic at a time, from where the machine wants it.
#[derive(Debug)]
pub struct Reader<'a> {
    job: &'a JobConfig,
    topics: &'a ResultTopics,
    client_id: String,
    /// Where the consumer goes on, and the consumer.
    following: Option<(Reading, Consumer)>,
}

impl<'a> Reader<'a> {
    /// A reader that has not read anything yet.
    #[must_use]
    pub fn new(job: &'a JobConfig, topics: &'a ResultTopics, client_id: String) -> Self {
        Self { job, topics, client_id, following: None }
    }

    /// Waits for what the machine wants to read, and hands over what is there. Returns how long the machine took for it.
    ///
    /// # Errors
    /// When a call fails; try again.
    pub fn read(&mut self, machine: &mut Machine, timeout: Duration) -> Result<Duration, KafkaError> {
        let Some(wanted) = machine.reads() else {
            // It has read enough for now.
            std::thread::sleep(timeout);
            return Ok(Duration::ZERO);
        };
        let (mut next, mut consumer) = match self.following.take() {
            Some(following) if following.0 == wanted => following,
            _ => (wanted, self.follow(wanted)?),
        };
        let mut gone = false;
        let mut took = Duration::ZERO;
        // The first message is waited for; what has come with it is taken at once.
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
            // The consumer fetches nothing any more: the next one goes on from where the machine wants.
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
