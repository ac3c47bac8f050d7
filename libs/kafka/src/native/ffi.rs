//! Strings, buffers and results, to and from C.

use std::ffi::{CStr, CString, c_char, c_int};

use rdkafka_sys as sys;

use crate::error::{Class, KafkaError};

/// A buffer that librdkafka writes error texts into.
pub(crate) struct ErrorText([u8; 512]);

impl Default for ErrorText {
    fn default() -> Self {
        Self([0; 512])
    }
}

impl ErrorText {
    pub(crate) fn ptr(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn text(&self) -> String {
        CStr::from_bytes_until_nul(&self.0).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

pub(crate) fn c_string(text: &str) -> Result<CString, KafkaError> {
    CString::new(text).map_err(|_| failure("settings", format!("{text:?} contains a zero byte")))
}

pub(crate) fn failure(call: &'static str, message: String) -> KafkaError {
    KafkaError { call, code: 0, class: Class::Fatal, message }
}

/// # Safety
/// `text` is null or a C string.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller guarantees it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Returns `None` for a null pointer, which means that there is no key or value.
///
/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
pub(crate) unsafe fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller guarantees it.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, length) })
}

/// Converts the result of a call that returns a code.
pub(crate) fn check_code(call: &'static str, code: sys::rd_kafka_resp_err_t) -> Result<(), KafkaError> {
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the function accepts every code, and returns a static string.
    let message = unsafe { text(sys::rd_kafka_err2str(code)) };
    Err(KafkaError { call, code: code as i32, class: Class::Fatal, message })
}

/// Converts the result of a call that returns an error object, or null. Destroys the object.
///
/// # Safety
/// `error` is null or an error object that the caller owns.
pub(crate) unsafe fn check_error(call: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), KafkaError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller owns the object and passes it on; it is destroyed after its last use.
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

/// Converts a duration to milliseconds, which librdkafka takes as an `int`.
pub(crate) fn millis(duration: std::time::Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}
