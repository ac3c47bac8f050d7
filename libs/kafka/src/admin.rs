//! The two calls of Kafka's Admin API that the safe binding lacks: describing topics, with their identifiers and
//! without creating any; and changing single configs of a topic without resetting the others.
//!
//! Rules that keep this code sound:
//! - Everything happens inside one call, on the calling thread: the call creates a queue of its own, uses it and
//!   destroys it, and the borrowed client outlives the queue.
//! - Everything that librdkafka returns is either owned by a guard of this module, which destroys it once, or belongs
//!   to the event of the answer and is copied before the event is destroyed.
#![allow(unsafe_code, reason = "calls C")]

use std::{
    collections::BTreeMap,
    ffi::{CString, c_char, c_int},
    ptr::NonNull,
    time::Duration,
};

use rdkafka::{
    bindings as sys,
    client::{Client, ClientContext},
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::native::ffi::text;

/// An existing topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Kafka's own topic identifier, as Kafka's tools and Strimzi write it.
    pub id: String,
    pub partitions: i32,
}

/// Kafka's error for one topic of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code:?})")]
pub struct Refusal {
    pub code: RDKafkaErrorCode,
    pub message: String,
}

/// Describes those of the given topics that exist. The request creates no topic, whatever the brokers' configuration.
/// The names must be distinct.
///
/// # Errors
/// When no broker answers in time. The inner error means that Kafka refuses to describe the topic.
pub fn describe_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    timeout: Duration,
) -> Result<BTreeMap<String, Result<Described, RDKafkaErrorCode>>, KafkaError> {
    let names = names.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the array and its strings live during the call, which copies them.
    let topics = unsafe { sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let topics = Guard::new(topics, sys::rd_kafka_TopicCollection_destroy)?;
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let event = ask(client, operation, timeout, |rk, options, queue| {
        // SAFETY: the client, the options, the queue and the collection live during the call, which copies the names.
        unsafe { sys::rd_kafka_DescribeTopics(rk, topics.ptr(), options, queue) }
    })?;
    // SAFETY: the guard owns the event; what the event holds lives as long as the event, and is copied here.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
        let mut count = 0;
        let descriptions = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(elements(descriptions, count).iter().filter_map(|&topic| described(topic)).collect())
    }
}

/// Sets single configs of a topic and leaves the others unchanged.
///
/// # Errors
/// When no broker answers in time. The inner error means that Kafka refuses the change.
pub fn alter_configs<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    changes: &[(String, String)],
    timeout: Duration,
) -> Result<Result<(), Refusal>, KafkaError> {
    let topic = c_string(topic)?;
    // SAFETY: the name lives during the call, which copies it.
    let resource = unsafe {
        sys::rd_kafka_ConfigResource_new(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, topic.as_ptr())
    };
    let resource = Guard::new(resource, sys::rd_kafka_ConfigResource_destroy)?;
    for (key, value) in changes {
        let (key, value) = (c_string(key)?, c_string(value)?);
        let set = sys::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET;
        // SAFETY: the guard owns the resource; the strings live during the call, which copies them; the returned error
        // is owned by this code, which destroys it after its last use.
        unsafe {
            let error =
                sys::rd_kafka_ConfigResource_add_incremental_config(resource.ptr(), key.as_ptr(), set, value.as_ptr());
            if let Some(error) = NonNull::new(error) {
                let code = sys::rd_kafka_error_code(error.as_ptr());
                sys::rd_kafka_error_destroy(error.as_ptr());
                return Err(KafkaError::AdminOp(code.into()));
            }
        }
    }
    let mut resources = [resource.ptr()];
    let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let event = ask(client, operation, timeout, |rk, options, queue| {
        // SAFETY: the client, the options, the queue and the resource live during the call, which copies the resource.
        unsafe { sys::rd_kafka_IncrementalAlterConfigs(rk, resources.as_mut_ptr(), 1, options, queue) }
    })?;
    // SAFETY: the guard owns the event; what the event holds lives as long as the event, and is copied here.
    unsafe {
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event.ptr());
        let mut count = 0;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        let refused = elements(resources, count).iter().find_map(|&resource| {
            let code = sys::rd_kafka_ConfigResource_error(resource);
            let message = || text(sys::rd_kafka_ConfigResource_error_string(resource));
            (code != NO_ERROR).then(|| Refusal { code: code.into(), message: message() })
        });
        Ok(refused.map_or(Ok(()), Err))
    }
}

