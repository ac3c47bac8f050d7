//! Reads committed records of one topic partition from Kafka, without a group.

use std::{
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use crds::job::JobConfig;
use kafka::{
    cluster::{ClusterError, client},
    settings,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers},
};

use super::record::{Header, Record};

/// The time limit for a request to Kafka.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long Kafka may be silent while records are expected.
const SILENCE: Duration = Duration::from_secs(30);

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The client could not be created.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The Kafka client returned an error.
    #[error("{topic} [{partition}] cannot be read: {source}")]
    Kafka {
        topic: String,
        partition: i32,
        /// The client's error.
        source: KafkaError,
    },
    /// No more records arrive.
    #[error("{topic} [{partition}] cannot be read: nothing came for {} s; last error: {last}", SILENCE.as_secs())]
    Silent {
        topic: String,
        partition: i32,
        /// The client's last error.
        last: String,
    },
    /// The client cannot read a record.
    #[error("{topic} [{partition}], offset {offset}: the name of a header is not UTF-8, which the audit cannot read")]
    HeaderName {
        topic: String,
        partition: i32,
        /// The record's offset in it.
        offset: i64,
    },
}

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// A record, which was shown to the caller.
    Record,
    /// The end, as of a moment ago.
    End,
    /// Nothing yet.
    Nothing,
}

/// Reads one partition after another.
pub struct TopicReader {
    consumer: BaseConsumer,
    topic: String,
    partition: i32,
    next: i64,
    end: i64,
    heard: Instant,
    last_error: Option<KafkaError>,
}

impl TopicReader {
    /// Creates a reader without a partition.
    ///
    /// # Errors
    /// When the client refuses a setting.
    pub fn new(job: &JobConfig, topic: &str) -> Result<Self, TopicError> {
        let mut settings = settings::reader(job, "processor-audit");
        // Reading a full queue takes far less than the second after which the client checks it again by itself.
        settings.set("fetch.queue.backoff.ms", "10");
        // At the end of a partition, other requests wait for the fetch that waits for records.
        settings.set("fetch.wait.max.ms", "20");
        let consumer = client(&settings)?;
        let topic = topic.to_owned();
        Ok(Self { consumer, topic, partition: 0, next: 0, end: 0, heard: Instant::now(), last_error: None })
    }

    /// The first offset of a partition, and the offset after its last committed record.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn offsets(&self, partition: i32) -> Result<(i64, i64), TopicError> {
        self.consumer.fetch_watermarks(&self.topic, partition, PATIENCE).map_err(|source| self.error(partition, source))
    }

    /// Assigns the offsets [next, end) of a partition.
    ///
    /// # Errors
    /// When the client refuses.
    pub fn assign(&mut self, partition: i32, next: i64, end: i64) -> Result<(), TopicError> {
        (self.partition, self.next, self.end) = (partition, next, end);
        self.heard = Instant::now();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|source| self.error(partition, source))
    }

    /// Moves the end of the assigned partition to its current end, and asks Kafka again whether it is reached.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub fn move_end_to_now(&mut self) -> Result<(), TopicError> {
        let (_, end) = self.offsets(self.partition)?;
        self.assign(self.partition, self.next, end)
    }

    /// Whether the end is reached.
    pub const fn is_done(&self) -> bool {
        self.next >= self.end
    }

    /// Shows the next record before the end, if one comes soon.
    ///
    /// # Errors
    /// When the partition cannot be read, or `must_come` is set and no record comes for 30 s.
    pub fn poll(&mut self, must_come: bool, show: impl FnOnce(&Record)) -> Result<Polled, TopicError> {
        let error = match self.consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let offset = message.offset();
                // The last offsets before the end may hold no record that a reader sees, such as the mark of a commit. The
                // next record then lies behind the end: what it says came after what it would be judged by.
                if offset >= self.end {
                    self.next = self.end;
                    return Ok(Polled::End);
                }
                let not_text =
                    || TopicError::HeaderName { topic: self.topic.clone(), partition: self.partition, offset };
                show(&Record {
                    offset,
                    timestamp: message.timestamp().to_millis().unwrap_or(-1),
                    key: message.key(),
                    value: message.payload(),
                    headers: &headers(&message).ok_or_else(not_text)?,
                });
                self.next = offset + 1;
                self.heard = Instant::now();
                return Ok(Polled::Record);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Polled::End),
            Some(Err(error)) if !is_transient(&error) => return Err(self.error(self.partition, error)),
            Some(Err(error)) => Some(error),
            None => None,
        };
        self.last_error = error.or(self.last_error.take());
        if must_come && self.heard.elapsed() > SILENCE {
            let last = self.last_error.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            return Err(TopicError::Silent { topic: self.topic.clone(), partition: self.partition, last });
        }
        Ok(Polled::Nothing)
    }

    /// Shows all records up to the end.
    ///
    /// # Errors
    /// When the partition cannot be read, or no record comes for 30 s.
    pub fn rest(&mut self, mut show: impl FnMut(&Record)) -> Result<(), TopicError> {
        while !self.is_done() && self.poll(true, &mut show)? != Polled::End {}
        Ok(())
    }

    fn error(&self, partition: i32, source: KafkaError) -> TopicError {
        TopicError::Kafka { topic: self.topic.clone(), partition, source }
    }
}

/// Whether the client recovers from an error by itself.
pub fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, LeaderNotAvailable, NotLeaderForPartition, OperationTimedOut,
        RequestTimedOut, Resolve,
    };
    let transient = [
        AllBrokersDown,
        BrokerTransportFailure,
        LeaderNotAvailable,
        NotLeaderForPartition,
        OperationTimedOut,
        RequestTimedOut,
        Resolve,
    ];
    error.rdkafka_error_code().is_some_and(|code| transient.contains(&code))
}

/// The headers of a message, in order; `None` when a name is not UTF-8, because the binding panics on that.
pub fn headers<'m>(message: &'m BorrowedMessage) -> Option<Vec<Header<'m>>> {
    let Some(headers) = message.headers() else { return Some(Vec::new()) };
    let read = || headers.iter().map(|header| (header.key, header.value)).collect();
    panic::catch_unwind(AssertUnwindSafe(read)).ok()
}
