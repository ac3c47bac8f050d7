//! A transactional producer that takes records in batches.

use std::{
    ffi::{CString, c_int},
    ptr::{self, NonNull},
    time::{Duration, Instant},
};

use rdkafka_sys as sys;

use super::{
    client::Client,
    consumer::Headers,
    event::ClientEvent,
    ffi::{c_string, check_code, check_error, failure, millis},
    group::GroupMetadata,
    list::PartitionList,
};
use crate::{
    error::{Class, KafkaError},
    settings::Settings,
};

/// How long to wait for space in a full queue: longer than the broker keeps the transaction open.
const QUEUE_FULL_BOUND: Duration = Duration::from_secs(15);

/// A topic that the producer writes, as [`Producer::topic`] returned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicId(usize);

#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// `None` if the record has no key.
    pub key: Option<&'a [u8]>,
    /// `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// An offset to commit with a transaction.
#[derive(Clone, Copy, Debug)]
pub struct OffsetToCommit<'a> {
    /// Partition of the source topic.
    pub partition: i32,
    /// The offset of the next record to process.
    pub offset: i64,
    /// Must not contain zero bytes.
    pub metadata: &'a str,
}

#[derive(Debug)]
pub struct Producer {
    topics: Vec<NonNull<sys::rd_kafka_topic_t>>,
    messages: Vec<sys::rd_kafka_message_t>,
    client: Client,
}

// SAFETY: as for the client; the topics and the messages (which hold no pointers between calls) belong to it.
unsafe impl Send for Producer {}

