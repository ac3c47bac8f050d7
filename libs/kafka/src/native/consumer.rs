//! A consumer of one topic that fetches messages in batches.
//!
//! The safe binding receives rebalances as events from the consumer's queue, and the batch call does not return such
//! events. A native client with a rebalance callback serves them during the batch call. The callback only records the
//! request; the consumer's owner answers it after processing the batch, which still belongs to the old assignment.

use std::{
    ffi::{CString, c_void},
    ptr::{self, NonNull},
    sync::atomic::Ordering,
    time::Duration,
};

use rdkafka_sys as sys;

use super::{
    client::Client,
    event::ClientEvent,
    ffi::{bytes, c_string, check_code, check_error, failure, millis},
    list::PartitionList,
};
use crate::{error::KafkaError, settings::Settings};

/// `RD_KAFKA_PARTITION_UA`: any partition.
const UNASSIGNED: i32 = -1;

/// `RD_KAFKA_OFFSET_BEGINNING`: the first offset of the log.
pub const BEGINNING: i64 = -2;

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub partition: i32,
    /// Offset and metadata; `None` if the group has committed nothing.
    pub offset: Option<(i64, String)>,
}

/// A consumer of one topic that fetches messages in batches.
#[derive(Debug)]
pub struct Consumer {
    topic: CString,
    queue: NonNull<sys::rd_kafka_queue_t>,
    buffer: Vec<*mut sys::rd_kafka_message_t>,
    client: Client,
}

