//! The membership in a consumer group, as a transaction proves it.

use std::ptr::NonNull;

use rdkafka_sys as sys;

use super::ffi::text;

/// A membership in a consumer group: what proves to the broker that a transaction comes from a current member.
#[derive(Debug)]
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: an immutable value that is only read.
unsafe impl Send for GroupMetadata {}

impl GroupMetadata {
    /// The handle's membership now; none when it is not a member: no generation, or no member id. The broker does not
    /// fence offsets that come without.
    pub(super) fn of(rk: *mut sys::rd_kafka_t) -> Option<Self> {
        // SAFETY: the handle lives during the call; what it returns is ours; the member id lives as long.
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
        // SAFETY: the value is ours, and nothing uses it after this.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}
