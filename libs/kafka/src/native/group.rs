//! The membership in a consumer group that a transaction proves to the broker.

use std::ptr::NonNull;

use rdkafka_sys as sys;

use super::ffi::text;

/// A membership in a consumer group. It proves to the broker that a transaction comes from a current member.
#[derive(Debug)]
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: the value is immutable and only read.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    /// Returns the handle's current membership. Returns `None` if it is not a member, which means that it has no
    /// generation or no member id: the broker does not fence offsets that are sent without them.
    pub(super) fn of(rk: *mut sys::rd_kafka_t) -> Option<Self> {
        // SAFETY: the handle lives during the call; the returned value is owned by `Self`; the member id lives as long
        // as that value.
        unsafe {
            let group = Self(NonNull::new(sys::rd_kafka_consumer_group_metadata(rk))?);
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(group.ptr());
            let member = text(sys::rd_kafka_consumer_group_metadata_member_id(group.ptr()));
            (generation >= 0 && !member.is_empty()).then_some(group)
        }
    }

    pub(super) fn ptr(&self) -> *const sys::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: this value owns the metadata, and nothing uses it after this.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}
