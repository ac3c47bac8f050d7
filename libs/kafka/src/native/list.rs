//! Lists of topic partitions.

use std::{
    ffi::{CStr, CString},
    ptr::NonNull,
};

use rdkafka_sys as sys;

use super::ffi::bytes;

/// Owns an `rd_kafka_topic_partition_list_t`.
#[derive(Debug)]
pub(super) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) metadata: Option<&'a [u8]>,
    pub(super) code: sys::rd_kafka_resp_err_t,
}

impl PartitionList {
    /// Creates an empty list; `None` if there is no memory.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: the call returns a new list, which `Self` owns.
        NonNull::new(unsafe { sys::rd_kafka_topic_partition_list_new(16) }).map(Self)
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub(super) fn add(&mut self, topic: &CStr, partition: i32, offset: i64) {
        // SAFETY: this value owns the list; the topic is copied; the returned entry lives in the list.
        unsafe {
            let entry = sys::rd_kafka_topic_partition_list_add(self.ptr(), topic.as_ptr(), partition);
            (*entry).offset = offset;
        }
    }

    pub(super) fn add_with_metadata(&mut self, topic: &CStr, partition: i32, offset: i64, metadata: &CString) {
        self.add(topic, partition, offset);
        let text = metadata.as_bytes();
        // SAFETY: the entry that was just added is the last one. librdkafka frees the metadata with its own allocator,
        // so the copy comes from that allocator; the copy is as long as `metadata_size` says, plus the terminating
        // zero.
        unsafe {
            let list = &*self.ptr();
            let entry = list.elems.add(usize::try_from(list.cnt).unwrap_or(1) - 1);
            let rk = std::ptr::null_mut();
            let copy = sys::rd_kafka_mem_malloc(rk, text.len() + 1).cast::<u8>();
            if !copy.is_null() {
                std::ptr::copy_nonoverlapping(metadata.as_ptr().cast::<u8>(), copy, text.len() + 1);
                (*entry).metadata = copy.cast();
                (*entry).metadata_size = text.len();
            }
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        // SAFETY: this value owns the list, which has `cnt` entries and is borrowed as long as they are.
        unsafe { elements(self.ptr()) }.iter().map(|element| Entry {
            partition: element.partition,
            offset: element.offset,
            // SAFETY: librdkafka sets the length of the metadata, which lives as long as the entry.
            metadata: unsafe { bytes(element.metadata.cast(), element.metadata_size) },
            code: element.err,
        })
    }

    /// Returns the partition numbers of a borrowed list.
    ///
    /// # Safety
    /// `list` is null or a list that lives during the call.
    pub(super) unsafe fn numbers(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<i32> {
        // SAFETY: the caller guarantees it.
        unsafe { elements(list) }.iter().map(|element| element.partition).collect()
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: this value owns the list, and nothing uses it after this.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.ptr()) }
    }
}

/// # Safety
/// `list` is null or a list that lives for `'a`.
unsafe fn elements<'a>(list: *const sys::rd_kafka_topic_partition_list_t) -> &'a [sys::rd_kafka_topic_partition_t] {
    // SAFETY: the caller guarantees that the list lives; a list without entries may have no array.
    unsafe {
        match list.as_ref() {
            Some(list) if list.cnt > 0 && !list.elems.is_null() => {
                std::slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or_default())
            }
            _ => &[],
        }
    }
}