const NO_ERROR: sys::rd_kafka_resp_err_t = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Owns an object of librdkafka, and destroys it when it is dropped.
struct Guard<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Guard<T> {
    /// `pointer` is null or exclusively owned; `destroy` frees it.
    fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, KafkaError> {
        let pointer =
            NonNull::new(pointer).ok_or_else(|| KafkaError::AdminOpCreation("librdkafka made nothing".to_owned()))?;
        Ok(Self { pointer, destroy })
    }

    fn ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        // SAFETY: the guard owns the object, and nothing uses it after this.
        unsafe { (self.destroy)(self.ptr()) }
    }
}

/// Sends a request and waits for its answer. Returns only an event without an error.
fn ask<C: ClientContext>(
    client: &Client<C>,
    operation: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Guard<sys::rd_kafka_event_t>, KafkaError> {
    let rk = client.native_ptr();
    let millis = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client outlives the call; the guards own the queue and the options, which the client outlives too.
    let (queue, options) = unsafe {
        let queue = Guard::new(sys::rd_kafka_queue_new(rk), sys::rd_kafka_queue_destroy)?;
        let options = Guard::new(sys::rd_kafka_AdminOptions_new(rk, operation), sys::rd_kafka_AdminOptions_destroy)?;
        let mut error: [c_char; 256] = [0; 256];
        let code =
            sys::rd_kafka_AdminOptions_set_request_timeout(options.ptr(), millis, error.as_mut_ptr(), error.len());
        if code != NO_ERROR {
            return Err(KafkaError::AdminOpCreation(text(error.as_ptr())));
        }
        (queue, options)
    };
    send(rk, options.ptr(), queue.ptr());
    // The request times out by itself; this longer bound only guards against an answer that never comes.
    let longest = millis.saturating_add(1000);
    // SAFETY: the guard owns the queue, and the event that the queue returns is owned by the new guard.
    let event = unsafe { Guard::new(sys::rd_kafka_queue_poll(queue.ptr(), longest), sys::rd_kafka_event_destroy) };
    let event = event.map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut))?;
    // SAFETY: the guard owns the event.
    let code = unsafe { sys::rd_kafka_event_error(event.ptr()) };
    if code == NO_ERROR { Ok(event) } else { Err(KafkaError::AdminOp(code.into())) }
}

/// Returns a topic's name and description, or `None` if the topic does not exist.
///
/// # Safety
/// `topic` belongs to an answer that lives during the call.
unsafe fn described(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Option<(String, Result<Described, RDKafkaErrorCode>)> {
    // SAFETY: the caller guarantees that the description lives; the error, if there is one, belongs to the description.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic));
        let error = sys::rd_kafka_TopicDescription_error(topic);
        match if error.is_null() { NO_ERROR } else { sys::rd_kafka_error_code(error) } {
            NO_ERROR => {
                let mut partitions = 0;
                sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
                let id = text(sys::rd_kafka_Uuid_base64str(sys::rd_kafka_TopicDescription_topic_id(topic)));
                let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                Some((name, Ok(Described { id: url_safe(&id), partitions })))
            }
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => None,
            code => Some((name, Err(code.into()))),
        }
    }
}

/// Converts an identifier to the URL-safe alphabet that Kafka uses; librdkafka uses the standard one.
fn url_safe(base64: &str) -> String {
    base64.replace('+', "-").replace('/', "_")
}

fn c_string(text: &str) -> Result<CString, KafkaError> {
    CString::new(text).map_err(KafkaError::Nul)
}

/// # Safety
/// `start` is null or points to `count` elements that live for `'a`.
unsafe fn elements<'a, T>(start: *mut T, count: usize) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller guarantees it.
    unsafe { std::slice::from_raw_parts(start, count) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_as_kafka_writes_them() {
        assert_eq!(url_safe("aB+/9w"), "aB-_9w");
    }
}