// SAFETY: as for the client; the queue and the buffer (empty between calls) belong to it.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Subscribes to a topic. A batch holds at most `batch` messages.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn subscribe(settings: &Settings, topic: &str, batch: usize) -> Result<Self, KafkaError> {
        let consumer = Self::alone(settings, topic, batch)?;
        let mut list = new_list()?;
        list.add(&consumer.topic, UNASSIGNED, 0);
        // SAFETY: the handle and the list live during the call.
        let code = unsafe { sys::rd_kafka_subscribe(consumer.client.rk(), list.ptr()) };
        check_code("rd_kafka_subscribe", code).map(|()| consumer)
    }

    /// Creates a consumer outside any group: it fetches what [`Consumer::assign`] says. A batch holds at most `batch`
    /// messages.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn alone(settings: &Settings, topic: &str, batch: usize) -> Result<Self, KafkaError> {
        let client = Client::new(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, settings)?;
        let topic = c_string(topic)?;
        // SAFETY: the handle lives during the calls; the returned queue is a counted reference that this code owns.
        let queue = unsafe {
            check_code("rd_kafka_poll_set_consumer", sys::rd_kafka_poll_set_consumer(client.rk()))?;
            NonNull::new(sys::rd_kafka_queue_get_consumer(client.rk()))
        };
        let queue = queue.ok_or_else(|| failure("rd_kafka_queue_get_consumer", "no queue".to_owned()))?;
        Ok(Self { topic, queue, buffer: vec![ptr::null_mut(); batch.max(1)], client })
    }

    /// Waits for messages until there are `at_most`, the timeout expires, or librdkafka reports an event. The events of
    /// the batch happened after its messages were fetched: process the messages first.
    pub fn poll(&mut self, at_most: usize, timeout: Duration) -> Batch<'_> {
        let size = at_most.clamp(1, self.buffer.len());
        // SAFETY: the buffer has room for `size` pointers; librdkafka fills in as many as it returns.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), millis(timeout), self.buffer.as_mut_ptr(), size)
        };
        let events = self.client.inbox.take();
        Batch { messages: &mut self.buffer[..usize::try_from(count).unwrap_or_default()], events }
    }

    /// Starts fetching partitions from the given offsets. It is also the answer to [`Rebalance::Assign`], possibly with
    /// an empty list.
    ///
    /// # Errors
    /// When a partition is already assigned.
    pub fn assign(&mut self, partitions: &[(i32, i64)]) -> Result<(), KafkaError> {
        let list = self.list(partitions.iter().copied())?;
        // SAFETY: the handle and the list live during the call; `check_error` takes ownership of the returned error.
        unsafe {
            check_error("rd_kafka_incremental_assign", sys::rd_kafka_incremental_assign(self.client.rk(), list.ptr()))
        }
    }

    /// Stops fetching partitions, and drops their fetched messages. It is also the answer to [`Rebalance::Revoke`].
    ///
    /// # Errors
    /// When a partition is not assigned.
    pub fn unassign(&mut self, partitions: &[i32]) -> Result<(), KafkaError> {
        let list = self.list(partitions.iter().map(|partition| (*partition, 0)))?;
        // SAFETY: the handle and the list live during the call; `check_error` takes ownership of the returned error.
        unsafe {
            check_error(
                "rd_kafka_incremental_unassign",
                sys::rd_kafka_incremental_unassign(self.client.rk(), list.ptr()),
            )
        }
    }

    /// Leaves the group. Partitions are revoked first, as in any rebalance.
    pub fn unsubscribe(&mut self) {
        // SAFETY: the handle lives during the call. The call fails only if the consumer has no group, and then there is
        // nothing to leave.
        unsafe { sys::rd_kafka_unsubscribe(self.client.rk()) };
    }

    /// Ends the membership, after [`Consumer::unsubscribe`] and its revoke. Blocks until the broker knows, so that the
    /// group does not wait for the session to time out.
    pub fn close(self) {
        self.client.inbox.closing.store(true, Ordering::Relaxed);
        // SAFETY: the handle lives during the call, which serves callbacks.
        unsafe { sys::rd_kafka_consumer_close(self.client.rk()) };
    }

    /// Whether the assignment is lost: the group may have given it to another member.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        // SAFETY: the handle lives during the call.
        unsafe { sys::rd_kafka_assignment_lost(self.client.rk()) != 0 }
    }

    /// Returns the committed offsets of partitions. As the consumer is read_committed, the call waits while an open
    /// transaction includes one of them.
    ///
    /// # Errors
    /// When no answer arrives in time, or Kafka answers with an error.
    pub fn committed(&self, partitions: &[i32], timeout: Duration) -> Result<Vec<Committed>, KafkaError> {
        let list = self.list(partitions.iter().map(|partition| (*partition, 0)))?;
        // SAFETY: the handle and the list live during the call.
        let code = unsafe { sys::rd_kafka_committed(self.client.rk(), list.ptr(), millis(timeout)) };
        check_code("rd_kafka_committed", code)?;
        list.entries()
            .map(|entry| {
                check_code("rd_kafka_committed", entry.code)?;
                let metadata = String::from_utf8_lossy(entry.metadata.unwrap_or_default()).into_owned();
                let offset = (entry.offset >= 0).then_some((entry.offset, metadata));
                Ok(Committed { partition: entry.partition, offset })
            })
            .collect()
    }

    /// Returns the first offset of a partition of the topic, and its last stable offset.
    ///
    /// # Errors
    /// When no answer arrives in time, or Kafka answers with an error.
    pub fn bounds(&self, partition: i32, timeout: Duration) -> Result<(i64, i64), KafkaError> {
        let (mut low, mut high) = (0, 0);
        // SAFETY: the handle, the topic's name and the two numbers live during the call.
        let code = unsafe {
            sys::rd_kafka_query_watermark_offsets(
                self.client.rk(),
                self.topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
                millis(timeout),
            )
        };
        check_code("rd_kafka_query_watermark_offsets", code).map(|()| (low, high))
    }

    /// Returns the offset of a partition's first committed record whose timestamp is at least `time_ms`, in Unix
    /// milliseconds; `None` if there is no such record.
    ///
    /// # Errors
    /// When no answer arrives in time, or Kafka answers with an error.
    pub fn first_since(&self, partition: i32, time_ms: i64, timeout: Duration) -> Result<Option<i64>, KafkaError> {
        // A negative value would ask for the start or the end of the partition.
        let found = self.offsets_for_times([(partition, time_ms.max(0))].into_iter(), timeout)?;
        Ok(found.first().copied().filter(|offset| *offset >= 0))
    }

    /// Returns the last stable offsets of the topic's first `partitions` partitions, with one request to each broker.
    ///
    /// # Errors
    /// When no answer arrives in time, or Kafka answers with an error.
    pub fn ends(&self, partitions: i32, timeout: Duration) -> Result<Vec<i64>, KafkaError> {
        /// The special timestamp for which Kafka returns the last stable offset.
        const LATEST: i64 = -1;
        self.offsets_for_times((0..partitions).map(|partition| (partition, LATEST)), timeout)
    }

    /// Returns the offset of each partition at a timestamp, in Unix milliseconds or one of Kafka's special values.
    fn offsets_for_times(
        &self,
        times: impl Iterator<Item = (i32, i64)>,
        timeout: Duration,
    ) -> Result<Vec<i64>, KafkaError> {
        let list = self.list(times)?;
        // SAFETY: the handle and the list live during the call.
        let code = unsafe { sys::rd_kafka_offsets_for_times(self.client.rk(), list.ptr(), millis(timeout)) };
        check_code("rd_kafka_offsets_for_times", code)?;
        list.entries()
            .map(|entry| check_code("rd_kafka_offsets_for_times", entry.code).map(|()| entry.offset))
            .collect()
    }

    fn list(&self, partitions: impl Iterator<Item = (i32, i64)>) -> Result<PartitionList, KafkaError> {
        let mut list = new_list()?;
        for (partition, offset) in partitions {
            list.add(&self.topic, partition, offset);
        }
        Ok(list)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // SAFETY: the consumer owns this counted reference to the queue, and releases it before the client is dropped.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Messages, and the events that librdkafka reported after they were fetched.
#[derive(Debug)]
pub struct Batch<'c> {
    messages: &'c mut [*mut sys::rd_kafka_message_t],
    events: Vec<ClientEvent>,
}

