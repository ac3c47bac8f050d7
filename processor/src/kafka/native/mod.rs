//! The calls of librdkafka for which the safe binding has no equal: batches in both directions, and transactions that send
//! the offsets of a consumer made here.
//!
//! Rules that keep this sound:
//! - A [`Client`] owns one `rd_kafka_t`, destroyed when it is dropped; consumers, producers and lists own what they point
//!   to in the same way, and nothing outlives the client it came from (a struct's fields are dropped in order, the client
//!   last).
//! - Callbacks run only inside calls made here, on the calling thread, but for the log callback, which touches no state of
//!   ours. They push events into an [`Inbox`] that lives as long as the client; nothing else happens in them.
//! - Messages are borrowed from a [`consumer::Batch`], which gives them back when it is dropped.
//! - What is produced is copied by librdkafka before the call returns (`RD_KAFKA_MSG_F_COPY`).
#![allow(unsafe_code, reason = "the one module that calls C")]

pub mod consumer;
pub mod producer;

mod list;

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr::NonNull,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{
    error::{Class, KafkaError},
    settings::Settings,
    trouble::Trouble,
};
use consumer::{GroupMetadata, Rebalance};
use list::PartitionList;

/// What librdkafka tells between messages.
#[derive(Debug)]
pub enum Event {
    /// Partitions come or go. [`consumer::Consumer::assign`] or [`consumer::Consumer::unassign`] must answer.
    Rebalance(Rebalance),
    /// Something went wrong that librdkafka mends by itself, such as a broker that is away.
    Trouble {
        /// Whether no broker at all is reachable.
        all_brokers_down: bool,
        /// librdkafka's words; where no broker is reachable, those that it had for the last one.
        message: String,
    },
    /// Statistics, as JSON.
    Statistics(String),
}

/// Where callbacks leave what they have seen.
#[derive(Debug, Default)]
struct Inbox {
    events: Mutex<Vec<Event>>,
    trouble: Trouble,
    /// Nobody reads the events any more.
    closing: AtomicBool,
}

impl Inbox {
    fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Owns a `rd_kafka_t`.
#[derive(Debug)]
struct Client {
    rk: NonNull<sys::rd_kafka_t>,
    /// Boxed, as librdkafka keeps its address.
    inbox: Box<Inbox>,
}

// SAFETY: librdkafka's handles may be used from any thread; ours moves between threads, and is never used by two at once.
unsafe impl Send for Client {}

impl Client {
    fn new(kind: sys::rd_kafka_type_t, settings: &Settings) -> Result<Self, KafkaError> {
        let settings = settings.resolve()?;
        let inbox = Box::<Inbox>::default();
        let mut errors = ErrorText::default();
        // SAFETY: `conf` is ours until `rd_kafka_new` succeeds, and destroyed where it does not; the strings outlive the
        // calls, which copy them; the callbacks have the signatures that librdkafka asks for, and the opaque pointer they
        // get is `inbox`, which outlives the client.
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

    fn rk(&self) -> *mut sys::rd_kafka_t {
        self.rk.as_ptr()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Without closing a consumer first: who wants to leave the group unsubscribes; the rest is like a crash.
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
    // SAFETY: librdkafka passes the handle it runs for, a list that it owns, and the inbox that we gave it.
    let (inbox, lost, partitions) = unsafe {
        let lost = sys::rd_kafka_assignment_lost(rk) != 0;
        (&*opaque.cast::<Inbox>(), lost, PartitionList::numbers(partitions))
    };
    if inbox.closing.load(Ordering::Relaxed) {
        // What was assigned is given back already; librdkafka only waits for an answer.
        if let Some(none) = PartitionList::new() {
            // SAFETY: handle and list live during the call; the error is ours.
            drop(unsafe { check_error("close", sys::rd_kafka_incremental_unassign(rk, none.ptr())) });
        }
        return;
    }
    // Taken here and nowhere else: a cooperative revoke already runs in the new generation. A lost assignment has none.
    let group = if lost { None } else { GroupMetadata::of(rk) };
    let rebalance = match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign { partitions, group },
        _ => Rebalance::Revoke { partitions, group, lost },
    };
    inbox.push(Event::Rebalance(rebalance));
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: librdkafka passes a string that lives during the call, and the inbox that we gave it.
    let (inbox, message) = unsafe { (&*opaque.cast::<Inbox>(), text(reason)) };
    let all_brokers_down = code == RDKafkaErrorCode::AllBrokersDown as i32;
    if !all_brokers_down {
        inbox.trouble.note(&message);
    }
    let message = inbox.trouble.recent().unwrap_or(message);
    inbox.push(Event::Trouble { all_brokers_down, message });
}

unsafe extern "C" fn on_statistics(
    _: *mut sys::rd_kafka_t,
    json: *mut c_char,
    length: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: librdkafka passes a buffer of this length that lives during the call, and the inbox that we gave it.
    let (inbox, json) = unsafe { (&*opaque.cast::<Inbox>(), bytes(json.cast(), length).unwrap_or_default()) };
    inbox.push(Event::Statistics(String::from_utf8_lossy(json).into_owned()));
    0 // librdkafka frees the buffer.
}

unsafe extern "C" fn on_log(rk: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, message: *const c_char) {
    // SAFETY: librdkafka passes the handle it runs for, or null, and strings that live during the call.
    let (client, facility, message) = unsafe {
        let client = if rk.is_null() { String::new() } else { text(sys::rd_kafka_name(rk)) };
        (client, text(facility), text(message))
    };
    // syslog's levels. A broker that is away is reported by the worker, once; librdkafka repeats it.
    match level {
        0..=2 => tracing::error!(client, facility, "{message}"),
        3..=4 => tracing::debug!(client, facility, "{message}"),
        _ => tracing::trace!(client, facility, "{message}"),
    }
}

/// A buffer that librdkafka writes error texts into.
struct ErrorText([u8; 512]);

impl Default for ErrorText {
    fn default() -> Self {
        Self([0; 512])
    }
}

impl ErrorText {
    fn ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn text(&self) -> String {
        CStr::from_bytes_until_nul(&self.0).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

fn c_string(text: &str) -> Result<CString, KafkaError> {
    CString::new(text).map_err(|_| failure("settings", format!("{text:?} contains a zero byte")))
}

fn failure(call: &'static str, message: String) -> KafkaError {
    KafkaError { call, code: 0, class: Class::Fatal, message }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as promised by the caller.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// None for a null pointer, which is how librdkafka says that there is no key or value.
///
/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, length) })
}

/// The result of a call that returns a code.
fn check_code(call: &'static str, code: sys::rd_kafka_resp_err_t) -> Result<(), KafkaError> {
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the function knows every code, and returns a static string.
    let message = unsafe { text(sys::rd_kafka_err2str(code)) };
    Err(KafkaError { call, code: code as i32, class: Class::Fatal, message })
}

/// The result of a call that returns an error object, or null.
///
/// # Safety
/// `error` is null or an error object that the caller owns.
unsafe fn check_error(call: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the object is ours, and destroyed after the last use.
    unsafe {
        let class = Class::of(
            sys::rd_kafka_error_is_fatal(error) != 0,
            sys::rd_kafka_error_is_retriable(error) != 0,
            sys::rd_kafka_error_txn_requires_abort(error) != 0,
        );
        let (code, message) = (sys::rd_kafka_error_code(error) as i32, text(sys::rd_kafka_error_string(error)));
        sys::rd_kafka_error_destroy(error);
        Err(KafkaError { call, code, class, message })
    }
}

/// librdkafka takes milliseconds as an `int`.
fn millis(duration: std::time::Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
