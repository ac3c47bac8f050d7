//! Reads the committed records of the dead letter topic, one partition after the other.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use crds::job::JobConfig;
use kafka::{
    cluster::ClusterError,
    error::{Class, KafkaError},
    native::consumer::{Consumer, Message, MessageKind},
    settings,
};

use super::{
    filter::Filter,
    letter::{Letter, LetterPlace},
};

/// How long a request to Kafka may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for the next record when more must come: longer than Kafka keeps the transaction of a producer that
/// died.
const SILENCE: Duration = Duration::from_secs(30);

/// Most records in memory at once.
const BATCH: usize = 1000;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("{topic} [{partition}] cannot be read: {source}")]
    Kafka {
        topic: String,
        partition: i32,
        /// The client's error.
        source: KafkaError,
    },
    /// No record came for 30 s.
    #[error("{topic} [{partition}] cannot be read: nothing came for {} s behind offset {next}", SILENCE.as_secs())]
    Silent {
        topic: String,
        partition: i32,
        /// The next offset to read.
        next: i64,
    },
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read the next record.
    Next,
    /// Stop reading.
    Enough,
}

/// Receives the records that a reader reads.
pub trait Visitor {
    /// Why the visitor stops.
    type Error: From<ReadError>;

    /// Takes the next record.
    ///
    /// # Errors
    /// When the visitor fails.
    fn letter(&mut self, letter: &Letter) -> Result<Step, Self::Error>;

    /// Called after each poll, also when it returned no record.
    ///
    /// # Errors
    /// When the visitor fails.
    fn pause(&mut self) -> Result<Step, Self::Error> {
        Ok(Step::Next)
    }
}

impl<E: From<ReadError>, F: FnMut(&Letter) -> Result<Step, E>> Visitor for F {
    type Error = E;

    fn letter(&mut self, letter: &Letter) -> Result<Step, E> {
        self(letter)
    }
}

/// Reads the partitions of one topic.
pub struct Reader {
    topic: String,
    consumer: Consumer,
    /// Whether the broker finds offsets by time: the one that `processor local` embeds does not.
    finds_times: bool,
}

impl Reader {
    /// Creates a reader of a topic.
    ///
    /// # Errors
    /// When the client rejects a setting.
    pub fn new(job: &JobConfig, topic: &str) -> Result<Self, ReadError> {
        let consumer = Consumer::alone(&settings::reader(job, "processor-dead-letters"), topic, BATCH);
        let finds_times = job.kafka.max_message_bytes.is_none();
        Ok(Self { topic: topic.to_owned(), consumer: consumer.map_err(ClusterError::from)?, finds_times })
    }

    /// The first offset of a partition, and the offset after its last committed record.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn offsets(&self, partition: i32) -> Result<(i64, i64), ReadError> {
        self.consumer.bounds(partition, PATIENCE).map_err(|source| self.error(partition, source))
    }

    /// An offset of [low, high) such that no earlier record has this timestamp or a later one. `time` is in Unix
    /// milliseconds.
    fn since(&self, partition: i32, time: i64, (low, high): (i64, i64)) -> Result<i64, ReadError> {
        if !self.finds_times {
            return Ok(low);
        }
        let found = self.consumer.first_since(partition, time, PATIENCE);
        Ok(found.map_err(|source| self.error(partition, source))?.unwrap_or(high))
    }

    /// Shows the visitor the committed records of a range. Waits until every transaction in the range is committed or
    /// aborted.
    ///
    /// # Errors
    /// When the partition cannot be read, or the visitor fails.
    pub fn read<V: Visitor>(&mut self, partition: i32, range: Range<i64>, visitor: &mut V) -> Result<Step, V::Error> {
        if range.is_empty() {
            return Ok(Step::Next);
        }
        let topic = self.topic.clone();
        let failed = |source| ReadError::Kafka { topic: topic.clone(), partition, source };
        self.consumer.assign(&[(partition, range.start)]).map_err(failed)?;
        let read = self.read_assigned(partition, range, visitor);
        self.consumer.unassign(&[partition]).map_err(failed)?;
        read
    }

    fn read_assigned<V: Visitor>(
        &mut self,
        partition: i32,
        range: Range<i64>,
        visitor: &mut V,
    ) -> Result<Step, V::Error> {
        let (mut next, mut heard) = (range.start, Instant::now());
        while next < range.end {
            let batch = self.consumer.poll(BATCH, Duration::from_millis(100));
            for message in batch.messages().iter().filter(|message| message.partition() == partition) {
                heard = Instant::now();
                match message.kind() {
                    MessageKind::Record if message.offset() < range.end => {
                        next = message.offset() + 1;
                        if visitor.letter(&Letter::of(message))? == Step::Enough {
                            return Ok(Step::Enough);
                        }
                    }
                    MessageKind::Record => next = range.end,
                    MessageKind::EndOfPartition => next = next.max(message.offset()),
                    MessageKind::OffsetOutOfRange => {
                        let (topic, call) = (self.topic.clone(), "fetch");
                        let message = format!("the records from offset {next} on were deleted meanwhile; try again");
                        let source = KafkaError { call, code: 0, class: Class::Fatal, message };
                        return Err(ReadError::Kafka { topic, partition, source }.into());
                    }
                    // librdkafka retries by itself.
                    MessageKind::Error(code) => tracing::debug!(code, "fetch"),
                }
            }
            drop(batch);
            if visitor.pause()? == Step::Enough {
                return Ok(Step::Enough);
            }
            if heard.elapsed() > SILENCE {
                return Err(ReadError::Silent { topic: self.topic.clone(), partition, next }.into());
            }
        }
        Ok(Step::Next)
    }

    fn error(&self, partition: i32, source: KafkaError) -> ReadError {
        ReadError::Kafka { topic: self.topic.clone(), partition, source }
    }
}

impl<'a> Letter<'a> {
    fn of(message: &Message<'a>) -> Self {
        Self {
            place: LetterPlace { partition: message.partition(), offset: message.offset() },
            timestamp: message.timestamp_ms(),
            key: message.key(),
            value: message.value(),
            headers: message.headers().map(|headers| headers.iter().collect()).unwrap_or_default(),
        }
    }
}

/// The offset ranges of the dead letter topic to read, by partition.
pub fn ranges(reader: &Reader, partitions: i32, filter: &Filter) -> Result<Vec<(i32, Range<i64>)>, ReadError> {
    (0..partitions)
        .filter(|partition| filter.takes_partition(*partition))
        .map(|partition| {
            let ((low, high), (first, last)) = (reader.offsets(partition)?, filter.offsets(partition));
            let since = filter.since.map_or(Ok(low), |time| reader.since(partition, time, (low, high)))?;
            Ok((partition, since.max(first)..high.min(last.saturating_add(1))))
        })
        .collect()
}