impl Batch<'_> {
    /// The messages, ordered within each partition.
    #[must_use]
    pub fn messages(&self) -> &[Message<'_>] {
        // SAFETY: librdkafka filled in these pointers, the batch owns the messages until it is dropped, and a `Message`
        // is a transparent wrapper of such a pointer.
        unsafe { std::slice::from_raw_parts(self.messages.as_ptr().cast(), self.messages.len()) }
    }

    /// Takes the events, in the order in which they happened.
    pub fn take_events(&mut self) -> Vec<ClientEvent> {
        std::mem::take(&mut self.events)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in &mut *self.messages {
            // SAFETY: the batch owns the message, and nothing borrows it any longer.
            unsafe { sys::rd_kafka_message_destroy(*message) };
        }
    }
}

/// A record, or a notification about a partition.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Message<'b>(&'b sys::rd_kafka_message_t);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    Record,
    /// The end of the partition was reached; the message's offset is the offset of the next record.
    EndOfPartition,
    /// The offset to fetch does not exist.
    OffsetOutOfRange,
    /// Another error, with its code; librdkafka recovers by itself.
    Error(i32),
}

impl<'b> Message<'b> {
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        use sys::rd_kafka_resp_err_t as code;
        match self.0.err {
            code::RD_KAFKA_RESP_ERR_NO_ERROR => MessageKind::Record,
            code::RD_KAFKA_RESP_ERR__PARTITION_EOF => MessageKind::EndOfPartition,
            code::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | code::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
                MessageKind::OffsetOutOfRange
            }
            other => MessageKind::Error(other as i32),
        }
    }

    #[must_use]
    pub fn partition(&self) -> i32 {
        self.0.partition
    }

    #[must_use]
    pub fn offset(&self) -> i64 {
        self.0.offset
    }

    /// The record's key, or `None` if it has none.
    #[must_use]
    pub fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: librdkafka sets the length of the key, which lives as long as the message.
        unsafe { bytes(self.0.key.cast(), self.0.key_len) }
    }

    /// The record's value, or `None` for a tombstone. The value of a notification is a text that says what happened.
    #[must_use]
    pub fn value(&self) -> Option<&'b [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.0.payload.cast(), self.0.len) }
    }

    /// The record's timestamp, in Unix milliseconds; -1 if it has none.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message and the output live during the call.
        unsafe { sys::rd_kafka_message_timestamp(ptr::from_ref(self.0), &raw mut kind) }
    }

    /// The record's headers, or `None` if it has none.
    #[must_use]
    pub fn headers(&self) -> Option<Headers<'b>> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message and the output live during the call; the headers live as long as the message.
        unsafe {
            let code = sys::rd_kafka_message_headers(ptr::from_ref(self.0), &raw mut headers);
            (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                .then(|| headers.cast_const().as_ref().map(Headers))
                .flatten()
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Headers<'b>(pub(super) &'b sys::rd_kafka_headers_t);

impl<'b> Headers<'b> {
    /// Names and values, in order; a value may be null.
    pub fn iter(&self) -> impl Iterator<Item = (&'b [u8], Option<&'b [u8]>)> {
        let headers: *const sys::rd_kafka_headers_t = self.0;
        (0..).map_while(move |index| {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null::<c_void>(), 0);
            // SAFETY: the headers live for `'b`, and so do the names and values that they point to.
            unsafe {
                let code = sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
                (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then(|| (std::ffi::CStr::from_ptr(name).to_bytes(), bytes(value.cast(), size)))
            }
        })
    }
}

fn new_list() -> Result<PartitionList, KafkaError> {
    PartitionList::new().ok_or_else(|| failure("rd_kafka_topic_partition_list_new", "out of memory".to_owned()))
}