impl Producer {
    /// Creates a producer. Call [`Producer::init_transactions`] before the first transaction.
    ///
    /// # Errors
    /// When librdkafka refuses a setting.
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        let client = Client::new(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, settings)?;
        Ok(Self { topics: Vec::new(), messages: Vec::new(), client })
    }

    /// Adds a topic to produce to.
    ///
    /// # Errors
    /// When librdkafka refuses the name.
    pub fn topic(&mut self, name: &str) -> Result<TopicId, KafkaError> {
        let name = c_string(name)?;
        // SAFETY: the handle and the name live during the call; the producer owns the topic until it is dropped.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.rk(), name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).ok_or_else(last_error("rd_kafka_topic_new"))?;
        self.topics.push(topic);
        Ok(TopicId(self.topics.len() - 1))
    }

    /// Fences every producer with the same transactional id, and ends its transaction.
    ///
    /// # Errors
    /// [`Class::Retriable`] on a timeout: the same call, repeated, continues.
    pub fn init_transactions(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the handle lives during the call; `check_error` takes ownership of the returned error.
        unsafe {
            check_error(
                "rd_kafka_init_transactions",
                sys::rd_kafka_init_transactions(self.client.rk(), millis(timeout)),
            )
        }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// When the producer is fenced.
    pub fn begin(&mut self) -> Result<(), KafkaError> {
        // SAFETY: the handle lives during the call; `check_error` takes ownership of the returned error.
        unsafe { check_error("rd_kafka_begin_transaction", sys::rd_kafka_begin_transaction(self.client.rk())) }
    }

    /// Adds records to the transaction, in their order.
    ///
    /// # Errors
    /// When a record is refused: the transaction must be aborted.
    pub fn produce_batch<'a>(
        &mut self,
        topic: TopicId,
        partition: i32,
        records: impl Iterator<Item = Outgoing<'a>>,
    ) -> Result<(), KafkaError> {
        let Some(rkt) = self.topics.get(topic.0).copied() else { return Ok(()) };
        self.messages.clear();
        self.messages.extend(records.map(|record| message(partition, &record)));
        let mut done = 0;
        let mut waiting_since = None;
        while done < self.messages.len() {
            let rest = &mut self.messages[done..];
            // SAFETY: the producer owns the topic; the messages point to bytes that are borrowed for the whole call,
            // and are copied before it returns.
            let taken = unsafe {
                sys::rd_kafka_produce_batch(
                    rkt.as_ptr(),
                    partition,
                    sys::RD_KAFKA_MSG_F_COPY as c_int,
                    rest.as_mut_ptr(),
                    c_int::try_from(rest.len()).unwrap_or(c_int::MAX),
                )
            };
            if usize::try_from(taken).unwrap_or_default() == rest.len() {
                break;
            }
            let Some(refused) = rest.iter().position(|message| message.err != NO_ERROR) else { break };
            let code = rest[refused].err;
            // Records after a refused one may have been accepted: continuing would change the order.
            let only_tail = rest[refused..].iter().all(|message| message.err == code);
            let waited = waiting_since.get_or_insert_with(Instant::now).elapsed();
            if code != QUEUE_FULL || !only_tail || waited > QUEUE_FULL_BOUND {
                self.messages.clear();
                return Err(abortable("rd_kafka_produce_batch", code));
            }
            done += refused;
            self.wait(Duration::from_millis(5));
        }
        self.messages.clear();
        Ok(())
    }

    /// Adds one record to the transaction, with the headers of a source record, if any, followed by the added ones.
    ///
    /// # Errors
    /// When the record is refused: the transaction must be aborted.
    pub fn produce(
        &mut self,
        topic: TopicId,
        partition: i32,
        record: &Outgoing<'_>,
        original: Option<Headers<'_>>,
        added: &[(&str, String)],
    ) -> Result<(), KafkaError> {
        self.produce_one(topic, partition, record, || {
            let added = added.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
            new_headers(original, added)
        })
    }

    /// Adds one record with exactly these headers to the transaction.
    ///
    /// # Errors
    /// When the record is refused: the transaction must be aborted.
    pub fn produce_with(
        &mut self,
        topic: TopicId,
        partition: i32,
        record: &Outgoing<'_>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), KafkaError> {
        self.produce_one(topic, partition, record, || new_headers(None, headers.iter().copied()))
    }

    fn produce_one(
        &mut self,
        topic: TopicId,
        partition: i32,
        record: &Outgoing<'_>,
        headers: impl Fn() -> *mut sys::rd_kafka_headers_t,
    ) -> Result<(), KafkaError> {
        let Some(rkt) = self.topics.get(topic.0).copied() else { return Ok(()) };
        let started = Instant::now();
        loop {
            // SAFETY: the key and the value are borrowed for the whole call and copied before it returns; this code
            // owns the headers until the call succeeds, and librdkafka owns them afterwards; `check_error` takes
            // ownership of the returned error.
            let result = unsafe {
                let headers = headers();
                let arguments = arguments(rkt, partition, record, headers);
                let error = sys::rd_kafka_produceva(self.client.rk(), arguments.as_ptr(), arguments.len());
                if !error.is_null() {
                    sys::rd_kafka_headers_destroy(headers);
                }
                check_error("rd_kafka_produceva", error)
            };
            match result {
                Err(error) if error.code == QUEUE_FULL as i32 && started.elapsed() < QUEUE_FULL_BOUND => {
                    self.wait(Duration::from_millis(5));
                }
                Err(error) => return Err(KafkaError { class: Class::Abortable, ..error }),
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Adds offsets of the source to the transaction.
    ///
    /// # Errors
    /// Retriable on a timeout; abortable when the group no longer knows this member.
    pub fn send_offsets<'o>(
        &mut self,
        source: &str,
        offsets: impl Iterator<Item = OffsetToCommit<'o>>,
        group: &GroupMetadata,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        let topic = c_string(source)?;
        let mut list = PartitionList::new()
            .ok_or_else(|| failure("rd_kafka_topic_partition_list_new", "out of memory".to_owned()))?;
        for OffsetToCommit { partition, offset, metadata } in offsets {
            let metadata: CString = c_string(metadata)?;
            list.add_with_metadata(&topic, partition, offset, &metadata);
        }
        // SAFETY: the handle, the list and the metadata live during the call; `check_error` takes ownership of the
        // returned error.
        unsafe {
            check_error(
                "rd_kafka_send_offsets_to_transaction",
                sys::rd_kafka_send_offsets_to_transaction(self.client.rk(), list.ptr(), group.ptr(), millis(timeout)),
            )
        }
    }

    /// Waits until every produced record is acknowledged or has failed. The next call of the transaction reports a
    /// failure.
    ///
    /// # Errors
    /// Retriable on a timeout.
    pub fn flush(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the handle lives during the call.
        let code = unsafe { sys::rd_kafka_flush(self.client.rk(), millis(timeout)) };
        check_code("rd_kafka_flush", code).map_err(|error| KafkaError { class: Class::Retriable, ..error })
    }

    /// Commits the produced and flushed records.
    ///
    /// # Errors
    /// Retriable on a timeout: the same call, repeated, continues.
    pub fn commit(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the handle lives during the call; `check_error` takes ownership of the returned error.
        unsafe {
            check_error(
                "rd_kafka_commit_transaction",
                sys::rd_kafka_commit_transaction(self.client.rk(), millis(timeout)),
            )
        }
    }

    /// Aborts the transaction, and drops its records.
    ///
    /// # Errors
    /// Retriable on a timeout: the same call, repeated, continues.
    pub fn abort(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the handle lives during the call; `check_error` takes ownership of the returned error.
        unsafe {
            check_error(
                "rd_kafka_abort_transaction",
                sys::rd_kafka_abort_transaction(self.client.rk(), millis(timeout)),
            )
        }
    }

    /// Serves callbacks, and returns the events that they recorded.
    pub fn serve(&mut self) -> Vec<ClientEvent> {
        self.wait(Duration::ZERO);
        self.client.inbox.take()
    }

    fn wait(&self, timeout: Duration) {
        // SAFETY: the handle lives during the call.
        unsafe { sys::rd_kafka_poll(self.client.rk(), millis(timeout)) };
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        for topic in &self.topics {
            // SAFETY: the producer owns the topic, and releases it before the client is dropped.
            unsafe { sys::rd_kafka_topic_destroy(topic.as_ptr()) };
        }
    }
}

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
const QUEUE_FULL: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL;

fn message(partition: i32, record: &Outgoing<'_>) -> sys::rd_kafka_message_t {
    let (key, key_len) = parts(record.key);
    let (payload, len) = parts(record.value);
    sys::rd_kafka_message_t {
        err: NO_ERROR,
        rkt: ptr::null_mut(),
        partition,
        payload,
        len,
        key,
        key_len,
        offset: 0,
        _private: ptr::null_mut(),
    }
}

/// Returns the pointer and the length in the types that librdkafka takes; it only reads through the pointer.
fn parts(bytes: Option<&[u8]>) -> (*mut std::ffi::c_void, usize) {
    bytes.map_or((ptr::null_mut(), 0), |bytes| (bytes.as_ptr().cast_mut().cast(), bytes.len()))
}

fn new_headers<'h>(
    original: Option<Headers<'_>>,
    added: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
) -> *mut sys::rd_kafka_headers_t {
    // SAFETY: the original headers are borrowed; this code owns the new headers; names and values are copied.
    unsafe {
        let headers = match original {
            Some(Headers(original)) => sys::rd_kafka_headers_copy(ptr::from_ref(original)),
            None => sys::rd_kafka_headers_new(added.size_hint().0),
        };
        for (name, value) in added {
            let (value, size) = parts(value);
            sys::rd_kafka_header_add(
                headers,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.cast_const(),
                size.cast_signed(),
            );
        }
        headers
    }
}

