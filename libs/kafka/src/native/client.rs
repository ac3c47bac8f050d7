//! A librdkafka client: its creation, and the callbacks that report events to its owner.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
    sync::atomic::Ordering,
};

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{
    event::{ClientEvent, Inbox, Rebalance},
    ffi::{ErrorText, bytes, c_string, check_error, failure, text},
    group::GroupMetadata,
    list::PartitionList,
};
use crate::{error::KafkaError, settings::Settings};

/// Owns an `rd_kafka_t`.
#[derive(Debug)]
pub(super) struct Client {
    rk: NonNull<sys::rd_kafka_t>,
    /// Boxed, because librdkafka keeps its address.
    pub(super) inbox: Box<Inbox>,
}

// SAFETY: librdkafka's handles may be used from any thread; this one moves between threads, and two threads never use
// it at the same time.
unsafe impl Send for Client {}

impl Client {
    pub(super) fn new(kind: sys::rd_kafka_type_t, settings: &Settings) -> Result<Self, KafkaError> {
        let settings = settings.resolve()?;
        let inbox = Box::<Inbox>::default();
        let mut errors = ErrorText::default();
        // SAFETY: this code owns `conf` until `rd_kafka_new` succeeds, and destroys it if the call fails; the strings
        // outlive the calls, which copy them; the callbacks have the signatures that librdkafka requires, and the
        // opaque pointer that they receive is `inbox`, which outlives the client.
        unsafe {
            let conf = sys::rd_kafka_conf_new();
            for (name, value) in &settings {
                let (name_c, value_c) = (c_string(name)?, c_string(value)?);
                let result =
                    sys::rd_kafka_conf_set(conf, name_c.as_ptr(), value_c.as_ptr(), errors.ptr(), errors.len());
                if result != sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    sys::rd_kafka_conf_destroy(conf);
                    return Err(failure("rd_kafka_conf_set", format!("{name}: {}", errors.text())));
                }
            }
            sys::rd_kafka_conf_set_opaque(conf, std::ptr::from_ref(inbox.as_ref()).cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
            sys::rd_kafka_conf_set_stats_cb(conf, Some(on_statistics));
            if kind == sys::rd_kafka_type_t::RD_KAFKA_CONSUMER {
                sys::rd_kafka_conf_set_rebalance_cb(conf, Some(on_rebalance));
            }
            let rk = sys::rd_kafka_new(kind, conf, errors.ptr(), errors.len());
            NonNull::new(rk).map(|rk| Self { rk, inbox }).ok_or_else(|| {
                sys::rd_kafka_conf_destroy(conf);
                failure("rd_kafka_new", errors.text())
            })
        }
    }

    pub(super) fn rk(&self) -> *mut sys::rd_kafka_t {
        self.rk.as_ptr()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // This does not close a consumer first. To leave the group, unsubscribe; otherwise the drop looks like a crash.
        // SAFETY: nothing uses the handle after this.
        unsafe { sys::rd_kafka_destroy_flags(self.rk(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE as c_int) }
    }
}

unsafe extern "C" fn on_rebalance(
    rk: *mut sys::rd_kafka_t,
    code: sys::rd_kafka_resp_err_t,
    partitions: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the handle it runs for, a list that it owns, and the inbox that the client was created
    // with.
    let (inbox, lost, partitions) = unsafe {
        let lost = sys::rd_kafka_assignment_lost(rk) != 0;
        (&*opaque.cast::<Inbox>(), lost, PartitionList::numbers(partitions))
    };
    if inbox.closing.load(Ordering::Relaxed) {
        // The partitions are already unassigned; librdkafka only waits for an answer.
        if let Some(none) = PartitionList::new() {
            // SAFETY: the handle and the list live during the call; `check_error` takes ownership of the returned
            // error.
            drop(unsafe { check_error("close", sys::rd_kafka_incremental_unassign(rk, none.ptr())) });
        }
        return;
    }
    // The metadata is taken only here: a cooperative revoke already runs in the new generation. A lost assignment has
    // no membership.
    let group = if lost { None } else { GroupMetadata::of(rk) };
    let rebalance = match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign { partitions, group },
        _ => Rebalance::Revoke { partitions, group, lost },
    };
    inbox.push(ClientEvent::Rebalance(rebalance));
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: librdkafka passes a string that lives during the call, and the inbox that the client was created with.
    let (inbox, message) = unsafe { (&*opaque.cast::<Inbox>(), text(reason)) };
    let all_brokers_down = code == RDKafkaErrorCode::AllBrokersDown as i32;
    if !all_brokers_down {
        inbox.trouble.note(&message);
    }
    let message = inbox.trouble.recent().unwrap_or(message);
    inbox.push(ClientEvent::Trouble { all_brokers_down, message });
}

unsafe extern "C" fn on_statistics(
    _: *mut sys::rd_kafka_t,
    json: *mut c_char,
    length: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka passes a buffer of this length that lives during the call, and the inbox that the client was
    // created with.
    let (inbox, json) = unsafe { (&*opaque.cast::<Inbox>(), bytes(json.cast(), length).unwrap_or_default()) };
    inbox.push(ClientEvent::Statistics(String::from_utf8_lossy(json).into_owned()));
    0 // librdkafka frees the buffer.
}

unsafe extern "C" fn on_log(rk: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, message: *const c_char) {
    // SAFETY: librdkafka passes the handle it runs for, or null, and strings that live during the call.
    let (client, facility, message) = unsafe {
        let client = if rk.is_null() { String::new() } else { text(sys::rd_kafka_name(rk)) };
        (client, text(facility), text(message))
    };
    // The levels are those of syslog. The worker reports an unreachable broker once; librdkafka repeats the message.
    match level {
        0..=2 => tracing::error!(client, facility, "{message}"),
        3..=4 => tracing::debug!(client, facility, "{message}"),
        _ => tracing::trace!(client, facility, "{message}"),
    }
}
