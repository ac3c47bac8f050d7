//! Reads partitions outside any group: backwards from the end, or forwards.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crds::records::state::{Key, MetaRecords};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError as BindingError, RDKafkaErrorCode},
    message::{BorrowedMessage, Message},
};

use super::error::{ClusterError, asked, refused};
use crate::trouble::Trouble;

/// Reads one partition at a time: the client reads the partition that it is assigned.
pub struct LogReader(Mutex<BaseConsumer<Trouble>>);

impl LogReader {
    pub(super) fn new(reader: BaseConsumer<Trouble>) -> Self {
        Self(Mutex::new(reader))
    }

    /// Reads a partition backwards in growing steps, and the records of each step forwards, until `seen` returns true
    /// after a step or the start of the partition is reached. Reads committed records only. Returns the last stable
    /// offset, from which it began.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn backwards(
        &self,
        topic: &str,
        partition: i32,
        mut each: impl FnMut(&BorrowedMessage<'_>),
        seen: impl Fn() -> bool,
    ) -> Result<i64, ClusterError> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = bounds(&reader, topic, partition)?;
        let (mut step, mut to) = (1000, high);
        while to > low && !seen() {
            let from = (to - step).max(low);
            Self::read(&reader, topic, partition, from, to, |message| {
                each(message);
                true
            })?;
            (step, to) = (step * 8, from);
        }
        Ok(high)
    }

    /// Returns the last committed value of a key in a partition, and the last stable offset. The value is `None` if it
    /// is a tombstone or the key does not occur.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn last_value(&self, topic: &str, partition: i32, key: &str) -> Result<(Option<Vec<u8>>, i64), ClusterError> {
        let found: RefCell<Option<Option<Vec<u8>>>> = RefCell::default();
        let each = |message: &BorrowedMessage<'_>| {
            if message.key() == Some(key.as_bytes()) {
                found.replace(Some(message.payload().map(<[u8]>::to_vec)));
            }
        };
        let stable = self.backwards(topic, partition, each, || found.borrow().is_some())?;
        Ok((found.into_inner().flatten(), stable))
    }

    /// Returns the records of the `meta` of the last snapshot in a state topic, and the last stable offset.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn last_meta(&self, topic: &str) -> Result<(MetaRecords, i64), ClusterError> {
        let records = RefCell::new(MetaRecords::default());
        let each = |message: &BorrowedMessage<'_>| {
            if let Ok(key) = Key::decode(message.key().unwrap_or_default()) {
                records.borrow_mut().push(message.offset(), key, message.payload());
            }
        };
        let stable = self.backwards(topic, 0, each, || records.borrow().is_whole())?;
        Ok((records.into_inner(), stable))
    }

    /// Reads the committed records of a partition from an offset, or from its start, until the last stable offset or
    /// until `each` returns false. Returns the offset to continue from; `None` if records from `from` on are deleted.
    ///
    /// # Errors
    /// When Kafka does not answer in time.
    pub fn forwards(
        &self,
        topic: &str,
        partition: i32,
        from: Option<i64>,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<Option<i64>, ClusterError> {
        let reader = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (low, high) = bounds(&reader, topic, partition)?;
        let from = match from {
            Some(from) if from < low => return Ok(None),
            from => from.unwrap_or(low),
        };
        let mut next = high.max(from);
        Self::read(&reader, topic, partition, from, high, |message| {
            let goes_on = each(message);
            if !goes_on {
                next = message.offset() + 1;
            }
            goes_on
        })?;
        Ok(Some(next))
    }

    /// Reads the offsets [from, to) of a partition while `each` returns true.
    fn read(
        reader: &BaseConsumer<Trouble>,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
        each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ClusterError> {
        if from >= to {
            return Ok(());
        }
        let question = || format!("read {topic} [{partition}]");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from)).map_err(refused(question()))?;
        reader.assign(&list).map_err(refused(question()))?;
        let result = Self::read_assigned(reader, to, question, each);
        reader.unassign().map_err(refused(question()))?;
        result
    }

    fn read_assigned(
        reader: &BaseConsumer<Trouble>,
        to: i64,
        question: impl Fn() -> String,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Result<(), ClusterError> {
        /// Longer than a broker takes to answer, shorter than the group waits for a member.
        const SILENCE: Duration = Duration::from_secs(5);
        let mut heard = Instant::now();
        while heard.elapsed() < SILENCE {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.offset() < to => {
                    heard = Instant::now();
                    // Stop at the last record; polling for the next one would cost a wait.
                    if !each(&message) || message.offset() + 1 == to {
                        return Ok(());
                    }
                }
                Some(Ok(_) | Err(BindingError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(asked(reader, question())(error)),
                None => {}
            }
        }
        Err(asked(reader, question())(BindingError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)))
    }
}

/// Returns the first offset of a partition, and its last stable offset.
fn bounds(reader: &BaseConsumer<Trouble>, topic: &str, partition: i32) -> Result<(i64, i64), ClusterError> {
    let question = || format!("offsets of {topic} [{partition}]");
    reader.fetch_watermarks(topic, partition, Duration::from_secs(2)).map_err(asked(reader, question()))
}