fn arguments(
    topic: NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
    record: &Outgoing<'_>,
    headers: *mut sys::rd_kafka_headers_t,
) -> [sys::rd_kafka_vu_t; 6] {
    use sys::{rd_kafka_vtype_t as tag, rd_kafka_vu_s__bindgen_ty_1 as value, rd_kafka_vu_t as argument};
    let memory = |bytes| {
        let (ptr, size) = parts(bytes);
        value { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
    };
    let copy = sys::RD_KAFKA_MSG_F_COPY as c_int;
    [
        argument { vtype: tag::RD_KAFKA_VTYPE_RKT, u: value { rkt: topic.as_ptr() } },
        argument { vtype: tag::RD_KAFKA_VTYPE_PARTITION, u: value { i32_: partition } },
        argument { vtype: tag::RD_KAFKA_VTYPE_MSGFLAGS, u: value { i: copy } },
        argument { vtype: tag::RD_KAFKA_VTYPE_KEY, u: memory(record.key) },
        argument { vtype: tag::RD_KAFKA_VTYPE_VALUE, u: memory(record.value) },
        argument { vtype: tag::RD_KAFKA_VTYPE_HEADERS, u: value { headers } },
    ]
}

fn abortable(call: &'static str, code: sys::rd_kafka_resp_err_t) -> KafkaError {
    match check_code(call, code) {
        Err(error) => KafkaError { class: Class::Abortable, ..error },
        Ok(()) => failure(call, "refused without an error".to_owned()),
    }
}

fn last_error(call: &'static str) -> impl FnOnce() -> KafkaError {
    // SAFETY: the call reads a thread-local value.
    move || match check_code(call, unsafe { sys::rd_kafka_last_error() }) {
        Err(error) => error,
        Ok(()) => failure(call, "refused without an error".to_owned()),
    }
}
